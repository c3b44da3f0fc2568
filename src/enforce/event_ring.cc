#include "enforce/event_ring.h"

#include <cstring>

#include "base/limits.h"

namespace wary::enforce {

namespace {

constexpr std::uint64_t kMagic = 0x5741525952494e31;  // "WARYRIN1"
constexpr std::size_t kHeaderBytes = 4096;
constexpr std::size_t kRecordHeader = 24;
constexpr std::uint32_t kSkip = 0xffffffff;  // in place of a length: go on at the start of the memory
constexpr std::size_t kBytesMin = 64 * 1024;

std::size_t padded(std::size_t size) { return (size + 7) / 8 * 8; }

// FNV-1a: tells a record of ours from what a broken disk gives back; tampering is the ledger's business.
std::uint32_t check_of(std::uint64_t boot, std::uint64_t sequence, ByteView event) {
  std::uint32_t hash = 2166136261U;
  const auto mix = [&](std::uint8_t byte) { hash = (hash ^ byte) * 16777619U; };
  for (int i = 0; i < 8; ++i) mix(static_cast<std::uint8_t>(boot >> (8 * i)));
  for (int i = 0; i < 8; ++i) mix(static_cast<std::uint8_t>(sequence >> (8 * i)));
  // The ends and the length are enough to know a torn record, and cost the same for every size.
  const std::size_t sampled = std::min<std::size_t>(event.size(), 32);
  for (std::size_t i = 0; i < sampled; ++i) mix(event[i]);
  for (std::size_t i = event.size() - sampled; i < event.size(); ++i) mix(event[i]);
  mix(static_cast<std::uint8_t>(event.size()));
  mix(static_cast<std::uint8_t>(event.size() >> 8));
  return hash;
}

}  // namespace

struct EventRing::Header {
  std::uint64_t magic;
  std::uint64_t capacity;
  // Positions count bytes since the ring was made and never wrap; modulo capacity they are places.
  std::atomic<std::uint64_t> write;
  std::atomic<std::uint64_t> read;
};

EventRing::EventRing(std::span<std::uint8_t> memory, std::uint64_t boot)
    : memory_(memory), capacity_(memory.size() - kHeaderBytes), boot_(boot) {}

EventRing::EventRing(EventRing&& other) noexcept = default;

EventRing::Header& EventRing::header() const { return *reinterpret_cast<Header*>(memory_.data()); }

Result<EventRing> EventRing::open(std::span<std::uint8_t> memory, std::uint64_t boot) {
  WARY_CHECK(memory.size() >= kBytesMin && memory.size() % kHeaderBytes == 0);
  EventRing ring(memory, boot);
  Header& header = ring.header();
  if (header.magic == 0) {
    header.capacity = ring.capacity_;
    header.write.store(0);
    header.read.store(0);
    header.magic = kMagic;
  }
  WARY_RETURN_IF_ERROR(ring.check());
  return ring;
}

Status EventRing::check() const {
  const Header& header = this->header();
  const std::uint64_t write = header.write.load(std::memory_order_acquire);
  std::uint64_t position = header.read.load(std::memory_order_acquire);
  const auto corrupt = [&](std::string_view what) {
    return fail(ErrorKind::kDataLoss, "ring_corrupt", what)
        .at("position " + std::to_string(position))
        .next("move the ring file away and start again; what it held is lost and will show as a gap");
  };
  if (header.magic != kMagic || header.capacity != capacity_) return corrupt("this is not an event ring of this size");
  if (position > write || write - position > capacity_ || position % 8 != 0 || write % 8 != 0) {
    return corrupt("the ring's positions are impossible");
  }
  while (position != write) {
    if (!entry_at(position, write)) return corrupt("a record of the ring is damaged");
  }
  return {};
}

std::optional<std::uint64_t> EventRing::append(ByteView event) {
  if (event.size() > limits::kLedgerEntryBytes) return std::nullopt;
  Header& header = this->header();
  std::uint64_t write = header.write.load(std::memory_order_relaxed);
  const std::uint64_t read = header.read.load(std::memory_order_acquire);
  const std::size_t need = padded(kRecordHeader + event.size());
  const std::size_t place = write % capacity_;
  const std::size_t to_end = capacity_ - place;
  const std::size_t skip = to_end < need ? to_end : 0;
  if (write + skip + need - read > capacity_) return std::nullopt;
  std::uint8_t* base = memory_.data() + kHeaderBytes;
  if (skip != 0) {
    std::memcpy(base + place, &kSkip, sizeof kSkip);
    write += skip;
  }
  std::uint8_t* at = base + write % capacity_;
  const auto length = static_cast<std::uint32_t>(event.size());
  const std::uint64_t sequence = next_sequence_;
  const std::uint32_t check = check_of(boot_, sequence, event);
  std::memcpy(at, &length, 4);
  std::memcpy(at + 4, &check, 4);
  std::memcpy(at + 8, &boot_, 8);
  std::memcpy(at + 16, &sequence, 8);
  if (!event.empty()) std::memcpy(at + kRecordHeader, event.data(), event.size());
  header.write.store(write + need, std::memory_order_release);
  ++next_sequence_;
  return sequence;
}

std::uint64_t EventRing::begin() const { return header().read.load(std::memory_order_acquire); }

std::optional<EventRing::Entry> EventRing::entry_at(std::uint64_t& position, std::uint64_t end, bool checks) const {
  const std::uint8_t* base = memory_.data() + kHeaderBytes;
  std::uint32_t length = 0;
  std::memcpy(&length, base + position % capacity_, 4);
  if (length == kSkip) {
    position += capacity_ - position % capacity_;
    if (position >= end) return std::nullopt;
    std::memcpy(&length, base, 4);
  }
  const std::size_t place = position % capacity_;
  const std::size_t size = padded(kRecordHeader + std::size_t{length});
  if (length > limits::kLedgerEntryBytes || place + size > capacity_ || position + size > end) return std::nullopt;
  const std::uint8_t* at = base + place;
  std::uint32_t check = 0;
  Entry entry{};
  std::memcpy(&check, at + 4, 4);
  std::memcpy(&entry.boot, at + 8, 8);
  std::memcpy(&entry.sequence, at + 16, 8);
  entry.event = {at + kRecordHeader, length};
  if (checks && check != check_of(entry.boot, entry.sequence, entry.event)) return std::nullopt;
  position += size;
  return entry;
}

void EventRing::read(std::uint64_t& cursor, const std::function<bool(const Entry&)>& take) const {
  const std::uint64_t end = header().write.load(std::memory_order_acquire);
  while (cursor != end) {
    std::uint64_t next = cursor;
    const auto entry = entry_at(next, end);
    WARY_CHECK(entry.has_value());  // checked at open; since then only append() wrote here
    if (!take(*entry)) return;
    cursor = next;
  }
}

void EventRing::release(std::uint64_t boot, std::uint64_t sequence) {
  Header& header = this->header();
  const std::uint64_t end = header.write.load(std::memory_order_acquire);
  std::uint64_t position = header.read.load(std::memory_order_relaxed);
  // From the front, and of that boot alone: records of an earlier boot that still lie before it have no receipt yet.
  bool found = false;
  while (position != end) {
    std::uint64_t next = position;
    const auto entry = entry_at(next, end, false);  // it was read, and a receipt came for it
    WARY_CHECK(entry.has_value());
    if (entry->boot != boot || entry->sequence > sequence) break;
    position = next;
    found = true;
  }
  if (found) header.read.store(position, std::memory_order_release);
}

std::size_t EventRing::used_bytes() const {
  return static_cast<std::size_t>(header().write.load(std::memory_order_relaxed) -
                                  header().read.load(std::memory_order_relaxed));
}

}  // namespace wary::enforce
