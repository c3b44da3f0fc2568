// check(): every stored byte against what it must be, with the place of each that is not.
#include <algorithm>

#include "ledger/ledger_impl.h"

namespace wary::ledger {

namespace {

class Checker {
 public:
  explicit Checker(Ledger::Impl& ledger) : ledger_(ledger) {}

  Result<CheckReport> run() {
    for (const Segment& segment : ledger_.segments) WARY_RETURN_IF_ERROR(check_segment(segment));
    WARY_RETURN_IF_ERROR(check_tree());
    WARY_RETURN_IF_ERROR(check_heads());
    report_.entries = ledger_.next_index();
    report_.segments = ledger_.segments.size();
    return std::move(report_);
  }

 private:
  void add(CheckFinding finding) {
    if (report_.findings.size() < kFindingsMax) report_.findings.push_back(std::move(finding));
  }
  void add(std::string file, std::uint64_t offset, std::string what) {
    add({std::move(file), offset, kIndexUnknown, "", std::move(what)});
  }

  // What another process may have changed meanwhile is read as it is on the disk now.
  Result<Bytes> content(const std::string& path) {
    auto bytes = io::read_file(ledger_.files, path, kSegmentMax);
    if (bytes.ok()) return bytes;
    if (bytes.error().code != "file_not_found") return unavailable(bytes.error(), "a stored file");
    add(path, 0, "the file is missing");
    return Bytes();
  }

  Status check_segment(const Segment& segment) {
    const std::string path = ledger_.segment_path(segment);
    const std::uint64_t next_start =
        &segment == &ledger_.segments.back() ? ledger_.next_index() : (&segment)[1].first_index;
    WARY_ASSIGN_OR_RETURN(const Bytes file, content(path));
    if (!is_segment_header(file, ledger_.identity_of(segment))) add(path, 0, "the segment's header is damaged");
    std::uint64_t at = kSegmentHeaderSize;
    std::uint64_t index = segment.first_index;
    const std::uint64_t end = std::min<std::uint64_t>(segment.end, file.size());
    for (; index < next_start; ++index) {
      const ByteView rest = ByteView(file).subspan(std::min(at, end), end - std::min(at, end));
      const auto record = parse_record(rest, ledger_.identity_of(segment), index, at);
      if (!record.ok() || !record->has_value()) {
        add({path, at, index, "", record.ok() ? "a record is missing" : record.error().message});
        break;
      }
      compare_leaf(path, **record);
      at += kRecordHeaderSize + (*record)->entry.size();
    }
    if (file.size() < segment.end) add(path, file.size(), "the segment is cut");
    for (std::uint64_t i = segment.end; i < file.size(); ++i) {
      if (file[i] == 0) continue;
      add(path, i, "the reserved space is not empty");
      break;
    }
    leaves_complete_ = leaves_complete_ && index == next_start;
    return {};
  }

  void compare_leaf(const std::string& path, const Record& record) {
    const Hash leaf = leaf_hash(record.entry);
    if (leaves_complete_ && recomputed_.size() == record.index)
      recomputed_.append(leaf, [](int, std::uint64_t, const Hash&) {});
    const auto stored = ledger_.hashes.read(0, record.index, 1);
    if (stored.ok() && stored->front() == leaf) return;
    suspects_.push_back({path, record.offset, record.index, tile_path(tile_at(0, record.index)), ""});
  }

  Tile tile_at(int level, std::uint64_t index) const {
    const std::uint64_t count = ledger_.hashes.count(level);
    const std::uint64_t tile = index / kTileWidth;
    return {level, tile, static_cast<std::uint32_t>(std::min(kTileWidth, count - tile * kTileWidth))};
  }

