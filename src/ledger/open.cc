// Opening: what stands on the disk after any crash becomes the state again, or is refused with the place that is wrong.
#include <algorithm>

#include "ledger/ledger_impl.h"

namespace wary::ledger {

namespace {

constexpr std::string_view kHeadMagic{"WLHD\x01", 5};
constexpr std::size_t kHeadSize = 5 + 8 + 32 + 4;
constexpr std::string_view kHead = "/head";
constexpr std::string_view kNote = "/checkpoint";

Error truncated(std::uint64_t promised, std::uint64_t found, std::string place) {
  return fail(ErrorKind::kDataLoss, "ledger_truncated", "the log is shorter than its last checkpoint")
      .at(std::move(place))
      .expected(std::to_string(promised) + " entries")
      .found(std::to_string(found))
      .next("restore the missing segments; nothing is appended to a log that lost entries");
}

}  // namespace

Error unavailable(const Error& cause, std::string_view what) {
  Error error = fail(ErrorKind::kUnavailable, "ledger_unavailable", std::string(what) + ": " + cause.message);
  error.where = cause.where;
  error.found_text = cause.code;
  error.next_step = cause.code == "file_no_space"
                        ? kFreeSpace
                        : "nothing was acknowledged; it works again by itself once the disk does";
  return error;
}

Error corrupt(std::string_view what, std::string place) {
  return fail(ErrorKind::kDataLoss, "ledger_corrupt", what)
      .at(std::move(place))
      .next("restore that file from a copy; the other entries are readable with `check` and `export`");
}

Bytes encode_head(const TreeHead& head) {
  Bytes bytes = to_bytes(kHeadMagic);
  append_big_endian(bytes, head.size);
  append(bytes, head.root);
  append_big_endian(bytes, crc32c(0, bytes));
  return bytes;
}

Result<TreeHead> decode_head(ByteView bytes) {
  if (bytes.size() != kHeadSize || !as_text(bytes).starts_with(kHeadMagic) ||
      read_big_endian<std::uint32_t>(bytes.data() + kHeadSize - 4) != crc32c(0, bytes.first(kHeadSize - 4))) {
    return corrupt("the persisted tree head is damaged", "");
  }
  TreeHead head;
  head.size = read_big_endian<std::uint64_t>(bytes.data() + 5);
  std::ranges::copy(bytes.subspan(13, 32), head.root.begin());
  return head;
}

Ledger::Impl::Impl(io::Files& files_in, std::string directory_in, Clock& clock_in, SignCheckpoint sign_in,
                   LedgerOptions options_in, NoteVerifier verifier_in)
    : files(files_in),
      directory(std::move(directory_in)),
      clock(clock_in),
      sign(std::move(sign_in)),
      options(std::move(options_in)),
      verifier(std::move(verifier_in)),
      origin_hash(crypto::sha256(as_bytes(verifier.name()))),
      hashes(files, directory + "/tree"),
      sequences(options.streams_max, options.sequence_window),
      recent(options.recent_max),
      decisions(options.decisions_max) {}

Ledger::Ledger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ledger::~Ledger() = default;

Result<std::unique_ptr<Ledger>> Ledger::open(io::Files& files, std::string directory, Clock& clock, SignCheckpoint sign,
                                             LedgerOptions options) {
  WARY_ASSIGN_OR_RETURN(NoteVerifier verifier, NoteVerifier::parse(options.vkey));
  if (options.segment_bytes < 4096 || options.segment_bytes > kSegmentMax - kBatchBytesMax) {
    return fail(ErrorKind::kInvalid, "ledger_range", "a segment has 4 KiB to 192 MiB");
  }
  auto impl = std::make_unique<Impl>(files, std::move(directory), clock, std::move(sign), std::move(options),
                                     std::move(verifier));
  WARY_RETURN_IF_ERROR(impl->recover());
  return std::unique_ptr<Ledger>(std::make_unique<Ledger>(std::move(impl)));
}

Status Ledger::Impl::recover() {
  const auto prepare = [&]() -> Status {
    WARY_RETURN_IF_ERROR(files.make_directory(directory));
    WARY_RETURN_IF_ERROR(files.make_directory(directory + "/segments"));
    WARY_RETURN_IF_ERROR(files.make_directory(directory + "/tree"));
    WARY_ASSIGN_OR_RETURN(lock, files.open(directory + "/lock", io::OpenMode::kCreate));
    const std::size_t slash = directory.rfind('/');
    if (slash != std::string::npos && slash > 0) WARY_RETURN_IF_ERROR(files.sync_directory(directory.substr(0, slash)));
    return files.sync_directory(directory);
  };
  if (Status done = prepare(); !done.ok()) return unavailable(done.error(), "the ledger's directory");
  if (Status done = lock->lock(); !done.ok()) {
    return fail(ErrorKind::kConflict, "ledger_locked", "another process has this ledger open").at(directory);
  }
  WARY_RETURN_IF_ERROR(read_head());
  WARY_RETURN_IF_ERROR(begin_hashes());
  WARY_RETURN_IF_ERROR(open_segments());
  if (hashed_from == 0 && persisted && persisted->size > 0) {
    if (Status done = hashes.sync(); !done.ok()) return unavailable(done.error(), "the rebuilt hashes");
  }
  return {};
}

Status Ledger::Impl::read_head() {
  const auto bytes = io::read_file(files, directory + std::string(kHead), 4096);
  if (bytes.ok()) {
    auto head = decode_head(*bytes);
    if (!head.ok()) return std::move(head.error()).at(directory + std::string(kHead));
    persisted = *head;
  } else if (bytes.error().code != "file_not_found") {
    return unavailable(bytes.error(), "the tree head");
  }
  const auto note = io::read_file(files, directory + std::string(kNote), 64 * 1024);
  if (!note.ok()) {
    if (note.error().code != "file_not_found") return unavailable(note.error(), "the checkpoint");
    return {};
  }
  auto checkpoint = verify_checkpoint(as_text(*note), verifier);
  if (!checkpoint.ok()) return std::move(checkpoint.error()).at(directory + std::string(kNote));
  // The head is persisted before it is signed: a checkpoint ahead of it means that the head was put back.
  if (!persisted || persisted->size < checkpoint->head.size) {
    return truncated(checkpoint->head.size, persisted ? persisted->size : 0, directory + std::string(kHead));
  }
  if (persisted->size == checkpoint->head.size) {
    if (persisted->root != checkpoint->head.root) {
      return fail(ErrorKind::kDataLoss, "ledger_inconsistent", "the checkpoint and the tree head differ").at(directory);
    }
    last_note.assign(as_text(*note));
    last_note_head = checkpoint->head;
  }
  return {};
}

// Takes the hashes up to the persisted head as they are if they give its root; rebuilds all of them otherwise.
Status Ledger::Impl::begin_hashes() {
  const std::uint64_t size = persisted ? persisted->size : 0;
  const auto complete = hashes.open(size);
  if (!complete.ok()) return unavailable(complete.error(), "the tree's hashes");
  if (*complete) {
    std::vector<Hash> nodes;
    bool readable = true;
    for (const Node node : complete_subtrees(size)) {
      const auto hash = hashes.node(node);
      readable = readable && hash.ok();
      if (hash.ok()) nodes.push_back(*hash);
    }
    if (readable) {
      Frontier taken(size, std::move(nodes));
      if (!persisted || taken.root() == persisted->root) {
        frontier = std::move(taken);
        hashed_from = size;
        return {};
      }
    }
  }
  hashed_from = 0;
  if (Status done = hashes.clear(); !done.ok()) return unavailable(done.error(), "the tree's hashes");
  return {};
}

Status Ledger::Impl::open_segments() {
  Bytes content;  // of the segment loaded last
  const auto names = files.list(directory + "/segments");
  if (!names.ok()) return unavailable(names.error(), "the segments");
  for (std::size_t i = 0; i < names->size(); ++i) {
    const std::string path = directory + "/segments/" + (*names)[i];
    const auto start = segment_index_of((*names)[i]);
    if (!start) return corrupt("a file that is no segment lies among them", path);
    if (*start != loaded) return corrupt("a segment is missing before this one", path);
    WARY_RETURN_IF_ERROR(load_segment(*start, i + 1 == names->size(), content));
  }
  const std::uint64_t promised = persisted ? persisted->size : 0;
  if (loaded < promised) return truncated(promised, loaded, directory + "/segments");
  WARY_CHECK(frontier.size() == loaded);
  // Nothing is written before all of it was found good: what is refused can still be restored.
  if (!segments.empty()) return rotating ? Status() : settle_last(content);
  if (Status done = add_segment(loaded); !done.ok()) return unavailable(done.error(), "the first segment");
  return {};
}

Status Ledger::Impl::load_segment(std::uint64_t first_index, bool is_last, Bytes& content) {
  Segment segment;
  segment.first_index = first_index;
  const std::string path = segment_path(segment);
  auto file = io::read_file(files, path, kSegmentMax);
  if (!file.ok()) return unavailable(file.error(), "a segment");
  const auto status = files.status(path);
  if (!status.ok()) return unavailable(status.error(), "a segment");
  segment.identity = status->identity;
  segment.size = status->size;
  std::uint64_t end = file->size();
  if (is_last) {
    SegmentEnd found = find_segment_end(*file, identity_of(segment), last_batch);
    if (found.damage) {
      return corrupt("an entry before the last batch is damaged: " + found.damage->message,
                     path + ", " + found.damage->where);
    }
    if (!is_segment_header(*file, identity_of(segment))) return drop_unborn_segment(path);
    end = found.offset;
  } else if (!is_segment_header(*file, identity_of(segment))) {
    return corrupt("a segment's header is damaged", path + ", offset 0");
  }
  segments.push_back(segment);
  WARY_RETURN_IF_ERROR(load_records(*file, end));
  content = std::move(*file);
  return {};
}

// A power cut while the segment was made: it never had an entry.
Status Ledger::Impl::drop_unborn_segment(const std::string& path) {
  Status done = files.remove(path);
  if (done.ok()) done = files.sync_directory(directory + "/segments");
  if (!done.ok()) return unavailable(done.error(), "an unfinished segment");
  rotating = !segments.empty();  // the one before is sealed: the next entry makes a new one
  return {};
}

// Every record up to `end` of the last of `segments`.
Status Ledger::Impl::load_records(ByteView file, std::uint64_t end) {
  Segment& segment = segments.back();
  const std::string path = segment_path(segment);
  std::uint64_t at = kSegmentHeaderSize;
  unsettled_from = kSegmentHeaderSize;
  while (at < end) {
    const auto record = parse_record(file.subspan(at, end - at), identity_of(segment), loaded, at);
    if (!record.ok()) return corrupt(record.error().message, path + ", " + record.error().where);
    if (!record->has_value())
      return corrupt("a sealed segment has bytes after its entries", path + ", offset " + std::to_string(at));
    const auto event = contract::decode_event((*record)->entry);
    if (!event.ok())
      return corrupt("an entry is no event: " + event.error().message, path + ", offset " + std::to_string(at));
    if (loaded % kAnchorEvery == 0) anchors.push_back({static_cast<std::uint32_t>(segments.size() - 1), at});
    sequences.add(event->id, loaded);
    remember(event->id, event->decision_id, loaded);
    if (loaded >= hashed_from) add_leaf(leaf_hash((*record)->entry));
    last_batch = (*record)->batch;
    at += kRecordHeaderSize + (*record)->entry.size();
    ++loaded;
    if (persisted && loaded == persisted->size) {
      unsettled_from = at;
      if (frontier.size() == loaded && frontier.root() != persisted->root) {
        return fail(ErrorKind::kDataLoss, "ledger_inconsistent", "the entries are not those of the last checkpoint")
            .at(path)
            .next("somebody rewrote entries; compare with an export or a witness");
      }
    }
  }
  if (persisted && loaded < persisted->size) unsettled_from = at;
  segment.end = at;
  return {};
}

// What the page cache shows since the last checkpoint may not be on the disk: the process that wrote it may have died
// on a failed sync. Written again and synced, it is.
Status Ledger::Impl::settle_last(ByteView file) {
  Segment& segment = segments.back();
  const auto settle = [&]() -> Status {
    WARY_ASSIGN_OR_RETURN(current, files.open(segment_path(segment), io::OpenMode::kReadWrite));
    const std::uint64_t from = unsettled_from == kSegmentHeaderSize ? 0 : unsettled_from;
    WARY_RETURN_IF_ERROR(current->truncate(segment.end));
    if (segment.end > from) WARY_RETURN_IF_ERROR(current->write_at(from, file.subspan(from, segment.end - from)));
    WARY_RETURN_IF_ERROR(current->sync());
    WARY_RETURN_IF_ERROR(files.sync_directory(directory + "/segments"));
    return reserve_current();
  };
  if (Status done = settle(); !done.ok()) return unavailable(done.error(), "the last segment");
  return {};
}

// Room for what is to come, if there is any: without it appending goes on and meets the full disk later.
Status Ledger::Impl::reserve_current() {
  Segment& segment = segments.back();
  (void)current->reserve(options.segment_bytes);
  WARY_RETURN_IF_ERROR(current->sync());
  WARY_ASSIGN_OR_RETURN(const io::FileStatus status, current->status());
  segment.size = status.size;
  segment.identity = status.identity;
  return {};
}

// The whole segment, or on a small disk what there is room for, but no less than a few batches.
Status Ledger::Impl::reserve_some(io::File& file) {
  constexpr std::uint64_t kLeast = std::uint64_t{1} << 20;
  std::uint64_t size = options.segment_bytes;
  for (;;) {
    Status done = file.reserve(size);
    if (done.ok() || done.error().code != "file_no_space" || size / 2 < kLeast) return done;
    size /= 2;
  }
}

Status Ledger::Impl::add_segment(std::uint64_t first_index) {
  Segment segment;
  segment.first_index = first_index;
  const std::string path = segment_path(segment);
  std::unique_ptr<io::File> file;
  const auto make = [&]() -> Status {
    WARY_ASSIGN_OR_RETURN(file, files.open(path, io::OpenMode::kCreate));
    WARY_RETURN_IF_ERROR(file->truncate(0));
    WARY_RETURN_IF_ERROR(file->write_at(0, make_segment_header(identity_of(segment))));
    WARY_RETURN_IF_ERROR(reserve_some(*file));
    WARY_RETURN_IF_ERROR(file->sync());
    WARY_RETURN_IF_ERROR(files.sync_directory(directory + "/segments"));
    WARY_ASSIGN_OR_RETURN(const io::FileStatus status, file->status());
    segment.size = status.size;
    segment.identity = status.identity;
    return {};
  };
  Status done = make();
  if (!done.ok()) {
    (void)files.remove(path);  // gives its space back; one that stays is emptied by the next attempt
    return done;
  }
  segments.push_back(segment);
  current = std::move(file);
  rotating = false;
  return {};
}

}  // namespace wary::ledger
