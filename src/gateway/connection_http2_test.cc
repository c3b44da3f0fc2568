// A client's HTTP/2: many requests at once, all four translations, gRPC and WebSockets, and how access ends in each.
#include <algorithm>

#include "gateway/connection_http2_test_client.h"
#include "http/websocket_stream.h"

using namespace wary;
using namespace wary::gateway::test;

namespace {

const io::Address kGrpcAddress = io::Address::tcp("127.0.0.1", 9002);

std::string pattern(std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) out += static_cast<char>('a' + i * i % 26);
  return out;
}

std::size_t cuts_of(World& world) {
  const auto events = world.events();
  return static_cast<std::size_t>(
      std::count_if(events.begin(), events.end(), [](const auto& event) { return event.action == "session.cut"; }));
}

}  // namespace

TEST_CASE("a request over HTTP/2 reaches an application of HTTP/1.1 as one of its own") {
  World world;
  Http2TestClient client(world);
  auto fields = client.head("GET", "/hello?q=1");
  fields.push_back({"x-app", "kept"});
  fields.push_back({"wary-principal", "forged"});
  fields.push_back({"x-forwarded-for", "9.9.9.9"});
  const auto stream = client.send(fields);
  client.run(20);
  const auto& answer = client.answer(stream);
  CHECK(answer.status == 200);
  CHECK(answer.body == "/hello?q=1");
  CHECK(answer.whole);
  CHECK_FALSE(answer.field("wary-decision").empty());
  REQUIRE(world.site->requests.size() == 1);
  const AppRequest& seen = world.site->requests[0];
  CHECK(seen.method == "GET");
  CHECK(seen.host == "site.test");
  CHECK(seen.field("x-app") == "kept");
  CHECK(seen.field("wary-principal") == "Wary::User::\"alice\"");
  CHECK(seen.field("x-forwarded-for") == "127.0.0.1");
  CHECK(seen.field("cookie").empty());
  CHECK(world.site->garbage == 0);
  world.check_recorded();
}

TEST_CASE("a hundred requests at once are answered each by its own") {
  World world;
  Http2TestClient client(world);
  client.run(2);
  std::vector<std::int32_t> streams;
  for (int i = 0; i < 100; ++i) streams.push_back(client.send(client.head("GET", "/n/" + std::to_string(i))));
  client.run(100);
  for (int i = 0; i < 100; ++i) {
    CHECK(client.answer(streams[static_cast<std::size_t>(i)]).body == "/n/" + std::to_string(i));
    CHECK(client.answer(streams[static_cast<std::size_t>(i)]).whole);
  }
  CHECK(world.site->requests.size() == 100);
  world.check_recorded();
}

