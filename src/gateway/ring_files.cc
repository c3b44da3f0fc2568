#include "gateway/ring_files.h"

#include <algorithm>

namespace wary::gateway {

namespace {

constexpr std::string_view kFirst = "events.", kSecond = "events.b.", kRingEnd = ".ring", kLockEnd = "lock";
constexpr std::uint64_t kRingBytesUnit = 4096, kRingBytesMin = 16 * kRingBytesUnit;  // of event_ring.h

bool is_ring_of(std::string_view file, bool second) {
  return file.starts_with(kFirst) && file.ends_with(kRingEnd) && file.starts_with(kSecond) == second;
}

}  // namespace

RingFiles::RingFiles(io::Files& files, Random& random, Log& log, std::string directory, std::size_t ring_bytes)
    : files_(files), random_(random), log_(log), directory_(std::move(directory)), ring_bytes_(ring_bytes) {}

std::string RingFiles::path_of(bool second, const std::string& name) const {
  return directory_ + "/" + std::string(second ? kSecond : kFirst) + name;
}

Result<std::unique_ptr<io::File>> RingFiles::lock(bool second) {
  WARY_ASSIGN_OR_RETURN(auto file, files_.open(path_of(second, std::string(kLockEnd)), io::OpenMode::kCreate));
  WARY_RETURN_IF_ERROR(file->lock());
  return file;
}

Status RingFiles::take() {
  auto held = lock(false);
  if (!held && held.error().code == "file_locked") {
    is_second_ = true;
    held = lock(true);
  }
  if (!held && held.error().code == "file_locked") {
    return fail(ErrorKind::kConflict, "edge_directory_in_use", "two edges run on this directory already")
        .at(directory_)
        .next("wait until the one that was taken over from has ended");
  }
  if (!held) return std::move(held).error();
  lock_ = std::move(held).value();
  return {};
}

Result<RingFiles::Ring> RingFiles::open_path(const std::string& path, std::size_t bytes) {
  WARY_ASSIGN_OR_RETURN(auto memory, io::MappedFile::open(path, bytes));
  auto opened = enforce::EventRing::open(memory->memory(), random_.number());
  if (!opened) return std::move(opened).error().at(path);
  return Ring{path, std::move(memory), std::make_unique<enforce::EventRing>(std::move(opened).value())};
}

Result<enforce::EventRing*> RingFiles::open(const std::string& name) {
  WARY_ASSIGN_OR_RETURN(Ring ring, open_path(path_of(is_second_, name + std::string(kRingEnd)), ring_bytes_));
  own_.push_back(std::move(ring));
  return own_.back().ring.get();
}

std::optional<std::vector<enforce::EventRing*>> RingFiles::inherit() {
  std::vector<enforce::EventRing*> out;
  if (!other_lock_) {
    auto held = lock(!is_second_);
    if (!held) return std::nullopt;
    other_lock_ = std::move(held).value();
  }
  const auto names = files_.list(directory_);
  if (!names) return out;
  for (const std::string& name : *names) {
    const std::string path = directory_ + "/" + name;
    const auto is_here = [&](const Ring& ring) { return ring.path == path; };
    if (!is_ring_of(name, !is_second_) || std::any_of(inherited_.begin(), inherited_.end(), is_here)) continue;
    const auto status = files_.status(path);
    const bool can_be = status && status->size >= kRingBytesMin && status->size % kRingBytesUnit == 0;
    auto ring = can_be ? open_path(path, status->size)
                       : Result<Ring>(fail(ErrorKind::kDataLoss, "ring_corrupt", "no ring has this size").at(path));
    if (!ring) {
      log_.error("edge.ring_not_inherited", {{"where", path}, {"code", ring.error().code}});
      continue;
    }
    inherited_.push_back(std::move(ring).value());
    out.push_back(inherited_.back().ring.get());
  }
  if (inherited_.empty()) other_lock_.reset();
  return out;
}

void RingFiles::drop_empty(const std::function<void(enforce::EventRing&)>& emptied) {
  std::erase_if(inherited_, [&](const Ring& ring) {
    if (ring.ring->used_bytes() > 0) return false;
    emptied(*ring.ring);
    const Status removed = files_.remove(ring.path);
    if (!removed) log_.warn("edge.ring_not_removed", {{"where", ring.path}, {"code", removed.error().code}});
    return true;
  });
  if (inherited_.empty()) other_lock_.reset();
}

}  // namespace wary::gateway
