// Shipper: takes events from the rings to the control plane and frees them when their receipts come. One for all rings
// of a process, on the link's thread.
//
//   Shipper shipper(loop, rings, [&](const link::EventBatch& batch) { return subscriber.send_events(batch); }, hooks);
//   point.on_recorded = [&] { shipper.wake(); };           // any thread; ships within 5 ms, together with what follows
//   point.on_awaited = [&] { shipper.hurry(); };           // any thread; somebody waits for this event's receipt
//   shipper.on_connected();  shipper.on_receipt(receipt);  // the link's thread
//
// What was sent and not acknowledged within half a second is sent again: the ledger stores an event once however often
// it comes. When that goes on for a second while the link is up, the ledger counts as unavailable until a receipt
// comes. Thread rule: the loop's, but for wake() and hurry(). Limits: 256 events or 256 KiB a batch, 4 MiB on the way
// for each ring.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "enforce/event_ring.h"
#include "io/loop.h"
#include "link/update.h"

namespace wary::enforce {

class Shipper {
 public:
  struct Hooks {
    std::function<Status(const link::EventBatch&)> send;
    std::function<void(const link::Receipt&)> on_durable;  // after the ring was freed
    std::function<void(bool available)> on_ledger;         // what receipts, or their absence, say
  };
  Shipper(io::Loop& loop, std::vector<EventRing*> rings, Hooks hooks);
  ~Shipper();

  // A ring that another process left, and one that has nothing any more. The loop's thread.
  void add(EventRing& ring);
  void remove(const EventRing& ring);

  void wake();
  void hurry();
  void on_connected();
  void on_disconnected();
  void on_receipt(const link::Receipt& receipt);

 private:
  struct Lane {
    EventRing* ring;
    std::uint64_t cursor = 0;
    std::uint64_t sent = 0;          // ring position of what was sent last
    std::int64_t waiting_since = 0;  // 0: nothing is on its way
    bool is_held = false;            // there was more than could be on its way
  };
  void ship();
  void ship_lane(Lane& lane);
  void tick();

  io::Loop& loop_;
  Hooks hooks_;
  std::vector<Lane> lanes_;
  std::atomic<bool> woken_{false};
  std::atomic<bool> hurried_{false};
  io::TimerId soon_ = 0;
  bool connected_ = false;
  std::int64_t stalled_since_ = 0;
  io::TimerId timer_ = 0;
};

}  // namespace wary::enforce
