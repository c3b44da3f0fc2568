// take_handover: what is taken, encodes to the same bytes again, but for a hello of another version; and what is left
// is the end of what was there.
#include <algorithm>
#include <cstdlib>

#include "gateway/handover.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  Bytes bytes(data, data + size);
  for (;;) {
    const Bytes before = bytes;
    const auto taken = gateway::take_handover(bytes);
    if (!taken || !*taken) {
      if (bytes != before) std::abort();
      return 0;
    }
    const gateway::HandoverMessage& message = **taken;
    if (bytes.size() >= before.size() || message.sockets.size() > gateway::kHandoverSocketsMost) std::abort();
    if (message.version != gateway::kHandoverVersion) continue;
    const Bytes again = gateway::encode_handover(message);
    if (again.size() != before.size() - bytes.size()) std::abort();
    if (!std::equal(again.begin(), again.end(), before.begin())) std::abort();
  }
}
