#include <algorithm>

#include "link/frames.h"
#include "link/update.h"

using namespace wary;

// Every message of the link, whole and as a frame: what decodes, encodes to the same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (const auto update = link::decode_update(bytes)) {
    const Bytes again = link::encode(*update);
    if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) __builtin_trap();
  }
  if (const auto hello = link::decode_hello(bytes)) {
    if (link::encode(*hello).size() != size) __builtin_trap();
  }
  if (const auto batch = link::decode_event_batch(bytes)) {
    if (link::encode(*batch).size() != size) __builtin_trap();
  }
  if (const auto receipt = link::decode_receipt(bytes)) {
    if (link::encode(*receipt).size() != size) __builtin_trap();
  }
  if (const auto frame = link::decode_frame(bytes, 1 << 16); frame.ok() && frame->size > size) __builtin_trap();
  return 0;
}
