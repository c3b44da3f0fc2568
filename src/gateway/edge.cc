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
// One that hangs is waited for on the loop that hears of revocations: so much longer than that it is left alone.
constexpr std::int64_t kRestShare = 9;
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
  if (asks_complete_ || names_.empty() || names_ != wanted_ || !subscriber_ || !subscriber_->is_connected()) return;
  asks_complete_ = true;
  subscriber_->call(codec::Json::object().set("op", "hear"), [this](const Result<codec::Json>& reply) {
    asks_complete_ = false;
    if (reply && !names_.empty() && names_ == wanted_ && site_ && complete_) std::exchange(complete_, nullptr)();
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
  const Monotonic began = parts_.clock.monotonic();
  if (began >= signer_rests_until_ && !renew_what_is_due()) {
    const Monotonic ended = parts_.clock.monotonic();
    signer_rests_until_ = {ended.nanos + kRestShare * (ended.nanos - began.nanos)};
  }
  parts_.loop.after(kFreshnessCheck, [this] { keep_fresh(); });
}

// The signer may have been away when names came, or an application that is verified by its roots.
bool Edge::renew_what_is_due() {
  const auto renews = [this](const std::vector<std::string>& names) {
    const Status renewed = renew_certificate(names);
    if (!renewed) parts_.log.warn("edge.certificate_not_renewed", {{"code", renewed.error().code}});
    return renewed.ok();
  };
  const bool lacks_names = !wanted_.empty() && wanted_ != names_;
  const bool has_roots = !wanted_.empty() && has_new_roots();
  const bool is_due = has_roots || (!wanted_.empty() && parts_.clock.unix_time() >= renew_at_);
  bool renewed = (lacks_names || is_due) && renews(wanted_);
  // Names that cannot be had keep neither what is shown already from being renewed, nor a root that was taken away in
  // trust.
  if (!renewed && lacks_names && is_due && !names_.empty()) renewed = renews(std::vector<std::string>(names_));
  // Applications are verified by the roots of today, too, and shown who we are by what is good today.
  const bool own_is_due = own_ && parts_.clock.unix_time() >= renew_own_at_;
  const bool has_own = own_is_due && renew_own().ok();
  if (renewed || has_roots || lacks_roots_ || lacks_own_ || has_own) {
    if (const policy::SnapshotPtr snapshot = shared_.snapshot.current()) rebuild_site(*snapshot);
  }
  return !lacks_roots_ && !lacks_own_ && own_is_due == has_own && (renewed || !(lacks_names || is_due));
}

// A root that came is trusted before it signs, one that was taken away for a minute at most.
bool Edge::has_new_roots() {
  const Monotonic now = parts_.clock.monotonic();
  if (now.nanos - trusted_read_.nanos < kTrustedCheck) return false;
  trusted_read_ = now;
  const auto trusted = parts_.trusted();
  if (!trusted) parts_.log.warn("edge.roots_not_read", {{"code", trusted.error().code}});
  return trusted && trusted->sequence != trusted_sequence_;
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
  if (trusts_others) trusted_read_ = {};
  // First what ends access, then what is served.
  for (const auto& lane : lanes_) lane->worker->post_changed(changed, everything, update.committed);
  if (site_changed) rebuild_site(*next);
  return {};
}

void Edge::rebuild_site(const policy::Snapshot& snapshot) {
  std::vector<const contract::Entity*> apps = snapshot.entities_of_type(kAppType);
  std::vector<const contract::Entity*> routes = snapshot.entities_of_type(kRouteType);
  std::vector<Error> problems;
  lacks_roots_ = lacks_own_ = false;
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
  if (!wanted_.empty() && wanted_ != names_) {
    const Status renewed = renew_certificate(wanted_);
    if (!renewed) {
      parts_.log.error("edge.certificate_not_issued",
                       {{"code", renewed.error().code}, {"why", renewed.error().message}});
    }
  }
  site_ = site;
  for (const auto& lane : lanes_) lane->worker->post_site(site);
}

// A workload of ours by the roots that vouch for it now, anything else by the roots that the App itself gives.
Result<std::shared_ptr<const crypto::TlsClientContext>> Edge::upstream_tls(const UpstreamIdentity& identity,
                                                                           bool is_http2) {
  crypto::TlsClientOptions options;
  options.alpn = {is_http2 ? "h2" : "http/1.1"};
  if (!identity.spiffe_id.empty()) {
    // The signer is waited for: one that does not answer is asked once for all applications, not for each.
    const auto trusted = lacks_roots_ ? fail(ErrorKind::kUnavailable, "signer_unavailable", "the roots are not known")
                                      : parts_.trusted();
    lacks_roots_ = !trusted;
    if (!trusted) return trusted.error();
    WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots, crypto::TrustRoots::build(trusted->roots));
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

// The key is made here and never leaves; asked for again after a third of the hour that it lives.
Status Edge::renew_own() {
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
  WARY_ASSIGN_OR_RETURN(const Bytes csr, crypto::make_csr(key, options_.node));
  WARY_ASSIGN_OR_RETURN(IssuedCertificate certificate, parts_.issue_own(csr, own_id()));
  const std::int64_t now = parts_.clock.unix_time().nanos;
  own_ends_ = certificate.not_after;
  renew_own_at_ = {now + (own_ends_.nanos - now) / 3};
  own_ = {std::move(certificate.chain), std::make_shared<const crypto::PrivateKey>(std::move(key))};
  parts_.log.info("edge.identity", {{"id", own_id()}, {"not_after", to_rfc3339(own_ends_)}});
  return {};
}

// Without it applications are reached that do not insist, and asked for again; renewing it is not for here.
std::optional<crypto::TlsIdentity> Edge::own_identity() {
  if (!parts_.issue_own) return std::nullopt;
  if (own_ && parts_.clock.unix_time() < own_ends_) return own_;
  own_.reset();
  if (lacks_own_) return std::nullopt;
  if (const Status renewed = renew_own(); !renewed) {
    lacks_own_ = true;
    parts_.log.warn("edge.identity_not_renewed", {{"code", renewed.error().code}});
  }
  return own_;
}

// The key is made here and never leaves; the certificate lives at most 24 h and is asked for again after a third of
// that.
Status Edge::renew_certificate(const std::vector<std::string>& names) {
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
  WARY_ASSIGN_OR_RETURN(const Bytes csr, crypto::make_csr(key, options_.node));
  WARY_ASSIGN_OR_RETURN(IssuedCertificate certificate, parts_.issue(csr, names));
  WARY_ASSIGN_OR_RETURN(const TrustedRoots trusted, parts_.trusted());
  WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots, crypto::TrustRoots::build(trusted.roots));
  crypto::TlsServerOptions tls;
  crypto::TlsServerOptions::Site site;
  site.names = names;
  site.identity.chain = std::move(certificate.chain);
  site.identity.key = std::make_shared<const crypto::PrivateKey>(std::move(key));
  tls.sites.push_back(std::move(site));
  tls.alpn = {"h2", "http/1.1"};
  tls.allows_tls12 = true;
  tls.resumes = true;
  tls.client_auth = crypto::ClientAuth::kOptional;
  tls.verify_client =
      crypto::verify_svid(std::move(roots), options_.trust_domain, crypto::VerifyOptions::Use::kClient, parts_.clock);
  WARY_ASSIGN_OR_RETURN(crypto::TlsServerContext built, crypto::TlsServerContext::build(std::move(tls)));
  const auto context = std::make_shared<const crypto::TlsServerContext>(std::move(built));
  for (const auto& lane : lanes_) lane->worker->post_context(context);
  const std::int64_t now = parts_.clock.unix_time().nanos;
  renew_at_ = {now + (certificate.not_after.nanos - now) / 3};
  names_ = names;
  trusted_sequence_ = trusted.sequence;
  parts_.log.info("edge.certificate",
                  {{"names", std::int64_t(names.size())}, {"not_after", to_rfc3339(certificate.not_after)}});
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