  // Which of the two is wrong, an entry or its stored hash? The entries that give the known root are right.
  Status check_tree() {
    const bool entries_are_right = leaves_complete_ && recomputed_.root() == ledger_.frontier.root();
    for (CheckFinding& suspect : suspects_) {
      if (entries_are_right) {
        add({ledger_.hashes.path(0), suspect.index * sizeof(Hash), suspect.index, suspect.tile,
             "a stored hash is damaged"});
      } else {
        suspect.what = "the entry is not the one whose hash the tree holds";
        add(suspect);
      }
    }
    for (int level = 1; level < HashStore::kLevels; ++level) {
      for (std::uint64_t i = 0; i < ledger_.hashes.count(level); ++i) {
        WARY_RETURN_IF_ERROR(check_upper(level, i));
      }
    }
    return check_sizes();
  }

  Status check_upper(int level, std::uint64_t index) {
    const auto stored = ledger_.hashes.read(level, index, 1);
    const auto below = ledger_.hashes.read(level - 1, index * kTileWidth, kTileWidth);
    if (!stored.ok() || !below.ok()) {
      add({ledger_.hashes.path(level), index * sizeof(Hash), kIndexUnknown, tile_path(tile_at(level, index)),
           "a stored hash is missing"});
      return {};
    }
    Frontier subtree;
    for (const Hash& hash : *below) subtree.append(hash, [](int, std::uint64_t, const Hash&) {});
    if (subtree.root() == stored->front()) return {};
    // If a hash below is damaged that has been said already, and this one is right.
    const bool below_is_damaged = std::ranges::any_of(report_.findings, [&](const CheckFinding& finding) {
      return finding.tile == tile_path(tile_at(level - 1, index * kTileWidth));
    });
    if (below_is_damaged) return {};
    add({ledger_.hashes.path(level), index * sizeof(Hash), kIndexUnknown, tile_path(tile_at(level, index)),
         "a stored hash is damaged"});
    return {};
  }

  Status check_sizes() {
    for (int level = 0; level < HashStore::kLevels; ++level) {
      const auto status = ledger_.files.status(ledger_.hashes.path(level));
      if (!status.ok()) add(ledger_.hashes.path(level), 0, "the file is missing");
    }
    return {};
  }

  Status check_heads() {
    const std::string head_path = ledger_.directory + "/head";
    const std::string note_path = ledger_.directory + "/checkpoint";
    if (!ledger_.persisted) return {};
    // A write that failed half-way may have left a newer one than we know of: it counts if this tree has it.
    WARY_ASSIGN_OR_RETURN(const Bytes bytes, content(head_path));
    const auto head = decode_head(bytes);
    if (!head.ok() || head->size < ledger_.persisted->size || !is_ours(*head)) {
      add(head_path, 0, "the persisted tree head is damaged");
    }
    if (ledger_.last_note.empty()) return {};
    WARY_ASSIGN_OR_RETURN(const Bytes note, content(note_path));
    const auto checkpoint = verify_checkpoint(as_text(note), ledger_.verifier);
    if (!checkpoint.ok()) {
      add(note_path, 0, "the checkpoint is damaged: " + checkpoint.error().to_string());
    } else if (checkpoint->head.size < ledger_.last_note_head.size || !is_ours(checkpoint->head)) {
      add(note_path, 0, "the checkpoint is not of this tree, or was put back");
    }
    return {};
  }

  bool is_ours(const TreeHead& head) {
    if (head.size > ledger_.next_index()) return false;
    const auto root = ledger_.checked_root(head.size);
    // With a damaged tree nothing can be said; that is a finding already.
    return !report_.findings.empty() || (root.ok() && *root == head.root);
  }

  Ledger::Impl& ledger_;
  CheckReport report_;
  Frontier recomputed_;
  bool leaves_complete_ = true;
  std::vector<CheckFinding> suspects_;
};

}  // namespace

std::string CheckFinding::to_string() const {
  std::string text = file + ", offset " + std::to_string(offset);
  if (index != kIndexUnknown) text += ", entry " + std::to_string(index);
  if (!tile.empty()) text += ", " + tile;
  return text + ": " + what;
}

Result<CheckReport> Ledger::check() { return Checker(*impl_).run(); }

}  // namespace wary::ledger
