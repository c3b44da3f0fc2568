// UpstreamPool: a worker's ways to applications: which of an application's places serves next, their connections that
// are idle, those that several calls share, and how well each place does. Private to gateway/.
//
//   UpstreamLane& lane = pool.choose(app, tried);
//   if (auto call = pool.take(lane, true)) ...               // at once, or
//   pool.connect(lane, timeout, {connection, stream, wait});  // Exchange::connected() is told
//   pool.give_back(std::move(call), false);
//
// Of two places picked by chance the one with fewer requests serves (power of two choices). A place that cannot be
// connected to three times in a row, or that its health check finds ill, is left out for a while; when all are, all are
// used. Thread rule: its worker's. Limits: 512 idle connections a place, 16 shared ones.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/site.h"
#include "gateway/upstream.h"

namespace wary::gateway {

class Worker;
class HealthProbe;
class Http1Upstream;
struct UpstreamLane;

// Who waits for a connection.
struct UpstreamWaiter {
  std::uint64_t connection = 0;
  std::int32_t stream = 0;
  std::uint64_t wait = 0;
};

class UpstreamPool {
 public:
  explicit UpstreamPool(Worker& worker);
  ~UpstreamPool();
  UpstreamLane& choose(const App& app, const std::vector<const UpstreamLane*>& tried);
  // `may_reuse`: a connection that served before will do, though it may be closing just now.
  std::unique_ptr<UpstreamCall> take(UpstreamLane& lane, bool may_reuse);
  void connect(UpstreamLane& lane, std::int64_t timeout, UpstreamWaiter waiter);
  void give_back(std::unique_ptr<UpstreamCall> call, bool reset);
  // A share of an application's requests may be tried again; this asks for one.
  bool may_retry(const App& app);
  void sweep(std::int64_t now);
  // Which applications there are now: the rest is forgotten.
  void on_site(const Site& site);

 private:
  friend class HealthProbe;
  struct Group;
  Group& group_of(const App& app);
  UpstreamLane& lane_of(const Endpoint& endpoint, const App& app);
  void drop_idle(Http1Upstream& upstream);
  void connected(UpstreamLane& lane, UpstreamWaiter waiter, Result<std::unique_ptr<io::Stream>> stream);
  void shared_connected(UpstreamLane& lane, std::int64_t timeout, Result<std::unique_ptr<io::Stream>> stream);
  void answer(const UpstreamWaiter& waiter, Result<std::unique_ptr<UpstreamCall>> call);
  void note_connect(UpstreamLane& lane, bool worked);
  void check_health(std::int64_t now);
  void probed(UpstreamLane& lane, const HealthCheck& check, bool well);

  Worker& worker_;
  std::unordered_map<std::string, std::unique_ptr<UpstreamLane>> lanes_;  // their places hold for calls
  std::unordered_map<std::uint64_t, Group> groups_;                       // by App::token
  std::vector<std::unique_ptr<HealthProbe>> probes_;
};

}  // namespace wary::gateway
