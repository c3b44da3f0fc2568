// PlacedMemory: pieces of a file in memory at an address the caller chooses, so that pointers stored in the file hold.
//
//   Placement where{.address = base, .bytes = 8192, .pieces = {{.offset = 4096, .bytes = 100, .room = 8192}}};
//   WARY_ASSIGN_OR_RETURN(auto memory, file->place(where));       // File of io/files.h
//   memory->span()
//
// What is written to a piece stays in this process: a page is copied when it is first written. The rest of the page
// that holds a piece's end shows what the file has there, zeros beyond its end; the rest of its room is zeros. Nothing
// that was mapped before is ever replaced. A file that shrinks while it is placed ends the process (SIGBUS) when what
// is gone is read: only for files that are replaced, never changed. Any thread; the memory goes with the object.
// Errors: memory_address (the range is taken, or not to be had on this machine), memory_placement (no multiples of the
// machine's page, pieces outside of range or file), memory_map.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::io {

struct PlacedPiece {
  std::uint64_t offset = 0;  // in the file; a multiple of the page
  std::uint64_t bytes = 0;   // of the file
  std::uint64_t at = 0;      // from the placement's address; a multiple of the page
  std::uint64_t room = 0;    // at least `bytes`
  bool is_writable = false;
};

struct Placement {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;  // all pieces lie inside; what is in none cannot be accessed
  std::vector<PlacedPiece> pieces;
};

class PlacedMemory {
 public:
  static Result<std::unique_ptr<PlacedMemory>> of_descriptor(int descriptor, const Placement& where);
  static Result<std::unique_ptr<PlacedMemory>> of_bytes(ByteView content, const Placement& where);
  ~PlacedMemory();
  PlacedMemory(const PlacedMemory&) = delete;
  PlacedMemory& operator=(const PlacedMemory&) = delete;

  std::span<std::uint8_t> span() const { return {memory_, size_}; }

 private:
  PlacedMemory(std::uint8_t* memory, std::size_t size) : memory_(memory), size_(size) {}
  static Result<std::unique_ptr<PlacedMemory>> reserve(const Placement& where, std::uint64_t file_size);
  Status map(const PlacedPiece& piece, std::uint64_t from, std::uint64_t size, int descriptor);

  std::uint8_t* memory_;
  std::size_t size_;
};

}  // namespace wary::io
