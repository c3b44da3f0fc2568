#include "gateway/site.h"

#include <algorithm>
#include <atomic>
#include <charconv>

#include "codec/text.h"
#include "codec/uri.h"
#include "enforce/concurrency_table.h"

namespace wary::gateway {

namespace {

const codec::Json* find_fact(const contract::Entity& entity, std::string_view name) {
  for (const contract::Fact& fact : entity.attributes) {
    if (fact.name == name) return &fact.value;
  }
  return nullptr;
}

std::string text_fact(const contract::Entity& entity, std::string_view name, std::string_view fallback) {
  const codec::Json* value = find_fact(entity, name);
  return std::string(value != nullptr && value->is_string() ? std::string_view(value->as_string()) : fallback);
}

Error broken(const contract::Entity& entity, std::string_view what) {
  return fail(ErrorKind::kInvalid, "site_entity", what).at(entity.id.to_string());
}

Status add_endpoint(App& app, std::string_view text) {
  constexpr std::size_t kEndpointsMost = 256;
  WARY_ASSIGN_OR_RETURN(io::Address address, parse_upstream(text));
  // Over TLS exactly where somebody is expected at the other end.
  if (text.starts_with("https://") != app.identity.has_value() && !text.starts_with("unix:")) {
    return fail(ErrorKind::kInvalid, "site_entity", "https and upstreamIdentity belong together")
        .at(app.id.to_string());
  }
  Endpoint endpoint{std::move(address), ""};
  endpoint.key = (app.is_http2 ? "h2 " : "h1 ") + endpoint.address.to_string();
  if (app.identity) {
    endpoint.key += " " + app.identity->spiffe_id + " " + app.identity->server_name + " " + app.identity->roots +
                    (app.identity->shows_own ? " shown" : "");
  }
  const bool known = std::any_of(app.endpoints.begin(), app.endpoints.end(),
                                 [&](const Endpoint& other) { return other.key == endpoint.key; });
  if (app.endpoints.size() >= kEndpointsMost) {
    return fail(ErrorKind::kInvalid, "site_entity", "an app has at most 256 upstreams").at(app.id.to_string());
  }
  if (!known) app.endpoints.push_back(std::move(endpoint));
  return {};
}

// What is given in milliseconds, within bounds: a time of nought or of a year helps nobody.
std::int64_t nanos_of(const codec::Json& record, std::string_view name, std::int64_t fallback) {
  constexpr std::int64_t kLeast = 10, kMost = 24LL * 3600 * 1000;
  const std::int64_t millis = record.integer_or(name, fallback / kNanosPerMilli);
  return std::clamp(millis, kLeast, kMost) * kNanosPerMilli;
}

Reach reach_of(const contract::Entity& entity) {
  Reach reach;
  const auto record = [&](std::string_view name) -> const codec::Json* {
    const codec::Json* value = find_fact(entity, name);
    return value != nullptr && value->is_object() ? value : nullptr;
  };
  if (const codec::Json* times = record("timeouts")) {
    reach.connect = nanos_of(*times, "connect", reach.connect);
    reach.answer = nanos_of(*times, "answer", reach.answer);
    reach.idle = nanos_of(*times, "idle", reach.idle);
  }
  if (const codec::Json* retries = record("retries")) {
    reach.attempts = static_cast<int>(std::clamp<std::int64_t>(retries->integer_or("attempts", reach.attempts), 1, 5));
    reach.retry_share = static_cast<double>(std::clamp<std::int64_t>(retries->integer_or("percent", 20), 0, 100)) / 100;
  }
  if (const codec::Json* rate = record("rate")) {
    reach.rate = static_cast<double>(std::clamp<std::int64_t>(rate->integer_or("perSecond", 0), 0, 1'000'000));
    reach.burst = std::max(reach.rate,
                           static_cast<double>(std::clamp<std::int64_t>(rate->integer_or("burst", 0), 0, 10'000'000)));
  }
  if (const codec::Json* most = find_fact(entity, "max_body"); most != nullptr && most->is_integer()) {
    reach.max_body = static_cast<std::uint64_t>(std::max<std::int64_t>(0, most->as_integer()));
  }
  if (const codec::Json* most = find_fact(entity, "max_concurrent"); most != nullptr && most->is_integer()) {
    constexpr auto kMost = static_cast<std::int64_t>(enforce::ConcurrencyTable::kMost);
    reach.concurrent = static_cast<std::uint64_t>(std::clamp<std::int64_t>(most->as_integer(), 1, kMost));
  }
  const codec::Json* health = record("health");
  if (health != nullptr && health->string_or("path", "").starts_with('/')) {
    HealthCheck check;
    check.path = health->string_or("path", "");
    check.interval = nanos_of(*health, "interval", check.interval);
    check.timeout = nanos_of(*health, "timeout", check.timeout);
    check.unhealthy = static_cast<int>(std::clamp<std::int64_t>(health->integer_or("unhealthy", 3), 1, 100));
    check.healthy = static_cast<int>(std::clamp<std::int64_t>(health->integer_or("healthy", 2), 1, 100));
    reach.health = std::move(check);
  }
  return reach;
}

// RFC 6797 section 6.1.
std::string hsts_value(const codec::Json* record) {
  constexpr std::int64_t kYear = 365LL * 24 * 3600, kMost = 10 * kYear;
  const std::int64_t age = record != nullptr ? record->integer_or("maxAgeSeconds", kYear) : kYear;
  std::string out = "max-age=" + std::to_string(std::clamp<std::int64_t>(age, 0, kMost));
  if (record != nullptr && record->bool_or("includeSubDomains", false)) out += "; includeSubDomains";
  return out;
}

std::optional<UpstreamIdentity> identity_of(const contract::Entity& entity) {
  const codec::Json* record = find_fact(entity, "upstream_identity");
  if (record == nullptr || !record->is_object()) return std::nullopt;
  const std::string_view id = record->string_or("spiffeId", "");
  // A server of somebody else's may ask for certificates of its own kind alone, and take ours for a wrong one.
  return UpstreamIdentity{std::string(id), std::string(record->string_or("serverName", "")),
                          std::string(record->string_or("roots", "")),
                          record->bool_or("clientCertificate", !id.empty())};
}

Result<std::unique_ptr<App>> make_app(const contract::Entity& entity, const UpstreamTls& tls) {
  auto app = std::make_unique<App>();
  static std::atomic<std::uint64_t> tokens{0};  // NOLINT: a number that is never given twice
  app->token = ++tokens;
  app->id = entity.id;
  app->tenant = entity.tenant;
  app->is_console = entity.id.id == kConsoleApp;
  const codec::Json* hosts = find_fact(entity, "hosts");
  if (hosts == nullptr || !hosts->is_array() || hosts->items().empty()) return broken(entity, "an app has hosts");
  for (const codec::Json& host : hosts->items()) {
    if (!host.is_string()) return broken(entity, "a host is a name");
    app->hosts.push_back(codec::to_lower(std::string_view(host.as_string())));
  }
  app->is_http2 = text_fact(entity, "protocol", "http1") == "http2";
  app->identity = identity_of(entity);
  if (app->identity) {
    if (!tls) return broken(entity, "TLS to applications is not spoken here");
    WARY_ASSIGN_OR_RETURN(app->tls, tls(*app->identity, app->is_http2));
  }
  WARY_RETURN_IF_ERROR(add_endpoint(*app, text_fact(entity, "upstream", "")));
  if (const codec::Json* more = find_fact(entity, "upstreams"); more != nullptr && more->is_array()) {
    for (const codec::Json& one : more->items()) {
      if (!one.is_string()) return broken(entity, "an upstream is text");
      WARY_RETURN_IF_ERROR(add_endpoint(*app, one.as_string()));
    }
  }
  app->reach = reach_of(entity);
  app->signs_in = text_fact(entity, "sign_in", "session") == "session";
  const codec::Json* hsts = find_fact(entity, "hsts");
  app->hsts_everywhere = hsts != nullptr && hsts->is_object();
  app->hsts = hsts_value(app->hsts_everywhere ? hsts : nullptr);
  app->serves_plain = !app->is_console && text_fact(entity, "plain", "redirect") == "serve";
  app->forwards_authorization = std::ranges::any_of(entity.attributes, [](const contract::Fact& fact) {
    return fact.name == "forward_authorization" && fact.value.is_bool() && fact.value.as_bool();
  });
  app->fallback = {entity.id, "/", true, record_of(entity, contract::Record::kWith)};
  return app;
}

Status add_route(const contract::Entity& entity, const std::unordered_map<std::string, App*>& apps) {
  const codec::Json* reference = find_fact(entity, "app");
  const codec::Json* target = reference != nullptr ? reference->find("__entity") : nullptr;
  if (target == nullptr) return broken(entity, "a route belongs to an app");
  const auto found = apps.find(std::string(target->string_or("id", "")));
  if (found == apps.end()) return broken(entity, "a route's app does not exist");
  std::string path = text_fact(entity, "path", "");
  if (path.empty() || path.front() != '/') return broken(entity, "a route's path starts with /");
  Route route{entity.id, std::move(path), false, record_of(entity, found->second->fallback.record)};
  if (route.path.back() == '*') {
    route.is_prefix = true;
    route.path.pop_back();
  }
  // Spelled as requests are, or it would never be met.
  WARY_ASSIGN_OR_RETURN(route.path, codec::normalise_path(route.path));
  found->second->routes.push_back(std::move(route));
  return {};
}

}  // namespace

contract::Record record_of(const contract::Entity& entity, contract::Record fallback) {
  const std::string text = text_fact(entity, "record", "");
  if (text == "before") return contract::Record::kBefore;
  if (text == "with") return contract::Record::kWith;
  return fallback;
}

Result<io::Address> parse_upstream(std::string_view text) {
  const auto refuse = [whole = text] {
    return fail(ErrorKind::kInvalid, "upstream_syntax", "this is no upstream")
        .expected("http://127.0.0.1:PORT, https://[::1]:PORT or unix:/path")
        .found(whole)
        .next("the address is a number, not a name, and no path follows the port");
  };
  if (text.starts_with("unix:/")) return io::Address::unix_socket(text.substr(5));
  constexpr std::string_view kPlain = "http://", kSecure = "https://";
  if (!text.starts_with(kPlain) && !text.starts_with(kSecure)) return refuse();
  text.remove_prefix(text.starts_with(kPlain) ? kPlain.size() : kSecure.size());
  if (text.ends_with('/')) text.remove_suffix(1);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return refuse();
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size() || port == 0) return refuse();
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    const bool is_v6 = host.find(':') != std::string_view::npos &&
                       host.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
    if (!is_v6) return refuse();
  } else if (host.find_first_not_of("0123456789.") != std::string_view::npos) {
    // A name would mean a look-up on the request's path, and an answer that can change under a policy.
    return refuse();
  }
  return io::Address::tcp(host, port);
}

