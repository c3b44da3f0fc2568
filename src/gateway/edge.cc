#include "gateway/edge.h"

#include <algorithm>

#include "codec/json.h"
#include "crypto/pem.h"
#include "crypto/x509.h"
#include "gateway/app_metrics.h"
#include "gateway/exchange.h"
#include "policy/serialize.h"

namespace wary::gateway {

namespace {

constexpr std::int64_t kFreshnessCheck = kNanosPerSecond;
constexpr std::int64_t kTrustedCheck = 60 * kNanosPerSecond;
constexpr std::int64_t kInheritedCheck = 50 * kNanosPerMilli;
constexpr std::int64_t kCompleteCheck = 50 * kNanosPerMilli;
constexpr std::string_view kAppType = "Wary::App";
constexpr std::string_view kTrustDomainType = "Wary::TrustDomain";
constexpr std::string_view kRouteType = "Wary::Route";

}  // namespace

struct Edge::Lane {
  enforce::EventRing* ring = nullptr;
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<Worker> worker;
  std::thread thread;
};

Edge::Edge(EdgeParts parts, EdgeOptions options)
    : parts_(parts),
      options_(std::move(options)),
      ring_files_(parts.files, parts.random, parts.log, options_.directory, options_.ring_bytes),
      link_connected_(parts.metrics.gauge("wary_link_connected", "1 while the control plane is connected")),
      ledger_available_(
          parts.metrics.gauge("wary_enforce_ledger_available", "1 while the ledger is known to take events")),
      ring_used_(parts.metrics.gauge("wary_enforce_ring_used_bytes", "Bytes of events that wait for a receipt")) {}
Edge::~Edge() { stop(); }

Status Edge::open() {
  WARY_RETURN_IF_ERROR(ring_files_.take());
  std::vector<enforce::EventRing*> rings;
  for (std::size_t i = 0; i < options_.workers; ++i) {
    auto lane = std::make_unique<Lane>();
    WARY_ASSIGN_OR_RETURN(lane->ring, ring_files_.open(std::to_string(i)));
    rings.push_back(lane->ring);
    lanes_.push_back(std::move(lane));
  }
  WARY_ASSIGN_OR_RETURN(decision_ring_, ring_files_.open("pdp"));
  rings.push_back(decision_ring_);
  // Of one that took over and died, or was taken over from and did not come to an end. One that runs holds its own.
  if (const auto left = ring_files_.inherit()) rings.insert(rings.end(), left->begin(), left->end());
  enforce::PointOptions point;
  point.source = options_.node + "/pdp";
  point.tenant = std::string(contract::kDefaultTenant);
  point.event_class = contract::EventClass::kAuthorizeSession;
  decision_point_ = std::make_unique<enforce::Point>(shared_, *decision_ring_, parts_.clock, parts_.random,
                                                     std::move(point), parts_.metrics);
  decision_point_->on_recorded = [this] { shipper_->wake(); };
  shipper_ = std::make_unique<enforce::Shipper>(
      parts_.loop, rings,
      enforce::Shipper::Hooks{[this](const link::EventBatch& batch) { return subscriber_->send_events(batch); },
                              [this](const link::Receipt& receipt) {
                                for (const auto& lane : lanes_)
                                  lane->worker->post_receipt(receipt.boot, receipt.sequence);
                              },
                              [this](bool available) {
                                if (!told_unavailable_)
                                  shared_.ledger_available.store(available, std::memory_order_relaxed);
                              }});
  return {};
}

std::optional<contract::EntityId> Edge::resource_of(std::string_view host, std::string_view path) const {
  const App* app = site_ ? site_->find_app(host) : nullptr;
  // The console is served by the edge alone.
  if (app == nullptr || app->is_console) return std::nullopt;
  return app->find_route(path).resource;
}

Status Edge::start() {
  shared_.control_heard.store(parts_.clock.monotonic().nanos);
  if (!options_.takes_over) {
    WARY_RETURN_IF_ERROR(check_port(options_.listen));
    if (options_.listen_plain) WARY_RETURN_IF_ERROR(check_port(*options_.listen_plain));
  }
  shared_.rates.hide(parts_.random.number(), parts_.random.number());
  shared_.at_work.hide(parts_.random.number(), parts_.random.number());
  for (std::size_t i = 0; i < lanes_.size(); ++i) WARY_RETURN_IF_ERROR(start_worker(i));
  WARY_RETURN_IF_ERROR(start_link());
  signer_ = std::make_unique<SignerDesk>(
      parts_.loop, parts_.clock,
      SignerDesk::Signer{parts_.issue, parts_.trusted, parts_.issue_own, parts_.interrupt_signer});
  for (const auto& lane : lanes_) lane->thread = std::thread([loop = lane->loop.get()] { loop->run(); });
  keep_fresh();
  ship_inherited();
  return subscriber_->start();
}

Status Edge::start_worker(std::size_t number) {
  Lane& lane = *lanes_[number];
  lane.loop = io::make_epoll_loop(parts_.clock);
  enforce::PointOptions point;
  point.source = options_.node + "/" + std::to_string(number);
  point.tenant = std::string(contract::kDefaultTenant);
  point.obligations = {std::string(kRecordBefore), std::string(kRedactHeader)};
  io::Loop& back = *lane.loop;
  lane.worker = std::make_unique<Worker>(
      *lane.loop, parts_.clock, parts_.random, shared_, *lane.ring, std::move(point),
      WorkerOptions{.listen = options_.listen,
                    .console_origin = options_.console_origin,
                    .descriptors_max = options_.descriptors_max,
                    .exporter = parts_.exporter,
                    .proxy_peers = options_.proxy_peers,
                    .listen_plain = options_.listen_plain},
      [this, &back](const std::string& code, const std::string& host, const std::string& state,
                    std::function<void(Result<Redeemed>)> done) { redeem(code, host, state, back, std::move(done)); },
      parts_.log, parts_.metrics);
  lane.worker->point().on_recorded = [this] { shipper_->wake(); };
  lane.worker->point().on_awaited = [this] { shipper_->hurry(); };
  lane.worker->point().on_key_missing([this](const std::string& issuer) { want_keys(issuer); });
  if (options_.takes_over) return {};
  WARY_RETURN_IF_ERROR(lane.worker->listen());
  if (options_.listen_plain) WARY_RETURN_IF_ERROR(lane.worker->listen(Way::kPlain));
  for (const int descriptor : lane.worker->descriptors(Way::kTls)) sockets_.tls.push_back(descriptor);
  for (const int descriptor : lane.worker->descriptors(Way::kPlain)) sockets_.plain.push_back(descriptor);
  return {};
}

Status Edge::start_link() {
  WARY_ASSIGN_OR_RETURN(const crypto::PublicKey key,
                        crypto::PublicKey::from_raw(crypto::KeyType::kEd25519, options_.snapshot_key));
  link::SubscriberHooks hooks;
  hooks.verify = [key](ByteView message, ByteView signature) { return key.verify(message, signature); };
  hooks.on_update = [this](const link::Update& update) { return on_update(update); };
  hooks.on_receipt = [this](const link::Receipt& receipt) { shipper_->on_receipt(receipt); };
  hooks.on_ledger_state = [this](bool available) {
    told_unavailable_ = !available;
    shared_.ledger_available.store(available, std::memory_order_relaxed);
  };
  hooks.on_connection = [this](bool connected) {
    link_connected_.set(connected ? 1 : 0);
    connected ? shipper_->on_connected() : shipper_->on_disconnected();
    // Away is not unavailable: the rings hold what is decided meanwhile, and a full ring denies.
    if (!connected) {
      told_unavailable_ = false;
      shared_.ledger_available.store(true, std::memory_order_relaxed);
    }
  };
  link::SubscriberOptions link{options_.node, options_.link, options_.directory};
  link.keeps = !options_.takes_over;
  subscriber_ = std::make_unique<link::Subscriber>(parts_.loop, parts_.files, std::move(link), hooks, parts_.log);
  return {};
}

// What the control plane had to say comes before its reply to whatever it is asked; and a site without a certificate is
// none yet.
void Edge::when_complete(std::function<void()> done) {
  complete_ = std::move(done);
  see_complete();
}

void Edge::see_complete() {
  if (!complete_) return;
  parts_.loop.after(kCompleteCheck, [this] { see_complete(); });
  const auto shows_all = [this] { return site_ && shown_ && shown_->names == wanted_ && !lacks_roots_; };
  if (asks_complete_ || !shows_all() || !signer_ || signer_->is_asking() || !subscriber_ ||
      !subscriber_->is_connected())
    return;
  asks_complete_ = true;
  subscriber_->call(codec::Json::object().set("op", "hear"), [this, shows_all](const Result<codec::Json>& reply) {
    asks_complete_ = false;
    if (reply && shows_all() && complete_) std::exchange(complete_, nullptr)();
  });
}

namespace {

// For each worker; one more than there are sockets shares one of them.
std::vector<std::vector<int>> shared_out(std::vector<io::Descriptor> sockets, std::size_t workers,
                                         std::vector<int>& all) {
  std::vector<std::vector<int>> shares(workers);
  for (std::size_t i = sockets.size(); i < workers && !sockets.empty(); ++i) {
    shares[i].push_back(sockets[i % sockets.size()].copy().release());
  }
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    all.push_back(sockets[i].get());
    shares[i % workers].push_back(sockets[i].release());
  }
  return shares;
}

}  // namespace

