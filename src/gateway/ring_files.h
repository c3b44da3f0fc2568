// RingFiles: where an edge's event rings lie: two sets of files in its directory, since for the time of a handover two
// edges run. Each process holds one set by a lock; what a process left in the other is shipped by who comes after it.
//
//   RingFiles files(files, random, directory, ring_bytes);
//   WARY_RETURN_IF_ERROR(files.take());                      // the first set that nobody holds
//   WARY_ASSIGN_OR_RETURN(EventRing* ring, files.open("0"));
//   if (auto left = files.inherit()) for (EventRing* ring : *left) shipper.add(*ring);
//
// Files: events.NAME.ring and events.lock, events.b.NAME.ring and events.b.lock. Thread rule: the caller's thread.
// Errors: edge_directory_in_use, and those of the files and rings with their path.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "enforce/event_ring.h"
#include "io/files.h"
#include "io/mapped_file.h"

namespace wary::gateway {

class RingFiles {
 public:
  RingFiles(io::Files& files, Random& random, Log& log, std::string directory, std::size_t ring_bytes);
  Status take();
  Result<enforce::EventRing*> open(const std::string& name);
  // The rings that a process which has ended left; each once. Nothing while somebody holds the set.
  std::optional<std::vector<enforce::EventRing*>> inherit();
  // Calls `emptied` for those that hold nothing any more, and removes them after it.
  void drop_empty(const std::function<void(enforce::EventRing&)>& emptied);
  bool holds_inherited() const { return !inherited_.empty(); }

 private:
  struct Ring {
    std::string path;
    std::unique_ptr<io::MappedFile> memory;
    std::unique_ptr<enforce::EventRing> ring;
  };
  Result<Ring> open_path(const std::string& path, std::size_t bytes);
  Result<std::unique_ptr<io::File>> lock(bool second);
  std::string path_of(bool second, const std::string& name) const;

  io::Files& files_;
  Random& random_;
  Log& log_;
  std::string directory_;
  std::size_t ring_bytes_;
  bool is_second_ = false;
  std::unique_ptr<io::File> lock_, other_lock_;
  std::vector<Ring> own_, inherited_;
};

}  // namespace wary::gateway
