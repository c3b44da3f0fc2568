#include "link/publisher.h"

#include <algorithm>
#include <utility>

namespace wary::link {

namespace {

constexpr std::size_t kSubscribersMax = 1024;
constexpr std::size_t kDeltasMax = 1024;
constexpr std::size_t kViewDeltasMax = 64;
constexpr std::size_t kDeltaBytesMax = std::size_t{64} << 20;
constexpr std::size_t kLeftMost = 4096;
constexpr std::size_t kTakenOfNode = std::size_t{1} << 20;  // calls; only this machine's edge has events to tell of

}  // namespace

struct Publisher::Peer {
  explicit Peer(std::unique_ptr<io::Stream> stream, const FrameLimits& limits = {})
      : frames(std::move(stream), limits) {}
  FrameStream frames;
  std::string bound;  // the only node it may be, where that is known
  std::string node;
  std::string view;  // "": the whole
  std::uint64_t acknowledged = 0;
  bool greeted = false;
  bool flushes = false;  // replies lie ready for the end of the turn
};

Publisher::Publisher(io::Loop& loop, PublisherHooks hooks, Log& log, Metrics& metrics)
    : loop_(loop),
      hooks_(std::move(hooks)),
      log_(log),
      refusals_(log),
      subscribers_metric_(metrics.gauge("wary_link_subscribers", "Edges, agents and others connected")),
      snapshots_sent_(metrics.counter("wary_link_snapshots_sent_total", "Whole snapshots sent")),
      deltas_sent_(metrics.counter("wary_link_deltas_sent_total", "Deltas sent")) {}

Publisher::~Publisher() = default;

Status Publisher::listen(const io::Address& address, const io::ListenOptions& options) {
  WARY_ASSIGN_OR_RETURN(listener_, loop_.listen(address, options, [this](std::unique_ptr<io::Stream> stream) {
    accepted(std::move(stream));
  }));
  return {};
}

void Publisher::accepted(std::unique_ptr<io::Stream> stream) {
  if (!hooks_.is_allowed(stream->peer_credentials(), "") || peers_.size() >= kSubscribersMax) {
    refusals_.warn(loop_.now(), "link.refused", std::to_string(stream->peer_credentials().uid),
                   {{"uid", std::int64_t{stream->peer_credentials().uid}}});
    return;
  }
  begin(std::make_shared<Peer>(std::move(stream)));
}

void Publisher::adopt(std::unique_ptr<io::Stream> stream, const std::string& node) {
  if (peers_.size() >= kSubscribersMax)
    return refusals_.warn(loop_.now(), "link.refused", node, {{"node", node}, {"why", "too many"}});
  for (const auto& other : peers_) {
    if (other->bound == node) other->frames.close();
  }
  const auto peer = std::make_shared<Peer>(std::move(stream), FrameLimits{.taken_bytes = kTakenOfNode});
  peer->bound = node;
  begin(peer);
}

bool Publisher::is_allowed(const Peer& peer, std::string_view node) const {
  if (!peer.bound.empty()) return peer.bound == node;
  return hooks_.is_allowed(peer.frames.peer(), node);
}

void Publisher::begin(const std::shared_ptr<Peer>& peer) {
  peers_.insert(peer);
  subscribers_metric_.set(static_cast<std::int64_t>(peers_.size()));
  // The raw pointer lives as long as the set holds the peer, which drop() ends.
  Peer* raw = peer.get();
  peer->frames.start([this, raw](std::uint8_t type, ByteView payload) { on_frame(*raw, type, payload); },
                     [this, raw](const Error& why) { drop(*raw, why); });
}

void Publisher::drop(Peer& peer, const Error& why) {
  refusals_.info(loop_.now(), "link.closed", peer.node, {{"node", peer.node}, {"code", why.code}});
  if (!peer.bound.empty() && peer.greeted && (left_.size() < kLeftMost || left_.contains(peer.bound))) {
    left_[peer.bound] = hooks_.now();
  }
  for (auto at = peers_.begin(); at != peers_.end(); ++at) {
    if (at->get() != &peer) continue;
    peers_.erase(at);
    break;
  }
  subscribers_metric_.set(static_cast<std::int64_t>(peers_.size()));
}

void Publisher::on_frame(Peer& peer, std::uint8_t type, ByteView payload) {
  if (!peer.greeted && type != kHelloMessage) {
    peer.frames.close();
    return;
  }
  switch (type) {
    case kHelloMessage: return on_hello(peer, payload);
    case kEventsMessage: return on_events(peer, payload);
    case kCallMessage: return on_call(peer, payload);
    case kAckMessage:
      if (payload.size() == 8) peer.acknowledged = read_big_endian<std::uint64_t>(payload.data());
      return;
    case kNackMessage:
      refusals_.error(
          loop_.now(), "link.nack", peer.node,
          {{"node", peer.node}, {"why", as_text(payload.subspan(std::min<std::size_t>(8, payload.size())))}});
      return;
    default: peer.frames.close();
  }
}

void Publisher::on_hello(Peer& peer, ByteView payload) {
  const auto hello = decode_hello(payload);
  if (!hello || peer.greeted || !is_allowed(peer, hello->node)) {
    if (hello)
      refusals_.warn(loop_.now(), "link.refused", hello->node,
                     {{"uid", std::int64_t{peer.frames.peer().uid}}, {"node", hello->node}});
    peer.frames.close();
    return;
  }
  peer.greeted = true;
  peer.node = hello->node;
  if (hooks_.view_of) peer.view = hooks_.view_of(peer.node);
  View& view = peer.view.empty() ? whole_ : views_[peer.view];
  refusals_.info(loop_.now(), "link.hello", peer.node, {{"node", peer.node}, {"revision", hello->revision}});
  const std::uint8_t state = ledger_available_ ? 1 : 0;
  (void)peer.frames.send(kLedgerStateMessage, {&state, 1});

  const std::uint64_t current = hooks_.revision();
  const bool known = hello->history == hooks_.history && hello->revision != 0 && hello->revision <= current;
  const bool covered =
      known && (hello->revision == current || (!view.deltas.empty() && view.deltas.front().from <= hello->revision));
  if (covered) {
    peer.acknowledged = hello->revision;
    for (const Kept& kept : view.deltas) {
      if (kept.from >= hello->revision) send_update(peer, kept.wire);
    }
    return;
  }
  const auto wire = snapshot_for(peer.view, view);
  if (!wire) {
    log_.error("link.unsigned", {{"code", wire.error().code}, {"why", wire.error().message}});
    return peer.frames.close();
  }
  snapshots_sent_.add();
  send_update(peer, *wire);
}

Result<Bytes> Publisher::snapshot_for(const std::string& name, View& view) {
  const std::uint64_t current = hooks_.revision();
  if (view.snapshot_wire.empty() || view.snapshot_revision != current) {
    std::string content = name.empty() ? hooks_.snapshot() : hooks_.snapshot_of(name);
    WARY_ASSIGN_OR_RETURN(
        view.snapshot_wire,
        signed_wire({hooks_.history, name, 0, current, hooks_.now().nanos, 0, std::move(content), {}, {}}));
    view.snapshot_revision = current;
  }
  return view.snapshot_wire;
}

void Publisher::on_events(Peer& peer, ByteView payload) {
  auto batch = decode_event_batch(payload);
  if (!batch) {
    refusals_.warn(loop_.now(), "link.events_refused", peer.node, {{"node", peer.node}, {"code", batch.error().code}});
    peer.frames.close();
    return;
  }
  std::weak_ptr<Peer> target;
  for (const auto& held : peers_) {
    if (held.get() == &peer) target = held;
  }
  hooks_.on_events(peer.node, std::move(batch).value(), [target](Result<Receipt> receipt) {
    const auto held = target.lock();
    if (!held) return;
    if (!receipt) return;  // not durable: the source keeps it and sends it again
    (void)held->frames.send(kReceiptMessage, encode(*receipt));
  });
}

void Publisher::on_call(Peer& peer, ByteView payload) {
  if (payload.size() < 8) return peer.frames.close();
  const auto id = read_big_endian<std::uint64_t>(payload.data());
  const auto call = codec::parse_json(as_text(payload.subspan(8)));
  if (!call) return peer.frames.close();
  std::weak_ptr<Peer> target;
  for (const auto& held : peers_) {
    if (held.get() == &peer) target = held;
  }
  hooks_.on_call(peer.node, *call, [this, target, id](const codec::Json& reply) {
    const auto held = target.lock();
    if (!held) return;  // nor is this, perhaps
    Bytes out;
    append_big_endian(out, id);
    append(out, as_bytes(reply.to_string()));
    (void)held->frames.enqueue(kReplyMessage, out);
    if (std::exchange(held->flushes, true)) return;
    loop_.post([target] {
      const auto there = target.lock();
      if (!there) return;
      there->flushes = false;
      there->frames.flush();
    });
  });
}

void Publisher::send_update(Peer& peer, const Bytes& wire) {
  const Status sent = peer.frames.send(kUpdateMessage, wire);
  if (sent) return;
  refusals_.warn(loop_.now(), "link.slow", peer.node, {{"node", peer.node}, {"code", sent.error().code}});
  peer.frames.close();
}

Result<Bytes> Publisher::signed_wire(Update update) const {
  WARY_ASSIGN_OR_RETURN(update.signature, hooks_.sign(signed_part(update)));
  return encode(update);
}

Status Publisher::commit(std::uint64_t from, std::uint64_t to, Monotonic committed, std::string content) {
  auto wire =
      signed_wire({hooks_.history, "", from, to, hooks_.now().nanos, committed.nanos, std::move(content), {}, {}});
  // A send may close a peer, which leaves the set in a later turn only.
  send_to_view("", wire);
  if (wire) {
    deltas_sent_.add();
    keep(whole_, kDeltasMax, {from, to, std::move(*wire)});
  } else {
    whole_.deltas.clear();
    whole_.kept_bytes = 0;
  }
  commit_views(from, to, committed);
  return wire ? Status{} : Status(wire.error());
}

void Publisher::keep(View& view, std::size_t deltas_most, Kept kept) {
  view.kept_bytes += kept.wire.size();
  view.deltas.push_back(std::move(kept));
  while (view.deltas.size() > deltas_most || view.kept_bytes > kDeltaBytesMax) {
    view.kept_bytes -= view.deltas.front().wire.size();
    view.deltas.pop_front();
  }
}

void Publisher::commit_views(std::uint64_t from, std::uint64_t to, Monotonic committed) {
  std::erase_if(views_, [&](const auto& view) {
    return std::none_of(peers_.begin(), peers_.end(), [&](const auto& peer) { return peer->view == view.first; });
  });
  std::vector<Update> steps;
  const std::int64_t now = hooks_.now().nanos;  // once: one signature is over one time
  for (auto& [name, view] : views_) {
    if (auto content = hooks_.delta_of(name)) {
      steps.push_back({hooks_.history, name, from, to, now, committed.nanos, std::move(*content), {}, {}});
      continue;
    }
    view.deltas.clear();
    view.kept_bytes = 0;
    send_to_view(name, snapshot_for(name, view));
  }
  if (const Status given = sign_together(steps, hooks_.sign); !given) {
    for (const Update& step : steps) {
      views_[step.view].deltas.clear();
      send_to_view(step.view, given.error());
    }
    return;
  }
  for (const Update& step : steps) {
    Bytes wire = encode(step);
    send_to_view(step.view, wire);
    keep(views_[step.view], kViewDeltasMax, {from, to, std::move(wire)});
  }
}

// Without this step the next would not follow: who cannot have it comes again, for a snapshot.
void Publisher::send_to_view(const std::string& name, const Result<Bytes>& wire) {
  if (!wire) log_.error("link.unsigned", {{"view", name}, {"code", wire.error().code}});
  for (const auto& peer : peers_) {
    if (!peer->greeted || peer->view != name) continue;
    if (wire) send_update(*peer, *wire);
    if (!wire) peer->frames.close();
  }
}

void Publisher::set_ledger_available(bool available) {
  if (available == ledger_available_) return;
  ledger_available_ = available;
  const std::uint8_t state = available ? 1 : 0;
  for (const auto& peer : peers_) (void)peer->frames.send(kLedgerStateMessage, {&state, 1});
}

bool Publisher::is_connected(std::string_view node) const {
  return std::ranges::any_of(peers_, [&](const auto& peer) { return peer->greeted && peer->node == node; });
}

std::optional<UnixTime> Publisher::last_connected(std::string_view node) const {
  if (is_connected(node)) return hooks_.now();
  const auto left = left_.find(node);
  return left == left_.end() ? std::nullopt : std::optional(left->second);
}

std::size_t Publisher::enforcement_points() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(peers_, [](const auto& peer) { return peer->greeted && peer->view.empty(); }));
}

std::optional<std::uint64_t> Publisher::acknowledged() const {
  std::optional<std::uint64_t> lowest;
  for (const auto& peer : peers_) {
    if (peer->greeted && peer->view.empty()) lowest = std::min(lowest.value_or(peer->acknowledged), peer->acknowledged);
  }
  return lowest;
}

}  // namespace wary::link