void Edge::accept(std::vector<io::Descriptor> tls, std::vector<io::Descriptor> plain) {
  auto secure = shared_out(std::move(tls), lanes_.size(), sockets_.tls);
  auto others = shared_out(std::move(plain), lanes_.size(), sockets_.plain);
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    lanes_[i]->worker->post_listen(std::move(secure[i]), std::move(others[i]));
  }
  decision_point_->begin_now();
  subscriber_->start_keeping();
}

void Edge::let_go(std::function<void()> done) {
  subscriber_->stop_keeping();
  const auto left = std::make_shared<std::size_t>(lanes_.size());  // counted on the main loop
  for (const auto& lane : lanes_) {
    lane->worker->post_pause([this, left, done] {
      parts_.loop.post([left, done] {
        if (--*left == 0) done();
      });
    });
  }
}

void Edge::take_back() {
  for (const auto& lane : lanes_) lane->worker->post_resume();
  subscriber_->start_keeping();
}

void Edge::inherit() {
  const bool ships = holds_inherited();
  inherits_ = true;
  if (!ships) ship_inherited();
}

// While the process that left them may still be there, it is asked for again; and until all is shipped.
void Edge::ship_inherited() {
  if (inherits_) {
    const auto left = ring_files_.inherit();
    inherits_ = !left.has_value();
    if (left) std::for_each(left->begin(), left->end(), [this](enforce::EventRing* ring) { shipper_->add(*ring); });
  }
  if (ring_files_.holds_inherited()) {
    ring_files_.drop_empty([this](const enforce::EventRing& ring) { shipper_->remove(ring); });
  }
  if (holds_inherited()) parts_.loop.after(kInheritedCheck, [this] { ship_inherited(); });
}