TEST_CASE("bodies go both ways whole, with a length and without") {
  for (const std::size_t size : {1UL, 70'000UL, 1'500'000UL}) {
    World world;
    const std::string body = pattern(size);
    world.site->on_request = [](AppStream& stream, const AppRequest& request) {
      stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (std::size_t at = 0; at < request.body.size(); at += 5000) {
        std::string piece;
        const std::string part = request.body.substr(at, 5000);
        codec::http1::append_chunk_header(piece, part.size());
        stream.send(piece + part + "\r\n");
      }
      stream.send("0\r\n\r\n");
    };
    Http2TestClient client(world);
    const std::string length = std::to_string(size);
    auto fields = client.head("POST", "/up");
    const auto open = client.send(fields, body);
    fields.push_back({"content-length", length});
    const auto measured = client.send(fields, body);
    client.run(600);
    REQUIRE(world.site->requests.size() == 2);
    CHECK(world.site->requests[0].body.size() == size);
    CHECK(world.site->requests[1].body == body);
    CHECK(client.answer(open).body == body);
    CHECK(client.answer(measured).body == body);
    CHECK(client.answer(measured).whole);
    CHECK(world.site->garbage == 0);
  }
}

TEST_CASE("who may not is answered in the stream, and the connection goes on") {
  World world;
  Http2TestClient client(world);
  const auto denied = client.send(client.head("GET", "/x", "__Host-wary_session=bob-token"));
  const auto nobody = client.send(client.head("GET", "/x", "other=1"));
  auto unknown = client.head("GET", "/");
  unknown[2].value = "elsewhere.test";
  const auto elsewhere = client.send(unknown);
  const auto posted = client.send(client.head("POST", "/x", "__Host-wary_session=bob-token"), "", false);
  const auto fine = client.send(client.head("GET", "/fine"));
  client.run(50);
  CHECK(client.answer(denied).status == 403);
  CHECK(client.answer(denied).body.find("\"denied\"") != std::string::npos);
  CHECK(client.answer(nobody).status == 401);
  CHECK(client.answer(elsewhere).status == 421);
  CHECK(client.answer(posted).status == 403);
  CHECK_FALSE(client.answer(posted).closed);
  client.run(2'000);  // the rest of its body is not wanted
  CHECK(client.answer(posted).closed);
  CHECK(client.answer(posted).error == http::kHttp2NoError);
  CHECK(client.answer(fine).body == "/fine");
  CHECK(world.site->requests.size() == 1);
}

TEST_CASE("a call to an application of HTTP/2 keeps its trailers, and an HTTP/1.1 client loses them alone") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  app.on_end = [](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call& call) {
    peer.session.submit_answer(stream, 200, {{"content-type", "application/grpc"}}, false);
    peer.session.write(stream, "echo " + call.body);
    peer.session.end(stream, {{"grpc-status", "0"}, {"grpc-message", "fine"}, {"wary-decision", "forged"}});
  };
  Http2TestClient client(world, "grpc.test");
  auto fields = client.head("POST", "/shop.Orders/Get");
  fields.push_back({"content-type", "application/grpc"});
  fields.push_back({"te", "trailers"});
  const auto stream = client.send(fields, "order");
  client.run(40);
  const auto& answer = client.answer(stream);
  CHECK(answer.status == 200);
  CHECK(answer.body == "echo order");
  CHECK(answer.trailer("grpc-status") == "0");
  CHECK(answer.trailer("wary-decision").empty());
  CHECK(answer.whole);
  REQUIRE(app.peers.size() == 1);
  const auto& call = app.call(0, 1);
  CHECK(call.method == "POST");
  CHECK(call.path == "/shop.Orders/Get");
  CHECK(call.authority == "grpc.test");
  CHECK(call.field("te") == "trailers");
  CHECK(call.field("wary-principal") == "Wary::User::\"alice\"");

  const auto old = world.client("grpc.test");
  old->send(
      "POST /plain HTTP/1.1\r\nHost: grpc.test\r\nCookie: __Host-wary_session=alice-grpc-token\r\nContent-Length: "
      "5\r\n\r\nthree");
  world.run(40);
  REQUIRE(old->answers().size() == 1);
  CHECK(old->answers()[0].status == 200);
  CHECK(old->answers()[0].body == "echo three");
  CHECK(app.peers.size() == 1);  // the same connection
  world.check_recorded();
}

TEST_CASE("a gRPC call that may not is told so in its own words") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  Http2TestClient client(world, "grpc.test");
  auto fields = client.head("POST", "/shop.Orders/Get", "__Host-wary_session=bob-grpc-token");
  fields.push_back({"content-type", "application/grpc"});
  const auto denied = client.send(fields, "x");
  fields[4].value = "none=1";
  const auto nobody = client.send(fields, "x");
  client.run(30);
  CHECK(client.answer(denied).status == 200);
  CHECK(client.answer(denied).field("grpc-status") == "7");
  CHECK(client.answer(nobody).field("grpc-status") == "16");
  CHECK(app.peers.empty());
}

TEST_CASE("messages stream in both directions at once") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  app.on_end = nullptr;
  app.on_head = [](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call&) {
    peer.session.submit_answer(stream, 200, {{"content-type", "application/grpc"}}, false);
    peer.session.write(stream, "first");
  };
  Http2TestClient client(world, "grpc.test");
  auto fields = client.head("POST", "/shop.Orders/Watch");
  fields.push_back({"content-type", "application/grpc"});
  const auto stream = client.send(fields, "a", false);
  client.run(20);
  CHECK(client.answer(stream).body == "first");
  CHECK(app.call(0, 1).body == "a");
  client.write(stream, "b");
  client.run(20);
  CHECK(app.call(0, 1).body == "ab");
  CHECK_FALSE(client.answer(stream).closed);
  client.write(stream, "", true);
  client.run(20);
  CHECK(app.call(0, 1).ended);
  app.peers[0]->session.end(1, {{"grpc-status", "0"}});
  app.peers[0]->flush();
  client.run(20);
  CHECK(client.answer(stream).trailer("grpc-status") == "0");
  CHECK(client.answer(stream).closed);
}

