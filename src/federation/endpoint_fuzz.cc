// Endpoints as they are applied, where a foreign server redirects to, where keys are fetched and for how long: what is
// read is written, and read the same.
#include <cstdlib>

#include "federation/endpoint.h"
#include "federation/issuer_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const codec::Uri from = *codec::parse_uri("https://a.example:8443/bundle?x=1");
  if (const auto target = federation::redirect_target(from, text)) {
    if (target->scheme != "https" || target->port == 0 || target->host.empty()) std::abort();
    const auto again = federation::redirect_target(from, target->to_string());
    if (!again || *again != *target) std::abort();
  }
  if (const auto uri = federation::parse_jwks_uri(text)) {
    const bool is_here = uri->host.starts_with("127.") || uri->host == "[::1]";
    if (uri->port == 0 || (uri->scheme != "https" && !is_here)) std::abort();
    if (uri->scheme != "https" && uri->host != "[::1]" && io::address_bytes(uri->host).size() != 4) std::abort();
  }
  if (const auto seconds = federation::max_age_of(text); seconds && *seconds < 0) std::abort();
  const auto json = codec::parse_json(text);
  if (!json) return 0;
  if (const auto endpoint = federation::endpoint_from(*json)) {
    const auto again = federation::endpoint_from(federation::to_json(*endpoint));
    if (!again || *again != *endpoint) std::abort();
  }
  return 0;
}
