#include "http/http2.h"

#include <doctest/doctest.h>

#include "http/grpc.h"

using namespace wary::http;

namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum Type : char { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7, kWindow = 8 };
constexpr char kEndStream = 1, kEndHeaders = 4;

std::string frame(Type type, int flags, int stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out += payload;
}

// A literal field that no table remembers; lengths below 127.
std::string field(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  out += static_cast<char>(name.size());
  out += name;
  out += static_cast<char>(value.size());
  return out += value;
}

std::string head(std::string_view method, std::string_view path) {
  return field(":method", method) + field(":scheme", "http") + field(":path", path) + field(":authority", "a");
}

struct Frame {
  int type, flags, stream;
  std::string payload;
};

std::vector<Frame> frames(std::string_view bytes) {
  std::vector<Frame> out;
  while (bytes.size() >= 9) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const std::size_t size = std::size_t{at(0)} << 16 | std::size_t{at(1)} << 8 | at(2);
    REQUIRE(bytes.size() >= 9 + size);
    out.push_back({at(3), at(4), at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8), std::string(bytes.substr(9, size))});
    bytes.remove_prefix(9 + size);
  }
  CHECK(bytes.empty());
  return out;
}

// The error code in the first frame of that type; -1 when there is none.
int error_in(std::string_view bytes, Type type) {
  for (const Frame& one : frames(bytes)) {
    if (one.type == type) return one.payload[type == kGoAway ? 7 : 3];
  }
  return -1;
}

struct TestServer {
  std::vector<Http2Request> seen;
  Http2Response response{200, {{"x", "y"}}, "hello", {{"after", "all"}}};
  Http2 connection;
  explicit TestServer(Http2Limits limits = {})
      : connection(
            [this](const Http2Request& request) {
              seen.push_back(request);
              return response;
            },
            limits) {
    greeting = connection.receive(std::string(kPreface) + frame(kSettings, 0, 0, ""));
  }
  std::string greeting;
};

Http2Request call(std::string body, std::vector<std::pair<std::string, std::string>> more = {}) {
  Http2Request out{1, "POST", "/a.B/C", "a", "http", {{"content-type", "application/grpc"}}, std::move(body)};
  for (auto& header : more) out.headers.push_back(std::move(header));
  return out;
}

std::string status_of(const Http2Response& response) {
  for (const auto* list : {&response.headers, &response.trailers}) {
    for (const auto& [name, value] : *list) {
      if (name == "grpc-status") return value;
    }
  }
  return std::to_string(response.status);
}

}  // namespace

TEST_CASE("a request is answered with body and trailers") {
  TestServer server;
  CHECK(frames(server.greeting).front().type == kSettings);
  const auto out =
      frames(server.connection.receive(frame(kHeaders, kEndHeaders, 1, head("POST", "/x?y") + field("a", "b")) +
                                       frame(kData, 0, 1, "some") + frame(kData, kEndStream, 1, " more")));
  REQUIRE(server.seen.size() == 1);
  CHECK(server.seen[0].method == "POST");
  CHECK(server.seen[0].path == "/x?y");
  CHECK(server.seen[0].header("a") == "b");
  CHECK(server.seen[0].body == "some more");
  REQUIRE(out.size() == 3);
  CHECK(out[0].type == kHeaders);
  CHECK(out[1].type == kData);
  CHECK(out[1].payload == "hello");
  CHECK((out[1].flags & kEndStream) == 0);
  CHECK(out[2].type == kHeaders);
  CHECK((out[2].flags & kEndStream) != 0);
  CHECK(!server.connection.is_over());
}

