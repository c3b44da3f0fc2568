// Worker: one thread of the edge: a loop, a listener on each shared port, its connections and its idle upstreams.
// Nothing on a request's path is shared with another thread but immutable values.
//
// The link's thread talks to it by post(): a new site, a new snapshot with what changed, receipts. Thread rule: its
// loop's, but for the post_* functions. Limits: 16,384 connections, or as many as the process has descriptors for;
// whoever connects then takes the place of one that rests (crowd.h), or is refused where all that are looked at have
// something running.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/log.h"
#include "codec/http1.h"
#include "crypto/tls.h"
#include "enforce/live_sessions.h"
#include "enforce/point.h"
#include "gateway/crowd.h"
#include "gateway/site.h"
#include "io/loop.h"

namespace wary::telemetry {
class Exporter;
}

namespace wary::gateway {

class ClientSide;
class Connection;
class Exchange;
class UpstreamCall;
class UpstreamPool;
struct UpstreamLane;
class Worker;

// What has something to do once a turn, after all that became ready in it.
class TurnEnd {
 public:
  TurnEnd() = default;
  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;
  virtual ~TurnEnd();
  virtual void turn_end() = 0;

 private:
  friend class Worker;
  Worker* marked_ = nullptr;
};

// One descriptor of this worker's towards an application, for as long as this lives; it may outlive the worker.
class HeldDescriptor {
 public:
  explicit HeldDescriptor(std::shared_ptr<std::size_t> count) : count_(std::move(count)) { ++*count_; }
  HeldDescriptor(const HeldDescriptor&) = delete;
  HeldDescriptor& operator=(const HeldDescriptor&) = delete;
  ~HeldDescriptor() { --*count_; }

 private:
  std::shared_ptr<std::size_t> count_;
};

// How a worker, and everything that is open in it, comes to its end.
enum class Drain {
  kLeave,    // nothing that is open ends for it: connections are asked to go elsewhere with their next request
  kNow,      // what is idle ends, what runs is the last of its connection, WebSockets close with 1001
  kRestart,  // the same, with 1012: who connects again is served at once
};

// What a listener's connections begin with.
enum class Way { kTls, kPlain };

constexpr std::size_t kConnectionsMost = 16'384;

struct WorkerOptions {
  io::Address listen;
  std::string console_origin;                          // "https://console.localhost:7443": where sign-in happens
  std::size_t connections_max = kConnectionsMost;      // with those that ended and have a descriptor still; at least 1
  std::size_t descriptors_max = 2 * kConnectionsMost;  // those, and the ones towards applications; more than 1
  // So many sessions whose facts changed are decided again, or are buried, before others have their turn.
  std::size_t slice_sessions = 64;
  telemetry::Exporter* exporter = nullptr;       // of spans, where somebody wants them
  std::vector<std::string> proxy_peers = {};     // addresses whose connections begin with a PROXY protocol header
  std::optional<io::Address> listen_plain = {};  // without TLS
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
  // On a socket of its own, or on one that another process made; then from the loop's thread once it runs.
  Status listen(Way way = Way::kTls, int inherited = -1);
  // The sockets that it listens on.
  std::vector<int> descriptors(Way way) const;

  // From any thread.
  void post_site(std::shared_ptr<const Site> site);
  void post_context(std::shared_ptr<const crypto::TlsServerContext> context);
  // `everything`: policies changed, so every open session is decided again.
  void post_changed(std::shared_ptr<const std::vector<contract::EntityId>> changed, bool everything,
                    std::int64_t committed);
  void post_receipt(std::uint64_t boot, std::uint64_t sequence);
  // Takes no new connection, lets what runs end with the words its protocol has for it, and says when nothing is open
  // (on the worker's thread).
  void post_drain(std::function<void()> done, Drain how = Drain::kNow);
  // Takes no connection until it resumes; they wait in the backlog. `done` on the worker's thread.
  void post_pause(std::function<void()> done);
  void post_resume();
  void post_listen(std::vector<int> tls, std::vector<int> plain);  // takes over what another process served

  // For connections, on the loop's thread.
  io::Loop& loop() { return loop_; }
  Clock& clock() { return clock_; }
  Random& random() { return random_; }
  Random& pooled_random() { return pooled_random_; }  // of no secrets
  Log& log() { return log_; }
  enforce::Point& point() { return point_; }
  enforce::RateTable& rates() { return rates_; }
  enforce::ConcurrencyTable& at_work() { return at_work_; }
  enforce::LiveSessions& live() { return live_; }
  const std::shared_ptr<const Site>& site() const { return site_; }
  const WorkerOptions& options() const { return options_; }
  const Redeem& redeem() const { return redeem_; }
  const std::optional<Drain>& drains() const { return drains_; }
  // The exchange of this connection and stream, if it still runs; one that a change concerns is decided again first.
  Exchange* find(std::uint64_t connection, std::int32_t stream);
  UpstreamPool& upstreams() { return *upstreams_; }
  Crowd& crowd() { return crowd_; }
  // Of a connection to an application that is about to be made, or is. Before one is made, a client's that rests gives
  // way where there are no more.
  const std::shared_ptr<std::size_t>& upstream_descriptors() const { return upstream_descriptors_; }
  void make_room_for_upstream();
  void at_turn_end(TurnEnd& what);
  void forget(TurnEnd& what);
  // Destroyed at the end of this turn, or when all that must be cut is: who calls may stand in it.
  void finished(std::uint64_t id);
  void bury(std::unique_ptr<ClientSide> client);
  void bury(std::unique_ptr<UpstreamCall> call);
  // What of a connection must not wait for the end of the turn is with the kernel by the end of this slice, or now
  // where there is none; and a cut is recorded when the last byte of it was handed over.
  void flush_cut(Connection& connection);
  struct Cut {
    contract::EntityId principal, resource;
    policy::SharedDecision decision;
    std::string first_decision;
    std::int64_t committed = 0;
  };
  void record_cut(Cut cut);
  // Calls back on this thread once the event is durable.
  void when_durable(std::uint64_t sequence, std::uint64_t connection, std::int32_t stream);
  bool is_durable(std::uint64_t sequence) const { return sequence <= durable_; }

