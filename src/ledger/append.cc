// Appending: one write and one flush for a batch; state changes only after the flush.
#include <algorithm>

#include "ledger/ledger_impl.h"

namespace wary::ledger {

namespace {

constexpr std::uint64_t kWriteAhead = std::uint64_t{1} << 20;
constexpr std::uint64_t kRoomMin = 16 * 1024;
constexpr std::size_t kUnsyncedHashesMax = std::size_t{1} << 20;

Error replaced(std::string path) {
  return fail(ErrorKind::kUnavailable, "ledger_unavailable", "a segment was removed, replaced or cut behind our back")
      .at(std::move(path))
      .next(
          "move the same file back, and it goes on by itself; a copy of it is taken at the next start, and "
          "`wary ledger check --directory DIR` says whether it is whole");
}

// What is reserved would take entries for a while yet, but no head and no checkpoint could commit to them: refused
// while the reserve still holds all that was acknowledged.
Status check_room(io::Files& files, const std::string& directory) {
  const auto free = files.free_bytes(directory);
  if (!free.ok()) return unavailable(free.error(), "the ledger's directory");
  if (*free >= kRoomMin) return {};
  return fail(ErrorKind::kUnavailable, "ledger_unavailable", "no space is left on the ledger's file system")
      .at(directory)
      .expected(std::to_string(kRoomMin) + " bytes")
      .found(std::to_string(*free))
      .next(kFreeSpace);
}

}  // namespace

std::uint64_t key_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, then mixed: only spreads, candidates are compared in full
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash ^ (hash >> 29);
}

std::uint64_t key_of(const contract::EventId& id) {
  return (key_of(id.source) ^ id.boot * 0x9e3779b97f4a7c15) + id.sequence * 0xbf58476d1ce4e5b9;
}

Result<PreparedEvent> prepare_event(const contract::Event& event, UnixTime receive_time) {
  if (event.id.sequence == 0 || event.id.source.empty()) {
    return fail(ErrorKind::kInvalid, "ledger_sequence", "an event has a source and a sequence from 1");
  }
  PreparedEvent prepared;
  prepared.id = event.id;
  prepared.decision_id = event.decision_id;
  const UnixTime received = event.receive_time == UnixTime{} ? receive_time : event.receive_time;
  WARY_ASSIGN_OR_RETURN(prepared.entry, contract::encode(event, received));
  prepared.leaf = leaf_hash(prepared.entry);
  return prepared;
}

Result<std::vector<Receipt>> Ledger::append_batch(std::span<const contract::Event> events) {
  const UnixTime now = impl_->clock.unix_time();
  std::vector<PreparedEvent> prepared;
  prepared.reserve(events.size());
  for (const contract::Event& event : events) {
    WARY_ASSIGN_OR_RETURN(PreparedEvent one, prepare_event(event, now));
    prepared.push_back(std::move(one));
  }
  std::vector<const PreparedEvent*> pointers;
  for (const PreparedEvent& one : prepared) pointers.push_back(&one);
  return append_prepared(pointers);
}

Result<std::vector<Receipt>> Ledger::append_prepared(std::span<const PreparedEvent* const> events) {
  Impl& ledger = *impl_;
  WARY_ASSIGN_OR_RETURN(Impl::Staged staged, ledger.stage(events));
  if (staged.events.empty()) return std::move(staged.receipts);
  WARY_RETURN_IF_ERROR(ledger.make_ready());
  const Segment* last = &ledger.segments.back();
  const bool is_full = last->end > kSegmentHeaderSize && last->end + staged.bytes.size() > ledger.options.segment_bytes;
  if (is_full || ledger.rotating) WARY_RETURN_IF_ERROR(ledger.rotate());
  Status done = ledger.write_ahead(staged.bytes);
  if (done.ok()) done = ledger.current->sync();
  if (!done.ok()) {
    ledger.current.reset();  // nothing is known of the bytes since the last good sync: repair() comes first
    return unavailable(done.error(), "the entries were not made durable");
  }
  ledger.commit(staged);
  return std::move(staged.receipts);
}

// Writes the batch, and zeros after it each time the written part of the file runs out: a flush that only overwrites
// needs no change of the file system's own records, and takes half the time of one that turns reserved blocks into
// written ones.
Status Ledger::Impl::write_ahead(ByteView batch) {
  Segment& segment = segments.back();
  const std::uint64_t end = segment.end + batch.size();
  if (end <= segment.written) return current->write_at(segment.end, batch);
  Bytes padded(batch.begin(), batch.end());
  padded.resize(std::max<std::uint64_t>(end, std::min(segment.size, end + kWriteAhead)) - segment.end);
  WARY_RETURN_IF_ERROR(current->write_at(segment.end, padded));
  segment.written = segment.end + padded.size();
  return {};
}

