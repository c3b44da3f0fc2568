#include "ledger/stored_log.h"

#include <algorithm>
#include <array>
#include <optional>

#include "ledger/ledger_impl.h"
#include "ledger/static_export.h"

namespace wary::ledger {

namespace {

constexpr std::size_t kHeadMax = 4096;

class StoredLog {
 public:
  using OnEntry = std::function<Status(std::uint64_t index, ByteView entry)>;

  StoredLog(io::Files& files, std::string directory, NoteVerifier verifier)
      : files_(files),
        directory_(std::move(directory)),
        verifier_(std::move(verifier)),
        origin_hash_(crypto::sha256(as_bytes(verifier_.name()))) {}

  // Reads everything; a second time it hands out the entries again.
  Status read(const OnEntry& on_entry = nullptr) {
    WARY_RETURN_IF_ERROR(find_segments());
    if (!on_entry) WARY_RETURN_IF_ERROR(read_heads());
    for (std::size_t i = 0; i < starts_.size(); ++i) WARY_RETURN_IF_ERROR(read_segment(i, on_entry));
    if (on_entry) return {};
    WARY_RETURN_IF_ERROR(check_levels());
    check_heads();
    report_.entries = entries_;
    report_.segments = starts_.size();
    return {};
  }

  CheckReport& report() { return report_; }
  const std::optional<Checkpoint>& checkpoint() const { return checkpoint_; }
  const std::string& note() const { return note_; }
  std::vector<Hash> hashes(int level, std::uint64_t first, std::size_t count) const {
    const auto& all = levels_[static_cast<std::size_t>(level)];
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
  }

 private:
  std::string head_path() const { return directory_ + "/head"; }
  std::string note_path() const { return directory_ + "/checkpoint"; }
  std::string segment_path(std::size_t i) const { return directory_ + "/segments/" + segment_name(starts_[i]); }
  std::string level_path(int level) const { return directory_ + "/tree/level-" + std::to_string(level); }

  void add(CheckFinding finding) {
    if (report_.findings.size() < kFindingsMax) report_.findings.push_back(std::move(finding));
  }
  void add(std::string file, std::uint64_t offset, std::string what) {
    add({std::move(file), offset, kIndexUnknown, "", std::move(what)});
  }

  // The file, or nothing when it is not there.
  Result<std::optional<Bytes>> content(const std::string& path, std::size_t size_max) {
    auto bytes = io::read_file(files_, path, size_max);
    if (bytes) return std::optional<Bytes>(std::move(bytes).value());
    if (bytes.error().code == "file_not_found") return std::optional<Bytes>();
    return std::move(bytes).error();
  }

  Status find_segments() {
    starts_.clear();
    const auto names = files_.list(directory_ + "/segments");
    if (!names) {
      return fail(ErrorKind::kNotFound, "ledger_missing", "no ledger lies in this directory")
          .at(directory_)
          .found(names.error().code)
          .next("name the directory that holds `segments`, `tree`, `head` and `checkpoint`");
    }
    for (const std::string& name : *names) {
      if (const auto start = segment_index_of(name))
        starts_.push_back(*start);
      else
        add(directory_ + "/segments/" + name, 0, "a file that is no segment lies among them");
    }
    if (starts_.empty())
      add(directory_ + "/segments", 0, "every segment is missing");
    else if (starts_.front() != 0)
      add(directory_ + "/segments", 0, "the first segment is missing");
    return {};
  }

  // What was promised: read first, so that the tree's root is taken at these sizes on the way.
  Status read_heads() {
    WARY_ASSIGN_OR_RETURN(const auto head, content(head_path(), kHeadMax));
    WARY_ASSIGN_OR_RETURN(const auto note, content(note_path(), kNoteMax));
    if (head) {
      const auto decoded = decode_head(*head);
      if (decoded)
        head_ = *decoded;
      else
        add(head_path(), 0, decoded.error().message);
    } else if (note) {
      add(head_path(), 0, "the file is missing");
    }
    if (note) {
      note_ = std::string(as_text(*note));
      const auto verified = verify_checkpoint(note_, verifier_);
      if (verified)
        checkpoint_ = *verified;
      else
        add(note_path(), 0, "the checkpoint is damaged: " + verified.error().to_string());
    } else if (head) {
      add(note_path(), 0, "the file is missing");
    }
    return {};
  }

  std::uint64_t promised() const { return std::max(head_ ? head_->size : 0, checkpoint_ ? checkpoint_->head.size : 0); }

