// A server's bytes to an HTTP/2 client, whole and byte by byte: the same answers are seen, a stream ends once and is
// silent from then on. Where the peer is at fault one run may stop earlier than the other (what the client answers to
// the fault leaves at once or only after all bytes), so the shorter account is the beginning of the longer.
#include <cstdlib>
#include <string>

#include "http/http2_client.h"

namespace {

struct Seen {
  std::string account;
  std::string end;  // how the stream ended, empty while it is open
};

Seen run(std::string_view bytes, std::size_t step) {
  using namespace wary::http;
  Seen seen;
  const auto told = [&seen](const std::string& what) {
    if (!seen.end.empty()) std::abort();
    seen.account += what;
  };
  Http2Client connection({[&](std::int32_t stream, const Http2Fields& fields) {
                            told(std::to_string(stream) + ":" + std::to_string(fields.size()) + "\n");
                          },
                          [&](std::int32_t, std::string_view part) { told(std::string(part)); },
                          [&](std::int32_t, std::uint32_t error) {
                            told({});
                            seen.end = "end " + std::to_string(error);
                          }});
  if (connection.start({{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}, "body") != 1)
    std::abort();
  (void)connection.flush();
  for (std::size_t at = 0; at < bytes.size(); at += step) (void)connection.receive(bytes.substr(at, step));
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Seen whole = run(bytes, size);
  const Seen split = run(bytes, 1);
  // Two streams that ended in order told the same.
  if (whole.end == "end 0" && split.end == "end 0" && whole.account != split.account) std::abort();
  if (!whole.account.starts_with(split.account) && !split.account.starts_with(whole.account)) std::abort();
  return 0;
}
