// A server's bytes to an HTTP/2 client, whole and byte by byte: the same answers are seen, a stream ends once at most.
#include <cstdlib>
#include <string>

#include "http/http2_client.h"

namespace {

std::string run(std::string_view bytes, std::size_t step) {
  using namespace wary::http;
  std::string data, rest, ends;
  int ended = 0;
  Http2Client connection({[&](std::int32_t stream, const Http2Fields& fields) {
                            rest += std::to_string(stream) + ":" + std::to_string(fields.size()) + "\n";
                          },
                          [&](std::int32_t, std::string_view part) { data += part; },
                          [&](std::int32_t, std::uint32_t error) {
                            ++ended;
                            ends += "end " + std::to_string(error) + "\n";
                          }});
  if (connection.start({{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}, "body") != 1)
    std::abort();
  (void)connection.flush();
  for (std::size_t at = 0; at < bytes.size(); at += step) (void)connection.receive(bytes.substr(at, step));
  if (ended > 1) std::abort();
  // With the connection all its streams are over, told one by one or not.
  return rest + data + (connection.is_over() ? "" : ends);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0 && run(bytes, size) != run(bytes, 1)) std::abort();
  return 0;
}
