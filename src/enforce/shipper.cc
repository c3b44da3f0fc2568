#include "enforce/shipper.h"

namespace wary::enforce {

namespace {

constexpr std::size_t kBatchEvents = 256;
constexpr std::size_t kBatchBytes = 256 * 1024;
constexpr std::uint64_t kOnTheWay = std::uint64_t{4} << 20;
// Events gather for a moment: waking the link's thread for each one costs more than deciding it did.
constexpr std::int64_t kGather = 5 * kNanosPerMilli;
constexpr std::int64_t kTick = 100 * kNanosPerMilli;
constexpr std::int64_t kResendAfter = 500 * kNanosPerMilli;
constexpr std::int64_t kStalledAfter = 800 * kNanosPerMilli;

}  // namespace

Shipper::Shipper(io::Loop& loop, std::vector<EventRing*> rings, Hooks hooks) : loop_(loop), hooks_(std::move(hooks)) {
  for (EventRing* ring : rings) lanes_.push_back({ring, ring->begin(), ring->begin(), 0});
  timer_ = loop_.after(kTick, [this] { tick(); });
}

Shipper::~Shipper() {
  loop_.cancel(timer_);
  loop_.cancel(soon_);
}

void Shipper::add(EventRing& ring) {
  lanes_.push_back({&ring, ring.begin(), ring.begin(), 0});
  ship();
}

void Shipper::remove(const EventRing& ring) {
  std::erase_if(lanes_, [&](const Lane& lane) { return lane.ring == &ring; });
}

void Shipper::wake() {
  // At most one task waits in the loop, however many events come meanwhile.
  if (woken_.exchange(true, std::memory_order_acq_rel)) return;
  loop_.post([this] {
    soon_ = loop_.after(kGather, [this] {
      // Before the rings are read: an event that comes meanwhile wakes again.
      woken_.store(false, std::memory_order_release);
      ship();
    });
  });
}

void Shipper::hurry() {
  if (hurried_.exchange(true, std::memory_order_acq_rel)) return;
  loop_.post([this] {
    hurried_.store(false, std::memory_order_release);
    ship();
  });
}

void Shipper::on_connected() {
  connected_ = true;
  stalled_since_ = 0;
  for (Lane& lane : lanes_) {
    lane.cursor = lane.sent = lane.ring->begin();
    lane.waiting_since = 0;
  }
  ship();
}

void Shipper::on_disconnected() {
  connected_ = false;
  stalled_since_ = 0;
}

void Shipper::ship() {
  if (!connected_) return;
  for (Lane& lane : lanes_) ship_lane(lane);
}

void Shipper::ship_lane(Lane& lane) {
  lane.is_held = true;
  while (lane.cursor - lane.ring->begin() < kOnTheWay) {
    link::EventBatch batch;
    batch.events.reserve(kBatchEvents);
    std::size_t bytes = 0;
    const std::uint64_t before = lane.cursor;
    lane.ring->read(lane.cursor, [&](const EventRing::Entry& entry) {
      const bool other_boot = !batch.events.empty() && batch.boot != entry.boot;
      if (other_boot || batch.events.size() >= kBatchEvents || bytes >= kBatchBytes) return false;
      if (batch.events.empty()) {
        batch.boot = entry.boot;
        batch.first_sequence = entry.sequence;
      }
      batch.events.emplace_back(entry.event.begin(), entry.event.end());
      bytes += entry.event.size();
      return true;
    });
    if (batch.events.empty()) {
      lane.is_held = false;
      return;
    }
    if (!hooks_.send(batch)) {
      lane.cursor = before;
      return;
    }
    lane.sent = lane.cursor;
    if (lane.waiting_since == 0) lane.waiting_since = loop_.now().nanos;
  }
}

void Shipper::on_receipt(const link::Receipt& receipt) {
  stalled_since_ = 0;
  for (Lane& lane : lanes_) {
    const std::uint64_t before = lane.ring->begin();
    lane.ring->release(receipt.boot, receipt.sequence);
    if (lane.ring->begin() == before) continue;
    const bool all = lane.ring->begin() >= lane.sent;
    lane.waiting_since = all ? 0 : loop_.now().nanos;
    if (lane.cursor < lane.ring->begin()) lane.cursor = lane.ring->begin();
  }
  hooks_.on_ledger(true);
  hooks_.on_durable(receipt);
  // What was recorded since gathers on: taken at each receipt it would go up one by one.
  for (Lane& lane : lanes_) {
    if (connected_ && lane.is_held) ship_lane(lane);
  }
}

void Shipper::tick() {
  timer_ = loop_.after(kTick, [this] { tick(); });
  if (!connected_) return;
  const std::int64_t now = loop_.now().nanos;
  bool waiting = false;
  for (Lane& lane : lanes_) {
    if (lane.waiting_since == 0 || now - lane.waiting_since < kResendAfter) continue;
    waiting = true;
    lane.cursor = lane.ring->begin();
    lane.waiting_since = now;
  }
  if (waiting && stalled_since_ == 0) stalled_since_ = now - kResendAfter;
  if (stalled_since_ != 0 && now - stalled_since_ >= kStalledAfter) hooks_.on_ledger(false);
  ship();
}

}  // namespace wary::enforce