bool Edge::has_shipped() const {
  if (decision_ring_->used_bytes() > 0) return false;
  return std::all_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->ring->used_bytes() == 0; });
}

// Workers share the port, and the kernel lets any process of this user share it with them: another wary's edge would
// get every second connection. Nobody can join who does not ask to share.
Status Edge::check_port(const io::Address& address) {
  WARY_ASSIGN_OR_RETURN([[maybe_unused]] const auto alone,
                        parts_.loop.listen(address, {}, [](std::unique_ptr<io::Stream>) {}));
  return {};
}

void Edge::drain(std::function<void()> done, Drain how) {
  const auto left = std::make_shared<std::size_t>(lanes_.size());  // counted on the main loop
  for (const auto& lane : lanes_) {
    lane->worker->post_drain(
        [this, left, done] {
          parts_.loop.post([left, done] {
            if (--*left == 0) done();
          });
        },
        how);
  }
}

void Edge::stop() {
  signer_.reset();
  for (const auto& lane : lanes_) {
    if (lane->thread.joinable()) {
      lane->loop->stop();
      lane->thread.join();
    }
  }
  subscriber_.reset();
  shipper_.reset();
  // Workers before their loops: a worker's streams are its loop's.
  for (const auto& lane : lanes_) lane->worker.reset();
  lanes_.clear();
}