  // Where reads of this thread land; what lies there is good until the next one. Not on the stack, where the compiler
  // would clear it for every read.
  std::span<std::uint8_t> socket_buffer() { return {socket_buffer_.get(), kReadBytes}; }
  std::span<std::uint8_t> plain_buffer() { return {plain_buffer_.get(), kReadBytes}; }
  // Room for what one request or answer is made of, empty; good until the next that is asked for.
  std::string& host_room() { return host_room_; }
  std::string& cookie_room() { return emptied(cookie_room_); }
  std::vector<codec::http1::Field>& request_fields() { return emptied(request_fields_); }
  std::vector<codec::http1::Field>& answer_fields() { return emptied(answer_fields_); }
  std::vector<codec::http1::Field>& framed_fields() { return emptied(framed_fields_); }  // as a protocol writes them
  codec::http1::RequestHead& head_room();
  void count_over_rate() { over_rate_metric_.add(); }
  void count_over_concurrency() { over_concurrency_metric_.add(); }
  // What is open, and how many bytes lie in its queues.
  std::size_t connections() const { return connections_.size(); }
  std::size_t held_bytes() const;
  // The one of this number, counted from 1 as they came; nothing once it has ended.
  Connection* connection(std::uint64_t id) const;

 private:
  static constexpr std::size_t kReadBytes = 64 * 1024;
  template <typename Room>
  static Room& emptied(Room& room) {
    room.clear();
    return room;
  }
  void accepted(Way way, std::unique_ptr<io::Stream> stream);
  bool lacks(std::size_t wanted) const;  // so many descriptors more
  bool has_room(const io::Stream& newcomer);
  bool make_room(const std::string& newcomer);
  void sweep();
  void end_turn();
  void post_end();
  void decide_marked();
  void finish_slice();
  void record_now(const Cut& cut, std::int64_t at);
  void bury_ended();
  void changed(const std::vector<contract::EntityId>& changed, bool everything, std::int64_t committed);

  io::Loop& loop_;
  Clock& clock_;
  Random& random_;
  PooledRandom pooled_random_{random_};
  Log& log_;
  enforce::Point point_;
  enforce::RateTable& rates_;  // of the process
  enforce::ConcurrencyTable& at_work_;
  WorkerOptions options_;
  Redeem redeem_;
  Metric& connections_metric_;
  Metric& refused_metric_;
  Metric& made_room_metric_;
  Metric& over_rate_metric_;
  Metric& over_concurrency_metric_;
  enforce::LiveSessions live_;  // before the connections, which take themselves out
  bool deciding_ = false;       // a slice of what is marked is planned
  bool in_slice_ = false;
  std::vector<Connection*> cut_connections_;  // of the slice: what they were told is not with the kernel yet
  std::vector<Cut> cuts_;                     // of the slice
  std::int64_t slice_ended_ = 0;              // when the last one did
  std::shared_ptr<const Site> site_;
  std::shared_ptr<const crypto::TlsServerContext> context_;  // shared: sessions keep the one they began with
  std::vector<std::pair<Way, std::unique_ptr<io::Listener>>> listeners_;
  bool sweeps_ = false;
  std::shared_ptr<std::size_t> upstream_descriptors_ = std::make_shared<std::size_t>(0);
  std::vector<TurnEnd*> marked_;  // before those that take themselves out
  std::unique_ptr<UpstreamPool> upstreams_;
  Crowd crowd_;  // of connections_
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> ended_;
  std::vector<std::unique_ptr<ClientSide>> ended_clients_;
  std::vector<std::unique_ptr<UpstreamCall>> ended_calls_;
  std::string host_room_, cookie_room_;
  std::vector<codec::http1::Field> request_fields_, answer_fields_, framed_fields_;
  codec::http1::RequestHead head_;
  bool end_posted_ = false;
  std::optional<Drain> drains_;
  std::function<void()> drained_;  // while it drains
  std::uint64_t last_connection_ = 0;
  std::unique_ptr<std::uint8_t[]> socket_buffer_ =
      std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes);                                              // NOLINT
  std::unique_ptr<std::uint8_t[]> plain_buffer_ = std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes);  // NOLINT
  std::uint64_t durable_ = 0;  // all events up to this one are
  // sequence → connection, stream
  std::multimap<std::uint64_t, std::pair<std::uint64_t, std::int32_t>> waiting_for_receipt_;
};

}  // namespace wary::gateway
