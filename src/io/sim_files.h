// SimFiles: a file system in memory that knows what is durable. Written bytes are "unsynced" until File::sync(); names
// are unsynced until sync_directory(). crash() throws away a seeded choice of the unsynced writes: each may survive
// whole, survive torn at 512-byte sectors, or be lost, in any order; names likewise. Faults are set by the test:
//
//   SimFiles files(seed);
//   files.fail_at(17, SimFault::kPowerCut);   // the 17th mutating call (write, truncate, sync, rename, ...) and all
//   later files.set_capacity(1 << 20);              // then file_no_space files.crash();                            //
//   power back: only what survived is there; old handles all fail
//
// A sync that fails with kIoError is as bad as Linux makes it: reads go on showing the bytes, some of them are not on
// the disk, and a later sync does not bring them there. One seed and one script give one outcome.
//
// Single-threaded.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/files.h"

namespace wary::io {

enum class SimFault {
  kPowerCut,  // this call and every later one fails until crash(); the call itself may have taken effect in part
  kIoError,   // this one call fails with file_io
  kNoSpace,   // this one call fails with file_no_space
};

class SimFiles final : public Files {
 public:
  explicit SimFiles(std::uint64_t seed);
  ~SimFiles() override;

  void fail_at(std::uint64_t call, SimFault fault);  // calls count from 0 since construction
  void clear_faults();
  void set_capacity(std::uint64_t bytes);                      // all files together
  std::uint64_t calls() const;                                 // mutating calls so far
  void crash();                                                // see above
  void flip_bit(std::string_view path, std::uint64_t offset);  // silent corruption

  Result<std::unique_ptr<File>> open(std::string_view path, OpenMode mode) override;
  Result<FileStatus> status(std::string_view path) override;
  Status rename(std::string_view from, std::string_view to) override;
  Status remove(std::string_view path) override;
  Status make_directory(std::string_view path) override;
  Result<std::vector<std::string>> list(std::string_view path) override;
  Status sync_directory(std::string_view path) override;
  Result<std::uint64_t> free_bytes(std::string_view path) override;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;  // shared with open handles, which outlive crash() and then fail
};

}  // namespace wary::io
