#include "http/http2_session.h"

#include <doctest/doctest.h>

#include <array>
#include <map>

#include "http/http2_resets.h"

using namespace wary;
using codec::http1::Field;
using http::Http2Block;
using http::Http2Role;
using http::Http2Session;

namespace {

// What one side hears, in order.
struct Side final : http::Http2SessionEvents {
  explicit Side(Http2Role role, http::Http2SessionLimits limits = {}) : session(role, *this, limits) {}
  struct Message {
    int status = 0;
    std::string method, path, body;
    std::vector<std::pair<std::string, std::string>> fields, trailers;
    bool ended = false, closed = false, too_large = false;
    std::uint32_t error = 0;
  };
  void on_block(std::int32_t stream, const Http2Block& block, bool ends) override {
    Message& message = messages[stream];
    if (!block.is_trailer) {
      message.status = block.status;
      message.method = block.method;
      message.path = block.path;
    }
    for (const Field& field : block.fields) {
      (block.is_trailer ? message.trailers : message.fields).emplace_back(field.name, field.value);
    }
    message.too_large = block.is_too_large;
    message.ended = ends;
    if (answers && !block.is_trailer) session.submit_answer(stream, 200, {{"X-Answer", "yes"}}, false);
  }
  void on_data(std::int32_t stream, std::string_view bytes) override {
    messages[stream].body += bytes;
    if (consumes) session.consume(stream, bytes.size());
  }
  void on_end(std::int32_t stream) override { messages[stream].ended = true; }
  void on_closed(std::int32_t stream, std::uint32_t error) override {
    messages[stream].closed = true;
    messages[stream].error = error;
  }
  void on_sent(std::int32_t) override {}
  Http2Session session;
  std::map<std::int32_t, Message> messages;
  bool answers = false, consumes = true;
};

void carry(Side& client, Side& server) {
  for (int i = 0; i < 200; ++i) {
    std::string up, down;
    client.session.flush(up, 1 << 16);
    if (!up.empty()) server.session.receive(up);
    server.session.flush(down, 1 << 16);
    if (!down.empty()) client.session.receive(down);
    if (up.empty() && down.empty()) return;
  }
  FAIL("it never comes to rest");
}

const std::vector<Field> kRequest = {
    {":method", "POST"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", "/up"}, {"x-one", "1"}};

}  // namespace

TEST_CASE("a request and its answer stream both ways, with trailers") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  const auto stream = client.session.submit_request(kRequest, false);
  CHECK(stream == 1);
  client.session.write(stream, "hel");
  carry(client, server);
  CHECK(server.messages[1].method == "POST");
  CHECK(server.messages[1].path == "/up");
  CHECK(server.messages[1].body == "hel");
  CHECK_FALSE(server.messages[1].ended);
  client.session.write(stream, "lo");
  client.session.end(stream, {{"x-sum", "5"}});
  server.session.submit_answer(1, 201, {{"X-Name", "v"}}, false);
  server.session.write(1, "made");
  carry(client, server);
  CHECK(server.messages[1].body == "hello");
  CHECK(server.messages[1].trailers.at(0).second == "5");
  CHECK(server.messages[1].ended);
  CHECK(client.messages[1].status == 201);
  CHECK(client.messages[1].fields.at(0).first == "x-name");  // names are in lower case on the wire
  CHECK(client.messages[1].body == "made");
  server.session.end(1, {{"grpc-status", "0"}});
  carry(client, server);
  CHECK(client.messages[1].trailers.at(0).first == "grpc-status");
  CHECK(client.messages[1].closed);
  CHECK(client.messages[1].error == http::kHttp2NoError);
  CHECK(server.messages[1].closed);
  CHECK(server.session.open_streams() == 0);
}

TEST_CASE("interim answers come before the one that counts") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  client.session.submit_request(kRequest, false);
  carry(client, server);
  server.session.submit_interim(1, 100);
  carry(client, server);
  CHECK(client.messages[1].status == 100);
  server.session.submit_answer(1, 200, {}, true);
  carry(client, server);
  CHECK(client.messages[1].status == 200);
  CHECK(client.messages[1].ended);
}

TEST_CASE("what is not consumed is not sent on: the window holds the sender") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  server.consumes = false;
  const auto stream = client.session.submit_request(kRequest, false);
  client.session.write(stream, std::string(3'000'000, 'x'));
  carry(client, server);
  CHECK(server.messages[1].body.size() == 256 * 1024);
  CHECK(client.session.queued(stream) == 3'000'000 - 256 * 1024);
  CHECK(client.session.queued() == client.session.queued(stream));
  server.session.consume(1, 256 * 1024);
  server.consumes = true;
  carry(client, server);
  CHECK(server.messages[1].body.size() == 3'000'000);
  CHECK(client.session.queued() == 0);
}

