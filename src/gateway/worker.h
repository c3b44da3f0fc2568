// Worker: one thread of the edge: a loop, a listener on the shared port, its connections and its idle upstreams.
// Nothing on a request's path is shared with another thread but immutable values.
//
// The link's thread talks to it by post(): a new site, a new snapshot with what changed, receipts. Thread rule: its
// loop's, but for the post_* functions. Limits: 16,384 connections, 64 idle upstream connections an app.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "crypto/tls.h"
#include "enforce/live_sessions.h"
#include "enforce/point.h"
#include "gateway/site.h"
#include "io/loop.h"

namespace wary::gateway {

class Connection;

struct WorkerOptions {
  io::Address listen;
  std::string console_origin;  // "https://console.localhost:7443": where sign-in happens
  std::size_t connections_max = 16'384;
  // So many sessions whose facts changed are decided again, or are buried, before others have their turn.
  std::size_t slice_sessions = 64;
};

// Asks the control plane to redeem a one-time code; the answer comes on the worker's thread.
struct Redeemed {
  std::string token;
};
using Redeem = std::function<void(const std::string& code, const std::string& host, const std::string& state_hash,
                                  std::function<void(Result<Redeemed>)> done)>;

class Worker {
 public:
  Worker(io::Loop& loop, Clock& clock, Random& random, enforce::Shared& shared, enforce::EventRing& ring,
         enforce::PointOptions point, WorkerOptions options, Redeem redeem, Log& log, Metrics& metrics);
  ~Worker();
  Status listen();

  // From any thread.
  void post_site(std::shared_ptr<const Site> site);
  void post_context(std::shared_ptr<const crypto::TlsServerContext> context);
  // `everything`: policies changed, so every open session is decided again.
  void post_changed(std::shared_ptr<const std::vector<contract::EntityId>> changed, bool everything,
                    std::int64_t committed);
  void post_receipt(std::uint64_t boot, std::uint64_t sequence);

  // For connections, on the loop's thread.
  io::Loop& loop() { return loop_; }
  Clock& clock() { return clock_; }
  Random& random() { return random_; }
  Log& log() { return log_; }
  enforce::Point& point() { return point_; }
  enforce::LiveSessions& live() { return live_; }
  const std::shared_ptr<const Site>& site() const { return site_; }
  const WorkerOptions& options() const { return options_; }
  const Redeem& redeem() const { return redeem_; }
  // Nothing when it has ended; one that a change concerns is decided again first.
  Connection* find(std::uint64_t id);
  // A change is decided in slices, and whatever happens to a connection meanwhile finds it decided: this comes first
  // wherever its streams wake it. It may have ended then.
  void settle(Connection& connection) {
    if (live_.has_marked()) settle_marked(connection);
  }
  void finished(std::uint64_t id);  // destroys the connection at the end of this turn
  // Calls back on this thread once the event is durable.
  void when_durable(std::uint64_t sequence, std::uint64_t connection);

  // Where reads of this thread land; what lies there is good until the next one. Not on the stack, where the compiler
  // would clear it for every read.
  std::span<std::uint8_t> socket_buffer() { return {socket_buffer_.get(), kReadBytes}; }
  std::span<std::uint8_t> plain_buffer() { return {plain_buffer_.get(), kReadBytes}; }
  // What is open, and how many bytes lie in its queues.
  std::size_t connections() const { return connections_.size(); }
  std::size_t held_bytes() const;

  std::unique_ptr<io::Stream> take_idle(const io::Address& address);
  void give_idle(const io::Address& address, std::unique_ptr<io::Stream> stream);

 private:
  static constexpr std::size_t kReadBytes = 32 * 1024;
  void accepted(std::unique_ptr<io::Stream> stream);
  void sweep();
  void decide_expired();
  void changed(const std::vector<contract::EntityId>& changed, bool everything, std::int64_t committed);
  void decide_marked();
  void settle_marked(Connection& connection);
  void bury();

  struct Idle {
    std::unique_ptr<io::Stream> stream;
    std::int64_t since;
  };

  io::Loop& loop_;
  Clock& clock_;
  Random& random_;
  Log& log_;
  enforce::Point point_;
  WorkerOptions options_;
  Redeem redeem_;
  Metric& connections_metric_;
  Metric& refused_metric_;
  enforce::LiveSessions live_;    // before the connections, which take themselves out
  bool deciding_ = false;         // a slice of what is marked is planned
  std::int64_t slice_ended_ = 0;  // when the last one did
  std::shared_ptr<const Site> site_;
  std::shared_ptr<const crypto::TlsServerContext> context_;  // shared: sessions keep the one they began with
  std::unique_ptr<io::Listener> listener_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> ended_;
  std::uint64_t last_connection_ = 0;
  std::unique_ptr<std::uint8_t[]> socket_buffer_ =
      std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes);                                              // NOLINT
  std::unique_ptr<std::uint8_t[]> plain_buffer_ = std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes);  // NOLINT
  std::unordered_map<std::string, std::vector<Idle>> idle_;
  std::multimap<std::uint64_t, std::uint64_t> waiting_for_receipt_;  // sequence → connection
};

}  // namespace wary::gateway
