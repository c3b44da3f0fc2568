#include <algorithm>

#include "identity/issue_batch.h"

using namespace wary;

// What decodes, encodes to the same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (const auto requests = identity::decode_issue_requests(bytes)) {
    if (!std::ranges::equal(identity::encode(*requests), bytes)) __builtin_trap();
  }
  if (const auto answers = identity::decode_issue_answers(bytes)) {
    if (!std::ranges::equal(identity::encode(*answers), bytes)) __builtin_trap();
  }
  return 0;
}
