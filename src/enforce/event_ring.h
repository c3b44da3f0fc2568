// EventRing: where an enforcement point puts its events before it answers. The ring lies in mapped memory that outlives
// the process: a killed process loses none, and the next one ships what the last one left.
//
//   EventRing ring(memory, boot);
//   auto sequence = ring.append(bytes_of_event(ring.next_sequence()));   // nothing when the ring is full: deny
//   ring.read(cursor, 256, [&](const Entry& e) { ... });                 // the shipper
//   ring.release(boot, sequence);                                        // durable above
//
// One producer thread, one consumer thread; release() may be called by the consumer only. Layout: a header page with
// positions, then records of (u32 length, u32 check, u64 boot, u64 sequence, bytes), padded to eight; a record is
// visible once the write position says so, so that a killed producer leaves no half record. Limits: a record at most
// 65,535 bytes. A memory whose header or positions are not what a ring writes is refused (ring_corrupt) and never
// overwritten.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::enforce {

class EventRing {
 public:
  // `memory` (a power of two times 4 KiB, at least 64 KiB, outliving this) is a fresh ring when it starts with zeros.
  static Result<EventRing> open(std::span<std::uint8_t> memory, std::uint64_t boot);
  EventRing(EventRing&& other) noexcept;

  // Producer.
  std::uint64_t boot() const { return boot_; }
  std::uint64_t next_sequence() const { return next_sequence_; }
  std::optional<std::uint64_t> append(ByteView event);

  // Consumer. The cursor starts at begin(); read() moves it over what it hands out.
  struct Entry {
    std::uint64_t boot;
    std::uint64_t sequence;
    ByteView event;
  };
  std::uint64_t begin() const;
  // Hands out records until `take` answers false; that record will come first the next time.
  void read(std::uint64_t& cursor, const std::function<bool(const Entry&)>& take) const;
  // Frees every record up to this one. Of another boot than the oldest record's, or older than what is freed: nothing
  // happens; the receipt of what lies before it comes first.
  void release(std::uint64_t boot, std::uint64_t sequence);
  std::size_t used_bytes() const;
  std::size_t capacity() const { return capacity_; }

 private:
  struct Header;
  EventRing(std::span<std::uint8_t> memory, std::uint64_t boot);
  Header& header() const;
  // The record at a position, after skipping the unused end of the memory; nothing at the write position.
  std::optional<Entry> entry_at(std::uint64_t& position, std::uint64_t end, bool checks = true) const;
  Status check() const;

  std::span<std::uint8_t> memory_;
  std::size_t capacity_ = 0;
  std::uint64_t boot_ = 0;
  std::uint64_t next_sequence_ = 1;
};

}  // namespace wary::enforce