TEST_CASE("an answer waits for its reader's window") {
  TestServer server;
  server.response = {200, {}, std::string(100'000, 'x'), {}};
  std::size_t got = 0;
  const auto count = [&](std::string_view bytes) {
    for (const Frame& one : frames(bytes)) got += one.type == kData ? one.payload.size() : 0;
  };
  count(server.connection.receive(frame(kHeaders, kEndHeaders | kEndStream, 1, head("GET", "/"))));
  CHECK(got == 65'535);
  const std::string more("\0\1\0\0", 4);
  count(server.connection.receive(frame(kWindow, 0, 0, more) + frame(kWindow, 0, 1, more)));
  CHECK(got == 100'000);
}

TEST_CASE("too large a body or head ends its stream alone") {
  TestServer server({.header_bytes = 300, .body_bytes = 10});
  const std::string large = server.connection.receive(frame(kHeaders, kEndHeaders, 1, head("POST", "/")) +
                                                      frame(kData, kEndStream, 1, "eleven byte"));
  CHECK(error_in(large, kReset) == 7);
  const std::string wide = server.connection.receive(frame(
      kHeaders, kEndHeaders | kEndStream, 3, head("GET", "/") + field("a", std::string(100, 'x')) + field("b", "c")));
  CHECK(error_in(wide, kReset) != -1);
  CHECK(server.seen.empty());
  (void)server.connection.receive(frame(kHeaders, kEndHeaders | kEndStream, 5, head("GET", "/")));
  CHECK(server.seen.size() == 1);
}

TEST_CASE("noise ends the connection and answered requests forgive some") {
  for (const std::string& noise :
       {frame(kPing, 0, 0, "12345678"), frame(kSettings, 0, 0, ""), frame(kWindow, 0, 0, std::string("\0\0\0\1", 4))}) {
    TestServer server;
    std::string out;
    std::size_t sent = 0;
    while (!server.connection.is_over() && sent < 1000) {
      out = server.connection.receive(noise);
      ++sent;
    }
    CHECK(sent < 250);
    CHECK(error_in(out, kGoAway) == 11);
    CHECK(server.connection.receive(noise).empty());
  }
  TestServer polite;
  for (int i = 0; i < 1000; ++i) {
    (void)polite.connection.receive(frame(kHeaders, kEndHeaders | kEndStream, 2 * i + 1, head("GET", "/")) +
                                    frame(kPing, 0, 0, "12345678"));
  }
  CHECK(!polite.connection.is_over());
  CHECK(polite.seen.size() == 1000);
}

TEST_CASE("streams that are opened only to be reset end the connection") {
  TestServer server;
  int opened = 0;
  while (!server.connection.is_over() && opened < 2000) {
    (void)server.connection.receive(frame(kHeaders, kEndHeaders, 2 * opened + 1, head("POST", "/")) +
                                    frame(kReset, 0, 2 * opened + 1, std::string("\0\0\0\10", 4)));
    ++opened;
  }
  CHECK(opened < 250);
  CHECK(server.seen.empty());
}

TEST_CASE("more streams than agreed are refused") {
  TestServer server({.streams = 3});
  std::string out;
  for (int i = 0; i < 5; ++i)
    out += server.connection.receive(frame(kHeaders, kEndHeaders, 2 * i + 1, head("POST", "/")));
  CHECK((error_in(out, kReset) == 7 || error_in(out, kGoAway) != -1));
  CHECK(server.seen.empty());
}

TEST_CASE("what is no HTTP/2 ends at once") {
  Http2 connection([](const Http2Request&) { return Http2Response{}; });
  (void)connection.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(connection.is_over());
}

TEST_CASE("a gRPC call is one whole message, and its status is in the trailers") {
  const auto echo = [](const Http2Request& request, std::string_view message) {
    return GrpcResult{GrpcCode::kOk, "", request.path + ":" + std::string(message)};
  };
  const std::string good("\0\0\0\0\3abc", 8);
  const Http2Response answer = answer_grpc(call(good), echo);
  CHECK(answer.body == std::string("\0\0\0\0\12", 5) + "/a.B/C:abc");
  CHECK(status_of(answer) == "0");
  CHECK(answer.headers.front().second == "application/grpc");
  CHECK(status_of(answer_grpc(call(""), echo)) == "3");
  CHECK(status_of(answer_grpc(call(good + good), echo)) == "3");
  CHECK(status_of(answer_grpc(call(good.substr(0, 7)), echo)) == "3");
  CHECK(status_of(answer_grpc(call("\1" + good.substr(1)), echo)) == "12");
  CHECK(status_of(answer_grpc(call(std::string("\0\x7f\xff\xff\xff", 5)), echo)) == "8");
  CHECK(status_of(answer_grpc(call(good, {{"grpc-encoding", "gzip"}}), echo)) == "12");
  CHECK(status_of(answer_grpc(call(good, {{"grpc-timeout", "10S"}}), echo)) == "0");
  CHECK(status_of(answer_grpc(call(good, {{"grpc-timeout", "0m"}}), echo)) == "4");
  for (const char* bad : {"", "S", "1", "1x", "-1S", "123456789S"}) {
    const bool absent = *bad == '\0';
    CHECK(status_of(answer_grpc(call(good, {{"grpc-timeout", bad}}), echo)) == (absent ? "0" : "3"));
  }
  Http2Request other = call(good);
  other.headers[0].second = "application/json";
  CHECK(answer_grpc(other, echo).status == 415);
  other.method = "GET";
  CHECK(answer_grpc(other, echo).status == 405);
  const Http2Response failed = answer_grpc(call(good), [](const Http2Request&, std::string_view) {
    return GrpcResult{GrpcCode::kUnimplemented, "a b", ""};
  });
  CHECK(status_of(failed) == "12");
  CHECK(failed.headers.back().second == "a%20b");
}

TEST_CASE("an answer that stays open goes on until its end") {
  TestServer server;
  std::vector<std::int32_t> closed;
  server.connection.on_closed = [&](std::int32_t stream) { closed.push_back(stream); };
  server.response = {200, {}, "first", {}, true};
  const auto head_out =
      frames(server.connection.receive(frame(kHeaders, kEndHeaders | kEndStream, 1, head("GET", "/"))));
  REQUIRE(head_out.size() == 2);
  CHECK(head_out[1].payload == "first");
  CHECK((head_out[1].flags & kEndStream) == 0);
  CHECK(server.seen[0].stream == 1);
  CHECK(server.connection.flush().empty());
  CHECK(server.connection.write(1, "second"));
  const auto more = frames(server.connection.flush());
  REQUIRE(more.size() == 1);
  CHECK(more[0].payload == "second");
  CHECK(server.connection.write(1, "third"));
  server.connection.end(1, {{"after", "all"}});
  const auto last = frames(server.connection.flush());
  REQUIRE(last.size() == 2);
  CHECK(last[0].payload == "third");
  CHECK(last[1].type == kHeaders);
  CHECK((last[1].flags & kEndStream) != 0);
  CHECK(closed == std::vector<std::int32_t>{1});
  CHECK(!server.connection.write(1, "late"));
}

TEST_CASE("a client that gives up a stream is told of, and one that takes nothing is reset") {
  Http2Limits limits;
  limits.unsent_bytes = 100'000;
  TestServer server(limits);
  std::vector<std::int32_t> closed;
  server.connection.on_closed = [&](std::int32_t stream) { closed.push_back(stream); };
  server.response = {200, {}, "", {}, true};
  for (const int stream : {1, 3}) {
    (void)server.connection.receive(frame(kHeaders, kEndHeaders | kEndStream, stream, head("GET", "/")));
  }
  (void)server.connection.receive(frame(kReset, 0, 1, std::string("\0\0\0\10", 4)));
  CHECK(closed == std::vector<std::int32_t>{1});
  CHECK(!server.connection.write(1, "x"));
  // Its window holds 65,535 bytes; what lies beyond waits here, up to the limit.
  CHECK(server.connection.write(3, std::string(65'535, 'x')));
  (void)server.connection.flush();
  CHECK(server.connection.write(3, std::string(60'000, 'x')));
  CHECK(server.connection.write(3, std::string(40'000, 'x')));
  CHECK(!server.connection.write(3, "x"));
  CHECK(error_in(server.connection.flush(), kReset) == 8);
  CHECK(closed == std::vector<std::int32_t>{1, 3});
  CHECK(!server.connection.is_over());
}

TEST_CASE("a long-lived stream's pings are forgiven with time") {
  Http2Limits limits;
  limits.noise = 3;
  TestServer server(limits);
  server.response = {200, {}, "", {}, true};
  (void)server.connection.receive(frame(kHeaders, kEndHeaders | kEndStream, 1, head("GET", "/")));
  const std::string ping = frame(kPing, 0, 0, "12345678");
  for (int i = 0; i < 1000; ++i) {
    (void)server.connection.receive(ping);
    server.connection.forgive(1);
  }
  CHECK(!server.connection.is_over());
  for (int i = 0; i < 110; ++i) (void)server.connection.receive(ping);
  CHECK(server.connection.is_over());
}
