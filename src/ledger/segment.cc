#include "ledger/segment.h"

#include <algorithm>

#include "base/limits.h"

namespace wary::ledger {

namespace {

constexpr std::string_view kMagic = "WSEG";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kOriginBytes = 16;
constexpr std::string_view kSuffix = ".seg";

ByteView salt_of(const SegmentIdentity& identity) { return ByteView(identity.origin_hash).first(kOriginBytes); }

// Over origin, the whole index, the rest of the header, and the entry.
std::uint32_t checksum(const SegmentIdentity& identity, const Record& record) {
  Bytes head;
  head.reserve(48);
  append(head, salt_of(identity));
  append_big_endian(head, record.index);
  append_big_endian(head, static_cast<std::uint32_t>(record.entry.size()));
  append_big_endian(head, record.batch);
  append_big_endian(head, record.remaining);
  return crc32c(crc32c(0, head), record.entry);
}

Error damaged(std::uint64_t offset, std::uint64_t index, std::string_view what) {
  return fail(ErrorKind::kDataLoss, "segment_damaged", what)
      .at("offset " + std::to_string(offset) + ", entry " + std::to_string(index));
}

bool is_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

bool is_later(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) > 0; }

// Whether a good record lies somewhere in `bytes` that is of an entry after `index` and of a batch after `torn` (of any
// batch, if there is none).
bool has_later_batch(ByteView bytes, const SegmentIdentity& identity, std::uint64_t index,
                     std::optional<std::uint32_t> torn) {
  constexpr std::uint64_t kFarthest = 1U << 24;
  for (std::size_t at = 0; at + kRecordHeaderSize <= bytes.size(); ++at) {
    const std::uint32_t size = read_big_endian<std::uint32_t>(bytes.data() + at);
    if (size == 0 || size > limits::kLedgerEntryBytes || size > bytes.size() - at - kRecordHeaderSize) continue;
    const std::uint32_t low = read_big_endian<std::uint32_t>(bytes.data() + at + 4);
    const std::uint64_t ahead = static_cast<std::uint32_t>(low - static_cast<std::uint32_t>(index));
    if (ahead == 0 || ahead > kFarthest) continue;
    const auto record = parse_record(bytes.subspan(at), identity, index + ahead, at);
    if (!record.ok() || !record->has_value()) continue;
    if (!torn || is_later((*record)->batch, *torn)) return true;
    at += kRecordHeaderSize + size - 1;
  }
  return false;
}

}  // namespace

Bytes make_segment_header(const SegmentIdentity& identity) {
  Bytes header = to_bytes(kMagic);
  append_big_endian(header, kVersion);
  append_big_endian(header, identity.first_index);
  append(header, salt_of(identity));
  append_big_endian(header, crc32c(0, header));
  return header;
}

bool is_segment_header(ByteView bytes, const SegmentIdentity& identity) {
  return bytes.size() >= kSegmentHeaderSize &&
         std::ranges::equal(bytes.first(kSegmentHeaderSize), make_segment_header(identity));
}

void append_record(Bytes& out, const SegmentIdentity& identity, const Record& record) {
  WARY_CHECK(!record.entry.empty() && record.entry.size() <= limits::kLedgerEntryBytes);
  append_big_endian(out, static_cast<std::uint32_t>(record.entry.size()));
  append_big_endian(out, static_cast<std::uint32_t>(record.index));
  append_big_endian(out, record.batch);
  append_big_endian(out, record.remaining);
  append_big_endian(out, checksum(identity, record));
  append(out, record.entry);
}

Result<std::optional<Record>> parse_record(ByteView bytes, const SegmentIdentity& identity, std::uint64_t index,
                                           std::uint64_t offset) {
  if (bytes.empty()) return std::optional<Record>();
  if (bytes.size() < kRecordHeaderSize) {
    if (is_zero(bytes)) return std::optional<Record>();
    return damaged(offset, index, "a record is cut");
  }
  const std::uint32_t size = read_big_endian<std::uint32_t>(bytes.data());
  if (size == 0 && is_zero(bytes.first(kRecordHeaderSize))) return std::optional<Record>();
  if (size == 0 || size > limits::kLedgerEntryBytes) return damaged(offset, index, "a record's length is impossible");
  if (size > bytes.size() - kRecordHeaderSize) return damaged(offset, index, "a record is cut");
  Record record;
  record.index = index;
  record.batch = read_big_endian<std::uint32_t>(bytes.data() + 8);
  record.remaining = read_big_endian<std::uint32_t>(bytes.data() + 12);
  record.entry = bytes.subspan(kRecordHeaderSize, size);
  record.offset = offset;
  if (read_big_endian<std::uint32_t>(bytes.data() + 4) != static_cast<std::uint32_t>(index) ||
      read_big_endian<std::uint32_t>(bytes.data() + 16) != checksum(identity, record)) {
    return damaged(offset, index, "a record's checksum is wrong");
  }
  return std::optional<Record>(record);
}

SegmentEnd find_segment_end(ByteView file, const SegmentIdentity& identity, std::optional<std::uint32_t> batch_before) {
  SegmentEnd end{kSegmentHeaderSize, identity.first_index, batch_before, std::nullopt};
  std::size_t at = std::min(kSegmentHeaderSize, file.size());
  std::uint64_t index = identity.first_index;
  std::optional<Error> error;
  if (!is_segment_header(file, identity)) {
    error = damaged(0, index, "the segment's header is wrong");
    at = 0;
  }
  std::uint32_t remaining = 0;
  std::uint32_t batch = batch_before.value_or(0);
  while (!error) {
    const auto record = parse_record(file.subspan(at), identity, index, at);
    if (!record.ok()) {
      error = record.error();
    } else if (!record->has_value()) {
      if (is_zero(file.subspan(at)) && remaining == 0) return end;
      error = damaged(at, index, "bytes lie after the end of the entries, or a batch is not complete");
    } else {
      batch = (*record)->batch;
      remaining = (*record)->remaining;
      at += kRecordHeaderSize + (*record)->entry.size();
      ++index;
      if (remaining == 0) {
        end.offset = at;
        end.next_index = index;
        end.last_batch = batch;
      }
    }
  }
  // A power cut may tear the last batch, which nobody was told of. A batch that a later one follows was durable.
  // The header was durable before any record was written: damaged above a record, it is not torn.
  const bool in_header = at == 0;
  const std::uint32_t torn = remaining > 0 || !end.last_batch ? batch : *end.last_batch + 1;
  const bool was_durable = in_header ? has_later_batch(file, identity, index - 1, std::nullopt)
                                     : has_later_batch(file.subspan(at), identity, index, torn);
  if (was_durable) end.damage = std::move(error);
  return end;
}

std::string segment_name(std::uint64_t first_index) {
  const std::string digits = std::to_string(first_index);
  return std::string(20 - digits.size(), '0') + digits + std::string(kSuffix);
}

std::optional<std::uint64_t> segment_index_of(std::string_view name) {
  if (name.size() != 20 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : name.substr(0, 20)) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value)) return std::nullopt;
  }
  return value;
}

}  // namespace wary::ledger
