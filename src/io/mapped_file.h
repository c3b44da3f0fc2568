// MappedFile: a file of fixed size that this process shares with the page cache. What is stored in it survives the
// death of the process (not of the machine) without a system call on the way.
//
//   WARY_ASSIGN_OR_RETURN(auto mapped, MappedFile::open("edge/events.0.ring", 1 << 20));
//   std::span<std::uint8_t> memory = mapped->memory();
//
// The blocks are reserved when it is opened, so that a store never meets a full disk (SIGBUS). Real files only.
// Errors: file_io, file_no_space, file_permission, with the path.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "io/descriptor.h"

namespace wary::io {

class MappedFile {
 public:
  // Creates it (mode 0600, zeros) when missing; a file of another size is an error (file_size_changed).
  static Result<std::unique_ptr<MappedFile>> open(const std::string& path, std::size_t size);
  // Memory alone, for tests and for what need not survive.
  static std::unique_ptr<MappedFile> anonymous(std::size_t size);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<std::uint8_t> memory() { return {memory_, size_}; }

 private:
  MappedFile(std::uint8_t* memory, std::size_t size) : memory_(memory), size_(size) {}
  std::uint8_t* memory_;
  std::size_t size_;
};

}  // namespace wary::io