// Where an event lies that the log has; kIndexUnknown if that was long ago, or cannot be read now.
std::uint64_t Ledger::Impl::find_known(const contract::EventId& id) {
  for (const std::uint64_t candidate : recent.find(key_of(id))) {
    RecordCursor cursor(*this, candidate);
    const auto record = cursor.next();
    if (!record.ok()) continue;
    const auto event = contract::decode_event(record->entry);
    if (event.ok() && event->id == id) return candidate;
  }
  return kIndexUnknown;
}

// Encodes what is new; the state stays as it is.
Result<Ledger::Impl::Staged> Ledger::Impl::stage(std::span<const PreparedEvent* const> events) {
  if (events.size() > kBatchEventsMax)
    return fail(ErrorKind::kExhausted, "ledger_range", "a batch has at most 16384 events");
  Staged staged;
  std::map<contract::EventId, std::uint64_t> here;
  std::map<Sequences::Key, SequenceStream> streams;  // as they will be with this batch
  std::size_t size = 0;
  for (const PreparedEvent* event : events) {
    if (const auto before = here.find(event->id); before != here.end()) {
      staged.receipts.push_back({before->second, true});
      continue;
    }
    const Sequences::Key key{event->id.source, event->id.boot};
    auto at = streams.find(key);
    if (at == streams.end()) at = streams.emplace(key, sequences.stream(key)).first;
    if (at->second.has(event->id.sequence)) {
      staged.receipts.push_back({find_known(event->id), true});
      continue;
    }
    if (!at->second.fits(event->id.sequence, sequences.window())) {
      return fail(ErrorKind::kInvalid, "ledger_sequence", "the sequence runs too far ahead of a missing one")
          .at(event->id.source)
          .next("send the missing events first, or begin a new boot");
    }
    at->second.add(event->id.sequence, sequences.window());
    const std::uint64_t index = next_index() + staged.events.size();
    here.emplace(event->id, index);
    staged.receipts.push_back({index, false});
    staged.events.push_back(event);
    size += kRecordHeaderSize + event->entry.size();
  }
  if (size > kBatchBytesMax) return fail(ErrorKind::kExhausted, "ledger_range", "a batch has at most 64 MiB");
  staged.bytes.reserve(size);
  const std::uint32_t batch = last_batch ? *last_batch + 1 : 0;
  for (std::size_t i = 0; i < staged.events.size(); ++i) {
    staged.offsets.push_back(staged.bytes.size());
    Record record;
    record.index = next_index() + i;
    record.batch = batch;
    record.remaining = static_cast<std::uint32_t>(staged.events.size() - i - 1);
    record.entry = staged.events[i]->entry;
    append_record(staged.bytes, {origin_hash, 0}, record);
  }
  return staged;
}

Status Ledger::Impl::make_ready() {
  WARY_RETURN_IF_ERROR(check_room(files, directory));
  if (!rotating && !current) WARY_RETURN_IF_ERROR(repair());
  WARY_RETURN_IF_ERROR(check_files());
  if (hashes.unsynced() > kUnsyncedHashesMax) {
    if (Status done = hashes.sync(); !done.ok()) return unavailable(done.error(), "the tree's hashes");
  }
  return {};
}

// The last segment each time, and one sealed segment in turn.
Status Ledger::Impl::check_files() {
  if (Status done = check_file(segments.back()); !done.ok()) {
    current.reset();
    return done;
  }
  if (segments.size() < 2) return {};
  sealed_check = (sealed_check + 1) % (segments.size() - 1);
  return check_file(segments[sealed_check]);
}

Status Ledger::Impl::check_file(const Segment& segment) {
  const auto status = files.status(segment_path(segment));
  if (!status.ok()) {
    if (status.error().code == "file_not_found") return replaced(segment_path(segment));
    return unavailable(status.error(), "a segment");
  }
  if (status->identity != segment.identity || status->size != segment.size) return replaced(segment_path(segment));
  return {};
}

