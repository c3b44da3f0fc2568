// Bytes of a hostile peer against either side of a session whose owner answers, writes, consumes, resets and ends as it
// is told things. The first byte says which side, and how its owner behaves.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "http/http2_session.h"

namespace {

using wary::codec::http1::Field;
using wary::http::Http2Block;
using wary::http::Http2Role;
using wary::http::Http2Session;

struct Owner final : wary::http::Http2SessionEvents {
  Owner(Http2Role role, unsigned char behaviour) : behaves(behaviour), session(role, *this) {}
  void on_block(std::int32_t stream, const Http2Block& block, bool ends) override {
    for (const Field& field : block.fields) WARY_CHECK(!field.name.empty() || field.value.size() < 1'000'000);
    if (block.is_trailer || block.status != 0) return;
    if ((behaves & 2) != 0) session.submit_interim(stream, 100);
    session.submit_answer(stream, 200, {{"x-a", "b"}}, (behaves & 4) != 0);
    session.write(stream, std::string(3'000, 'x'));
    if (ends || (behaves & 8) != 0) session.end(stream, {{"x-t", "t"}});
  }
  void on_data(std::int32_t stream, std::string_view bytes) override {
    given += bytes.size();
    if ((behaves & 16) != 0) session.consume(stream, bytes.size());
    if ((behaves & 32) != 0) session.reset(stream, wary::http::kHttp2Cancel);
  }
  void on_end(std::int32_t stream) override { session.end(stream, {}); }
  void on_closed(std::int32_t stream, std::uint32_t) override { session.write(stream, "late"); }
  void on_sent(std::int32_t) override {}
  unsigned char behaves;
  std::size_t given = 0;
  Http2Session session;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const bool is_client = (data[0] & 1) != 0;
  Owner owner(is_client ? Http2Role::kClient : Http2Role::kServer, data[0]);
  const std::size_t piece = data[1] % 64U + 1U;
  std::string out;
  if (is_client) {
    const std::vector<Field> request = {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
    (void)owner.session.submit_request(request, true);
    const std::int32_t second = owner.session.submit_request(request, false);
    owner.session.write(second, std::string(40'000, 'y'));
  }
  owner.session.flush(out, 20'000);
  std::string input(reinterpret_cast<const char*>(data + 2), size - 2);
  if (!is_client && (data[0] & 64) != 0) input.insert(0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  for (std::size_t at = 0; at < input.size() && !owner.session.is_over(); at += piece) {
    owner.session.receive(std::string_view(input).substr(at, piece));
    out.clear();
    owner.session.flush(out, 10'000);
    // The window bounds what comes unconsumed.
    WARY_CHECK(owner.given <= (1U << 20) + input.size());
  }
  owner.session.shut_down(wary::http::kHttp2NoError);
  owner.session.flush(out, 1 << 20);
  return 0;
}
