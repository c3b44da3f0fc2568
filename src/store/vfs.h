// A SQLite VFS over io::Files: the only way SQLite reaches the disk. One instance a store, registered under a name of its
// own while it lives. No locks and no shared memory: the store holds its lock file and runs in exclusive mode.
// Thread rule: one thread.
#pragma once

#include <memory>
#include <string>

#include "base/time.h"
#include "io/files.h"

namespace wary::store {

class Vfs {
 public:
  // Files lie in `directory`; names given to SQLite are inside it.
  Vfs(io::Files& files, std::string directory, Clock& clock);
  ~Vfs();
  Vfs(const Vfs&) = delete;
  Vfs& operator=(const Vfs&) = delete;

  const std::string& name() const;
  // A write or sync went wrong: nothing may be assumed of bytes since the last good sync.
  bool has_failed() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::store
