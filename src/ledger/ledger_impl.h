// Private to ledger/: the ledger's state, and its parts by file: open.cc, append.cc, read.cc, check.cc, export.cc.
#pragma once

#include <deque>
#include <map>
#include <unordered_map>

#include "ledger/hash_store.h"
#include "ledger/ledger.h"
#include "ledger/segment.h"
#include "ledger/sequences.h"

namespace wary::ledger {

constexpr std::uint64_t kAnchorEvery = 64;
constexpr std::size_t kFindingsMax = 100;  // of one check
constexpr std::size_t kBatchEventsMax = 16'384;
constexpr std::size_t kBatchBytesMax = std::size_t{64} << 20;

struct Segment {
  std::uint64_t first_index = 0;
  std::uint64_t end = kSegmentHeaderSize;  // offset after the last durable record
  std::uint64_t size = 0;                  // of the file: with what is reserved
  std::uint64_t written = 0;               // up to here the reserved space was written once
  io::FileIdentity identity;
};

// Where every 64th record lies.
struct Anchor {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0;
};

// The newest of something by hash: bounded, the oldest goes first.
class RecentIndex {
 public:
  explicit RecentIndex(std::size_t count_max) : count_max_(count_max) {}
  void add(std::uint64_t key, std::uint64_t index) {
    if (count_max_ == 0) return;
    if (order_.size() >= count_max_) {
      const auto [first, last] = map_.equal_range(order_.front().first);
      for (auto at = first; at != last; ++at) {
        if (at->second == order_.front().second) {
          map_.erase(at);
          break;
        }
      }
      oldest_ = order_.front().second + 1;
      order_.pop_front();
    }
    order_.emplace_back(key, index);
    map_.emplace(key, index);
  }
  std::vector<std::uint64_t> find(std::uint64_t key) const {
    std::vector<std::uint64_t> found;
    const auto [first, last] = map_.equal_range(key);
    for (auto at = first; at != last; ++at) found.push_back(at->second);
    return found;
  }
  // Everything from this index on is known.
  std::uint64_t complete_from() const { return oldest_; }

 private:
  std::size_t count_max_;
  std::unordered_multimap<std::uint64_t, std::uint64_t> map_;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> order_;
  std::uint64_t oldest_ = 0;
};

std::uint64_t key_of(const contract::EventId& id);
std::uint64_t key_of(std::string_view text);

Bytes encode_head(const TreeHead& head);
Result<TreeHead> decode_head(ByteView bytes);

struct Ledger::Impl {
  Impl(io::Files& files_in, std::string directory_in, Clock& clock_in, SignCheckpoint sign_in, LedgerOptions options_in,
       NoteVerifier verifier_in);

  // open.cc
  Status recover();
  Status read_head();
  Status open_segments();
  Status load_segment(std::uint64_t first_index, bool is_last, Bytes& content);
  Status drop_unborn_segment(const std::string& path);
  Status load_records(ByteView file, std::uint64_t end);
  Status settle_last(ByteView file);
  Status begin_hashes();
  Status reserve_current();
  Status reserve_some(io::File& file);
  Status add_segment(std::uint64_t first_index);

  // append.cc
  struct Staged {
    Bytes bytes;
    std::vector<const PreparedEvent*> events;
    std::vector<Receipt> receipts;
    std::vector<std::uint64_t> offsets;  // within bytes
  };
  Result<Staged> stage(std::span<const PreparedEvent* const> events);
  std::uint64_t find_known(const contract::EventId& id);
  Status write_ahead(ByteView batch);
  Status make_ready();
  Status check_files();
  Status check_file(const Segment& segment);
  Status repair();
  Status rotate();
  void commit(const Staged& staged);
  void add_leaf(const Hash& leaf);
  void remember(const contract::EventId& id, std::string_view decision_id, std::uint64_t index);
  Result<std::string> make_checkpoint();

  // read.cc
  SegmentIdentity identity_of(const Segment& segment) const { return {origin_hash, segment.first_index}; }
  std::string segment_path(const Segment& segment) const {
    return directory + "/segments/" + segment_name(segment.first_index);
  }
  Result<std::shared_ptr<io::File>> open_for_reading(std::size_t segment);
  NodeReader node_reader();
  Result<Hash> checked_root(std::uint64_t size);
  std::uint64_t next_index() const { return frontier.size(); }

  io::Files& files;
  std::string directory;
  Clock& clock;
  SignCheckpoint sign;
  LedgerOptions options;
  NoteVerifier verifier;
  Hash origin_hash;

  std::unique_ptr<io::File> lock;
  std::vector<Segment> segments;
  std::unique_ptr<io::File> current;  // the last segment; null: repair first
  bool rotating = false;              // the last segment is sealed; nothing may go into it any more
  std::optional<std::uint32_t> last_batch;
  std::size_t sealed_check = 0;  // which sealed file the next append looks at

  HashStore hashes;
  Frontier frontier;
  std::uint64_t hashed_from = 0;      // while loading: leaves before it come from the hash store
  std::uint64_t loaded = 0;           // while loading: entries seen
  std::uint64_t unsettled_from = 0;   // while loading: where the last segment's entries after the checkpoint begin
  std::optional<TreeHead> persisted;  // what was last promised by a checkpoint
  std::string last_note;
  TreeHead last_note_head;

  Sequences sequences;
  RecentIndex recent;
  RecentIndex decisions;
  std::vector<Anchor> anchors;

  // Reading keeps one file open: the last one used. Shared with the cursor that reads it.
  std::size_t reading_segment = SIZE_MAX;
  std::shared_ptr<io::File> reading;
};

// Walks records in order, buffered; each is checked by its checksum.
class RecordCursor {
 public:
  RecordCursor(Ledger::Impl& ledger, std::uint64_t index);
  // The next record; its entry holds until the next call. index() < end of the log, or a broken invariant.
  Result<Record> next();
  std::uint64_t index() const { return index_; }
  std::size_t segment() const { return segment_; }

 private:
  Status fill(std::size_t wanted);
  Ledger::Impl& ledger_;
  std::uint64_t index_;  // of the next record
  std::uint64_t skip_to_;
  std::size_t segment_ = 0;
  std::uint64_t offset_ = 0;  // of the next record in its file
  Bytes buffer_;
  std::uint64_t buffer_offset_ = 0;
};

constexpr std::string_view kFreeSpace = "free space there; nothing was acknowledged, and it goes on by itself";
Error unavailable(const Error& cause, std::string_view what);
Error corrupt(std::string_view what, std::string place);

}  // namespace wary::ledger
