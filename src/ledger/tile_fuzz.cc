#include <cstdlib>

#include "ledger/tile.h"

// The first byte is the width; the rest is parse_tile's, parse_entries' and parse_tile_path's input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  if (size == 0) return 0;
  const ByteView bytes(data + 1, size - 1);
  (void)ledger::parse_tile(bytes, data[0]);
  const auto entries = ledger::parse_entries(bytes, data[0]);
  if (entries.ok()) {
    Bytes again;
    for (const ByteView entry : *entries) ledger::append_entry(again, entry);
    if (again != Bytes(bytes.begin(), bytes.end())) std::abort();
  }
  const auto tile = ledger::parse_tile_path(as_text(bytes));
  if (tile.ok() && ledger::tile_path(*tile) != as_text(bytes)) std::abort();
  return 0;
}