void Edge::keep_fresh() {
  std::int64_t used = 0;
  for (const auto& lane : lanes_) used += static_cast<std::int64_t>(lane->ring->used_bytes());
  used += static_cast<std::int64_t>(decision_ring_->used_bytes());
  ring_used_.set(used);
  ledger_available_.set(shared_.ledger_available.load(std::memory_order_relaxed) ? 1 : 0);
  if (subscriber_ && subscriber_->is_connected()) {
    shared_.control_heard.store(parts_.clock.monotonic().nanos, std::memory_order_relaxed);
  }
  ask_signer();
  parts_.loop.after(kFreshnessCheck, [this] { keep_fresh(); });
}

// For what is due, or could not be had the last time. Nobody waits for it: what is served stays served meanwhile.
void Edge::ask_signer() {
  if (!signer_ || signer_->is_asking()) return;
  const UnixTime now = parts_.clock.unix_time();
  SignerDesk::Ask ask;
  ask.subject = options_.node;
  // A root that came is trusted before it signs, one that was taken away for a minute at most.
  ask.roots = !roots_ || parts_.clock.monotonic().nanos - roots_read_.nanos >= kTrustedCheck;
  // Who verifies clients comes first: without roots no certificate can be shown.
  if (roots_ && !wanted_.empty()) {
    const bool lacks = !shown_ || shown_->names != wanted_;
    const bool is_due = shown_ && (renews_ || now >= shown_->renew_at);
    if (lacks || is_due) ask.names = wanted_;
    if (lacks && is_due) ask.others = shown_->names;
  }
  if (wants_own_ && (!own_ || now >= own_->renew_at)) ask.own = own_id();
  if (!ask.roots && ask.names.empty() && ask.own.empty()) return;
  signer_->ask(std::move(ask), [this](SignerDesk::Told told) { heard_signer(std::move(told)); });
}

void Edge::heard_signer(SignerDesk::Told told) {
  const bool has_new_roots = told.roots && (!roots_ || roots_->sequence != told.roots->sequence);
  const bool has_certificate = told.certificate.has_value(), has_own = told.own.has_value();
  const bool is_first = !std::exchange(signer_answered_, true);
  if (has_new_roots) renews_ = roots_.has_value();
  if (told.roots) {
    roots_ = std::move(told.roots);
    roots_read_ = parts_.clock.monotonic();
  }
  if (told.certificate) {
    shown_ = std::move(told.certificate);
    renews_ = false;
    parts_.log.info("edge.certificate",
                    {{"names", std::int64_t(shown_->names.size())}, {"not_after", to_rfc3339(shown_->not_after)}});
  }
  if (told.own) {
    own_ = std::move(told.own);
    parts_.log.info("edge.identity", {{"id", own_id()}, {"not_after", to_rfc3339(own_->not_after)}});
  }
  // Applications are verified by the roots of today, too, and shown who we are by what is good today.
  const policy::SnapshotPtr snapshot = shared_.snapshot.current();
  if (snapshot && (is_first || has_new_roots || has_own)) rebuild_site(*snapshot);
  if (const Status shown = has_new_roots || has_certificate ? show_certificate() : Status(); !shown) {
    parts_.log.error("edge.certificate_not_shown", {{"code", shown.error().code}, {"why", shown.error().message}});
  }
  if (told.failure) return tell_failure(*told.failure);
  told_failure_.clear();
  ask_signer();  // for what became wanted meanwhile
}

// Once, until it is another failure or other names wait: it is asked again every second.
void Edge::tell_failure(const Error& why) {
  std::vector<std::string> waiting;
  const std::vector<std::string> none;
  const std::vector<std::string>& shown = shown_ ? shown_->names : none;
  std::set_difference(wanted_.begin(), wanted_.end(), shown.begin(), shown.end(), std::back_inserter(waiting));
  std::string all = why.code;
  for (const std::string& name : waiting) all += " " + name;
  if (std::exchange(told_failure_, all) == all) return;
  parts_.log.error("edge.signer_failed", {{"code", why.code},
                                          {"why", why.message},
                                          {"names_that_wait", std::int64_t(waiting.size())},
                                          {"served_until", shown_ ? to_rfc3339(shown_->not_after) : "never"}});
}

