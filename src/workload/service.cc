#include "workload/service.h"

#include <algorithm>

#include "workload/connection.h"

namespace wary::workload {

namespace {

constexpr std::size_t kConnectionsMax = 1024;
constexpr std::size_t kConnectionsOfUserMax = 64;
constexpr std::int64_t kServiceLookEvery = kNanosPerSecond;
constexpr std::uint64_t kLooksToForgive = 3;  // a frame: pings of a client that keeps its connection alive

}  // namespace

Service::Service(io::Loop& loop, Clock& clock, Random& random, io::Files& files, Log& log, Metrics& metrics,
                 ServiceParts parts)
    : loop_(loop),
      clock_(clock),
      refusals_(log),
      parts_(std::move(parts)),
      attestor_(files),
      svids_(loop, clock, random, parts_.issue, [this](const std::string&) { refresh_all(); }),
      tokens_({.per_second = 20, .at_once = 100}, parts_.tokens_of_all),
      calls_(metrics.counter("wary_workload_calls_total", "Calls of the Workload API")),
      denied_(metrics.counter("wary_workload_denied_total", "Calls by processes that are no workload")),
      secrets_refused_(
          metrics.counter("wary_workload_secrets_refused_total", "Secrets that an SDS client did not take")),
      open_connections_(metrics.gauge("wary_workload_connections", "Open connections to the Workload API")),
      identities_(metrics.gauge("wary_workload_identities", "Identities whose keys are held now")) {
  timer_ = loop_.after(kServiceLookEvery, [this] { look(); });
}

Service::~Service() {
  loop_.cancel(timer_);
  connections_.clear();
}

Status Service::listen(const io::Address& address) {
  // Whoever is on this machine may ask: who it is, is the kernel's word.
  WARY_ASSIGN_OR_RETURN(listener_, loop_.listen(address, {.mode = 0666}, [this](std::unique_ptr<io::Stream> stream) {
    accepted(std::move(stream));
  }));
  return {};
}

void Service::accepted(std::unique_ptr<io::Stream> stream) {
  const io::PeerCredentials credentials = stream->peer_credentials();
  auto peer = stream->peer_process();
  auto connected = peer ? io::read_process((*peer)->pid()) : Result<io::ProcessFacts>(peer.error());
  const auto of_user = std::count_if(connections_.begin(), connections_.end(),
                                     [&](const auto& one) { return one.second->uid() == credentials.uid; });
  const bool full =
      connections_.size() >= kConnectionsMax || static_cast<std::size_t>(of_user) >= kConnectionsOfUserMax;
  if (!connected || full) {
    refusals_.warn(loop_.now(), "workload.refused", std::to_string(credentials.uid),
                   {{"uid", std::int64_t{credentials.uid}},
                    {"code", connected ? std::string_view("workload_connections") : connected.error().code}});
    return;
  }
  const std::uint64_t number = ++last_;
  const std::weak_ptr<int> alive = alive_;
  const auto ended = [this, alive, number] {
    loop_.post([this, alive, number] {
      if (alive.expired()) return;
      ended_ += connections_.erase(number);
      open_connections_.set(static_cast<std::int64_t>(connections_.size()));
    });
  };
  auto connection = std::make_unique<Connection>(*this, std::move(stream), std::move(peer).value(), credentials,
                                                 std::move(connected).value(), ended);
  // The process has ended: nobody is there who may have what would be sent now.
  if (!connection->watch(ended)) return;
  connections_[number] = std::move(connection);
  open_connections_.set(static_cast<std::int64_t>(connections_.size()));
}

void Service::refresh_all() {
  if (refreshing_) return;
  refreshing_ = true;
  const std::weak_ptr<int> alive = alive_;
  loop_.post([this, alive] {
    if (alive.expired()) return;
    refreshing_ = false;
    for (auto& [number, connection] : connections_) connection->refresh();
  });
}

// Each is signed and recorded by the control plane, which is everybody's.
bool Service::may_sign(uid_t user) { return tokens_.take(user, clock_.monotonic()); }

void Service::entries_changed() {
  // What is denied is gone now, not when its last stream is looked at.
  svids_.keep_only([this](const std::string& id) {
    const Entry* entry = parts_.entries.find(id);
    return entry != nullptr && !entry->is_barred;
  });
  refresh_all();
}
void Service::bundles_changed() { refresh_all(); }
void Service::authorities_changed() { svids_.renew_all(); }

void Service::look() {
  timer_ = loop_.after(kServiceLookEvery, [this] { look(); });
  identities_.set(static_cast<std::int64_t>(svids_.size()));
  const bool forgives = ++looks_ % kLooksToForgive == 0;
  for (auto& [number, connection] : connections_) {
    if (forgives) connection->forgive(1);
    connection->pass(clock_.monotonic());
  }
  const bool quiet = ended_ == ended_before_ && ended_ != ended_told_;
  ended_before_ = ended_;
  if (!quiet) return;
  ended_told_ = ended_;
  if (parts_.on_quiet) parts_.on_quiet();
}

}  // namespace wary::workload
