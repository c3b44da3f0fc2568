#include "io/placed_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace wary::io {

namespace {

std::uint64_t page_size() { return static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)); }

std::uint64_t whole_pages(std::uint64_t bytes) { return (bytes + page_size() - 1) / page_size() * page_size(); }

bool is_whole(std::uint64_t bytes) { return bytes % page_size() == 0; }

bool fits(const Placement& where, const PlacedPiece& piece, std::uint64_t file_size) {
  const bool in_file = piece.offset <= file_size && piece.bytes <= file_size - piece.offset;
  const bool in_range = piece.at <= where.bytes && piece.room <= where.bytes - piece.at;
  return in_file && in_range && piece.bytes <= piece.room && is_whole(piece.offset) && is_whole(piece.at);
}

Error map_error() {
  return fail(ErrorKind::kUnavailable, "memory_map", "cannot map a file").found(std::strerror(errno));
}

}  // namespace

Result<std::unique_ptr<PlacedMemory>> PlacedMemory::reserve(const Placement& where, std::uint64_t file_size) {
  const bool is_placement =
      where.bytes > 0 && is_whole(where.bytes) && is_whole(where.address) &&
      std::ranges::all_of(where.pieces, [&](const PlacedPiece& piece) { return fits(where, piece, file_size); });
  if (!is_placement) return fail(ErrorKind::kInvalid, "memory_placement", "pieces that cannot be placed so");
  void* const wanted = reinterpret_cast<void*>(where.address);  // NOLINT: the point of it
  // A kernel that does not know MAP_FIXED_NOREPLACE (before 4.17) takes the address for a hint.
  void* const memory =
      mmap(wanted, where.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (memory == wanted) {
    return std::unique_ptr<PlacedMemory>(
        new PlacedMemory(static_cast<std::uint8_t*>(memory), where.bytes));  // NOLINT: private
  }
  if (memory != MAP_FAILED) munmap(memory, where.bytes);
  return fail(ErrorKind::kUnavailable, "memory_address", "a range of addresses that is needed is not to be had")
      .found(memory == MAP_FAILED ? std::strerror(errno) : "another range");
}

// Of a piece the part [from, from + size): of the file, or zeros.
Status PlacedMemory::map(const PlacedPiece& piece, std::uint64_t from, std::uint64_t size, int descriptor) {
  if (size == 0) return {};
  const int access = piece.is_writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const int kind = MAP_PRIVATE | MAP_FIXED | (descriptor < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : 0);
  void* const mapped = mmap(memory_ + piece.at + from, size, access, kind, descriptor,
                            descriptor < 0 ? 0 : static_cast<off_t>(piece.offset + from));
  return mapped == MAP_FAILED ? Status(map_error()) : Status();
}

Result<std::unique_ptr<PlacedMemory>> PlacedMemory::of_descriptor(int descriptor, const Placement& where) {
  struct stat status{};
  if (fstat(descriptor, &status) != 0) return map_error();
  WARY_ASSIGN_OR_RETURN(auto placed, reserve(where, static_cast<std::uint64_t>(status.st_size)));
  for (const PlacedPiece& piece : where.pieces) {
    const std::uint64_t mapped = whole_pages(piece.bytes);
    WARY_RETURN_IF_ERROR(placed->map(piece, 0, mapped, descriptor));
    WARY_RETURN_IF_ERROR(placed->map(piece, mapped, whole_pages(std::max(piece.room, mapped)) - mapped, -1));
  }
  return placed;
}

Result<std::unique_ptr<PlacedMemory>> PlacedMemory::of_bytes(ByteView content, const Placement& where) {
  WARY_ASSIGN_OR_RETURN(auto placed, reserve(where, content.size()));
  for (PlacedPiece piece : where.pieces) {
    const bool stays_writable = piece.is_writable;
    piece.is_writable = true;
    const std::uint64_t size = whole_pages(std::max(piece.room, piece.bytes));
    WARY_RETURN_IF_ERROR(placed->map(piece, 0, size, -1));
    const std::uint64_t shown = std::min(whole_pages(piece.bytes), content.size() - piece.offset);
    std::ranges::copy(content.subspan(piece.offset, shown), placed->memory_ + piece.at);
    if (!stays_writable && size > 0 && mprotect(placed->memory_ + piece.at, size, PROT_READ) != 0) return map_error();
  }
  return placed;
}

PlacedMemory::~PlacedMemory() { munmap(memory_, size_); }

}  // namespace wary::io
