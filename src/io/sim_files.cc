#include "io/sim_files.h"

#include <algorithm>
#include <optional>

#include "io/placed_memory.h"

namespace wary::io {

namespace {

constexpr std::uint64_t kSector = 512;

Error sim_error(ErrorKind kind, std::string_view code, std::string_view path) {
  return fail(kind, code, "simulated file system").at(std::string(path));
}

// One change of a file's bytes that no sync has made durable yet.
struct Change {
  bool is_write = false;
  std::uint64_t offset = 0;  // of the write, or the new size
  Bytes bytes;
};

struct Node {
  std::uint64_t inode = 0;
  bool is_directory = false;
  bool locked = false;
  Bytes current;  // what a read sees (the page cache)
  Bytes durable;  // what a power cut surely leaves
  std::vector<Change> unsynced;
};
using NodePtr = std::shared_ptr<Node>;  // shared by names and handles: an unlinked file lives on in its handles

// One change of a name; `node` is null for a removal. A rename is one change with both names.
struct NameChange {
  std::string erased;
  std::string path;
  NodePtr node;
};

void write_into(Bytes& content, std::uint64_t offset, ByteView bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
}

void apply_to(std::map<std::string, NodePtr, std::less<>>& names, const NameChange& change) {
  if (!change.erased.empty()) names.erase(change.erased);
  if (change.node) names[change.path] = change.node;
}

}  // namespace

struct SimFiles::Impl {
  using Names = std::map<std::string, NodePtr, std::less<>>;

  explicit Impl(std::uint64_t seed) : state(seed ^ 0x9e3779b97f4a7c15) {}

  // SplitMix64 (Steele, Lea, Flood 2014): enough to choose what survives.
  std::uint64_t draw(std::uint64_t below) {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t value = state;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return (value ^ (value >> 31)) % below;
  }

  // Counts a mutating call. The error it must fail with, or nothing; `partial` says that it may take effect in part.
  std::optional<Error> begin(std::string_view path, bool& partial) {
    partial = false;
    const std::uint64_t index = calls++;
    if (power_cut) return sim_error(ErrorKind::kUnavailable, "file_io", path);
    const auto fault = faults.find(index);
    if (fault == faults.end()) return std::nullopt;
    partial = true;
    if (fault->second == SimFault::kPowerCut) power_cut = true;
    if (fault->second == SimFault::kNoSpace) return sim_error(ErrorKind::kExhausted, "file_no_space", path);
    return sim_error(ErrorKind::kUnavailable, "file_io", path);
  }

  bool has_room_for(const Node& node, std::uint64_t size) const {
    return size <= node.current.size() || size - node.current.size() <= free();
  }
  std::uint64_t free() const {
    std::uint64_t used = 0;
    for (const auto& [path, other] : names) used += other->current.size();
    return used > capacity ? 0 : capacity - used;
  }

  // What the disk holds of the unsynced changes: each whole, torn at sectors, or not at all.
  void settle(Node& node) {
    for (const Change& change : node.unsynced) {
      const std::uint64_t fate = draw(3);
      if (fate == 0) continue;
      if (!change.is_write) {
        node.durable.resize(change.offset);
      } else if (fate == 1) {
        write_into(node.durable, change.offset, change.bytes);
      } else {
        settle_torn(node.durable, change);
      }
    }
    node.unsynced.clear();
  }

  void settle_torn(Bytes& durable, const Change& change) {
    const std::uint64_t end = change.offset + change.bytes.size();
    // The size may have reached the disk before the bytes did: a hole of zeros.
    if (draw(2) == 0 && durable.size() < end) durable.resize(end);
    for (std::uint64_t at = change.offset; at < end;) {
      const std::uint64_t next = std::min(end, (at / kSector + 1) * kSector);
      if (draw(2) == 0) {
        write_into(durable, at, ByteView(change.bytes).subspan(at - change.offset, next - at));
      }
      at = next;
    }
  }

  Status change_name(NameChange change, std::string_view path) {
    bool partial = false;
    if (auto error = begin(path, partial)) {
      if (partial && power_cut) pending_names.push_back(std::move(change));  // it may have reached the journal
      return std::move(*error);
    }
    apply_to(names, change);
    pending_names.push_back(std::move(change));
    return {};
  }

  bool has_folder(std::string_view path) const {
    const std::string folder = folder_of(path);
    if (folder == "." || folder == "/") return true;
    const auto found = names.find(folder);
    return found != names.end() && found->second->is_directory;
  }

