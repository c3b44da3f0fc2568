// What a collector answers, where one is, and what a client says of its trace: no more than there is, and written it
// reads the same.
#include <cstdlib>

#include "telemetry/exporter.h"
#include "telemetry/otlp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::telemetry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto said = decode_answer(text); said && said->message.size() > std::min<std::size_t>(size, 1024))
    std::abort();
  if (const auto parent = parse_traceparent(text)) {
    const auto again = parse_traceparent(format_traceparent(*parent));
    if (!again || again->trace != parent->trace || again->span != parent->span || again->sampled != parent->sampled)
      std::abort();
  }
  if (const auto endpoint = parse_endpoint(text)) {
    const std::string& host = endpoint->address.host;
    if (!host.starts_with("127.") && host != "::1") std::abort();
    if (endpoint->prefix.ends_with('/') || endpoint->address.port == 0) std::abort();
  }
  return 0;
}