// After a failed write or sync: opens the last segment anew and cuts it back to what was durable. What is written after
// that replaces whatever the page cache kept of the failed batch.
Status Ledger::Impl::repair() {
  Segment& segment = segments.back();
  const auto reopen = [&]() -> Status {
    WARY_ASSIGN_OR_RETURN(auto file, files.open(segment_path(segment), io::OpenMode::kReadWrite));
    WARY_ASSIGN_OR_RETURN(const io::FileStatus status, file->status());
    if (status.identity != segment.identity || status.size < segment.end) return replaced(segment_path(segment));
    Bytes header(kSegmentHeaderSize);
    WARY_ASSIGN_OR_RETURN(const std::size_t got, file->read_at(0, header));
    if (got != header.size() || !is_segment_header(header, identity_of(segment)))
      return replaced(segment_path(segment));
    WARY_RETURN_IF_ERROR(file->truncate(segment.end));
    segment.written = segment.end;
    WARY_RETURN_IF_ERROR(file->sync());
    current = std::move(file);
    return reserve_current();
  };
  Status done = reopen();
  if (done.ok()) return {};
  current.reset();
  if (done.error().code == "ledger_unavailable") return done;
  return unavailable(done.error(), "the last segment");
}

// Seals the last segment at its length, then makes the next one. Once sealed it takes no entry any more, also when the
// next one cannot be made yet.
Status Ledger::Impl::rotate() {
  Segment& last = segments.back();
  if (!rotating) {
    Status done = current->truncate(last.end);
    if (done.ok()) done = current->sync();
    current.reset();
    if (!done.ok()) return unavailable(done.error(), "sealing a segment");
    last.size = last.end;
    rotating = true;
  }
  if (Status done = add_segment(next_index()); !done.ok()) return unavailable(done.error(), "a new segment");
  return {};
}

void Ledger::Impl::add_leaf(const Hash& leaf) {
  frontier.append(leaf, [this](int level, std::uint64_t, const Hash& hash) {
    if (level % 8 == 0) hashes.append(level / 8, hash);
  });
}

void Ledger::Impl::remember(const contract::EventId& id, std::string_view decision_id, std::uint64_t index) {
  recent.add(key_of(id), index);
  if (!decision_id.empty()) decisions.add(key_of(decision_id), index);
}

void Ledger::Impl::commit(const Staged& staged) {
  Segment& segment = segments.back();
  for (std::size_t i = 0; i < staged.events.size(); ++i) {
    const PreparedEvent& event = *staged.events[i];
    const std::uint64_t index = next_index();
    if (index % kAnchorEvery == 0) {
      anchors.push_back({static_cast<std::uint32_t>(segments.size() - 1), segment.end + staged.offsets[i]});
    }
    sequences.add(event.id, index);
    remember(event.id, event.decision_id, index);
    add_leaf(event.leaf);
  }
  segment.end += staged.bytes.size();
  segment.size = std::max(segment.size, segment.end);
  last_batch = last_batch ? *last_batch + 1 : 0;
}

TreeHead Ledger::head() const { return {impl_->frontier.size(), impl_->frontier.root()}; }
const NoteVerifier& Ledger::verifier() const { return impl_->verifier; }

Result<std::string> Ledger::checkpoint() { return impl_->make_checkpoint(); }

Result<std::string> Ledger::Impl::make_checkpoint() {
  const TreeHead head{frontier.size(), frontier.root()};
  if (!last_note.empty() && last_note_head == head) return last_note;
  if (persisted && (head.size < persisted->size || (head.size == persisted->size && head.root != persisted->root))) {
    return fail(ErrorKind::kDataLoss, "ledger_inconsistent", "this tree does not continue the one that was signed");
  }
  if (!persisted || *persisted != head) {
    Status done = hashes.sync();
    if (done.ok()) done = io::write_file_atomically(files, directory + "/head", encode_head(head));
    if (!done.ok()) return unavailable(done.error(), "the tree head");
    persisted = head;
  }
  const std::string text = checkpoint_text({verifier.name(), head});
  WARY_ASSIGN_OR_RETURN(const Bytes signature, sign(as_bytes(text)));
  if (!verifier.verify(text, signature)) {
    return fail(ErrorKind::kInternal, "note_signature", "the signer's signature does not verify with the log's key");
  }
  const std::string note = text + "\n" + signature_line(verifier, signature);
  if (Status done = io::write_file_atomically(files, directory + "/checkpoint", as_bytes(note)); !done.ok()) {
    return unavailable(done.error(), "the checkpoint");
  }
  last_note = note;
  last_note_head = head;
  return note;
}

}  // namespace wary::ledger