  std::uint64_t state;
  std::uint64_t calls = 0;
  std::uint64_t generation = 0;  // of power: handles of an older one fail
  std::uint64_t next_inode = 1;
  std::uint64_t capacity = UINT64_MAX;
  bool power_cut = false;
  std::map<std::uint64_t, SimFault> faults;
  Names names;
  Names durable_names;
  std::vector<NameChange> pending_names;
};

namespace {

class SimFile final : public File {
 public:
  SimFile(std::shared_ptr<SimFiles::Impl> disk, NodePtr node, std::string path, bool writable)
      : disk_(std::move(disk)),
        node_(std::move(node)),
        path_(std::move(path)),
        generation_(disk_->generation),
        writable_(writable) {}
  ~SimFile() override {
    if (holds_lock_ && generation_ == disk_->generation) node_->locked = false;
  }

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    if (is_dead()) return dead();
    if (node_->is_directory) return sim_error(ErrorKind::kUnavailable, "file_io", path_);
    if (offset >= node_->current.size()) return std::size_t{0};
    const std::size_t n = std::min<std::size_t>(out.size(), node_->current.size() - offset);
    std::copy_n(node_->current.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
    return n;
  }

  Status write_at(std::uint64_t offset, ByteView bytes) override {
    WARY_RETURN_IF_ERROR(may_write());
    bool partial = false;
    if (auto error = disk_->begin(path_, partial)) {
      if (partial) write_now(offset, bytes.first(disk_->draw(bytes.size() + 1)));
      return std::move(*error);
    }
    if (!disk_->has_room_for(*node_, offset + bytes.size())) return no_space();
    write_now(offset, bytes);
    return {};
  }

  Status truncate(std::uint64_t size) override {
    WARY_RETURN_IF_ERROR(may_write());
    bool partial = false;
    if (auto error = disk_->begin(path_, partial)) {
      if (partial && disk_->power_cut) node_->unsynced.push_back({false, size, {}});
      return std::move(*error);
    }
    if (!disk_->has_room_for(*node_, size)) return no_space();
    resize_now(size);
    return {};
  }

  Status sync() override {
    WARY_RETURN_IF_ERROR(may_write());
    bool partial = false;
    if (auto error = disk_->begin(path_, partial)) {
      // After a failed sync the kernel forgets which pages were dirty: reads go on showing bytes that the disk may not
      // have, and a later sync that succeeds does not bring them there.
      if (partial && !disk_->power_cut) disk_->settle(*node_);
      return std::move(*error);
    }
    // Only what was written since the last sync goes to the disk: bytes that an earlier failed sync lost stay lost.
    for (const Change& change : node_->unsynced) {
      if (change.is_write) {
        write_into(node_->durable, change.offset, change.bytes);
      } else {
        node_->durable.resize(change.offset);
      }
    }
    node_->unsynced.clear();
    return {};
  }

  Status reserve(std::uint64_t size) override {
    WARY_RETURN_IF_ERROR(may_write());
    bool partial = false;
    if (auto error = disk_->begin(path_, partial)) return std::move(*error);
    if (size <= node_->current.size()) return {};
    if (!disk_->has_room_for(*node_, size)) return no_space();
    resize_now(size);
    return {};
  }

  Result<std::uint64_t> size() override {
    if (is_dead()) return dead();
    return std::uint64_t{node_->current.size()};
  }

  Result<FileStatus> status() override {
    if (is_dead()) return dead();
    return FileStatus{{1, node_->inode}, node_->current.size(), node_->is_directory};
  }

  Status lock() override {
    if (is_dead()) return dead();
    if (holds_lock_) return {};
    if (node_->locked) return sim_error(ErrorKind::kConflict, "file_locked", path_);
    node_->locked = holds_lock_ = true;
    return {};
  }

  Result<std::unique_ptr<PlacedMemory>> place(const Placement& where) override {
    if (is_dead()) return dead();
    return PlacedMemory::of_bytes(node_->current, where);
  }

 private:
  bool is_dead() const { return generation_ != disk_->generation || disk_->power_cut; }
  Error dead() const { return sim_error(ErrorKind::kUnavailable, "file_io", path_); }
  Error no_space() const { return sim_error(ErrorKind::kExhausted, "file_no_space", path_); }
  Status may_write() const {
    if (generation_ != disk_->generation) return dead();
    if (!writable_) return sim_error(ErrorKind::kDenied, "file_permission", path_);
    return {};
  }
  void write_now(std::uint64_t offset, ByteView bytes) {
    if (bytes.empty()) return;
    write_into(node_->current, offset, bytes);
    node_->unsynced.push_back({true, offset, Bytes(bytes.begin(), bytes.end())});
  }
  void resize_now(std::uint64_t size) {
    node_->current.resize(size);
    node_->unsynced.push_back({false, size, {}});
  }