TEST_CASE("a revoked gRPC stream ends with its reason, others go on") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  app.on_end = nullptr;
  app.on_head = [](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call&) {
    peer.session.submit_answer(stream, 200, {{"content-type", "application/grpc"}}, false);
    peer.session.write(stream, "first");
  };
  world.set_policies(world.policies + "permit (principal == Wary::User::\"carol\", action, resource);");
  Http2TestClient client(world, "grpc.test");
  auto fields = client.head("POST", "/shop.Orders/Watch");
  fields.push_back({"content-type", "application/grpc"});
  const auto of_alice = client.send(fields, "a", false);
  fields[4].value = "__Host-wary_session=carol-grpc-token";
  const auto of_carol = client.send(fields, "c", false);
  client.run(20);
  REQUIRE(client.answer(of_alice).body == "first");
  REQUIRE(client.answer(of_carol).body == "first");
  world.revoke("alice");
  client.run(20);
  CHECK(client.answer(of_alice).trailer("grpc-status") == "7");
  CHECK(client.answer(of_alice).closed);
  CHECK_FALSE(client.answer(of_carol).closed);
  client.write(of_carol, "d");
  client.run(20);
  CHECK(app.call(0, 3).body == "cd");
  CHECK(app.call(0, 1).closed);
  CHECK(cuts_of(world) == 1);
}

TEST_CASE("a revoked request over HTTP/2 is told so or reset, and an idle connection of the revoked is closed") {
  World world;
  world.site->on_request = [](AppStream&, const AppRequest&) {};  // never answers
  Http2TestClient client(world);
  const auto stream = client.send(client.head("GET", "/slow"));
  client.run(20);
  world.revoke("alice");
  client.run(20);
  CHECK(client.answer(stream).status == 403);
  CHECK(client.answer(stream).body.find("access_ended") != std::string::npos);
  CHECK(world.site->streams.at(0)->ended);
  CHECK(cuts_of(world) == 1);

  World half;
  half.site->on_request = [](AppStream& app, const AppRequest&) {
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  };
  Http2TestClient reader(half);
  const auto begun = reader.send(reader.head("GET", "/half"));
  reader.run(20);
  REQUIRE(reader.answer(begun).body == "half");
  half.revoke("alice");
  reader.run(20);
  CHECK(reader.answer(begun).closed);
  CHECK(reader.answer(begun).error == http::kHttp2Cancel);
  CHECK(half.site->streams.at(0)->ended);
  CHECK(cuts_of(half) == 1);

  World other;
  Http2TestClient idle(other);
  const auto done = idle.send(idle.head("GET", "/x"));
  idle.run(20);
  REQUIRE(idle.answer(done).whole);
  other.revoke("alice");
  idle.run(20);
  CHECK(idle.client().ended_);
  CHECK(cuts_of(other) == 1);
}

TEST_CASE("a WebSocket over HTTP/2 reaches an application of HTTP/1.1 and is closed with its reason") {
  World world;
  world.site->on_bytes = [](AppStream& stream) {
    if (stream.parsed != 0 || stream.received.find("\r\n\r\n") == std::string::npos) return;
    stream.parsed = 1;
    const std::size_t at = stream.received.find("Sec-WebSocket-Key: ");
    REQUIRE(at != std::string::npos);
    const std::string key = stream.received.substr(at + 19, 24);
    stream.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
        http::websocket_accept(key) + "\r\n\r\n");
  };
  Http2TestClient client(world);
  client.run(3);
  CHECK(client.session().peer_has_websockets());
  Http2TestClient::Fields fields = {
      {":method", "CONNECT"},         {":protocol", "websocket"}, {":scheme", "https"},
      {":authority", "site.test"},    {":path", "/ws"},           {"cookie", "__Host-wary_session=alice-token"},
      {"sec-websocket-version", "13"}};
  const auto stream = client.send(fields, "", false);
  client.run(20);
  CHECK(client.answer(stream).status == 200);
  CHECK(client.answer(stream).field("sec-websocket-accept").empty());
  AppStream& app = *world.site->streams.at(0);
  CHECK(app.received.starts_with("GET /ws HTTP/1.1\r\n"));
  app.received.clear();
  client.write(stream, std::string("\x81\x82\1\2\3\4\x49\x6b", 8));
  app.send("\x81\x02hi");
  client.run(20);
  CHECK(app.received == std::string("\x81\x82\1\2\3\4\x49\x6b", 8));
  CHECK(client.answer(stream).body == "\x81\x02hi");
  client.answer(stream).body.clear();
  world.revoke("alice");
  client.run(20);
  CHECK(client.answer(stream).body == std::string("\x88\x02\x03\xf0", 4));
  CHECK(client.answer(stream).closed);
  CHECK(app.ended);
  CHECK(cuts_of(world) == 1);
}

