// Segments: the files that hold the ledger's entries. The format is specified in FORMAT.md beside this file.
//
//   Bytes file = make_segment_header({origin_hash, first_index});
//   append_record(file, {...}, entry);
//   SegmentReader reader(file, {origin_hash, first_index});  Record record;
//   while (*reader.next(record)) use(record.entry);
//
// Functions and values; any thread. Limits: 65,535 bytes an entry, 256 MiB a segment. Error: segment_damaged with the
// offset.
#pragma once

#include <optional>

#include "ledger/merkle.h"

namespace wary::ledger {

constexpr std::size_t kSegmentHeaderSize = 36;
constexpr std::size_t kRecordHeaderSize = 20;
constexpr std::size_t kSegmentMax = std::size_t{256} << 20;

// Which log and which entry a segment begins with; every record's checksum covers it, so that no record of another file
// or place is taken for one of this.
struct SegmentIdentity {
  Hash origin_hash{};  // SHA-256 of the origin; its first 16 bytes are stored
  std::uint64_t first_index = 0;
};

struct Record {
  std::uint64_t index = 0;
  std::uint32_t batch = 0;      // one more than that of the batch before; wraps
  std::uint32_t remaining = 0;  // records of the batch that follow
  ByteView entry;
  std::uint64_t offset = 0;  // of the record in its file
};

Bytes make_segment_header(const SegmentIdentity& identity);
bool is_segment_header(ByteView bytes, const SegmentIdentity& identity);
void append_record(Bytes& out, const SegmentIdentity& identity, const Record& record);

// The record at the start of `bytes`, which lie at `offset` of the file. Nothing where the entries end (zeros, or no
// bytes); segment_damaged for anything that was not written so.
Result<std::optional<Record>> parse_record(ByteView bytes, const SegmentIdentity& identity, std::uint64_t index,
                                           std::uint64_t offset);

// How the last segment ends after a crash.
struct SegmentEnd {
  std::uint64_t offset = 0;  // after the last complete batch
  std::uint64_t next_index = 0;
  std::optional<std::uint32_t> last_batch;
  // Set when a batch before the last written one is damaged: what was acknowledged is lost, and truncating would hide
  // it.
  std::optional<Error> damage;
};
// `batch_before` is the last batch of the segment before.
SegmentEnd find_segment_end(ByteView file, const SegmentIdentity& identity, std::optional<std::uint32_t> batch_before);

std::string segment_name(std::uint64_t first_index);  // 20 digits and ".seg"
std::optional<std::uint64_t> segment_index_of(std::string_view name);

std::uint32_t crc32c(std::uint32_t crc, ByteView bytes);  // Castagnoli, RFC 3720 appendix B.4; start with 0

}  // namespace wary::ledger