  Status read_segment(std::size_t i, const OnEntry& on_entry) {
    const SegmentIdentity identity{origin_hash_, starts_[i]};
    const std::string path = segment_path(i);
    const bool is_last = i + 1 == starts_.size();
    WARY_ASSIGN_OR_RETURN(const auto stored, content(path, kSegmentMax));
    if (!stored) return {};  // removed meanwhile
    const ByteView file = *stored;
    if (!is_segment_header(file, identity)) add(path, 0, "the segment's header is damaged, or of another log");
    // Each segment is checked by itself; the tree goes on as long as no entry is missing.
    is_complete_ = is_complete_ && entries_ == starts_[i];
    std::uint64_t at = std::min<std::uint64_t>(kSegmentHeaderSize, file.size());
    std::uint64_t index = starts_[i];
    std::uint32_t remaining = 0;
    for (;; ++index) {
      const auto record = parse_record(file.subspan(at), identity, index, at);
      if (!record) {
        damaged_record(path, at, index, record.error());
        is_complete_ = false;
        break;
      }
      if (!record->has_value()) {
        end_of_segment(path, file, at, index, remaining, is_last ? std::nullopt : std::optional(starts_[i + 1]));
        break;
      }
      remaining = (*record)->remaining;
      if (on_entry)
        WARY_RETURN_IF_ERROR(on_entry(index, (*record)->entry));
      else
        take(path, **record);
      at += kRecordHeaderSize + (*record)->entry.size();
    }
    if (on_entry) return {};
    entries_ = std::max(entries_, index);
    return {};
  }

  void damaged_record(const std::string& path, std::uint64_t at, std::uint64_t index, const Error& error) {
    std::string what = error.message;
    if (index >= promised()) what += " (behind the newest checkpoint: damage, or a write that was never finished)";
    add({path, at, index, "", std::move(what)});
  }

  void end_of_segment(const std::string& path, ByteView file, std::uint64_t at, std::uint64_t index,
                      std::uint32_t remaining, std::optional<std::uint64_t> next) {
    if (next && index != *next) {
      add({path, at, index, "", "entries are missing before the next segment"});
      is_complete_ = false;
    }
    if (remaining != 0) add({path, at, index, "", "the rest of the last batch is missing"});
    const auto rest = file.subspan(at);
    const auto odd = std::ranges::find_if(rest, [](std::uint8_t byte) { return byte != 0; });
    if (odd != rest.end())
      add(path, at + static_cast<std::uint64_t>(odd - rest.begin()), "the reserved space is not empty");
    else if (next && !rest.empty())
      add(path, at, "a sealed segment has bytes after its entries");
  }

  void take(const std::string& path, const Record& record) {
    const auto event = contract::decode_event(record.entry);
    if (!event) add({path, record.offset, record.index, "", "an entry is no event: " + event.error().message});
    if (!is_complete_) return;
    offsets_.push_back(record.offset);
    frontier_.append(leaf_hash(record.entry), [this](int level, std::uint64_t, const Hash& hash) {
      if (level % 8 == 0) levels_[static_cast<std::size_t>(level / 8)].push_back(hash);
    });
    if (head_ && frontier_.size() == head_->size) root_at_head_ = frontier_.root();
    if (checkpoint_ && frontier_.size() == checkpoint_->head.size) root_at_checkpoint_ = frontier_.root();
  }

  // Which of the two is wrong, an entry or its stored hash? The entries that give the promised root are right.
  bool entries_are_right() const {
    if (checkpoint_ && checkpoint_->head.size > 0) return root_at_checkpoint_ == checkpoint_->head.root;
    return !head_ || head_->size == 0 || root_at_head_ == head_->root;
  }

  Status check_levels() {
    for (int level = 0; level < HashStore::kLevels; ++level) WARY_RETURN_IF_ERROR(check_level(level));
    return {};
  }

  Status check_level(int level) {
    const std::string path = level_path(level);
    const auto& wanted = levels_[static_cast<std::size_t>(level)];
    auto file = files_.open(path, io::OpenMode::kRead);
    if (!file) {
      if (file.error().code != "file_not_found") return std::move(file).error();
      add(path, 0, "the file is missing");
      return {};
    }
    WARY_ASSIGN_OR_RETURN(const std::uint64_t size, (*file)->size());
    const std::uint64_t least = (promised() >> (8 * level)) * sizeof(Hash);
    if (size < least) add(path, size, "the file is cut: hashes that a checkpoint promised are missing");
    if (is_complete_ && size > wanted.size() * sizeof(Hash)) {
      add(path, wanted.size() * sizeof(Hash), "bytes lie after the last hash");
    }
    Bytes buffer;
    const std::uint64_t end = std::min<std::uint64_t>(size / sizeof(Hash), wanted.size());
    for (std::uint64_t first = 0; first < end; first += kTileWidth) {
      buffer.resize(std::min(kTileWidth, end - first) * sizeof(Hash));
      WARY_ASSIGN_OR_RETURN(const std::size_t got, (*file)->read_at(first * sizeof(Hash), buffer));
      for (std::size_t i = 0; i < got / sizeof(Hash); ++i) {
        const auto stored = ByteView(buffer).subspan(i * sizeof(Hash), sizeof(Hash));
        if (!std::ranges::equal(stored, wanted[first + i])) wrong_hash(level, first + i);
      }
    }
    return {};
  }

