// SimWorld: time and network in memory, for tests that must give the same answer from the same seed.
//
//   SimWorld world(seed);
//   auto server = world.make_loop();
//   auto client = world.make_loop();
//   server->listen(Address::tcp("127.0.0.1", 80), {}, accept);
//   world.run_for(5 * kNanosPerSecond);   // turns every loop; time jumps to the next timer or arrival
//
// Bytes arrive after a seeded latency, in order, in seeded pieces; each direction holds at most 64 KiB before the
// writer meets kWouldBlock. Faults: break_streams_after cuts one connection after so many bytes in all; hold_connects
// keeps whoever connects waiting, for as long as they have time.
// Single-threaded: post() too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "io/loop.h"

namespace wary::io {

class SimWorld {
 public:
  explicit SimWorld(std::uint64_t seed);
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  Clock& clock();
  void jump_wall_clock(std::int64_t nanos);  // backwards too; monotonic time is untouched
  std::unique_ptr<Loop> make_loop();
  void run_for(std::int64_t nanos);
  // The stream that carries the byte after so many more fails at both ends, once.
  void break_streams_after(std::uint64_t bytes);
  // Whether a reset takes back what was written before it and not read yet, as it may. Otherwise all of that arrives
  // first, as it does on one machine.
  void let_resets_overtake(bool overtake);
  // Whoever connects from now on comes from this address; "127.0.0.1" before.
  void come_from(std::string host);
  // Whoever connects from now on hears nothing until this is over, or until their time is (connect_timeout).
  void hold_connects(bool holds);
  std::size_t held_connects() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::io
