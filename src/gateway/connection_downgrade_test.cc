// The published HTTP/2 field lists, sent as raw frames: what no client library would send.
#include <nghttp2/nghttp2.h>

#include "codec/json.h"
#include "gateway/connection_http2_test_client.h"
#include "tests/support/skip.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::gateway::test;

namespace {

void append_frame(std::string& out, std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                  std::string_view payload) {
  const auto size = payload.size();
  for (const int shift : {16, 8, 0}) out += static_cast<char>(size >> shift & 0xff);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift & 0xff);
  out += payload;
}

// The library's deflater keeps names and values as they are; its session would not.
std::string deflate(const std::vector<std::pair<std::string, std::string>>& fields, nghttp2_hd_deflater* deflater) {
  std::vector<nghttp2_nv> values;
  for (const auto& [name, value] : fields) {
    values.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),   // NOLINT
                      reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),  // NOLINT
                      name.size(), value.size(), NGHTTP2_NV_FLAG_NO_INDEX});
  }
  std::string out(nghttp2_hd_deflate_bound(deflater, values.data(), values.size()), '\0');
  const ssize_t size = nghttp2_hd_deflate_hd(deflater, reinterpret_cast<std::uint8_t*>(out.data()), out.size(),
                                             values.data(), values.size());
  REQUIRE(size >= 0);
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::vector<std::pair<std::string, std::string>> pairs_of(const codec::Json& list) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const codec::Json& pair : list.items()) {
    out.emplace_back(std::string(pair.items().at(0).as_string()), std::string(pair.items().at(1).as_string()));
  }
  return out;
}

// What the gateway said to stream 1.
struct Heard final : http::Http2SessionEvents {
  int status = 0;
  bool closed = false;
  std::uint32_t error = 0;
  void on_block(std::int32_t, const http::Http2Block& block, bool) override {
    if (!block.is_trailer) status = block.status;
  }
  void on_data(std::int32_t, std::string_view) override {}
  void on_end(std::int32_t) override {}
  void on_closed(std::int32_t, std::uint32_t code) override {
    closed = true;
    error = code;
  }
  void on_sent(std::int32_t) override {}
};

std::string case_bytes(const codec::Json& one) {
  nghttp2_hd_deflater* deflater = nullptr;
  REQUIRE(nghttp2_hd_deflate_new(&deflater, 4096) == 0);
  const codec::Json* body = one.find("body");
  const codec::Json* trailers = one.find("trailers");
  const bool has_body = body != nullptr && body->is_string();
  const bool has_trailers = trailers != nullptr && trailers->is_array();
  auto fields = pairs_of(*one.find("headers"));
  fields.emplace_back("cookie", "__Host-wary_session=alice-token");
  std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  append_frame(out, NGHTTP2_SETTINGS, 0, 0, "");
  const std::uint8_t end = NGHTTP2_FLAG_END_STREAM, whole = NGHTTP2_FLAG_END_HEADERS;
  append_frame(out, NGHTTP2_HEADERS, static_cast<std::uint8_t>(whole | (has_body ? 0 : end)), 1,
               deflate(fields, deflater));
  if (has_body) append_frame(out, NGHTTP2_DATA, has_trailers ? 0 : end, 1, body->as_string());
  if (has_trailers) {
    append_frame(out, NGHTTP2_HEADERS, static_cast<std::uint8_t>(whole | end), 1,
                 deflate(pairs_of(*trailers), deflater));
  }
  nghttp2_hd_deflate_del(deflater);
  return out;
}

void check_case(const codec::Json& one) {
  const std::string id(one.string_or("id", ""));
  World world;
  world.set_policies("permit (principal, action, resource);");
  auto app =
      make_entity("Wary::App", "demo/site",
                  {make_fact("hosts", codec::Json::array({codec::Json("bench.local"), codec::Json("site.test")})),
                   make_fact("upstream", "http://127.0.0.1:9000")});
  std::vector<Error> problems;
  world.worker->post_site(gateway::Site::build({&app}, {}, problems));
  world.change({app});
  const auto client = world.http2_client();
  client->send(case_bytes(one));
  world.run(50);
  // A session of our own reads the answer; it is told of the stream by sending a request of its own to nobody.
  Heard heard;
  http::Http2Session reader(http::Http2Role::kClient, heard);
  std::string unused;
  REQUIRE(reader.submit_request({{":method", "POST"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}},
                                false) == 1);
  reader.flush(unused, 1 << 20);
  reader.receive(client->received);
  CHECK_MESSAGE(world.site->garbage == 0, id);
  const std::string expect(one.string_or("expect", ""));
  if (expect.starts_with("stream-error") || expect.starts_with("400")) {
    CHECK_MESSAGE(world.site->requests.empty(), id);
    const bool refused =
        heard.status == 400 || (heard.closed && heard.error == http::kHttp2ProtocolError) || client->ended_;
    CHECK_MESSAGE(refused, id, " status ", heard.status, " error ", heard.error);
    return;
  }
  // A length in the trailers counts as one in the head with the library, and is refused: no sender may make one (RFC
  // 9110 section 6.5.1), and nothing is forwarded with it.
  if (id == "trailers/drop-cl") {
    CHECK(world.site->requests.empty());
    CHECK(heard.error == http::kHttp2ProtocolError);
    return;
  }
  REQUIRE_MESSAGE(world.site->requests.size() == 1, id);
  CHECK_MESSAGE(heard.status == 200, id);
  const std::string seen = world.site->everything();
  for (const std::string_view never :
       {"HTTP2-Settings", "http2-settings", "x-wary-subject", "admin", "content-length: 9"}) {
    CHECK_MESSAGE(seen.find(never) == std::string::npos, id);
  }
  if (expect.find("chunked") != std::string::npos) {
    CHECK_MESSAGE(world.site->requests[0].field("transfer-encoding") == "chunked", id);
    CHECK_MESSAGE(world.site->requests[0].body == "hello", id);
  }
}

}  // namespace

TEST_CASE("published HTTP/2 field lists: nothing that must be refused reaches an application") {
  const auto folder = wary::test::testdata();
  if (!folder) WARY_SKIP("WARY_TESTDATA is not set");
  const auto text = wary::test::read_file(*folder + "/access/http2/downgrade.json");
  if (!text) WARY_SKIP("no access/http2/downgrade.json there");
  const auto cases = codec::parse_json(*text);
  REQUIRE(cases.ok());
  CHECK(cases->items().size() >= 43);
  for (const codec::Json& one : cases->items()) check_case(one);
  MESSAGE(cases->items().size(), " field lists");
}
