// Any bytes as a PROXY header: whole and cut, the same answer; what is read fits what was given.
#include <cstdlib>

#include "codec/proxy_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const wary::ByteView bytes(data, size);
  const auto whole = wary::codec::parse_proxy_v2(bytes);
  if (!whole.ok() || !whole->has_value()) return 0;
  const wary::codec::ProxyHeader& header = **whole;
  if (header.size > size || header.source.empty() != header.destination.empty()) std::abort();
  // One byte less of it is not enough, and never something else.
  const auto less = wary::codec::parse_proxy_v2(bytes.first(header.size - 1));
  if (!less.ok() || less->has_value()) std::abort();
  return 0;
}