const Route& App::find_route(std::string_view path) const {
  // "/below/*" has "/below" too, which most applications answer as "/below/"; a route of exactly that path comes first.
  const Route* above = nullptr;
  for (const Route& route : routes) {
    if (route.is_prefix && route.path.size() == path.size() + 1 && route.path.back() == '/' &&
        route.path.starts_with(path)) {
      above = &route;
    } else if (!route.is_prefix && path == route.path) {
      return route;
    } else if (route.is_prefix && path.starts_with(route.path)) {
      return above != nullptr ? *above : route;
    }
  }
  return above != nullptr ? *above : fallback;
}

std::shared_ptr<const Site> Site::build(const std::vector<const contract::Entity*>& apps,
                                        const std::vector<const contract::Entity*>& routes,
                                        std::vector<Error>& problems, const UpstreamTls& tls, const CountApp& counts) {
  const auto site = std::make_shared<Site>();
  std::unordered_map<std::string, App*> by_id;
  for (const contract::Entity* entity : apps) {
    auto app = make_app(*entity, tls);
    if (!app) {
      problems.push_back(std::move(app).error());
      continue;
    }
    by_id[entity->id.id] = app->get();
    for (const std::string& host : (*app)->hosts) {
      if (!site->by_host_.try_emplace(host, app->get()).second) {
        // The first one keeps it, by the order of ids: a new app cannot take a served name over.
        problems.push_back(broken(*entity, "another app serves this host").found(std::string_view(host)));
      }
    }
    if (counts) (*app)->metrics = counts((*app)->id.id);
    site->apps_.push_back(std::move(app).value());
  }
  for (const contract::Entity* entity : routes) {
    const Status added = add_route(*entity, by_id);
    if (!added) problems.push_back(added.error());
  }
  for (const auto& app : site->apps_) {
    std::stable_sort(app->routes.begin(), app->routes.end(), [](const Route& a, const Route& b) {
      if (a.path.size() != b.path.size()) return a.path.size() > b.path.size();
      return !a.is_prefix && b.is_prefix;
    });
  }
  return site;
}

const App* Site::find_app(std::string_view host) const { return find_named(codec::host_name(host)); }

const App* Site::find_named(const std::string& name) const {
  const auto found = by_host_.find(name);
  return found == by_host_.end() ? nullptr : found->second;
}

std::vector<std::string> Site::hosts() const {
  std::vector<std::string> names;
  for (const auto& [host, app] : by_host_) names.push_back(host);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace wary::gateway
