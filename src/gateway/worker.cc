#include "gateway/worker.h"

#include <algorithm>
#include <utility>

#include "gateway/connection.h"
#include "gateway/exchange.h"
#include "gateway/upstream_pool.h"

namespace wary::gateway {

namespace {

constexpr std::int64_t kSweepEvery = kNanosPerSecond / 2;
constexpr std::size_t kTurnEnds = 100'000;  // of one turn: who marks another for ever waits for the next

}  // namespace

Worker::Worker(io::Loop& loop, Clock& clock, Random& random, enforce::Shared& shared, enforce::EventRing& ring,
               enforce::PointOptions point, WorkerOptions options, Redeem redeem, Log& log, Metrics& metrics)
    : loop_(loop),
      clock_(clock),
      random_(random),
      log_(log),
      point_(shared, ring, clock, random, std::move(point), metrics),
      rates_(shared.rates),
      at_work_(shared.at_work),
      options_(std::move(options)),
      redeem_(std::move(redeem)),
      connections_metric_(metrics.gauge("wary_gateway_connections", "Open client connections")),
      refused_metric_(
          metrics.counter("wary_gateway_refused_total", "Connections refused at the limit or without a key")),
      made_room_metric_(metrics.counter("wary_gateway_made_room_total",
                                        "Connections at rest that ended at the limit, for one that was opened")),
      over_rate_metric_(metrics.counter("wary_gateway_over_rate_total", "Requests refused for their principal's rate")),
      over_concurrency_metric_(metrics.counter("wary_gateway_over_concurrency_total",
                                               "Requests refused as their principal had too many at work")),
      upstreams_(std::make_unique<UpstreamPool>(*this)) {}

TurnEnd::~TurnEnd() {
  if (marked_ != nullptr) marked_->forget(*this);
}

// A connection that goes puts its calls down to be ended: while what takes them is still there.
Worker::~Worker() {
  end_posted_ = true;  // no later turn is this worker's
  auto connections = std::move(connections_);
  connections_.clear();
  crowd_ = {};
  connections.clear();
  ended_.clear();
  ended_clients_.clear();
  ended_calls_.clear();
}

Status Worker::listen(Way way, int inherited) {
  if (!std::exchange(sweeps_, true)) loop_.after(kSweepEvery, [this] { sweep(); });
  WARY_CHECK(way == Way::kTls || options_.listen_plain);
  const io::Address& address = way == Way::kTls ? options_.listen : *options_.listen_plain;
  WARY_ASSIGN_OR_RETURN(auto listener,
                        loop_.listen(address, {.reuse_port = true, .inherited = inherited},
                                     [this, way](std::unique_ptr<io::Stream> s) { accepted(way, std::move(s)); }));
  listeners_.emplace_back(way, std::move(listener));
  return {};
}

std::vector<int> Worker::descriptors(Way way) const {
  std::vector<int> out;
  for (const auto& [one, listener] : listeners_) {
    if (one == way) out.push_back(listener->descriptor());
  }
  return out;
}

void Worker::accepted(Way way, std::unique_ptr<io::Stream> stream) {
  const bool has_key = way == Way::kPlain || context_;
  if (!has_key || !has_room(*stream)) {
    refused_metric_.add();
    stream->reset_on_close();
    return;
  }
  const std::uint64_t id = ++last_connection_;
  auto connection = std::make_unique<Connection>(*this, id, std::move(stream),
                                                 way == Way::kPlain ? Transport() : Transport(*context_));
  Connection* raw = connection.get();
  connections_.emplace(id, std::move(connection));
  crowd_.add(*raw, raw->client_address());
  connections_metric_.add();
  raw->begin();
}

// What has ended keeps its descriptor until it is buried, which waits while thousands are cut.
bool Worker::lacks(std::size_t wanted) const {
  return connections_.size() + ended_.size() + *upstream_descriptors_ + wanted > options_.descriptors_max;
}

void Worker::make_room_for_upstream() {
  if (lacks(1)) (void)make_room("");  // where nobody rests, connecting says what is wrong
}

bool Worker::has_room(const io::Stream& newcomer) {
  // With one to spare: who asks for something needs a second.
  if (connections_.size() + ended_.size() < options_.connections_max && !lacks(2)) return true;
  if (ended_.empty() && !make_room(host_of(newcomer.peer_address()))) return false;
  ended_.pop_back();  // nobody stands in it: a listener calls
  return true;
}

// Whoever holds all places and asks for nothing keeps nobody out.
bool Worker::make_room(const std::string& newcomer) {
  Crowd::Member* one = crowd_.who_gives_way(newcomer, loop_.now().nanos, pooled_random_);
  if (one == nullptr) return false;
  static_cast<Connection*>(one)->give_way();
  made_room_metric_.add();
  return true;
}

Exchange* Worker::find(std::uint64_t connection, std::int32_t stream) {
  auto found = connections_.find(connection);
  if (found == connections_.end()) return nullptr;
  found->second->settle();
  found = connections_.find(connection);
  return found == connections_.end() ? nullptr : found->second->exchange(stream);
}

codec::http1::RequestHead& Worker::head_room() {
  std::vector<codec::http1::Field> fields = std::move(head_.fields);
  fields.clear();
  head_ = {};
  head_.fields = std::move(fields);
  return head_;
}

void Worker::post_end() {
  if (std::exchange(end_posted_, true)) return;
  loop_.post([this] { end_turn(); });
}

void Worker::at_turn_end(TurnEnd& what) {
  if (what.marked_ != nullptr) return;
  what.marked_ = this;
  marked_.push_back(&what);
  post_end();
}

void Worker::forget(TurnEnd& what) {
  what.marked_ = nullptr;
  std::replace(marked_.begin(), marked_.end(), &what, static_cast<TurnEnd*>(nullptr));
}

void Worker::end_turn() {
  end_posted_ = false;
  std::size_t done = 0;
  for (; done < marked_.size() && done < kTurnEnds; ++done) {
    TurnEnd* what = marked_[done];
    if (what == nullptr) continue;
    marked_[done] = nullptr;
    what->marked_ = nullptr;
    what->turn_end();
  }
  marked_.erase(marked_.begin(), marked_.begin() + static_cast<std::ptrdiff_t>(done));
  bury_ended();
  if (!marked_.empty() || !ended_.empty() || !ended_calls_.empty()) post_end();
}

// Nobody stands in what has ended; and it may mark others as it goes. What has descriptors to close waits until all
// that must be cut is, and is sliced as well.
void Worker::bury_ended() {
  const auto clients = std::move(ended_clients_);
  ended_clients_.clear();
  if (deciding_) return;
  std::vector<std::unique_ptr<UpstreamCall>> calls;
  std::vector<std::unique_ptr<Connection>> connections;
  auto take = [left = options_.slice_sessions](auto& from, auto& to) mutable {
    for (; left > 0 && !from.empty(); --left, from.pop_back()) to.push_back(std::move(from.back()));
  };
  take(ended_calls_, calls);
  take(ended_, connections);
}

void Worker::bury(std::unique_ptr<ClientSide> client) {
  ended_clients_.push_back(std::move(client));
  post_end();
}

void Worker::bury(std::unique_ptr<UpstreamCall> call) {
  ended_calls_.push_back(std::move(call));
  post_end();
}

std::size_t Worker::held_bytes() const {
  std::size_t held = 0;
  for (const auto& [id, connection] : connections_) held += connection->held_bytes();
  return held;
}

Connection* Worker::connection(std::uint64_t id) const {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

void Worker::finished(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  crowd_.remove(*found->second);
  ended_.push_back(std::move(found->second));
  connections_.erase(found);
  post_end();
  connections_metric_.add(-1);
  if (connections_.empty() && drained_) std::exchange(drained_, nullptr)();
}

// Deadlines; and a decision that ends by itself is made again when it does: nobody tells of a fact that merely expires.
void Worker::sweep() {
  const std::int64_t now = loop_.now().nanos;
  const UnixTime wall = clock_.unix_time();
  std::vector<Connection*> open;
  open.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) open.push_back(connection.get());
  for (Connection* connection : open) connection->sweep(now, wall);
  upstreams_->sweep(now);
  loop_.after(kSweepEvery, [this] { sweep(); });
}

void Worker::post_site(std::shared_ptr<const Site> site) {
  loop_.post([this, site = std::move(site)] {
    site_ = site;
    upstreams_->on_site(*site_);
  });
}

void Worker::post_context(std::shared_ptr<const crypto::TlsServerContext> context) {
  loop_.post([this, context = std::move(context)] { context_ = context; });
}

void Worker::post_changed(std::shared_ptr<const std::vector<contract::EntityId>> list, bool everything,
                          std::int64_t committed) {
  loop_.post([this, list = std::move(list), everything, committed] { changed(*list, everything, committed); });
}

void Worker::post_pause(std::function<void()> done) {
  loop_.post([this, done = std::move(done)] {
    for (const auto& [way, listener] : listeners_) listener->pause();
    done();
  });
}

void Worker::post_resume() {
  loop_.post([this] {
    for (const auto& [way, listener] : listeners_) listener->resume();
  });
}

void Worker::post_listen(std::vector<int> tls, std::vector<int> plain) {
  loop_.post([this, tls = std::move(tls), plain = std::move(plain)] {
    point_.begin_now();
    const auto listen_on = [this](Way way, const std::vector<int>& inherited) {
      for (const int descriptor : inherited) {
        // It was looked at before it was taken (check_given): one that nobody accepts from would hold up its clients.
        WARY_CHECK(listen(way, descriptor).ok());
      }
    };
    listen_on(Way::kTls, tls);
    listen_on(Way::kPlain, plain);
  });
}

void Worker::post_drain(std::function<void()> done, Drain how) {
  loop_.post([this, done = std::move(done), how] {
    listeners_.clear();
    drains_ = how;
    drained_ = done;
    std::vector<Connection*> open;
    open.reserve(connections_.size());
    for (const auto& [id, connection] : connections_) open.push_back(connection.get());
    for (Connection* connection : open) connection->drain(how);
    if (connections_.empty() && drained_) std::exchange(drained_, nullptr)();
  });
}

void Worker::changed(const std::vector<contract::EntityId>& list, bool everything, std::int64_t committed) {
  // What came before this turn learned of the change goes out first, in the order in which it came: an answer that ends
  // the session it is for (signing out) is read, and a queue that is empty lets a stream hear why it ends.
  end_turn();
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
  do {
    in_slice_ = true;
    for (std::size_t decided = 0; decided < options_.slice_sessions; ++decided) {
      const auto next = live_.next_marked();
      if (!next) break;
      static_cast<Exchange*>(next->session)->reconsider(next->committed);
    }
    finish_slice();
  } while (live_.has_marked() && slice_ended_ - begun < others_had);
  deciding_ = live_.has_marked();
  if (deciding_) loop_.post([this] { decide_marked(); });
}

void Worker::finish_slice() {
  in_slice_ = false;
  // One that ended meanwhile is buried after the last slice, and has nothing to flush.
  for (Connection* connection : cut_connections_) connection->flush();
  cut_connections_.clear();
  slice_ended_ = clock_.monotonic().nanos;
  for (const Cut& cut : cuts_) record_now(cut, slice_ended_);
  cuts_.clear();
}

void Worker::flush_cut(Connection& connection) {
  if (!in_slice_) return connection.flush();
  if (cut_connections_.empty() || cut_connections_.back() != &connection) cut_connections_.push_back(&connection);
}

void Worker::record_cut(Cut cut) {
  if (in_slice_) return cuts_.push_back(std::move(cut));
  record_now(cut, clock_.monotonic().nanos);
}

void Worker::record_now(const Cut& cut, std::int64_t at) {
  point_.record_cut(cut.principal, cut.resource, *cut.decision, cut.first_decision, cut.committed, at);
}

void Worker::when_durable(std::uint64_t sequence, std::uint64_t connection, std::int32_t stream) {
  waiting_for_receipt_.emplace(sequence, std::pair(connection, stream));
  if (point_.on_awaited) point_.on_awaited();
}

void Worker::post_receipt(std::uint64_t boot, std::uint64_t sequence) {
  if (boot != point_.boot()) return;
  loop_.post([this, sequence] {
    durable_ = std::max(durable_, sequence);
    while (!waiting_for_receipt_.empty() && waiting_for_receipt_.begin()->first <= sequence) {
      const auto [waited, who] = *waiting_for_receipt_.begin();
      waiting_for_receipt_.erase(waiting_for_receipt_.begin());
      if (Exchange* exchange = find(who.first, who.second)) exchange->on_durable(waited);
    }
  });
}

}  // namespace wary::gateway