TEST_CASE("a WebSocket that an application declines is never open to a client of HTTP/2, for which 2xx would say so") {
  Http2TestClient::Fields fields = {
      {":method", "CONNECT"},         {":protocol", "websocket"}, {":scheme", "https"},
      {":authority", "site.test"},    {":path", "/ws"},           {"cookie", "__Host-wary_session=alice-token"},
      {"sec-websocket-version", "13"}};
  for (const char* declines : {"200 OK\r\nContent-Length: 4\r\n\r\npage", "204 No Content\r\n\r\n"}) {
    World world;
    world.site->on_request = [declines](AppStream& app, const AppRequest&) {
      app.send("HTTP/1.1 " + std::string(declines));
    };
    Http2TestClient client(world);
    client.run(3);
    const auto stream = client.send(fields, "", false);
    client.run(20);
    CHECK(client.answer(stream).status == 502);
    CHECK(client.answer(stream).body.find("upstream_answer_invalid") != std::string::npos);
    const auto next = client.send(client.head("GET", "/.wary/live"));
    client.run(20);
    CHECK(client.answer(next).status == 200);
  }
  World world;
  Http2TestClient client(world);
  client.run(3);
  fields[5].value = "__Host-wary_session=bob-token";
  fields.push_back({"content-type", "application/grpc"});
  const auto denied = client.send(fields, "", false);
  client.run(20);
  CHECK(client.answer(denied).status == 403);
}

TEST_CASE("an application of HTTP/1.1 opens a WebSocket to one of HTTP/2") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  app.on_end = nullptr;
  app.on_head = [](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call&) {
    peer.session.submit_answer(stream, 200, {}, false);
  };
  const auto client = world.client("grpc.test");
  client->send(
      "GET /ws HTTP/1.1\r\nHost: grpc.test\r\nCookie: __Host-wary_session=alice-grpc-token\r\nConnection: "
      "Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
      "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  world.run(20);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 101);
  CHECK(client->answers()[0].field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(app.call(0, 1).method == "CONNECT");
  CHECK(app.call(0, 1).protocol == "websocket");
  client->received.clear();
  client->send("up");
  app.peers[0]->session.write(1, "down");
  app.peers[0]->flush();
  world.run(20);
  CHECK(app.call(0, 1).body == "up");
  CHECK(client->received == "down");
  app.peers[0]->session.end(1, {});
  app.peers[0]->flush();
  world.run(20);
  CHECK(client->ended_);
  CHECK(client->said_goodbye());
}

TEST_CASE("a client that reads slowly holds up its own answer alone, and memory stays bounded") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    const std::string body = request.target == "/big" ? pattern(5'000'000) : "small";
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  Http2TestClient client(world);
  client.consumes = false;
  const auto big = client.send(client.head("GET", "/big"));
  client.run(100);
  CHECK(client.answer(big).body.size() <= 300'000);
  CHECK(world.worker->held_bytes() < 1'000'000);
  const auto small = client.send(client.head("GET", "/small"));
  client.run(50);
  CHECK(client.answer(small).body == "small");
  client.consumes = true;
  client.session().consume(big, client.answer(big).body.size());
  client.run(800);
  CHECK(client.answer(big).body.size() == 5'000'000);
  CHECK(client.answer(big).whole);
}

TEST_CASE("a client that makes noise is told to calm down") {
  for (const bool resets : {false, true}) {
    World world;
    world.site->on_request = [](AppStream&, const AppRequest&) {};
    Http2TestClient client(world);
    client.run(3);
    for (int i = 0; i < 400 && !client.client().ended_; ++i) {
      if (resets) {
        if (client.session().is_over() || client.session().is_shutting_down()) break;
        const auto stream = client.session().submit_request(client.head("GET", "/x"), true);
        if (stream < 0) break;
        client.run(1);
        client.reset(stream);
      } else {
        if (!client.client().is_open()) break;
        client.client().send(std::string("\0\0\x08\x06\0\0\0\0\0pingping", 17));
        client.run(1);
      }
    }
    client.run(50);
    CHECK(client.client().ended_);
    CHECK(world.worker->connections() == 0);
  }
}

TEST_CASE("an application's answer that is cut in the middle is reset, never whole") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    stream.close();
  };
  Http2TestClient client(world);
  const auto stream = client.send(client.head("GET", "/x"));
  client.run(30);
  CHECK(client.answer(stream).status == 200);
  CHECK_FALSE(client.answer(stream).whole);
  CHECK(client.answer(stream).error == http::kHttp2InternalError);
  const auto next = client.send(client.head("GET", "/.wary/live"));
  client.run(10);
  CHECK(client.answer(next).body == "ok\n");
}

