// UpstreamPool: a worker's connections to applications: those that are idle, those that several calls share, and those
// on their way. Private to gateway/.
//
//   if (auto call = pool.take(app, true)) ...              // at once, or
//   pool.connect(app, timeout, {connection, stream, wait});  // Exchange::connected() is told
//   pool.give_back(std::move(call), false);
//
// Thread rule: its worker's. Limits: 64 idle connections an application, 16 shared ones.
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
class Http1Upstream;
class Http2Upstream;

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
  // `may_reuse`: one that served before will do, though it may be closing just now.
  std::unique_ptr<UpstreamCall> take(const App& app, bool may_reuse);
  void connect(const App& app, std::int64_t timeout, UpstreamWaiter waiter);
  void give_back(std::unique_ptr<UpstreamCall> call, bool reset);
  void sweep(std::int64_t now);

 private:
  struct Lane;
  Lane& lane_of(const App& app);
  void connected(Lane& lane, UpstreamWaiter waiter, Result<std::unique_ptr<io::Stream>> stream);
  void shared_connected(Lane& lane, Result<std::unique_ptr<io::Stream>> stream);
  void answer(const UpstreamWaiter& waiter, Result<std::unique_ptr<UpstreamCall>> call);

  Worker& worker_;
  std::unordered_map<std::string, std::unique_ptr<Lane>> lanes_;  // their places hold for calls
};

}  // namespace wary::gateway
