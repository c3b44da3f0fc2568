#include "federation/federation.h"

#include <algorithm>

#include "base/limits.h"
#include "codec/text.h"
#include "policy/serialize.h"

namespace wary::federation {

namespace {

constexpr std::string_view kTrustDomainEntity = "Wary::TrustDomain";
constexpr std::string_view kIssuerEntity = "Wary::Issuer";
constexpr std::int64_t kFirstFetchMin = 100 * kNanosPerMilli;
constexpr std::size_t kFetchesMax = 8;
constexpr std::size_t kCallMost = Limits{}.bytes;  // what the control plane reads at once

const codec::Json* fact_of(const contract::Entity& entity, std::string_view name) {
  for (const contract::Fact& fact : entity.attributes) {
    if (fact.name == name) return &fact.value;
  }
  return nullptr;
}

// What the control plane says instead of an answer.
std::optional<Error> refusal_in(const Result<codec::Json>& reply) {
  if (!reply) return reply.error();
  const codec::Json* error = reply->find("error");
  if (error == nullptr) return std::nullopt;
  return fail(ErrorKind::kDenied, error->string_or("code", "federation_refused"),
              error->string_or("message", "refused"));
}

}  // namespace

std::int64_t next_fetch(std::int64_t refresh_after_s, int failures, std::uint64_t random) {
  const std::int64_t refresh = std::clamp(refresh_after_s, kRefreshLeast, kRefreshMost);
  const std::int64_t seconds = failures == 0 ? refresh : std::min(kRefreshLeast << std::min(failures - 1, 14), refresh);
  const std::int64_t whole = seconds * kNanosPerSecond;
  return whole - static_cast<std::int64_t>(random % static_cast<std::uint64_t>(whole / 10));
}

Federation::Federation(FederationParts parts, FederationOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      resolver_(parts_.loop),
      domains_metric_(parts_.metrics.gauge("wary_federation_domains", "Trust domains whose bundles are fetched")),
      fetched_metric_(parts_.metrics.counter("wary_federation_fetched_total", "Bundles fetched and taken")),
      failed_metric_(parts_.metrics.counter("wary_federation_failed_total", "Fetches that gave no bundle")) {}

Federation::~Federation() {
  for (auto& [name, domain] : domains_) parts_.loop.cancel(domain.timer);
}

Status Federation::start() {
  WARY_ASSIGN_OR_RETURN(const crypto::PublicKey key,
                        crypto::PublicKey::from_raw(crypto::KeyType::kEd25519, options_.snapshot_key));
  if (options_.listen) {
    listener_ = std::make_unique<Listener>(ListenerParts{parts_.loop, parts_.clock, parts_.log}, options_.trust_domain,
                                           [this](ByteView csr, const Listener::Issued& done) { issue(csr, done); });
    WARY_RETURN_IF_ERROR(listener_->listen(*options_.listen));
  }
  link::SubscriberHooks hooks;
  hooks.verify = [key](ByteView message, ByteView signature) { return key.verify(message, signature); };
  hooks.on_update = [this](const link::Update& update) { return on_update(update); };
  hooks.on_receipt = [](const link::Receipt&) {};
  hooks.on_ledger_state = [](bool) {};
  hooks.on_connection = [this](bool connected) {
    parts_.log.info(connected ? "federation.connected" : "federation.disconnected", {{"node", options_.node}});
  };
  subscriber_ = std::make_unique<link::Subscriber>(
      parts_.loop, parts_.files,
      link::SubscriberOptions{
          .node = options_.node, .address = options_.link, .directory = options_.directory, .view = "federation/"},
      std::move(hooks), parts_.log);
  issuer_keys_ = std::make_unique<IssuerKeys>(
      IssuerKeysParts{parts_.loop, parts_.clock, parts_.random, parts_.log, resolver_, parts_.web_roots,
                      [this](const codec::Json& call, std::function<void(Result<codec::Json>)> reply) {
                        subscriber_->call(call, std::move(reply));
                      }},
      parts_.metrics);
  return subscriber_->start();
}

Status Federation::on_update(const link::Update& update) {
  parts_.raise_clock({update.published});
  if (update.is_snapshot()) {
    WARY_ASSIGN_OR_RETURN(const policy::SnapshotContent content, policy::parse_snapshot(update.content));
    if (content.revision != update.to) {
      return fail(ErrorKind::kInvalid, "update_order", "an update's content has another revision than its envelope");
    }
    std::vector<std::string> gone, gone_issuers = issuer_keys_->names();
    for (const auto& [domain, text] : texts_) gone.push_back(domain);
    for (const auto& [domain, known] : domains_) gone.push_back(domain);
    for (const contract::Entity& entity : content.entities) {
      if (entity.id.type == kTrustDomainEntity) std::erase(gone, entity.id.id);
      if (entity.id.type == kIssuerEntity) std::erase(gone_issuers, entity.id.id);
    }
    for (const std::string& name : gone_issuers) issuer_keys_->forget(name);
    for (const std::string& domain : gone) forget(domain);
    for (const contract::Entity& entity : content.entities) learn(entity);
  } else {
    WARY_ASSIGN_OR_RETURN(const policy::SnapshotDelta delta, policy::parse_delta(update.content));
    if (delta.from != revision_ || delta.to != update.to) {
      return fail(ErrorKind::kConflict, "update_order", "an update does not continue what is known");
    }
    for (const contract::EntityId& id : delta.removals) {
      if (id.type == kTrustDomainEntity) forget(id.id);
      if (id.type == kIssuerEntity) issuer_keys_->forget(id.id);
    }
    for (const contract::Entity& entity : delta.upserts) learn(entity);
  }
  revision_ = update.to;
  domains_metric_.set(static_cast<std::int64_t>(domains_.size()));
  return {};
}

void Federation::learn(const contract::Entity& entity) {
  if (entity.id.type == kIssuerEntity) return issuer_keys_->learn(entity);
  if (entity.id.type != kTrustDomainEntity) return;
  const std::string& domain = entity.id.id;
  const codec::Json* bundle = fact_of(entity, "bundle");
  const std::string text = bundle != nullptr && bundle->is_string() ? bundle->as_string() : std::string();
  const auto known = texts_.find(domain);
  const bool changed = known == texts_.end() || known->second != text;
  if (changed) hold_bundle(domain, text);
  if (domain != options_.trust_domain) return follow(domain, fact_of(entity, "endpoint"), changed);
  if (changed && listener_) listener_->serve(text);
}

void Federation::hold_bundle(const std::string& domain, const std::string& text) {
  texts_[domain] = text;
  bundles_.remove(domain);
  if (text.empty()) return;  // none yet
  auto bundle = spiffe::parse_bundle(domain, text);
  const Status held = bundle ? bundles_.put(std::move(bundle).value()) : Status(std::move(bundle).error());
  if (!held) parts_.log.error("federation.bundle_refused", {{"trust_domain", domain}, {"code", held.error().code}});
}

void Federation::follow(const std::string& domain, const codec::Json* endpoint, bool bundle_changed) {
  auto parsed = endpoint != nullptr ? endpoint_from(*endpoint) : Result<Endpoint>(Error{});
  const auto known = domains_.find(domain);
  if (!parsed) return unfollow(domain);  // a bundle that is never fetched
  if (known != domains_.end() && known->second.endpoint == *parsed) {
    // What was applied anew may be what the last fetch lacked.
    if (bundle_changed && known->second.failures > 0 && !known->second.fetch) fetch_after(domain, kFirstFetchMin);
    return;
  }
  Domain& now = domains_[domain];
  if (now.fetch) --fetching_;
  now.fetch.reset();
  now.endpoint = std::move(parsed).value();
  now.failures = 0;
  fetch_after(domain, kFirstFetchMin + static_cast<std::int64_t>(parts_.random.number() % kNanosPerSecond) / 2);
}

void Federation::unfollow(const std::string& domain) {
  const auto known = domains_.find(domain);
  if (known == domains_.end()) return;
  parts_.loop.cancel(known->second.timer);
  if (known->second.fetch) --fetching_;
  domains_.erase(known);
}

void Federation::forget(const std::string& domain) {
  unfollow(domain);
  texts_.erase(domain);
  bundles_.remove(domain);
}

void Federation::fetch_after(const std::string& domain, std::int64_t nanos) {
  Domain& known = domains_.at(domain);
  parts_.loop.cancel(known.timer);
  known.timer = parts_.loop.after(nanos, [this, domain] { fetch(domain); });
}

Result<crypto::VerifyPeer> Federation::verifier_of(const Endpoint& endpoint) {
  if (endpoint.profile == Profile::kWeb) {
    WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots, parts_.web_roots());
    return verify_web_server(std::move(roots), parts_.clock);
  }
  const crypto::TrustRoots* roots = bundles_.find_roots(endpoint.spiffe_id.trust_domain);
  if (roots != nullptr) return verify_spiffe_server(*roots, endpoint.spiffe_id, parts_.clock);
  return fail(ErrorKind::kUnavailable, "federation_no_bundle", "no bundle of the server's own trust domain is held")
      .found(endpoint.spiffe_id.trust_domain);
}

void Federation::fetch(const std::string& domain) {
  const auto known = domains_.find(domain);
  if (known == domains_.end() || known->second.fetch) return;
  if (fetching_ >= kFetchesMax) return fetch_after(domain, kNanosPerSecond);
  auto verify = verifier_of(known->second.endpoint);
  if (!verify) return failed(domain, verify.error(), false);
  ++fetching_;
  known->second.fetch =
      std::make_unique<Fetch>(FetchParts{parts_.loop, resolver_}, known->second.endpoint, std::move(verify).value(),
                              [this, domain](Result<std::string> document) { fetched(domain, std::move(document)); });
  known->second.fetch->start();
}

void Federation::fetched(const std::string& domain, Result<std::string> document) {
  Domain& known = domains_.at(domain);
  known.fetch.reset();
  --fetching_;
  if (!document) return failed(domain, document.error(), false);
  const auto parsed = spiffe::parse_bundle(domain, *document);
  if (!parsed) return failed(domain, parsed.error(), false);
  codec::Json call = codec::Json::object();
  call.set("op", "bundle.fetched").set("trust_domain", std::string_view(domain)).set("bundle", *document);
  // Escaped it is larger than it came; a call that cannot be read costs the link, which all domains share.
  if (call.to_string().size() > kCallMost) {
    return failed(domain, fail(ErrorKind::kExhausted, "bundle_size", "the bundle is too large to be handed up"), false);
  }
  // Until there is an answer the next fetch is that after a failure: an answer may never come.
  fetch_after(domain, next_fetch(parsed->refresh_after_s(), 1, parts_.random.number()));
  subscriber_->call(call, [this, domain, after = parsed->refresh_after_s()](Result<codec::Json> reply) {
    const auto now = domains_.find(domain);
    if (now == domains_.end()) return;
    if (const auto refused = refusal_in(reply)) return failed(domain, *refused, true);
    fetched_metric_.add();
    now->second.failures = 0;
    if (!now->second.fetch) fetch_after(domain, next_fetch(after, 0, parts_.random.number()));
  });
}

// `is_told`: the control plane knows, or cannot be told.
void Federation::failed(const std::string& domain, const Error& error, bool is_told) {
  Domain& known = domains_.at(domain);
  known.failures = std::min(known.failures + 1, 64);
  failed_metric_.add();
  parts_.log.warn("federation.failed", {{"trust_domain", domain},
                                        {"code", error.code},
                                        {"why", error.message},
                                        {"where", error.where},
                                        {"found", error.found_text}});
  const spiffe::Bundle* held = bundles_.find(domain);
  const std::int64_t refresh = held != nullptr ? held->refresh_after_s() : spiffe::kRefreshHintDefault;
  if (!known.fetch) fetch_after(domain, next_fetch(refresh, known.failures, parts_.random.number()));
  if (is_told) return;
  codec::Json told = codec::Json::object();
  told.set("code", std::string_view(error.code)).set("message", std::string_view(error.message));
  told.set("where", std::string_view(error.where)).set("found", std::string_view(error.found_text));
  codec::Json call = codec::Json::object();
  call.set("op", "bundle.failed").set("trust_domain", std::string_view(domain)).set("error", std::move(told));
  subscriber_->call(call, [](const Result<codec::Json>&) {});
}

void Federation::issue(ByteView csr, const Listener::Issued& done) {
  codec::Json call = codec::Json::object();
  call.set("op", "federation.svid").set("csr", codec::encode_base64(csr));
  subscriber_->call(call, [done](const Result<codec::Json>& reply) {
    if (const auto refused = refusal_in(reply)) return done(*refused);
    std::vector<Bytes> chain;
    const codec::Json* list = reply->find("chain");
    for (std::size_t i = 0; list != nullptr && list->is_array() && i < list->items().size(); ++i) {
      const codec::Json& certificate = list->items()[i];
      auto der = codec::decode_base64(certificate.is_string() ? certificate.as_string() : std::string());
      if (!der) return done(std::move(der).error());
      chain.push_back(std::move(der).value());
    }
    done(std::move(chain));
  });
}

}  // namespace wary::federation
