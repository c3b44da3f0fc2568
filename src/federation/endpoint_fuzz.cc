// Endpoints as they are applied, and where a foreign server redirects to: what is read is written, and read the same.
#include <cstdlib>

#include "federation/endpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const codec::Uri from = *codec::parse_uri("https://a.example:8443/bundle?x=1");
  if (const auto target = federation::redirect_target(from, text)) {
    if (target->scheme != "https" || target->port == 0 || target->host.empty()) std::abort();
    const auto again = federation::redirect_target(from, target->to_string());
    if (!again || *again != *target) std::abort();
  }
  const auto json = codec::parse_json(text);
  if (!json) return 0;
  if (const auto endpoint = federation::endpoint_from(*json)) {
    const auto again = federation::endpoint_from(federation::to_json(*endpoint));
    if (!again || *again != *endpoint) std::abort();
  }
  return 0;
}
