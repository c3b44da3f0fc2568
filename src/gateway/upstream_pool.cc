#include "gateway/upstream_pool.h"

#include <algorithm>

#include "gateway/exchange.h"
#include "gateway/health_probe.h"
#include "gateway/upstream_http1.h"
#include "gateway/upstream_http2.h"
#include "gateway/upstream_lane.h"
#include "gateway/worker.h"

namespace wary::gateway {

namespace {

constexpr std::int64_t kIdleUpstream = 15 * kNanosPerSecond;
// Streams of a few HTTP/2 clients: with fewer, most of their calls would connect anew.
constexpr std::size_t kIdlePerUpstream = 512;
constexpr std::size_t kSharedPerUpstream = 16;
constexpr int kFailuresToEject = 3;
constexpr std::int64_t kEjection = 5 * kNanosPerSecond;  // the first; each one in a row is as much longer
constexpr int kEjectionsMost = 12;
constexpr double kRetriesAtLeast = 10;  // at once, whatever the share
constexpr double kRetriesMost = 100;

}  // namespace

struct UpstreamPool::Group {
  std::vector<UpstreamLane*> lanes;
  double retries = kRetriesAtLeast;
};

UpstreamPool::UpstreamPool(Worker& worker) : worker_(worker) {}
UpstreamPool::~UpstreamPool() = default;

UpstreamLane& UpstreamPool::lane_of(const Endpoint& endpoint, const App& app) {
  auto& lane = lanes_[endpoint.key];
  if (!lane) {
    lane = std::make_unique<UpstreamLane>();
    lane->address = endpoint.address;
    lane->is_http2 = app.is_http2;
  }
  lane->tls = app.tls;
  lane->server_name = app.identity ? app.identity->server_name : "";
  return *lane;
}

UpstreamPool::Group& UpstreamPool::group_of(const App& app) {
  const auto [at, fresh] = groups_.try_emplace(app.token);
  if (fresh) {
    for (const Endpoint& endpoint : app.endpoints) at->second.lanes.push_back(&lane_of(endpoint, app));
  }
  return at->second;
}

UpstreamLane& UpstreamPool::choose(const App& app, const std::vector<const UpstreamLane*>& tried) {
  Group& group = group_of(app);
  if (tried.empty()) group.retries = std::min(group.retries + app.reach.retry_share, kRetriesMost);
  if (group.lanes.size() == 1) return *group.lanes.front();
  const std::int64_t now = worker_.loop().now().nanos;
  std::vector<UpstreamLane*> candidates;
  const auto gather = [&](bool only_well) {
    for (UpstreamLane* lane : group.lanes) {
      const bool was_tried = std::find(tried.begin(), tried.end(), lane) != tried.end();
      if (!was_tried && (!only_well || lane->is_well(now))) candidates.push_back(lane);
    }
  };
  gather(true);
  if (candidates.empty()) gather(false);
  if (candidates.empty()) candidates = group.lanes;
  const std::uint64_t chance = worker_.pooled_random().number();
  UpstreamLane* first = candidates[chance % candidates.size()];
  UpstreamLane* second = candidates[(chance >> 32) % candidates.size()];
  return second->active < first->active ? *second : *first;
}

std::unique_ptr<UpstreamCall> UpstreamPool::take(UpstreamLane& lane, bool may_reuse) {
  if (lane.is_http2) {
    for (const auto& shared : lane.shared) {
      if (shared->takes_calls()) return shared->make_call();
    }
    return nullptr;
  }
  while (may_reuse && !lane.idle.empty()) {
    auto upstream = std::move(lane.idle.back());
    lane.idle.pop_back();
    if (!upstream->is_quiet()) continue;
    upstream->use();
    return upstream;
  }
  return nullptr;
}

void UpstreamPool::connect(UpstreamLane& lane, std::int64_t timeout, UpstreamWaiter waiter) {
  if (lane.is_http2) {
    lane.waiting.push_back(waiter);
    if (lane.waiting.size() > 1) return;
  }
  worker_.make_room_for_upstream();
  const auto held = std::make_shared<const HeldDescriptor>(worker_.upstream_descriptors());
  worker_.loop().connect(lane.address, timeout,
                         [this, &lane, waiter, timeout, held](Result<std::unique_ptr<io::Stream>> stream) {
                           if (lane.is_http2)
                             shared_connected(lane, timeout, std::move(stream));
                           else
                             connected(lane, waiter, std::move(stream));
                         });
}

void UpstreamPool::answer(const UpstreamWaiter& waiter, Result<std::unique_ptr<UpstreamCall>> call) {
  // Who asked may have gone; then so does the call.
  if (Exchange* exchange = worker_.find(waiter.connection, waiter.stream)) {
    exchange->connected(waiter.wait, std::move(call));
  }
}

void UpstreamPool::note_connect(UpstreamLane& lane, bool worked) {
  if (worked) {
    lane.failures = lane.ejections = 0;
    return;
  }
  if (++lane.failures % kFailuresToEject != 0) return;
  lane.ejections = std::min(lane.ejections + 1, kEjectionsMost);
  lane.ejected_until = worker_.loop().now().nanos + kEjection * lane.ejections;
  worker_.log().warn("gateway.upstream_left_out", {{"upstream", lane.address.to_string()},
                                                   {"seconds", kEjection * lane.ejections / kNanosPerSecond}});
}

void UpstreamPool::connected(UpstreamLane& lane, UpstreamWaiter waiter, Result<std::unique_ptr<io::Stream>> stream) {
  note_connect(lane, stream.ok());
  if (!stream) return answer(waiter, std::move(stream).error());
  auto upstream = std::make_unique<Http1Upstream>(worker_, lane, lane.secure(worker_.loop(), std::move(stream).value()),
                                                  [this](Http1Upstream& idle) { drop_idle(idle); });
  upstream->use();
  answer(waiter, std::unique_ptr<UpstreamCall>(std::move(upstream)));
}

void UpstreamPool::shared_connected(UpstreamLane& lane, std::int64_t timeout,
                                    Result<std::unique_ptr<io::Stream>> stream) {
  note_connect(lane, stream.ok());
  const std::vector<UpstreamWaiter> waiting = std::move(lane.waiting);
  lane.waiting.clear();
  if (!stream) {
    for (const UpstreamWaiter& waiter : waiting) answer(waiter, stream.error());
    return;
  }
  std::erase_if(lane.shared, [](const auto& shared) { return !shared->takes_calls() && shared->is_idle(); });
  if (lane.shared.size() >= kSharedPerUpstream) lane.shared.erase(lane.shared.begin());  // its calls go on
  const auto upstream =
      std::make_shared<Http2Upstream>(worker_, lane, lane.secure(worker_.loop(), std::move(stream).value()));
  upstream->start();
  upstream->idle_since = worker_.loop().now().nanos;
  lane.shared.push_back(upstream);
  for (const UpstreamWaiter& waiter : waiting) {
    // More than it takes: the rest shares another connection.
    if (upstream->takes_calls())
      answer(waiter, upstream->make_call());
    else
      connect(lane, timeout, waiter);
  }
}

void UpstreamPool::give_back(std::unique_ptr<UpstreamCall> call, bool reset) {
  // Only a connection that is one call's own comes back; a shared one never left.
  if (!call->release(reset)) return worker_.bury(std::move(call));  // it may be the one that is calling
  std::unique_ptr<Http1Upstream> upstream(static_cast<Http1Upstream*>(call.release()));
  auto& idle = upstream->lane().idle;
  if (idle.size() >= kIdlePerUpstream) return worker_.bury(std::move(upstream));
  upstream->idle_since = worker_.loop().now().nanos;
  upstream->watch_idle();
  idle.push_back(std::move(upstream));
}

void UpstreamPool::drop_idle(Http1Upstream& upstream) {
  auto& idle = upstream.lane().idle;
  const auto found = std::find_if(idle.begin(), idle.end(), [&](const auto& held) { return held.get() == &upstream; });
  if (found == idle.end()) return;
  worker_.bury(std::move(*found));
  idle.erase(found);
}

bool UpstreamPool::may_retry(const App& app) {
  Group& group = group_of(app);
  if (group.retries < 1) return false;
  group.retries -= 1;
  return true;
}

void UpstreamPool::on_site(const Site& site) {
  std::unordered_map<std::uint64_t, Group> kept;
  for (const auto& app : site.apps()) {
    const auto found = groups_.find(app->token);
    if (found != groups_.end()) kept.insert(groups_.extract(found));
  }
  groups_ = std::move(kept);
}

void UpstreamPool::sweep(std::int64_t now) {
  for (auto& [key, lane] : lanes_) {
    std::erase_if(lane->idle, [&](const auto& idle) { return now - idle->idle_since > kIdleUpstream; });
    std::erase_if(lane->shared, [&](const auto& shared) {
      const bool is_over = !shared->takes_calls() && shared->is_idle();
      return is_over || (shared->is_idle() && now - shared->idle_since > kIdleUpstream);
    });
  }
  check_health(now);
}

void UpstreamPool::check_health(std::int64_t now) {
  for (const auto& probe : probes_) probe->sweep(now);
  std::erase_if(probes_, [](const auto& probe) { return probe->is_over(); });
  if (!worker_.site()) return;
  for (const auto& app : worker_.site()->apps()) {
    if (!app->reach.health) continue;
    for (const Endpoint& endpoint : app->endpoints) {
      UpstreamLane& lane = lane_of(endpoint, *app);
      if (lane.is_probed || now < lane.next_probe) continue;
      lane.is_probed = true;
      lane.next_probe = now + app->reach.health->interval;
      const auto done = [this, &lane, check = *app->reach.health](bool well) { probed(lane, check, well); };
      probes_.push_back(std::make_unique<HealthProbe>(worker_.loop(), lane.address, *app->reach.health,
                                                      app->hosts.front(), app->is_http2, now, done));
      probes_.back()->secure = [this, &lane](std::unique_ptr<io::Stream> stream) {
        return lane.secure(worker_.loop(), std::move(stream));
      };
      probes_.back()->start();
    }
  }
}

void UpstreamPool::probed(UpstreamLane& lane, const HealthCheck& check, bool well) {
  lane.is_probed = false;
  const bool was = lane.is_healthy;
  lane.note_probe(well, check);
  if (was == lane.is_healthy) return;
  worker_.log().warn(was ? "gateway.upstream_ill" : "gateway.upstream_well", {{"upstream", lane.address.to_string()}});
}

}  // namespace wary::gateway
