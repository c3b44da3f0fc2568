#include "codec/http1.h"

#include <doctest/doctest.h>

#include "codec/http1_conformance.h"
#include "codec/json.h"
#include "codec/text.h"
#include "tests/support/skip.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::codec;
using namespace wary::codec::http1;

namespace {

RequestHead parsed_head(std::string_view text) {
  RequestHead head;
  HeadScan scan;
  const HeadResult result = parse_request_head(text, scan, head);
  REQUIRE_MESSAGE(result.progress == Progress::kDone, std::string(result.refusal.code) << " for " << text);
  CHECK(result.consumed == text.size());
  return head;
}
Refusal refused_head(std::string_view text) {
  RequestHead head;
  HeadScan scan;
  const HeadResult result = parse_request_head(text, scan, head);
  REQUIRE_MESSAGE(result.progress == Progress::kRefused, text);
  return result.refusal;
}
std::string get(std::string_view fields) {
  return "GET / HTTP/1.1\r\nHost: a.example\r\n" + std::string(fields) + "\r\n";
}

ResponseHead parsed_response(std::string_view text, std::string_view method = "GET") {
  ResponseHead head;
  HeadScan scan;
  const HeadResult result = parse_response_head(text, scan, method, head);
  REQUIRE_MESSAGE(result.progress == Progress::kDone, text);
  return head;
}

struct Decoded {
  std::string body;
  Refusal refusal;
  bool done = false;
  std::size_t consumed = 0;
};
Decoded decode(std::string_view text, std::size_t piece) {
  ChunkedDecoder decoder;
  Decoded out;
  std::string pending;
  for (std::size_t at = 0; at < text.size() && !out.done && out.refusal.status == 0; at += piece) {
    pending += text.substr(at, piece);
    while (!pending.empty()) {
      const BodyStep step = decoder.step(pending);
      out.body += step.data;
      out.refusal = step.refusal;
      out.consumed += step.consumed;
      out.done = step.progress == Progress::kDone;
      pending.erase(0, step.consumed);
      if (step.progress != Progress::kNeedMore) break;
    }
  }
  return out;
}

std::string raw_of(const Json& item) {
  const Bytes bytes = decode_base64(item.string_or("raw_b64", "")).value();
  return std::string(as_text(bytes));
}
Json cases_of(const std::string& path) {
  const std::string text = test::read_file(path).value();
  return parse_json(text).value();
}

}  // namespace

TEST_CASE("reads a request head into its parts") {
  const RequestHead head = parsed_head(
      "POST /a%20b?c=d&e HTTP/1.1\r\nhost: a.example:8443\r\nX-A:  one \t\r\nCONTENT-LENGTH: 5\r\n"
      "Connection: foo, Close\r\nExpect: 100-Continue\r\n\r\n");
  CHECK(head.method == "POST");
  CHECK(head.form == TargetForm::kOrigin);
  CHECK(head.path == "/a%20b");
  CHECK(head.query == "c=d&e");
  CHECK(head.host == "a.example:8443");
  CHECK(head.minor_version == 1);
  CHECK(head.fields.size() == 5);
  CHECK(head.fields[1].name == "X-A");
  CHECK(head.fields[1].value == "one");
  CHECK(head.framing == Framing{BodyKind::kLength, 5});
  CHECK_FALSE(head.keep_alive);
  CHECK(head.expects_continue);
  CHECK(find_field(head.fields, "x-a") == "one");
  CHECK_FALSE(find_field(head.fields, "x-b"));
}

TEST_CASE("a reused head keeps nothing of the request before") {
  RequestHead head;
  HeadScan scan;
  const std::string first = "POST /x?q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
  REQUIRE(parse_request_head(first, scan, head).progress == Progress::kDone);
  scan = {};
  const std::string second = "GET /y HTTP/1.1\r\nHost: b\r\n\r\n";
  REQUIRE(parse_request_head(second, scan, head).progress == Progress::kDone);
  CHECK_FALSE(head.query);
  CHECK(head.framing == Framing{});
  CHECK(head.keep_alive);
  CHECK(head.fields.size() == 1);
  CHECK(head.host == "b");
}

