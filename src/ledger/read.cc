// Reading: entries by index, by decision and by filter; proofs.
#include <algorithm>

#include "base/limits.h"
#include "ledger/ledger_impl.h"
#include "ledger/proof.h"

namespace wary::ledger {

namespace {

constexpr std::size_t kChunk = 64 * 1024;

Error out_of_range(std::uint64_t wanted, std::uint64_t size) {
  return fail(ErrorKind::kNotFound, "ledger_range", "the log is not that long")
      .expected("at most " + std::to_string(size))
      .found(std::to_string(wanted));
}

bool matches(const EventFilter& filter, const contract::Event& event) {
  const auto is = [](const std::string& wanted, const std::string& found) { return wanted.empty() || wanted == found; };
  return is(filter.tenant, event.tenant) && is(filter.actor, event.actor) && is(filter.resource, event.resource) &&
         is(filter.decision_id, event.decision_id) && filter.from <= event.event_time && event.event_time <= filter.to;
}

}  // namespace

RecordCursor::RecordCursor(Ledger::Impl& ledger, std::uint64_t index) : ledger_(ledger), skip_to_(index) {
  WARY_CHECK(index <= ledger.next_index());
  const std::size_t anchor = index / kAnchorEvery;
  index_ = anchor * kAnchorEvery;
  if (anchor >= ledger.anchors.size()) return;  // the end of the log
  segment_ = ledger.anchors[anchor].segment;
  offset_ = ledger.anchors[anchor].offset;
}

// Makes buffer_ hold `wanted` bytes from offset_ on, or all that the segment has there.
Status RecordCursor::fill(std::size_t wanted) {
  const Segment& segment = ledger_.segments[segment_];
  const std::uint64_t until = std::min(segment.end, offset_ + wanted);
  if (offset_ >= buffer_offset_ && until <= buffer_offset_ + buffer_.size()) return {};
  WARY_ASSIGN_OR_RETURN(const auto file, ledger_.open_for_reading(segment_));
  buffer_.resize(std::min<std::uint64_t>(std::max(wanted, kChunk), segment.end - offset_));
  buffer_offset_ = offset_;
  auto got = file->read_at(offset_, buffer_);
  if (!got.ok()) {
    buffer_.clear();
    return unavailable(got.error(), "a segment");
  }
  buffer_.resize(*got);
  return {};
}

Result<Record> RecordCursor::next() {
  for (;;) {
    WARY_CHECK(index_ < ledger_.next_index());
    if (offset_ >= ledger_.segments[segment_].end) {
      ++segment_;
      WARY_CHECK(segment_ < ledger_.segments.size());
      offset_ = kSegmentHeaderSize;
      buffer_.clear();
      continue;
    }
    const Segment& segment = ledger_.segments[segment_];
    WARY_RETURN_IF_ERROR(fill(kRecordHeaderSize));
    ByteView view = ByteView(buffer_).subspan(std::min<std::size_t>(offset_ - buffer_offset_, buffer_.size()));
    if (view.size() >= kRecordHeaderSize) {
      const std::size_t size = read_big_endian<std::uint32_t>(view.data());
      WARY_RETURN_IF_ERROR(fill(kRecordHeaderSize + std::min(size, limits::kLedgerEntryBytes)));
      view = ByteView(buffer_).subspan(offset_ - buffer_offset_);
    }
    auto record = parse_record(view, ledger_.identity_of(segment), index_, offset_);
    if (!record.ok() || !record->has_value()) {
      const std::string what = record.ok() ? "a record is missing" : record.error().message;
      return corrupt(what, ledger_.segment_path(segment) + ", offset " + std::to_string(offset_) + ", entry " +
                               std::to_string(index_));
    }
    offset_ += kRecordHeaderSize + (*record)->entry.size();
    if (index_++ >= skip_to_) return **record;
  }
}

Result<std::shared_ptr<io::File>> Ledger::Impl::open_for_reading(std::size_t segment) {
  if (reading_segment == segment && reading) return reading;
  auto file = files.open(segment_path(segments[segment]), io::OpenMode::kRead);
  if (!file.ok()) return unavailable(file.error(), "a segment");
  reading = std::move(file).value();
  reading_segment = segment;
  return reading;
}

NodeReader Ledger::Impl::node_reader() {
  return [this](Node node) { return hashes.node(node); };
}

// Of a tree that is a prefix of this one. Computed from stored hashes: the caller checks what it builds on it.
Result<Hash> Ledger::Impl::checked_root(std::uint64_t size) {
  if (size == next_index()) return frontier.root();
  return root_of(size, node_reader());
}

Result<Bytes> Ledger::read_entry(std::uint64_t index) {
  if (index >= impl_->next_index()) return out_of_range(index, impl_->next_index());
  RecordCursor cursor(*impl_, index);
  WARY_ASSIGN_OR_RETURN(const Record record, cursor.next());
  WARY_ASSIGN_OR_RETURN(const auto leaf, impl_->hashes.read(0, index, 1));
  if (leaf_hash(record.entry) != leaf.front()) {
    return corrupt("an entry is not the one whose hash the tree holds", "entry " + std::to_string(index));
  }
  return Bytes(record.entry.begin(), record.entry.end());
}

Result<contract::Event> Ledger::read(std::uint64_t index) {
  WARY_ASSIGN_OR_RETURN(const Bytes entry, read_entry(index));
  return contract::decode_event(entry);
}

Result<std::vector<StoredEvent>> Ledger::read_range(std::uint64_t first, std::size_t count_max) {
  if (first > impl_->next_index()) return out_of_range(first, impl_->next_index());
  std::vector<StoredEvent> events;
  const std::uint64_t end = first + std::min<std::uint64_t>(count_max, impl_->next_index() - first);
  RecordCursor cursor(*impl_, first);
  for (std::uint64_t index = first; index < end; ++index) {
    WARY_ASSIGN_OR_RETURN(const Record record, cursor.next());
    WARY_ASSIGN_OR_RETURN(contract::Event event, contract::decode_event(record.entry));
    events.push_back({index, std::move(event)});
  }
  return events;
}

Result<std::vector<StoredEvent>> Ledger::select(const EventFilter& filter, std::size_t count_max) {
  Impl& ledger = *impl_;
  std::vector<StoredEvent> found;
  std::uint64_t end = ledger.next_index();
  if (!filter.decision_id.empty()) {
    auto candidates = ledger.decisions.find(key_of(filter.decision_id));
    std::ranges::sort(candidates, std::greater<>());
    for (const std::uint64_t index : candidates) {
      if (found.size() >= count_max) return found;
      WARY_ASSIGN_OR_RETURN(contract::Event event, read(index));
      if (matches(filter, event)) found.push_back({index, std::move(event)});
    }
    end = std::min(end, ledger.decisions.complete_from());  // what is newer was all in memory
  }
  // Backwards by what lies between two anchors: forwards within, since records are only linked that way.
  while (end > 0 && found.size() < count_max) {
    const std::uint64_t begin = (end - 1) / kAnchorEvery * kAnchorEvery;
    WARY_ASSIGN_OR_RETURN(auto block, read_range(begin, end - begin));
    for (std::size_t i = block.size(); i-- > 0 && found.size() < count_max;) {
      if (matches(filter, block[i].event)) found.push_back(std::move(block[i]));
    }
    end = begin;
  }
  return found;
}

Result<Hash> Ledger::root_at(std::uint64_t size) {
  if (size > impl_->next_index()) return out_of_range(size, impl_->next_index());
  return impl_->checked_root(size);
}

Result<std::vector<Hash>> Ledger::inclusion_proof(std::uint64_t index, std::uint64_t size) {
  if (size > impl_->next_index() || index >= size) return out_of_range(std::max(index + 1, size), impl_->next_index());
  WARY_ASSIGN_OR_RETURN(auto proof, ledger::inclusion_proof(index, size, impl_->node_reader()));
  WARY_ASSIGN_OR_RETURN(const auto leaf, impl_->hashes.read(0, index, 1));
  WARY_ASSIGN_OR_RETURN(const Hash root, impl_->checked_root(size));
  if (!verify_inclusion(proof, index, size, leaf.front(), root)) {
    return corrupt("a stored hash is damaged", impl_->directory + "/tree");
  }
  return proof;
}

Result<std::vector<Hash>> Ledger::consistency_proof(std::uint64_t old_size, std::uint64_t new_size) {
  if (new_size > impl_->next_index()) return out_of_range(new_size, impl_->next_index());
  if (old_size > new_size) {
    return fail(ErrorKind::kInvalid, "ledger_range", "the older log is not the longer one")
        .expected("at most " + std::to_string(new_size))
        .found(std::to_string(old_size));
  }
  if (old_size == 0) return std::vector<Hash>();  // every tree continues the empty one
  WARY_ASSIGN_OR_RETURN(auto proof, ledger::consistency_proof(old_size, new_size, impl_->node_reader()));
  WARY_ASSIGN_OR_RETURN(const Hash old_root, impl_->checked_root(old_size));
  WARY_ASSIGN_OR_RETURN(const Hash new_root, impl_->checked_root(new_size));
  if (!verify_consistency(proof, old_size, new_size, old_root, new_root)) {
    return corrupt("a stored hash is damaged", impl_->directory + "/tree");
  }
  return proof;
}

Result<std::string> Ledger::proof(std::uint64_t index) {
  WARY_ASSIGN_OR_RETURN(const std::string note, checkpoint());
  WARY_ASSIGN_OR_RETURN(auto hashes, inclusion_proof(index, head().size));
  return encode_proof({index, std::move(hashes), note});
}

}  // namespace wary::ledger
