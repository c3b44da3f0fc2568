// Tiles (c2sp.org/tlog-tiles): how a log is read as static files.
//
//   tile_path({.level = 0, .index = 1234067, .width = 256}) == "tile/0/x001/x234/067"
//   entries_path({.index = 3, .width = 17}) == "tile/entries/003.p/17"
//
// Functions; any thread. Errors: tile_syntax.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ledger/merkle.h"

namespace wary::ledger {

constexpr std::uint64_t kTileWidth = 256;

struct Tile {
  int level = 0;  // 0 to 63: its hashes are of subtrees of 2^(8 * level) leaves
  std::uint64_t index = 0;
  std::uint32_t width = 256;  // 1 to 256 hashes
  bool operator==(const Tile&) const = default;
};
std::string tile_path(const Tile& tile);
std::string entries_path(const Tile& tile);           // its level is of no account
Result<Tile> parse_tile_path(std::string_view path);  // of hashes

// What exists at that size, each level from the left: full tiles and at most one partial one; none is empty.
std::vector<Tile> tiles_of(std::uint64_t size);

// The tile's bytes: its hashes one after the other.
Result<std::vector<Hash>> parse_tile(ByteView bytes, std::uint32_t width);
// A bundle's bytes: big-endian uint16 length and entry, for each.
void append_entry(Bytes& out, ByteView entry);
Result<std::vector<ByteView>> parse_entries(ByteView bytes, std::uint32_t width);

}  // namespace wary::ledger
