#include "federation/issuer_keys.h"

#include <algorithm>
#include <utility>

#include "crypto/jwk.h"

namespace wary::federation {

namespace {

constexpr std::size_t kIssuersMax = 256;
constexpr std::size_t kKeyFetchesMax = 4;
constexpr std::size_t kKeysCallMost = Limits{}.bytes;  // what the control plane reads at once
constexpr std::int64_t kKeysRefreshDefault = 300;      // seconds
constexpr std::int64_t kKeysRefreshMin = 60;
constexpr std::int64_t kKeysRefreshMax = 24 * 3600;
constexpr std::int64_t kKeysRetryMin = 10;
constexpr std::int64_t kKeysFirst = 100 * kNanosPerMilli;
constexpr std::int64_t kKeysWantedApart = 10 * kNanosPerSecond;

bool is_loopback(std::string_view host) {
  const bool is_v4 = host.starts_with("127.") && !io::address_bytes(host).empty();
  return is_v4 || host == "[::1]";
}

std::string text_fact(const contract::Entity& entity, std::string_view name) {
  for (const contract::Fact& fact : entity.attributes) {
    if (fact.name == name && fact.value.is_string()) return fact.value.as_string();
  }
  return {};
}

std::int64_t time_fact(const contract::Entity& entity, std::string_view name) {
  for (const contract::Fact& fact : entity.attributes) {
    if (fact.name == name && fact.value.is_integer()) return fact.value.as_integer();
  }
  return 0;
}

// Nanoseconds; `random` takes up to a tenth off.
std::int64_t keys_wait(std::int64_t refresh_s, int failures, std::uint64_t random) {
  const std::int64_t seconds =
      failures == 0 ? refresh_s : std::min(kKeysRetryMin << std::min(failures - 1, 14), refresh_s);
  const std::int64_t whole = seconds * kNanosPerSecond;
  return whole - static_cast<std::int64_t>(random % static_cast<std::uint64_t>(whole / 10));
}

}  // namespace

Result<codec::Uri> parse_jwks_uri(std::string_view text) {
  auto parsed = codec::parse_uri(text);
  const bool is_secure = parsed && parsed->scheme == "https" && parsed->port != 0;
  const bool is_here = parsed && parsed->scheme == "http" && parsed->port != 0 && is_loopback(parsed->host);
  if (is_secure || is_here) return parsed;
  return fail(ErrorKind::kInvalid, "issuer_jwks_uri", "keys are fetched from an https URL")
      .expected("https://HOST[:PORT]/PATH, or http:// of 127.0.0.1 or [::1]")
      .found(text);
}

IssuerKeys::IssuerKeys(IssuerKeysParts parts, Metrics& metrics)
    : parts_(std::move(parts)),
      fetched_metric_(metrics.counter("wary_federation_keys_fetched_total", "Key sets of issuers fetched and taken")),
      failed_metric_(metrics.counter("wary_federation_keys_failed_total", "Fetches that gave no key set")) {}

IssuerKeys::~IssuerKeys() {
  for (auto& [name, issuer] : issuers_) parts_.loop.cancel(issuer.timer);
}

std::vector<std::string> IssuerKeys::names() const {
  std::vector<std::string> out;
  for (const auto& [name, issuer] : issuers_) out.push_back(name);
  return out;
}

void IssuerKeys::learn(const contract::Entity& entity) {
  const std::string& name = entity.id.id;
  const std::string uri = text_fact(entity, "jwks_uri");
  const std::int64_t wanted = time_fact(entity, "wanted");
  const auto known = issuers_.find(name);
  if (known != issuers_.end() && known->second.uri == uri) {
    if (std::exchange(known->second.wanted, wanted) >= wanted || known->second.fetch) return;
    const std::int64_t rest = known->second.asked + kKeysWantedApart - parts_.clock.monotonic().nanos;
    return fetch_after(name, std::max(rest, std::int64_t{0}));
  }
  forget(name);
  auto url = parse_jwks_uri(uri);
  if (!url || issuers_.size() >= kIssuersMax) return;  // keys that are never fetched
  Issuer& now = issuers_[name];
  now.uri = uri;
  now.url = std::move(url).value();
  now.refresh_s = kKeysRefreshDefault;
  now.wanted = wanted;
  fetch_after(name, kKeysFirst);
}

void IssuerKeys::forget(const std::string& name) {
  const auto known = issuers_.find(name);
  if (known == issuers_.end()) return;
  parts_.loop.cancel(known->second.timer);
  if (known->second.fetch) --fetching_;
  issuers_.erase(known);
}

void IssuerKeys::fetch_after(const std::string& name, std::int64_t nanos) {
  Issuer& known = issuers_.at(name);
  parts_.loop.cancel(known.timer);
  known.timer = parts_.loop.after(nanos, [this, name] { fetch(name); });
}

void IssuerKeys::fetch(const std::string& name) {
  const auto known = issuers_.find(name);
  if (known == issuers_.end() || known->second.fetch) return;
  if (fetching_ >= kKeyFetchesMax) return fetch_after(name, kNanosPerSecond);
  crypto::VerifyPeer verify;
  if (known->second.url.scheme == "https") {
    auto roots = parts_.web_roots();
    if (!roots) return failed(name, roots.error(), false);
    verify = verify_web_server(std::move(roots).value(), parts_.clock);
  }
  ++fetching_;
  known->second.asked = parts_.clock.monotonic().nanos;
  known->second.fetch = std::make_unique<Fetch>(
      FetchParts{parts_.loop, parts_.resolver}, Endpoint{known->second.url, Profile::kWeb, {}}, std::move(verify),
      [this, name](Result<std::string> document) { fetched(name, std::move(document)); });
  known->second.fetch->start();
}

void IssuerKeys::fetched(const std::string& name, Result<std::string> document) {
  Issuer& known = issuers_.at(name);
  const auto max_age = known.fetch->max_age_s();
  known.fetch.reset();
  --fetching_;
  if (!document) return failed(name, document.error(), false);
  const auto parsed = crypto::parse_jwk_set(*document);
  if (!parsed) return failed(name, parsed.error(), false);
  known.refresh_s = std::clamp(max_age.value_or(kKeysRefreshDefault), kKeysRefreshMin, kKeysRefreshMax);
  codec::Json call = codec::Json::object();
  call.set("op", "jwks.fetched").set("issuer", std::string_view(name)).set("uri", std::string_view(known.uri));
  call.set("jwks", std::move(document).value());
  // Escaped it is larger than it came; a call that cannot be read costs the link.
  if (call.to_string().size() > kKeysCallMost) {
    return failed(name, fail(ErrorKind::kExhausted, "jwks_size", "the key set is too large to be handed up"), false);
  }
  // Until there is an answer the next fetch is that after a failure: an answer may never come.
  fetch_after(name, keys_wait(known.refresh_s, 1, parts_.random.number()));
  parts_.call(call, [this, name, uri = known.uri, alive = std::weak_ptr<int>(alive_)](Result<codec::Json> reply) {
    if (alive.expired()) return;
    const auto now = issuers_.find(name);
    if (now == issuers_.end() || now->second.uri != uri) return;
    const codec::Json* refused = reply ? reply->find("error") : nullptr;
    if (!reply) return failed(name, reply.error(), true);
    if (refused != nullptr) {
      return failed(name,
                    fail(ErrorKind::kDenied, refused->string_or("code", "federation_refused"),
                         refused->string_or("message", "refused")),
                    true);
    }
    fetched_metric_.add();
    now->second.failures = 0;
    if (!now->second.fetch) fetch_after(name, keys_wait(now->second.refresh_s, 0, parts_.random.number()));
  });
}

// `is_told`: the control plane knows, or cannot be told.
void IssuerKeys::failed(const std::string& name, const Error& error, bool is_told) {
  Issuer& known = issuers_.at(name);
  known.failures = std::min(known.failures + 1, 64);
  failed_metric_.add();
  parts_.log.warn("federation.keys_failed", {{"issuer", name},
                                             {"code", error.code},
                                             {"why", error.message},
                                             {"where", error.where},
                                             {"found", error.found_text}});
  if (!known.fetch) fetch_after(name, keys_wait(known.refresh_s, known.failures, parts_.random.number()));
  if (is_told) return;
  codec::Json told = codec::Json::object();
  told.set("code", std::string_view(error.code)).set("message", std::string_view(error.message));
  told.set("where", std::string_view(error.where)).set("found", std::string_view(error.found_text));
  codec::Json call = codec::Json::object();
  call.set("op", "jwks.failed").set("issuer", std::string_view(name)).set("uri", std::string_view(known.uri));
  call.set("error", std::move(told));
  parts_.call(call, [](const Result<codec::Json>&) {});
}

}  // namespace wary::federation