TEST_CASE("absolute form names its host, and asterisk form is for OPTIONS") {
  const RequestHead head = parsed_head("GET HTTP://A.example?x HTTP/1.1\r\nHost: a.example\r\n\r\n");
  CHECK(head.form == TargetForm::kAbsolute);
  CHECK(head.path == "/");
  CHECK(head.query == "x");
  CHECK(parsed_head("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").form == TargetForm::kAsterisk);
  CHECK(refused_head("GET * HTTP/1.1\r\nHost: a\r\n\r\n").code == "http_target");
  CHECK(refused_head("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n").code == "http_target");
  CHECK(refused_head("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n").code == "http_host");
  CHECK(parsed_head("GET http://a/ HTTP/1.0\r\n\r\n").host == "a");
}

TEST_CASE("HTTP/1.0 closes unless it asks to stay, and may lack a host") {
  CHECK_FALSE(parsed_head("GET / HTTP/1.0\r\n\r\n").keep_alive);
  CHECK(parsed_head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
  CHECK(parsed_head("GET / HTTP/1.0\r\n\r\n").host.empty());
}

TEST_CASE("each refusal has its status and code") {
  const auto check = [](const std::string& text, int status, std::string_view code) {
    CHECK_MESSAGE(refused_head(text).status == status, text);
    CHECK_MESSAGE(refused_head(text).code == code, text);
  };
  check("GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "http_bare_lf");
  check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "http_start_line");
  check("GET /\r\nHost: a\r\n\r\n", 400, "http_start_line");
  check("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "http_method");
  check("GET / HTTP/1.12\r\nHost: a\r\n\r\n", 400, "http_version");
  check("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "http_version");
  check("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "http_version");
  check("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405, "http_connect");
  check("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "http_target");
  check(get(" folded: x\r\n"), 400, "http_folding");
  check(get("A : x\r\n"), 400, "http_field_name");
  check(get("A: x\ry\r\n"), 400, "http_field_value");
  check(get("Host: b\r\n"), 400, "http_host");
  check("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "http_host");
  check("GET / HTTP/1.1\r\nA: b\r\n\r\n", 400, "http_host");
  check(get("Content-Length: 9223372036854775808\r\n"), 400, "http_content_length");
  check(get("Content-Length: +5\r\n"), 400, "http_content_length");
  check(get("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, "http_content_length");
  check(get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400, "http_two_framings");
  check(get("Transfer-Encoding: gzip\r\n"), 501, "http_transfer_coding");
  check(get("Transfer-Encoding: gzip, chunked\r\n"), 400, "http_transfer_encoding");
  check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "http_transfer_encoding");
  check(get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, "http_transfer_encoding");
  check(get("Expect: 200-maybe\r\n"), 417, "http_expect");
  check(get("Expect: 100-continue\r\nExpect: 100-continue\r\n"), 400, "http_expect");
  check(get("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n"), 426,
        "http_websocket_version");
  check(get("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), 400, "http_websocket");
  CHECK(to_error(refused_head(get("A : x\r\n"))).code == "http_field_name");
}

TEST_CASE("hosts are names, addresses and ports, and nothing else") {
  const auto host = [](std::string_view text) { return "GET / HTTP/1.1\r\nHost: " + std::string(text) + "\r\n\r\n"; };
  for (const char* text : {"a", "a.example.", "1.2.3.4:80", "[::1]", "[::1]:443", "a_b:0"})
    CHECK(parsed_head(host(text)).host == text);
  for (const char* text : {"", ":80", "a:", "a:65536", "a:1x", "[]", "[::1", "[::1]x", "[g::]", "[1.2]", ".a", "a..b",
                           "a,b", "a%2e", "u@a", "a\xc3\xa9"}) {
    CHECK_MESSAGE(refused_head(host(text)).code == "http_host", text);
  }
}

TEST_CASE("a WebSocket opening is recognised, and another upgrade is ignored") {
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
  CHECK(parsed_head(get("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" + key)).upgrade ==
        Upgrade::kWebSocket);
  CHECK(parsed_head(get("Upgrade: websocket\r\n" + key)).upgrade == Upgrade::kNone);
  CHECK(parsed_head(get("Connection: Upgrade\r\nUpgrade: h2c\r\n")).upgrade == Upgrade::kNone);
  CHECK(parsed_head(get("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n" + key)).upgrade ==
        Upgrade::kNone);
}

TEST_CASE("keeps its limits at the bound and refuses one more, whole and byte by byte") {
  const auto outcome = [](const std::string& text) {
    const FramingOutcome whole = run_connection(text, 0);
    const FramingOutcome pieces = run_connection(text, 1);
    CHECK(whole.refusal.code == pieces.refusal.code);
    CHECK(whole.requests == pieces.requests);
    return whole.refusal.status;
  };
  const auto target = [](std::size_t size) {
    return "GET /" + std::string(size - 1, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  CHECK(outcome(target(8192)) == 0);
  CHECK(outcome(target(8193)) == 414);
  CHECK(outcome(target(20000)) == 414);
  CHECK(outcome(std::string(70000, 'G')) == 414);
  std::string fields;
  for (int i = 0; i < 99; ++i) fields += "a: b\r\n";
  CHECK(outcome(get(fields)) == 0);
  CHECK(outcome(get(fields + "a: b\r\n")) == 431);
  const std::string fixed = get("X: \r\n");
  CHECK(outcome(get("X: " + std::string(65536 - fixed.size(), 'x') + "\r\n")) == 0);
  CHECK(outcome(get("X: " + std::string(65537 - fixed.size(), 'x') + "\r\n")) == 431);
  CHECK(outcome(get("X: " + std::string(100000, 'x') + "\r\n")) == 431);
}

TEST_CASE("chunks come out whole however the bytes are cut") {
  const std::string text = "5;a=b;c=\"d\\\";\"\r\nhello\r\n001\r\n \r\n5\r\nworld\r\n0;x\r\nX-Sum: 1\r\n\r\nGET";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}, text.size()}) {
    const Decoded decoded = decode(text, piece);
    CHECK(decoded.done);
    CHECK(decoded.body == "hello world");
    CHECK(decoded.consumed == text.size() - 3);
  }
  ChunkedDecoder finished;
  CHECK(finished.step("0\r\n\r\nrest").progress == Progress::kDone);
  CHECK(finished.step("rest").consumed == 0);
}

TEST_CASE("each chunk defect is refused with its code") {
  const auto check = [](std::string_view text, std::string_view code) {
    CHECK_MESSAGE(decode(text, 1).refusal.code == code, text);
    CHECK_MESSAGE(decode(text, text.size()).refusal.code == code, text);
  };
  for (const char* text : {"x", "\r\n", " 5\r\n", "5 \r\n", "0x5\r\n", "5\n", "5\rx", "10000000000000000\r\n",
                           "8000000000000000\r\n", "00000000000000001\r\n"}) {
    check(text, "http_chunk_size");
  }
  for (const char* text : {"5;\r\n", "5;a=\r\n", "5; a\r\n", "5;a=\"b\r", "5;a=\"b\"c", "5;a=b\"", "5;a=\"\\\x01"}) {
    check(text, "http_chunk_extension");
  }
  check("1\r\nab", "http_chunk_data");
  check("1\r\na\rb", "http_chunk_data");
  check("5;a=" + std::string(1100, 'b'), "http_chunk_line");
  for (const char* text :
       {"0\r\n: x\r\n", "0\r\na b: c\r\n", "0\r\na\r\n", "0\r\na: b\rc", "0\r\n\rx", "0\r\n b: c\r\n",
        "0\r\nHOST: a\r\n", "0\r\nContent-Length: 5\r\n", "0\r\nProxy-Authorization: a\r\n"}) {
    check(text, "http_trailer");
  }
  check("0\r\na: " + std::string(9000, 'b'), "http_trailer_size");
  std::string many = "0\r\n";
  for (int i = 0; i < 101; ++i) many += "a: b\r\n";
  check(many, "http_trailer_size");
  CHECK(decode("7fffffffffffffff\r\nab", 1).refusal.status == 0);
}

TEST_CASE("a response is framed by its request, status and fields") {
  CHECK(parsed_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").framing == Framing{BodyKind::kLength, 3});
  CHECK(parsed_response("HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", "HEAD").framing == Framing{});
  CHECK(parsed_response("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n").framing == Framing{});
  CHECK(parsed_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").framing.kind == BodyKind::kChunked);
  const ResponseHead until_close = parsed_response("HTTP/1.1 200 Very well\r\n\r\n");
  CHECK(until_close.framing.kind == BodyKind::kUntilClose);
  CHECK_FALSE(until_close.keep_alive);
  CHECK(until_close.reason == "Very well");
  CHECK(parsed_response("HTTP/1.1 100 Continue\r\n\r\n").is_interim());
  CHECK_FALSE(parsed_response("HTTP/1.1 101 Switching\r\n\r\n").is_interim());
}

TEST_CASE("whatever is wrong with a response is a bad gateway") {
  for (const char* text :
       {"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 600 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 200 a\rb\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"}) {
    ResponseHead head;
    HeadScan scan;
    const HeadResult result = parse_response_head(text, scan, "GET", head);
    CHECK_MESSAGE(result.progress == Progress::kRefused, text);
    CHECK_MESSAGE(result.refusal.status == 502, text);
  }
}

TEST_CASE("the body reader knows when a body was cut") {
  BodyReader length(Framing{BodyKind::kLength, 5});
  CHECK(length.step("hel").data == "hel");
  CHECK_FALSE(BodyReader(Framing{BodyKind::kLength, 5}).finish());
  CHECK(length.step("lo!").consumed == 2);
  CHECK(length.finish());
  BodyReader until_close(Framing{BodyKind::kUntilClose, 0});
  CHECK(until_close.step("any").data == "any");
  CHECK_FALSE(until_close.is_done());
  CHECK(until_close.finish());
  BodyReader chunked(Framing{BodyKind::kChunked, 0});
  CHECK(chunked.step("1\r\na\r\n").data == "a");
  CHECK_FALSE(chunked.finish());
  CHECK(BodyReader(Framing{}).is_done());
}

TEST_CASE("writes a request that its own parser reads back") {
  std::string out;
  RequestParts parts;
  parts.method = "POST";
  parts.path = "/a%2Fb";
  parts.query = "x[1]=2&y={z}|^`";
  parts.host = "a.example:80";
  parts.framing = {BodyKind::kChunked, 0};
  parts.keep_alive = false;
  REQUIRE(append_request_head(out, parts, {{"X-A", "b"}}).ok());
  CHECK(out ==
        "POST /a%2Fb?x%5B1%5D=2&y=%7Bz%7D%7C%5E%60 HTTP/1.1\r\nHost: a.example:80\r\nX-A: b\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  CHECK(parsed_head(out).framing.kind == BodyKind::kChunked);
  append_chunk_header(out, 255);
  CHECK(out.ends_with("\r\n\r\nff\r\n"));
}

TEST_CASE("writes no message whose parts would make another one") {
  std::string out = "before";
  const auto code = [&](RequestParts parts, std::vector<Field> fields) {
    Status status = append_request_head(out, parts, fields);
    REQUIRE_FALSE(status.ok());
    CHECK(out == "before");
    return status.error().code;
  };
  RequestParts good;
  good.method = "GET";
  good.path = "/";
  good.host = "a";
  CHECK(code(good, {{"X", "a\r\nY: b"}}) == "http_write_value");
  CHECK(code(good, {{"X:", "a"}}) == "http_write_name");
  for (const char* name : {"Content-Length", "transfer-encoding", "Host", "Connection", "TE", "Proxy-Authorization"}) {
    CHECK(code(good, {{name, "a"}}) == "http_write_framing");
  }
  RequestParts bad = good;
  bad.method = "G T";
  CHECK(code(bad, {}) == "http_write_method");
  bad = good;
  bad.path = "/a b";
  CHECK(code(bad, {}) == "http_write_target");
  bad = good;
  bad.query = "a b";
  CHECK(code(bad, {}) == "http_write_target");
  bad = good;
  bad.host = "a b";
  CHECK(code(bad, {}) == "http_write_host");
  bad = good;
  bad.framing = {BodyKind::kUntilClose, 0};
  CHECK(code(bad, {}) == "http_write_framing");
}

TEST_CASE("writes a response with the framing its status allows") {
  std::string out;
  REQUIRE(append_response_head(out, {.status = 403, .framing = {BodyKind::kLength, 2}}, {{"A", "b"}}).ok());
  CHECK(out == "HTTP/1.1 403 Forbidden\r\nA: b\r\nContent-Length: 2\r\n\r\n");
  out.clear();
  REQUIRE(append_response_head(out, {.status = 204}, {}).ok());
  CHECK(out == "HTTP/1.1 204 No Content\r\n\r\n");
  out.clear();
  REQUIRE(append_response_head(out, {.status = 101, .upgrade = Upgrade::kWebSocket}, {}).ok());
  CHECK(out == "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(append_response_head(out, {.status = 99}, {}).error().code == "http_write_status");
  CHECK(append_response_head(out, {.status = 204, .framing = {BodyKind::kChunked, 0}}, {}).error().code ==
        "http_write_framing");
}

TEST_CASE("gives the expected verdict on every published framing case") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  const Json cases = cases_of(*data + "/access/http1/framing.json");
  std::size_t rejected = 0, forwarded = 0;
  for (const Json& item : cases.items()) {
    const std::string id(item.string_or("id", ""));
    const std::string raw = raw_of(item);
    const std::string_view expect = item.string_or("expect", "");
    const FramingVerdict verdict =
        check_framing_case({raw, expect, static_cast<std::size_t>(item.integer_or("upstream_requests", 0))});
    CHECK_MESSAGE(verdict.passed, id << ": " << verdict.reason);
    if (expect == "forward") {
      ++forwarded;
      const std::size_t end = raw.find("\r\n\r\n", 2) + 4;
      for (const FramingRequest& request : verdict.outcome.requests) {
        CHECK(request.host == "bench.local");
        if (id.find("chunk/ok-lower") == 0)
          CHECK(request.body == "0123456789");
        else if (request.method == "POST")
          CHECK_MESSAGE(request.body == "hello", id);
        else if (id == "pipeline/get-with-body")
          CHECK(request.body == raw.substr(end));
        else
          CHECK(request.body.empty());
      }
    } else if (expect != "reject-or-normalise") {
      ++rejected;
    }
  }
  CHECK(cases.items().size() == 231);
  CHECK(forwarded == 12);
  CHECK(rejected == 178);
}

TEST_CASE("completes no more requests than the llhttp suite does, and refuses what it refuses") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  const Json cases = cases_of(*data + "/access/http1/llhttp-requests.json");
  std::size_t same = 0, stricter = 0;
  for (const Json& item : cases.items()) {
    std::string raw = raw_of(item);
    // Most of these requests have no Host, which we refuse: give them one, to see the rest judged.
    const std::size_t line = raw.find("HTTP/1.1\r\n");
    if (line != std::string::npos && to_lower(std::string_view(raw)).find("\r\nhost:") == std::string::npos) {
      for (std::size_t at = line; at != std::string::npos; at = raw.find("HTTP/1.1\r\n", at + 1)) {
        raw.insert(at + 10, "Host: a\r\n");
      }
    }
    const auto wanted = static_cast<std::size_t>(item.integer_or("messages_complete", 0));
    const FramingOutcome outcome = run_connection(raw, 0);
    CHECK(run_connection(raw, 1).requests == outcome.requests);
    const std::string id(item.string_or("id", ""));
    // llhttp has a list of methods; a gateway forwards any token.
    if (id.ends_with("Invalid method")) continue;
    CHECK_MESSAGE(outcome.requests.size() <= wanted, id);
    outcome.requests.size() == wanted ? ++same : ++stricter;
  }
  CHECK(cases.items().size() == 68);
  CHECK(same == 57);
  CHECK(stricter == 10);  // CONNECT, "*" without OPTIONS, no version, raw quotes, user information, another host
}

TEST_CASE("a field value is told byte by byte, wherever in it a control character stands") {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool is_fine = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    for (std::size_t size = 1; size <= 20; ++size) {
      for (std::size_t at = 0; at < size; ++at) {
        for (const char around : {'a', '\t', '\x80', '\xff', '\x7e', ' '}) {
          std::string text(size, around);
          text[at] = static_cast<char>(byte);
          REQUIRE(http1::is_field_value(text) == is_fine);
        }
      }
    }
  }
}
