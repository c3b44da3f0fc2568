#include <algorithm>
#include <cstdlib>

#include "ledger/ledger_impl.h"

// A segment from a stranger's disk: parse_record one after the other, and the end as recovery finds it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const ByteView file(data, size);
  const ledger::SegmentIdentity identity{ledger::Hash{}, 0};
  const auto end = ledger::find_segment_end(file, identity, std::nullopt);
  if (end.offset > size && end.offset != ledger::kSegmentHeaderSize) std::abort();
  std::size_t at = 0;
  for (std::uint64_t index = 0; at <= size; ++index) {
    const auto record = ledger::parse_record(file.subspan(at), identity, index, at);
    if (!record.ok() || !record->has_value()) break;
    Bytes again;
    ledger::append_record(again, identity, **record);
    if (!std::equal(again.begin(), again.end(), data + at)) std::abort();
    at += again.size();
  }
  if (const auto head = ledger::decode_head(file); head.ok()) {
    if (ledger::encode_head(*head) != Bytes(file.begin(), file.end())) std::abort();
  }
  (void)ledger::segment_index_of(as_text(file));
  return 0;
}
