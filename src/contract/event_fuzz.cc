#include <cstdlib>

#include "contract/event.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const wary::ByteView bytes(data, size);
  const auto event = wary::contract::decode_event(bytes);
  if (!event.ok()) return 0;
  const auto again = wary::contract::encode(*event);
  if (!again.ok() || *again != wary::Bytes(bytes.begin(), bytes.end())) std::abort();
  (void)wary::contract::to_ocsf(*event);
  return 0;
}