TEST_CASE("bodies that were never consumed give the connection's window back when their streams end") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  server.consumes = false;
  for (int i = 0; i < 20; ++i) {
    const auto stream = client.session.submit_request(kRequest, false);
    client.session.write(stream, std::string(200'000, 'x'));
    carry(client, server);
    CHECK(server.messages[stream].body.size() == 200'000);
    server.session.reset(stream, http::kHttp2Cancel);
    carry(client, server);
    CHECK(client.messages[stream].error == http::kHttp2Cancel);
  }
}

TEST_CASE("a reset drops what was queued, also between two pieces of it") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  const auto stream = client.session.submit_request(kRequest, false);
  client.session.write(stream, std::string(100'000, 'x'));
  std::string up;
  client.session.flush(up, 20'000);  // a part
  server.session.receive(up);
  up.clear();
  client.session.reset(stream, http::kHttp2Cancel);
  CHECK(client.session.queued() == 0);
  client.session.flush(up, 1 << 20);
  server.session.receive(up);
  CHECK(server.messages[1].closed);
  CHECK(server.messages[1].body.size() < 100'000);
  CHECK_FALSE(server.session.is_over());
  const auto next = client.session.submit_request(kRequest, true);
  carry(client, server);
  CHECK(server.messages[next].ended);
}

TEST_CASE("a head beyond the limits is told as such, and the connection lives") {
  Side client(Http2Role::kClient), server(Http2Role::kServer, {.header_bytes = 20'000});
  std::vector<Field> many = kRequest;
  for (int i = 0; i < 120; ++i) many.push_back({"x-more", "v"});
  std::vector<Field> large = kRequest;
  const std::string value(8'000, 'v');
  for (int i = 0; i < 3; ++i) large.push_back({"x-large", value});
  const auto first = client.session.submit_request(many, true);
  carry(client, server);
  CHECK(server.messages[first].too_large);
  const auto second = client.session.submit_request(large, true);
  carry(client, server);
  CHECK(server.messages[second].too_large);
  const auto third = client.session.submit_request(kRequest, true);
  carry(client, server);
  CHECK_FALSE(server.messages[third].too_large);
}

TEST_CASE("a head far beyond the limits, made of a few bytes, ends the connection before all of it is read") {
  Side client(Http2Role::kClient), server(Http2Role::kServer, {.header_bytes = 20'000});
  std::string up, down;
  client.session.flush(up, 1 << 16);  // its preface and settings
  // "x" of 3,900 bytes into the table (RFC 7541 section 6.2.1), then 2,000 times that entry, a byte each.
  std::string block("\x40\x01x\x7f\xbd\x1d", 6);
  block += std::string(3'900, 'v') + std::string(2'000, '\xbe');
  up += {0, static_cast<char>(block.size() >> 8), static_cast<char>(block.size()), 1, 5, 0, 0, 0, 1};
  up += block;
  server.session.receive(up);
  server.session.flush(down, 1 << 16);
  CHECK(server.session.is_over());
  CHECK(server.messages.empty());
  // Its last words: GOAWAY (7) with ENHANCE_YOUR_CALM (11).
  REQUIRE(down.size() >= 17);
  const std::string_view last = std::string_view(down).substr(down.size() - 17);
  CHECK(last[3] == 7);
  CHECK(last[16] == 11);
}

TEST_CASE("fields that no message may have end the stream with a protocol error") {
  for (const auto& [name, value] : std::initializer_list<std::pair<std::string, std::string>>{
           {"x-a", "b\nc"}, {"x a", "b"}, {"connection", "close"}, {"x-a", " b"}, {":path", "/again"}}) {
    Side client(Http2Role::kClient), server(Http2Role::kServer);
    server.answers = true;
    std::vector<Field> fields = kRequest;
    fields.push_back({name, value});
    const auto stream = client.session.submit_request(fields, true);
    carry(client, server);
    CHECK_MESSAGE(server.messages[stream].method.empty(), name);
    CHECK_MESSAGE(client.messages[stream].error == http::kHttp2ProtocolError, name);
  }
}

TEST_CASE("a peer that makes noise is ended, one that asks is not") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  server.answers = true;
  std::string up;
  client.session.flush(up, 1 << 20);
  server.session.receive(up);
  const auto ping = [&] {
    std::string down;
    server.session.receive(std::string("\0\0\x08\x06\0\0\0\0\0pingping", 17));
    server.session.flush(down, 1 << 20);
  };
  for (int i = 0; i < 150; ++i) ping();
  CHECK_FALSE(server.session.is_over());
  client.session.submit_request(kRequest, true);
  carry(client, server);
  for (int i = 0; i < 100; ++i) ping();
  CHECK_FALSE(server.session.is_over());
  for (int i = 0; i < 300; ++i) ping();
  CHECK(server.session.is_over());
}

TEST_CASE("a request that is taken back by the bytes that brought it is nobody's work") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  carry(client, server);
  std::string up;
  const auto kept = client.session.submit_request(kRequest, true);
  const auto lost = client.session.submit_request(kRequest, false);
  client.session.write(lost, "a body");
  client.session.flush(up, 1 << 16);
  client.session.reset(lost, http::kHttp2Cancel);
  client.session.flush(up, 1 << 16);
  const auto late = client.session.submit_request(kRequest, false);
  client.session.flush(up, 1 << 16);
  server.session.receive(up);
  CHECK(server.messages.size() == 2);
  CHECK(server.messages[kept].ended);
  CHECK_FALSE(server.messages[kept].closed);
  CHECK(server.session.open_streams() == 2);
  // One that somebody heard of ends as ever.
  client.session.reset(late, http::kHttp2Cancel);
  carry(client, server);
  CHECK(server.messages[late].closed);
  CHECK(server.messages[late].error == http::kHttp2Cancel);
  // The window of what it had sent is there again.
  CHECK(server.session.unconsumed(lost) == 0);
}

TEST_CASE("what takes requests back is found however the bytes are cut, and a body is not taken for it") {
  const auto frame = [](std::uint8_t type, std::uint32_t stream, const std::string& payload) {
    std::string out = {0, 0, static_cast<char>(payload.size()), static_cast<char>(type), 0};
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(stream >> shift & 0xff);
    return out + payload;
  };
  const std::string reset = frame(3, 5, std::string(4, '\0'));
  const std::string all = std::string(24, 'p') + frame(0, 7, reset) + reset + frame(6, 0, std::string(8, 'x'));
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    http::Http2Resets resets(24);
    resets.look(std::string_view(all).substr(0, cut));
    bool found = resets.has(5);
    resets.look(std::string_view(all).substr(cut));
    CHECK(found != resets.has(5));
    CHECK_FALSE(resets.has(7));
  }
  http::Http2Resets many(0);
  std::string bytes;
  for (std::uint32_t i = 1; i <= 200; i += 2) bytes += frame(3, i, "1234");
  many.look(bytes);
  CHECK(many.has(1));
  CHECK(many.has(127));
  CHECK_FALSE(many.has(199));
}

TEST_CASE("a shutdown lets what runs go on and takes nothing new") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  const auto stream = client.session.submit_request(kRequest, false);
  carry(client, server);
  server.session.shut_down(http::kHttp2NoError);
  carry(client, server);
  CHECK(client.session.is_shutting_down());
  CHECK(client.session.submit_request(kRequest, true) == -1);
  client.session.write(stream, "on");
  client.session.end(stream, {});
  server.session.submit_answer(stream, 200, {}, true);
  carry(client, server);
  CHECK(server.messages[stream].body == "on");
  CHECK(client.messages[stream].status == 200);
  CHECK(server.session.is_over());
  CHECK(client.session.is_over());
}

TEST_CASE("a stream the server did not begin is told as refused, so that it may be tried again") {
  Side client(Http2Role::kClient), server(Http2Role::kServer, {.streams = 1});
  const auto first = client.session.submit_request(kRequest, false);
  const auto second = client.session.submit_request(kRequest, true);
  std::string up;
  client.session.flush(up, 1 << 20);  // both, before the server's setting is known
  server.session.receive(up);
  carry(client, server);
  CHECK_FALSE(client.messages[first].closed);
  CHECK(client.messages[second].error == http::kHttp2RefusedStream);
}

TEST_CASE("bytes that are no HTTP/2 end the session") {
  Side server(Http2Role::kServer);
  server.session.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(server.session.is_over());
}

TEST_CASE("a server offers WebSockets, and calls on a stream that is gone do nothing") {
  Side client(Http2Role::kClient), server(Http2Role::kServer);
  carry(client, server);
  CHECK(client.session.peer_has_websockets());
  CHECK(client.session.peer_max_streams() == 100);
  server.session.write(7, "x");
  server.session.end(7, {});
  server.session.consume(7, 10);
  server.session.submit_answer(7, 200, {}, true);
  CHECK(server.session.queued(7) == 0);
  carry(client, server);
}
