#include "gateway/upstream_pool.h"

#include <algorithm>

#include "gateway/exchange.h"
#include "gateway/upstream_http1.h"
#include "gateway/upstream_http2.h"
#include "gateway/worker.h"

namespace wary::gateway {

namespace {

constexpr std::int64_t kIdleUpstream = 15 * kNanosPerSecond;
constexpr std::size_t kIdlePerUpstream = 64;
constexpr std::size_t kSharedPerUpstream = 16;

}  // namespace

struct UpstreamPool::Lane {
  std::vector<std::unique_ptr<Http1Upstream>> idle;
  std::vector<std::shared_ptr<Http2Upstream>> shared;
  std::vector<UpstreamWaiter> waiting;  // for a shared one that is on its way
};

UpstreamPool::UpstreamPool(Worker& worker) : worker_(worker) {}
UpstreamPool::~UpstreamPool() = default;

UpstreamPool::Lane& UpstreamPool::lane_of(const App& app) {
  auto& lane = lanes_[app.upstream_key];
  if (!lane) lane = std::make_unique<Lane>();
  return *lane;
}

std::unique_ptr<UpstreamCall> UpstreamPool::take(const App& app, bool may_reuse) {
  Lane& lane = lane_of(app);
  if (app.is_http2) {
    for (const auto& shared : lane.shared) {
      if (shared->takes_calls()) return shared->make_call();
    }
    return nullptr;
  }
  while (may_reuse && !lane.idle.empty()) {
    auto upstream = std::move(lane.idle.back());
    lane.idle.pop_back();
    if (upstream->is_quiet()) return upstream;
  }
  return nullptr;
}

void UpstreamPool::connect(const App& app, std::int64_t timeout, UpstreamWaiter waiter) {
  Lane& lane = lane_of(app);
  if (!app.is_http2) {
    worker_.loop().connect(app.upstream, timeout, [this, &lane, waiter](Result<std::unique_ptr<io::Stream>> stream) {
      connected(lane, waiter, std::move(stream));
    });
    return;
  }
  lane.waiting.push_back(waiter);
  if (lane.waiting.size() > 1) return;
  worker_.loop().connect(app.upstream, timeout, [this, &lane](Result<std::unique_ptr<io::Stream>> stream) {
    shared_connected(lane, std::move(stream));
  });
}

void UpstreamPool::answer(const UpstreamWaiter& waiter, Result<std::unique_ptr<UpstreamCall>> call) {
  // Who asked may have gone; then so does the call.
  if (Exchange* exchange = worker_.find(waiter.connection, waiter.stream)) {
    exchange->connected(waiter.wait, std::move(call));
  }
}

void UpstreamPool::connected(Lane& lane, UpstreamWaiter waiter, Result<std::unique_ptr<io::Stream>> stream) {
  if (!stream) return answer(waiter, std::move(stream).error());
  auto upstream = std::make_unique<Http1Upstream>(worker_, std::move(stream).value());
  upstream->lane = &lane;
  answer(waiter, std::unique_ptr<UpstreamCall>(std::move(upstream)));
}

void UpstreamPool::shared_connected(Lane& lane, Result<std::unique_ptr<io::Stream>> stream) {
  const std::vector<UpstreamWaiter> waiting = std::move(lane.waiting);
  lane.waiting.clear();
  if (!stream) {
    for (const UpstreamWaiter& waiter : waiting) answer(waiter, stream.error());
    return;
  }
  std::erase_if(lane.shared, [](const auto& shared) { return !shared->takes_calls() && shared->is_idle(); });
  if (lane.shared.size() >= kSharedPerUpstream) lane.shared.erase(lane.shared.begin());  // its calls go on
  const auto upstream = std::make_shared<Http2Upstream>(worker_, std::move(stream).value());
  upstream->start();
  upstream->idle_since = worker_.loop().now().nanos;
  lane.shared.push_back(upstream);
  for (const UpstreamWaiter& waiter : waiting) answer(waiter, upstream->make_call());
}

void UpstreamPool::give_back(std::unique_ptr<UpstreamCall> call, bool reset) {
  // Only a connection that is one call's own comes back; a shared one never left.
  if (!call->release(reset)) return worker_.bury(std::move(call));  // it may be the one that is calling
  std::unique_ptr<Http1Upstream> upstream(static_cast<Http1Upstream*>(call.release()));
  auto& idle = static_cast<Lane*>(upstream->lane)->idle;
  if (idle.size() >= kIdlePerUpstream) return worker_.bury(std::move(upstream));
  upstream->idle_since = worker_.loop().now().nanos;
  Http1Upstream* raw = upstream.get();
  raw->watch_idle([this, &idle, raw] {
    const auto found = std::find_if(idle.begin(), idle.end(), [&](const auto& held) { return held.get() == raw; });
    if (found == idle.end()) return;
    worker_.bury(std::move(*found));
    idle.erase(found);
  });
  idle.push_back(std::move(upstream));
}

void UpstreamPool::sweep(std::int64_t now) {
  for (auto& [key, lane] : lanes_) {
    std::erase_if(lane->idle, [&](const auto& idle) { return now - idle->idle_since > kIdleUpstream; });
    std::erase_if(lane->shared, [&](const auto& shared) {
      const bool is_over = !shared->takes_calls() && shared->is_idle();
      return is_over || (shared->is_idle() && now - shared->idle_since > kIdleUpstream);
    });
  }
}

}  // namespace wary::gateway