Status Edge::on_update(const link::Update& update) {
  parts_.raise_clock({update.published});
  policy::SnapshotPtr next;
  auto changed = std::make_shared<std::vector<contract::EntityId>>();
  bool everything = update.is_snapshot();
  bool site_changed = update.is_snapshot();
  if (update.is_snapshot()) {
    WARY_ASSIGN_OR_RETURN(const policy::SnapshotContent content, policy::parse_snapshot(update.content));
    WARY_ASSIGN_OR_RETURN(next, policy::build_snapshot(content, parts_.clock.unix_time(), parts_.random.number()));
  } else {
    const policy::SnapshotPtr base = shared_.snapshot.current();
    WARY_ASSIGN_OR_RETURN(const policy::SnapshotDelta delta, policy::parse_delta(update.content));
    if (!base) return fail(ErrorKind::kConflict, "update_order", "a delta came before any snapshot");
    WARY_ASSIGN_OR_RETURN(next, policy::apply_delta(*base, delta, parts_.clock.unix_time()));
    everything = delta.changes_policies();
    for (const contract::EntityId& id : delta.removals) changed->push_back(id);
    for (const contract::Entity& entity : delta.upserts) changed->push_back(entity.id);
    site_changed = std::any_of(changed->begin(), changed->end(), [](const contract::EntityId& id) {
      return id.type == kAppType || id.type == kRouteType;
    });
  }
  if (next->revision() != update.to) {
    return fail(ErrorKind::kInvalid, "update_order", "an update's content has another revision than its envelope");
  }
  shared_.snapshot.swap(next);
  // From the disk, it is as old as it says: starting again does not make an old snapshot fresh.
  const bool is_live = subscriber_ != nullptr && subscriber_->is_connected();
  const std::int64_t age = is_live ? 0 : std::max<std::int64_t>(0, parts_.clock.unix_time().nanos - update.published);
  shared_.control_heard.store(parts_.clock.monotonic().nanos - age, std::memory_order_relaxed);
  // Who vouches for workloads is somebody else: looked at in the next turn of keep_fresh, not within the minute.
  const bool trusts_others = std::any_of(changed->begin(), changed->end(),
                                         [](const contract::EntityId& id) { return id.type == kTrustDomainType; });
  if (trusts_others) roots_read_ = {};
  // First what ends access, then what is served.
  for (const auto& lane : lanes_) lane->worker->post_changed(changed, everything, update.committed);
  if (site_changed) rebuild_site(*next);
  return {};
}

void Edge::rebuild_site(const policy::Snapshot& snapshot) {
  // The first one waits for the signer's first word, so that nothing of it is missing for a moment.
  if (!signer_answered_) return ask_signer();
  std::vector<const contract::Entity*> apps = snapshot.entities_of_type(kAppType);
  std::vector<const contract::Entity*> routes = snapshot.entities_of_type(kRouteType);
  std::vector<Error> problems;
  lacks_roots_ = wants_own_ = false;
  const auto site = Site::build(
      apps, routes, problems,
      [this](const UpstreamIdentity& identity, bool is_http2) { return upstream_tls(identity, is_http2); },
      [this](const std::string& app) {
        auto& counted = counted_[app];
        if (!counted) counted = std::make_shared<AppMetrics>(parts_.metrics, app);
        return counted;
      });
  for (const Error& problem : problems) {
    parts_.log.warn("edge.site_entity", {{"entity", problem.where}, {"why", problem.message}});
  }
  wanted_ = site->hosts();
  site_ = site;
  for (const auto& lane : lanes_) lane->worker->post_site(site);
  ask_signer();
}

