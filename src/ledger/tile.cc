#include "ledger/tile.h"

#include <algorithm>

#include "base/limits.h"
#include "ledger/note.h"

namespace wary::ledger {

namespace {

constexpr std::string_view kTile = "tile/";
constexpr std::size_t kPathMax = 128;

Error tile_syntax(std::string_view message) { return fail(ErrorKind::kInvalid, "tile_syntax", message); }

// 1234067 is x001/x234/067.
std::string index_path(std::uint64_t index) {
  const auto three = [](std::uint64_t part) {
    std::string digits = std::to_string(part);
    return std::string(3 - digits.size(), '0') + digits;
  };
  std::string text = three(index % 1000);
  for (index /= 1000; index > 0; index /= 1000) text = "x" + three(index % 1000) + "/" + text;
  return text;
}

std::string with_width(std::string path, std::uint32_t width) {
  return width == kTileWidth ? path : path + ".p/" + std::to_string(width);
}

}  // namespace

std::string tile_path(const Tile& tile) {
  return with_width(std::string(kTile) + std::to_string(tile.level) + "/" + index_path(tile.index), tile.width);
}

std::string entries_path(const Tile& tile) {
  return with_width(std::string(kTile) + "entries/" + index_path(tile.index), tile.width);
}

Result<Tile> parse_tile_path(std::string_view path) {
  if (path.size() > kPathMax || !path.starts_with(kTile)) return tile_syntax("a tile's path starts with tile/");
  std::string_view rest = path.substr(kTile.size());
  Tile tile;
  const auto level = parse_size(rest.substr(0, rest.find('/')));
  if (!level.ok() || *level > 63 || rest.find('/') == rest.npos) return tile_syntax("the level is 0 to 63");
  tile.level = static_cast<int>(*level);
  rest.remove_prefix(rest.find('/') + 1);
  if (const std::size_t partial = rest.find(".p/"); partial != rest.npos) {
    const auto width = parse_size(rest.substr(partial + 3));
    if (!width.ok() || *width < 1 || *width >= kTileWidth) return tile_syntax("a partial width is 1 to 255");
    tile.width = static_cast<std::uint32_t>(*width);
    rest = rest.substr(0, partial);
  }
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const bool is_last = slash == rest.npos;
    std::string_view part = rest.substr(0, slash);
    if (!is_last && part.starts_with('x')) part.remove_prefix(1);
    if (part.size() != 3 || !std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; }) ||
        tile.index > (std::uint64_t{1} << 52)) {
      return tile_syntax("the index is malformed");
    }
    for (const char c : part) tile.index = tile.index * 10 + static_cast<std::uint64_t>(c - '0');
    rest = is_last ? std::string_view() : rest.substr(slash + 1);
  }
  if (tile_path(tile) != path) return tile_syntax("a tile has one path");  // leading zeros, a missing x
  return tile;
}

std::vector<Tile> tiles_of(std::uint64_t size) {
  std::vector<Tile> tiles;
  for (int level = 0; size > 0; ++level, size /= kTileWidth) {
    for (std::uint64_t i = 0; i < size / kTileWidth; ++i) tiles.push_back({level, i, kTileWidth});
    if (size % kTileWidth != 0) {
      tiles.push_back({level, size / kTileWidth, static_cast<std::uint32_t>(size % kTileWidth)});
    }
  }
  return tiles;
}

Result<std::vector<Hash>> parse_tile(ByteView bytes, std::uint32_t width) {
  if (width < 1 || width > kTileWidth || bytes.size() != std::size_t{width} * sizeof(Hash)) {
    return tile_syntax("a tile has 32 bytes for each of its hashes").found(std::to_string(bytes.size()));
  }
  std::vector<Hash> hashes(width);
  for (std::size_t i = 0; i < width; ++i) std::ranges::copy(bytes.subspan(i * 32, 32), hashes[i].begin());
  return hashes;
}

void append_entry(Bytes& out, ByteView entry) {
  WARY_CHECK(entry.size() <= limits::kLedgerEntryBytes);
  append_big_endian(out, static_cast<std::uint16_t>(entry.size()));
  append(out, entry);
}

Result<std::vector<ByteView>> parse_entries(ByteView bytes, std::uint32_t width) {
  std::vector<ByteView> entries;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto cut = [&] { return tile_syntax("an entry is cut").at("offset " + std::to_string(at)); };
    if (bytes.size() - at < 2) return cut();
    const std::size_t size = read_big_endian<std::uint16_t>(bytes.data() + at);
    if (bytes.size() - at - 2 < size) return cut();
    if (entries.size() >= width) return tile_syntax("bytes follow the last entry").at("offset " + std::to_string(at));
    entries.push_back(bytes.subspan(at + 2, size));
    at += 2 + size;
  }
  if (entries.size() != width) return tile_syntax("entries are missing").found(std::to_string(entries.size()));
  return entries;
}

}  // namespace wary::ledger