  std::shared_ptr<SimFiles::Impl> disk_;
  NodePtr node_;
  std::string path_;
  std::uint64_t generation_;
  bool writable_;
  bool holds_lock_ = false;
};

}  // namespace

SimFiles::SimFiles(std::uint64_t seed) : impl_(std::make_shared<Impl>(seed)) {}
SimFiles::~SimFiles() = default;

void SimFiles::fail_at(std::uint64_t call, SimFault fault) { impl_->faults[call] = fault; }
void SimFiles::clear_faults() { impl_->faults.clear(); }
Result<std::uint64_t> SimFiles::free_bytes(std::string_view) { return impl_->free(); }

void SimFiles::set_capacity(std::uint64_t bytes) { impl_->capacity = bytes; }
std::uint64_t SimFiles::calls() const { return impl_->calls; }

void SimFiles::crash() {
  Impl& disk = *impl_;
  for (const NameChange& change : disk.pending_names) {
    if (disk.draw(2) == 0) apply_to(disk.durable_names, change);
  }
  disk.pending_names.clear();
  disk.names = disk.durable_names;
  for (const auto& [path, node] : disk.names) {
    disk.settle(*node);
    node->current = node->durable;
    node->locked = false;
  }
  disk.power_cut = false;
  disk.faults.clear();
  ++disk.generation;
}

void SimFiles::flip_bit(std::string_view path, std::uint64_t offset) {
  const auto found = impl_->names.find(path);
  WARY_CHECK(found != impl_->names.end() && offset < found->second->current.size());
  Node& node = *found->second;
  node.current[offset] ^= 1;
  if (offset < node.durable.size()) node.durable[offset] ^= 1;
}

Result<std::unique_ptr<File>> SimFiles::open(std::string_view path, OpenMode mode) {
  Impl& disk = *impl_;
  if (disk.power_cut) return sim_error(ErrorKind::kUnavailable, "file_io", path);
  const auto found = disk.names.find(path);
  NodePtr node;
  if (found != disk.names.end()) {
    if (mode == OpenMode::kCreateNew) return sim_error(ErrorKind::kConflict, "file_exists", path);
    node = found->second;
    if (node->is_directory && mode != OpenMode::kRead) return sim_error(ErrorKind::kUnavailable, "file_io", path);
  } else {
    if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite || !disk.has_folder(path)) {
      return sim_error(ErrorKind::kNotFound, "file_not_found", path);
    }
    node = std::make_shared<Node>();
    node->inode = disk.next_inode++;
    WARY_RETURN_IF_ERROR(disk.change_name({"", std::string(path), node}, path));
  }
  return std::unique_ptr<File>(
      std::make_unique<SimFile>(impl_, std::move(node), std::string(path), mode != OpenMode::kRead));
}

Result<FileStatus> SimFiles::status(std::string_view path) {
  if (impl_->power_cut) return sim_error(ErrorKind::kUnavailable, "file_io", path);
  const auto found = impl_->names.find(path);
  if (found == impl_->names.end()) return sim_error(ErrorKind::kNotFound, "file_not_found", path);
  const Node& node = *found->second;
  return FileStatus{{1, node.inode}, node.current.size(), node.is_directory};
}

Status SimFiles::rename(std::string_view from, std::string_view to) {
  const auto found = impl_->names.find(from);
  if (found == impl_->names.end() || !impl_->has_folder(to)) {
    return sim_error(ErrorKind::kNotFound, "file_not_found", from);
  }
  if (from == to) return {};
  return impl_->change_name({std::string(from), std::string(to), found->second}, from);
}

Status SimFiles::remove(std::string_view path) {
  const auto found = impl_->names.find(path);
  if (found == impl_->names.end()) return sim_error(ErrorKind::kNotFound, "file_not_found", path);
  if (found->second->is_directory) {
    WARY_ASSIGN_OR_RETURN(const auto children, list(path));
    if (!children.empty()) return sim_error(ErrorKind::kUnavailable, "file_io", path);
  }
  return impl_->change_name({std::string(path), "", nullptr}, path);
}

Status SimFiles::make_directory(std::string_view path) {
  if (const auto found = impl_->names.find(path); found != impl_->names.end()) {
    if (found->second->is_directory) return {};
    return sim_error(ErrorKind::kConflict, "file_exists", path);
  }
  if (!impl_->has_folder(path)) return sim_error(ErrorKind::kNotFound, "file_not_found", path);
  auto node = std::make_shared<Node>();
  node->inode = impl_->next_inode++;
  node->is_directory = true;
  return impl_->change_name({"", std::string(path), std::move(node)}, path);
}

Result<std::vector<std::string>> SimFiles::list(std::string_view path) {
  if (impl_->power_cut) return sim_error(ErrorKind::kUnavailable, "file_io", path);
  if (path != "." && path != "/") {
    const auto found = impl_->names.find(path);
    if (found == impl_->names.end() || !found->second->is_directory) {
      return sim_error(ErrorKind::kNotFound, "file_not_found", path);
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, node] : impl_->names) {
    if (name != path && folder_of(name) == path) names.push_back(name.substr(name.rfind('/') + 1));
  }
  return names;  // one folder's names in the order of the map: sorted
}

Status SimFiles::sync_directory(std::string_view path) {
  bool partial = false;
  if (auto error = impl_->begin(path, partial)) return std::move(*error);
  std::vector<NameChange> rest;
  for (NameChange& change : impl_->pending_names) {
    const bool here = (!change.erased.empty() && folder_of(change.erased) == path) ||
                      (!change.path.empty() && folder_of(change.path) == path);
    if (here) {
      apply_to(impl_->durable_names, change);
    } else {
      rest.push_back(std::move(change));
    }
  }
  impl_->pending_names = std::move(rest);
  return {};
}

}  // namespace wary::io