TEST_CASE("a request that the client takes back ends at the application too") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  app.on_end = nullptr;
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  Http2TestClient client(world), caller(world, "grpc.test");
  const auto stream = client.send(client.head("GET", "/x"));
  const auto call = caller.send(caller.head("POST", "/a.B/C"), "x", false);
  client.run(10);
  caller.run(10);
  client.reset(stream);
  caller.reset(call);
  client.run(10);
  CHECK(world.site->streams.at(0)->ended);
  CHECK(app.call(0, 1).closed);
  CHECK(app.call(0, 1).error == http::kHttp2Cancel);
}

TEST_CASE("an application of HTTP/2 that goes away is answered for, and the next call finds a new connection") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  app.on_end = nullptr;
  Http2TestClient client(world, "grpc.test");
  const auto lost = client.send(client.head("POST", "/a.B/C"), "x");
  client.run(20);
  REQUIRE(app.peers.size() == 1);
  app.peers[0]->stream.reset();
  client.run(20);
  CHECK(client.answer(lost).status == 502);
  app.on_end = [](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call&) {
    peer.session.submit_answer(stream, 204, {}, true);
  };
  const auto next = client.send(client.head("POST", "/a.B/C"), "x");
  client.run(20);
  CHECK(client.answer(next).status == 204);
  CHECK(app.peers.size() == 2);
}

TEST_CASE("more calls than one connection takes, made before there is one, share several") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  std::vector<std::unique_ptr<Http2TestClient>> clients;
  std::vector<std::vector<std::int32_t>> streams(3);
  for (std::size_t i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Http2TestClient>(world, "grpc.test"));
    clients[i]->run(2);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    for (int n = 0; n < 80; ++n) streams[i].push_back(clients[i]->send(clients[i]->head("POST", "/a.B/C"), "x"));
  }
  for (int turn = 0; turn < 40; ++turn) {
    for (auto& client : clients) client->run(5);
  }
  CHECK(app.peers.size() == 3);
  for (const auto& peer : app.peers) CHECK(peer->calls.size() <= 100);
  for (std::size_t i = 0; i < 3; ++i) {
    for (const std::int32_t stream : streams[i]) CHECK(clients[i]->answer(stream).status == 200);
  }
}

TEST_CASE("a worker that drains says GOAWAY, finishes what runs, and tells a WebSocket that it goes") {
  World world;
  world.site->on_bytes = [](AppStream& stream) {
    if (stream.parsed != 0 || stream.received.find("\r\n\r\n") == std::string::npos) return;
    stream.parsed = 1;
    const std::size_t at = stream.received.find("Sec-WebSocket-Key: ");
    if (at == std::string::npos) return;
    stream.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
        http::websocket_accept(stream.received.substr(at + 19, 24)) + "\r\n\r\n");
  };
  Http2TestClient client(world), idle(world);
  client.run(3);
  const auto slow = client.send(client.head("GET", "/slow"));
  client.run(20);
  const auto tunnel = client.send({{":method", "CONNECT"},
                                   {":protocol", "websocket"},
                                   {":scheme", "https"},
                                   {":authority", "site.test"},
                                   {":path", "/ws"},
                                   {"cookie", "__Host-wary_session=alice-token"},
                                   {"sec-websocket-version", "13"}},
                                  "", false);
  client.run(20);
  REQUIRE(client.answer(tunnel).status == 200);
  bool drained = false;
  world.worker->post_drain([&] { drained = true; });
  client.run(20);
  idle.run(5);
  CHECK(idle.client().ended_);
  CHECK(client.session().is_shutting_down());
  CHECK(client.answer(tunnel).body == std::string("\x88\x02\x03\xe9", 4));
  CHECK_FALSE(drained);
  world.site->streams.at(0)->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  client.run(20);
  CHECK(client.answer(slow).body == "ok");
  CHECK(client.answer(slow).whole);
  client.run(3'000);  // the stream of the WebSocket, which its client leaves half open, is stopped
  CHECK(client.client().ended_);
  idle.client().close();
  client.client().close();
  client.run(20);
  CHECK(drained);
}