// A workload of ours by the roots that vouch for it now, anything else by the roots that the App itself gives.
Result<std::shared_ptr<const crypto::TlsClientContext>> Edge::upstream_tls(const UpstreamIdentity& identity,
                                                                           bool is_http2) {
  crypto::TlsClientOptions options;
  options.alpn = {is_http2 ? "h2" : "http/1.1"};
  if (!identity.spiffe_id.empty()) {
    // As they were read last: a signer that is away takes nothing out of what is served.
    lacks_roots_ = !roots_;
    if (!roots_) return fail(ErrorKind::kUnavailable, "signer_unavailable", "the roots are not known yet");
    WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots, crypto::TrustRoots::build(roots_->roots));
    options.verify_server = crypto::verify_svid_of(std::move(roots), options_.trust_domain, identity.spiffe_id,
                                                   crypto::VerifyOptions::Use::kServer, parts_.clock);
  } else {
    WARY_ASSIGN_OR_RETURN(const auto blocks, crypto::decode_pem(identity.roots));
    std::vector<Bytes> certificates;
    for (const crypto::PemBlock& block : blocks) certificates.push_back(block.bytes);
    WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots, crypto::TrustRoots::build(certificates));
    options.verify_server = crypto::verify_server_name(std::move(roots), parts_.clock);
  }
  if (identity.shows_own) options.identity = own_identity();
  WARY_ASSIGN_OR_RETURN(crypto::TlsClientContext made, crypto::TlsClientContext::build(std::move(options)));
  return std::make_shared<const crypto::TlsClientContext>(std::move(made));
}

// What the edge is: "edge/local" of its trust domain.
std::string Edge::own_id() const { return "spiffe://" + options_.trust_domain + "/wary/" + options_.node; }

// It lives for an hour. Without it applications are reached that do not insist.
std::optional<crypto::TlsIdentity> Edge::own_identity() {
  if (!parts_.issue_own) return std::nullopt;
  wants_own_ = true;
  if (own_ && parts_.clock.unix_time() < own_->not_after) return own_->identity;
  return std::nullopt;
}

// The certificate lives at most 24 h. By the newest roots, whoever of the two is new.
Status Edge::show_certificate() {
  if (!shown_ || !roots_) return {};
  WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots, crypto::TrustRoots::build(roots_->roots));
  crypto::TlsServerOptions tls;
  tls.sites.push_back({shown_->names, shown_->identity});
  tls.alpn = {"h2", "http/1.1"};
  tls.allows_tls12 = true;
  tls.resumes = true;
  tls.client_auth = crypto::ClientAuth::kOptional;
  tls.verify_client =
      crypto::verify_svid(std::move(roots), options_.trust_domain, crypto::VerifyOptions::Use::kClient, parts_.clock);
  WARY_ASSIGN_OR_RETURN(crypto::TlsServerContext built, crypto::TlsServerContext::build(std::move(tls)));
  const auto context = std::make_shared<const crypto::TlsServerContext>(std::move(built));
  for (const auto& lane : lanes_) lane->worker->post_context(context);
  return {};
}

// From any thread, and what was asked last may be heard when the edge has stopped. Whether the issuer is asked for them
// is the control plane's to say.
void Edge::want_keys(const std::string& issuer) {
  codec::Json call = codec::Json::object();
  call.set("op", "jwks.missing").set("issuer", std::string_view(issuer));
  parts_.loop.post([this, call = std::move(call)] {
    if (subscriber_) subscriber_->call(call, [](const Result<codec::Json>&) {});
  });
}

void Edge::redeem(const std::string& code, const std::string& host, const std::string& state_hash, io::Loop& back,
                  std::function<void(Result<Redeemed>)> done) {
  codec::Json call = codec::Json::object();
  call.set("op", "redeem").set("code", std::string_view(code)).set("host", std::string_view(host));
  call.set("state", std::string_view(state_hash));
  parts_.loop.post([this, call = std::move(call), &back, done = std::move(done)] {
    if (!subscriber_) return;  // the edge has stopped, and so has the worker that asked
    subscriber_->call(call, [&back, done](Result<codec::Json> reply) {
      Result<Redeemed> result = fail(ErrorKind::kDenied, "sign_in_refused", "the code was not accepted");
      if (!reply) {
        result = std::move(reply).error();
      } else if (const std::string_view token = reply->string_or("token", ""); !token.empty()) {
        result = Redeemed{std::string(token)};
      }
      back.post([done, result = std::move(result)] { done(result); });
    });
  });
}

}  // namespace wary::gateway