  void wrong_hash(int level, std::uint64_t index) {
    const auto count = levels_[static_cast<std::size_t>(level)].size();
    const std::uint64_t tile = index / kTileWidth;
    const auto width = static_cast<std::uint32_t>(std::min<std::uint64_t>(kTileWidth, count - tile * kTileWidth));
    const std::string name = tile_path({level, tile, width});
    if (entries_are_right()) {
      const std::uint64_t entry = level == 0 ? index : kIndexUnknown;
      return add({level_path(level), index * sizeof(Hash), entry, name, "a stored hash is damaged"});
    }
    if (level != 0) return;  // of a wrong entry, which its own hash has told of
    const auto after = std::ranges::upper_bound(starts_, index);
    const auto segment = static_cast<std::size_t>(after - starts_.begin()) - 1;
    add({segment_path(segment), offsets_[index], index, name, "the entry is not the one whose hash the tree holds"});
  }

  void check_heads() {
    if (head_) check_head(head_path(), *head_, root_at_head_);
    if (!checkpoint_) return;
    check_head(note_path(), checkpoint_->head, root_at_checkpoint_);
    // The head is persisted before it is signed.
    if (head_ && head_->size < checkpoint_->head.size)
      add(head_path(), 0, "the tree head is older than the checkpoint");
  }

  void check_head(const std::string& path, const TreeHead& head, const std::optional<Hash>& root) {
    const bool is_empty = head.size == 0 && head.root == empty_root();
    if (is_empty || root == head.root) return;
    if (root) return add(path, 0, "the entries are not those that it promised");
    const std::string found = is_complete_ ? std::to_string(frontier_.size()) + " are there" : "some are damaged";
    add(path, 0, "it promised " + std::to_string(head.size) + " entries; " + found);
  }

  io::Files& files_;
  std::string directory_;
  NoteVerifier verifier_;
  Hash origin_hash_;
  CheckReport report_;
  std::vector<std::uint64_t> starts_;  // of the segments
  std::optional<TreeHead> head_;
  std::optional<Checkpoint> checkpoint_;
  std::string note_;
  Frontier frontier_;
  std::array<std::vector<Hash>, HashStore::kLevels> levels_;  // as the entries give them
  std::vector<std::uint64_t> offsets_;                        // of the entries in their files
  std::optional<Hash> root_at_head_;
  std::optional<Hash> root_at_checkpoint_;
  std::uint64_t entries_ = 0;
  bool is_complete_ = true;  // no entry was missing or damaged so far
};

}  // namespace

Result<CheckReport> check_stored_log(io::Files& files, const std::string& directory, std::string_view vkey) {
  WARY_ASSIGN_OR_RETURN(NoteVerifier verifier, NoteVerifier::parse(vkey));
  StoredLog log(files, directory, std::move(verifier));
  WARY_RETURN_IF_ERROR(log.read());
  return std::move(log.report());
}

Status export_stored_log(io::Files& files, const std::string& directory, std::string_view vkey,
                         const std::string& out) {
  WARY_ASSIGN_OR_RETURN(NoteVerifier verifier, NoteVerifier::parse(vkey));
  StoredLog log(files, directory, std::move(verifier));
  WARY_RETURN_IF_ERROR(log.read());
  if (!log.report().findings.empty()) return corrupt(log.report().findings.front().to_string(), directory);
  if (!log.checkpoint()) {
    return fail(ErrorKind::kNotFound, "ledger_missing", "this log has no checkpoint yet, so there is nothing to show")
        .at(directory)
        .next("while wary runs: wary ledger checkpoint");
  }
  const std::uint64_t size = log.checkpoint()->head.size;
  StaticExport written(files, out, size);
  WARY_RETURN_IF_ERROR(files.make_directory(out));
  WARY_RETURN_IF_ERROR(
      log.read([&](std::uint64_t index, ByteView entry) { return index < size ? written.add(entry) : Status(); }));
  return written.finish(log.note(), [&](int level, std::uint64_t first, std::size_t count) {
    return Result<std::vector<Hash>>(log.hashes(level, first, count));
  });
}

}  // namespace wary::ledger