TEST_CASE("a WebSocket over HTTP/2 in the middle of a frame hears behind it that the server goes away") {
  World world;
  Http2TestApp app(*world.app_loop, kGrpcAddress);
  app.on_end = nullptr;
  app.on_head = [](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call&) {
    peer.session.submit_answer(stream, 200, {}, false);
    peer.session.write(stream, "\x82\x04ha");
  };
  Http2TestClient client(world, "grpc.test");
  client.run(3);
  const auto tunnel = client.send({{":method", "CONNECT"},
                                   {":protocol", "websocket"},
                                   {":scheme", "https"},
                                   {":authority", "grpc.test"},
                                   {":path", "/ws"},
                                   {"cookie", "__Host-wary_session=alice-grpc-token"},
                                   {"sec-websocket-version", "13"}},
                                  "", false);
  client.run(20);
  world.worker->post_drain([] {}, gateway::Drain::kNow);
  client.run(20);
  CHECK(client.answer(tunnel).body == "\x82\x04ha");
  app.peers.at(0)->session.write(1, "lf");
  app.peers[0]->flush();
  client.run(20);
  CHECK(client.answer(tunnel).body == "\x82\x04half\x88\x02\x03\xe9");
  CHECK(client.answer(tunnel).whole);
}

TEST_CASE("a worker that is left says GOAWAY in two steps, and its WebSockets stay until it has to end") {
  World world;
  world.site->on_bytes = [](AppStream& stream) {
    if (stream.parsed != 0 || stream.received.find("\r\n\r\n") == std::string::npos) return;
    stream.parsed = 1;
    const std::size_t at = stream.received.find("Sec-WebSocket-Key: ");
    if (at == std::string::npos) return stream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    stream.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
        http::websocket_accept(stream.received.substr(at + 19, 24)) + "\r\n\r\n");
  };
  Http2TestClient client(world), idle(world);
  client.run(3);
  const auto tunnel = client.send({{":method", "CONNECT"},
                                   {":protocol", "websocket"},
                                   {":scheme", "https"},
                                   {":authority", "site.test"},
                                   {":path", "/ws"},
                                   {"cookie", "__Host-wary_session=alice-token"},
                                   {"sec-websocket-version", "13"}},
                                  "", false);
  client.run(20);
  REQUIRE(client.answer(tunnel).status == 200);
  bool drained = false;
  world.worker->post_drain([&] { drained = true; }, gateway::Drain::kLeave);
  // Sent before its client heard of it: still served.
  const auto crossing = idle.send(idle.head("GET", "/crossing"));
  idle.run(20);
  CHECK(idle.session().is_shutting_down());
  CHECK(idle.answer(crossing).body == "ok");
  CHECK_FALSE(idle.client().ended_);
  idle.run(2'000);
  CHECK(idle.client().ended_);
  client.run(3);
  CHECK(client.session().is_shutting_down());
  CHECK(client.answer(tunnel).body.empty());
  CHECK_FALSE(client.client().ended_);
  CHECK_FALSE(drained);
  world.worker->post_drain([&] { drained = true; }, gateway::Drain::kRestart);
  client.run(20);
  CHECK(client.answer(tunnel).body == std::string("\x88\x02\x03\xf4", 4));
  client.run(3'000);
  CHECK(client.client().ended_);
  idle.client().close();
  client.client().close();
  client.run(20);
  CHECK(drained);
}

TEST_CASE("cookies that a browser sends one by one are one to the gateway and to an application") {
  World world;
  Http2TestClient client(world);
  auto fields = client.head("GET", "/x", "theme=dark");
  fields.push_back({"cookie", "__Host-wary_session=alice-token"});
  fields.push_back({"accept", "text/plain"});
  fields.push_back({"cookie", "lang=de"});
  const auto stream = client.send(fields);
  // Which of two sessions is meant, nobody could tell.
  fields.push_back({"cookie", "__Host-wary_session=carol-token"});
  const auto two = client.send(fields);
  client.run(20);
  CHECK(client.answer(stream).status == 200);
  REQUIRE(world.site->requests.size() == 1);
  CHECK(world.site->requests[0].field("cookie") == "theme=dark; lang=de");
  CHECK(world.site->requests[0].field("accept") == "text/plain");
  CHECK(client.answer(two).status == 401);
}
