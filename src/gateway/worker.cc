#include "gateway/worker.h"

#include <algorithm>

#include "gateway/connection.h"

namespace wary::gateway {

namespace {

constexpr std::int64_t kSweepEvery = kNanosPerSecond / 2;
constexpr std::int64_t kIdleUpstream = 15 * kNanosPerSecond;
constexpr std::size_t kIdlePerUpstream = 64;

}  // namespace

Worker::Worker(io::Loop& loop, Clock& clock, Random& random, enforce::Shared& shared, enforce::EventRing& ring,
               enforce::PointOptions point, WorkerOptions options, Redeem redeem, Log& log, Metrics& metrics)
    : loop_(loop),
      clock_(clock),
      random_(random),
      log_(log),
      point_(shared, ring, clock, random, std::move(point), metrics),
      options_(std::move(options)),
      redeem_(std::move(redeem)),
      connections_metric_(metrics.gauge("wary_gateway_connections", "Open client connections")),
      refused_metric_(
          metrics.counter("wary_gateway_refused_total", "Connections refused at the limit or without a key")) {}

Worker::~Worker() = default;

Status Worker::listen() {
  WARY_ASSIGN_OR_RETURN(listener_, loop_.listen(options_.listen, {.reuse_port = true},
                                                [this](std::unique_ptr<io::Stream> s) { accepted(std::move(s)); }));
  loop_.after(kSweepEvery, [this] { sweep(); });
  return {};
}

void Worker::accepted(std::unique_ptr<io::Stream> stream) {
  if (!context_ || connections_.size() >= options_.connections_max) {
    refused_metric_.add();
    stream->reset_on_close();
    return;
  }
  const std::uint64_t id = ++last_connection_;
  auto connection = std::make_unique<Connection>(*this, id, std::move(stream), *context_);
  Connection* raw = connection.get();
  connections_.emplace(id, std::move(connection));
  connections_metric_.add();
  raw->begin();
}

Connection* Worker::find(std::uint64_t id) {
  auto found = connections_.find(id);
  if (found == connections_.end()) return nullptr;
  settle(*found->second);
  found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

std::size_t Worker::held_bytes() const {
  std::size_t held = 0;
  for (const auto& [id, connection] : connections_) held += connection->held_bytes();
  return held;
}

void Worker::finished(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  if (ended_.empty()) loop_.post([this] { bury(); });
  ended_.push_back(std::move(found->second));
  connections_.erase(found);
  connections_metric_.add(-1);
}

// Their descriptors are closed: what is left to do for them waits until all that must be cut is, and is sliced as well.
void Worker::bury() {
  for (std::size_t i = 0; !deciding_ && !ended_.empty() && i < options_.slice_sessions; ++i) ended_.pop_back();
  if (!ended_.empty()) loop_.post([this] { bury(); });
}

void Worker::sweep() {
  const std::int64_t now = loop_.now().nanos;
  std::vector<Connection*> late;
  for (const auto& [id, connection] : connections_) {
    if (connection->deadline() <= now) late.push_back(connection.get());
  }
  for (Connection* connection : late) {
    settle(*connection);
    connection->on_deadline();
  }
  decide_expired();
  for (auto& [address, list] : idle_) {
    std::erase_if(list, [&](const Idle& idle) { return now - idle.since > kIdleUpstream; });
  }
  loop_.after(kSweepEvery, [this] { sweep(); });
}

// A decision that ends by itself is made again when it does: nobody tells of a fact that merely expires.
void Worker::decide_expired() {
  const UnixTime now = clock_.unix_time();
  std::vector<Connection*> expired;
  for (const auto& [id, connection] : connections_) {
    if (connection->valid_until() && *connection->valid_until() <= now) expired.push_back(connection.get());
  }
  for (Connection* connection : expired) connection->reconsider(0);
}

void Worker::post_site(std::shared_ptr<const Site> site) {
  loop_.post([this, site = std::move(site)] { site_ = site; });
}

void Worker::post_context(std::shared_ptr<const crypto::TlsServerContext> context) {
  loop_.post([this, context = std::move(context)] { context_ = context; });
}

void Worker::post_changed(std::shared_ptr<const std::vector<contract::EntityId>> list, bool everything,
                          std::int64_t committed) {
  loop_.post([this, list = std::move(list), everything, committed] { changed(*list, everything, committed); });
}

void Worker::changed(const std::vector<contract::EntityId>& list, bool everything, std::int64_t committed) {
  everything ? live_.mark_all(committed) : live_.mark(list, committed);
  if (!deciding_) decide_marked();
}

// A slice of so many sessions, and on for as long as others had since the last one: what is revoked waits for them half
// of the time at most, however busy the worker is. Counted, since a thread that has to share its core would find the
// time of a slice gone before it had decided anything.
void Worker::decide_marked() {
  const std::int64_t begun = clock_.monotonic().nanos;
  const std::int64_t others_had = deciding_ ? begun - slice_ended_ : 0;
  deciding_ = true;
  std::size_t decided = 0;
  do {
    const auto next = live_.next_marked();
    if (next) static_cast<Connection*>(next->session)->reconsider(next->committed);
    slice_ended_ = clock_.monotonic().nanos;
  } while (live_.has_marked() && (++decided < options_.slice_sessions || slice_ended_ - begun < others_had));
  deciding_ = live_.has_marked();
  if (deciding_) loop_.post([this] { decide_marked(); });
}

void Worker::settle_marked(Connection& connection) {
  if (const auto committed = live_.take_mark(connection)) connection.reconsider(*committed);
}

void Worker::when_durable(std::uint64_t sequence, std::uint64_t connection) {
  waiting_for_receipt_.emplace(sequence, connection);
  if (point_.on_awaited) point_.on_awaited();
}

void Worker::post_receipt(std::uint64_t boot, std::uint64_t sequence) {
  if (boot != point_.boot()) return;
  loop_.post([this, sequence] {
    while (!waiting_for_receipt_.empty() && waiting_for_receipt_.begin()->first <= sequence) {
      const auto [waited, id] = *waiting_for_receipt_.begin();
      waiting_for_receipt_.erase(waiting_for_receipt_.begin());
      if (Connection* connection = find(id)) connection->on_durable(waited);
    }
  });
}

std::unique_ptr<io::Stream> Worker::take_idle(const io::Address& address) {
  auto& list = idle_[address.to_string()];
  while (!list.empty()) {
    auto stream = std::move(list.back().stream);
    list.pop_back();
    // Bytes that came after its last answer belong to nobody: they must not open the next one's.
    std::uint8_t unasked = 0;
    if (stream->read({&unasked, 1}).state == io::IoCount::State::kWouldBlock) return stream;
  }
  return nullptr;
}

void Worker::give_idle(const io::Address& address, std::unique_ptr<io::Stream> stream) {
  auto& list = idle_[address.to_string()];
  if (list.size() >= kIdlePerUpstream) return;
  // Whatever an idle upstream says, its end or bytes nobody asked for, it is not used again.
  io::Stream* raw = stream.get();
  stream->on_ready([this, key = address.to_string(), raw](bool, bool) {
    std::erase_if(idle_[key], [&](const Idle& idle) { return idle.stream.get() == raw; });
  });
  stream->want(true, false);
  list.push_back({std::move(stream), loop_.now().nanos});
}

}  // namespace wary::gateway
