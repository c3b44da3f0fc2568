// Site: what the gateway serves, as one immutable value built from the App and Route entities of a snapshot.
//
//   auto site = Site::build(apps, routes);
//   const App* app = site->find_app("metrics.localhost");
//   const Route& route = app->find_route("/api/v1/query");
//
// Attributes of Wary::App: hosts (set of names), upstream ("http://127.0.0.1:9090" or "unix:/path") and upstreams (more
// of them, served alike), protocol ("http1" | "http2"), record ("with" | "before"), sign_in ("session" | "none"), plain
// ("serve"), forward_authorization (true), and how it is reached: timeouts, health, retries, rate, max_body,
// max_concurrent (schema/wary.cedarschema has them). Of Wary::Route: app (entity), path ("/exact", or "/api/*" for
// "/api" and all below), record. A path that no route names is the app's own: its resource is the App. Immutable; any
// thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "contract/decision.h"
#include "contract/entity.h"
#include "crypto/tls.h"
#include "io/loop.h"

namespace wary::gateway {

class AppMetrics;

struct Route {
  contract::EntityId resource;  // the Route, or the App for what no route names
  std::string path;             // without the star
  bool is_prefix = true;
  contract::Record record = contract::Record::kWith;
};

// One of the places that serve an application, all alike.
struct Endpoint {
  io::Address address;
  std::string key;  // what its connections are kept under
};

struct HealthCheck {
  std::string path;
  std::int64_t interval = 5 * kNanosPerSecond;
  std::int64_t timeout = 2 * kNanosPerSecond;
  int unhealthy = 3;  // answers in a row that make it so
  int healthy = 2;
};

// How an application is reached; nanoseconds.
struct Reach {
  std::int64_t connect = 5 * kNanosPerSecond;
  std::int64_t answer = 60 * kNanosPerSecond;  // to the first byte of an answer, and between two of a request
  std::int64_t idle = 300 * kNanosPerSecond;   // between two bytes of an answer
  int attempts = 2;                            // of a request that may be repeated
  double retry_share = 0.2;                    // of the application's requests, at most
  std::uint64_t max_body = 0;                  // of a request; 0: as much as it wants
  double rate = 0, burst = 0;                  // requests of one principal per second; 0: as many as it wants
  std::uint64_t concurrent = 1024;             // requests of one principal that are at work at once
  std::optional<HealthCheck> health;
};

// Who an application is that is reached over TLS: a workload of ours by its SPIFFE ID, or a name that its own CA
// vouches for.
struct UpstreamIdentity {
  std::string spiffe_id;
  std::string server_name;
  std::string roots;       // PEM, with server_name
  bool shows_own = false;  // the edge's own certificate, to a server that asks for one
  bool operator==(const UpstreamIdentity&) const = default;
};
// Makes what verifies it; Site::build keeps it in the App.
using UpstreamTls =
    std::function<Result<std::shared_ptr<const crypto::TlsClientContext>>(const UpstreamIdentity&, bool is_http2)>;

// Where an application's requests are counted.
using CountApp = std::function<std::shared_ptr<AppMetrics>(const std::string& app)>;

struct App {
  contract::EntityId id;
  std::uint64_t token = 0;  // of this very value: no other App of the process ever has it
  std::string tenant;
  std::vector<std::string> hosts;   // lower case, without port
  std::vector<Endpoint> endpoints;  // at least one
  Reach reach;
  std::optional<UpstreamIdentity> identity;             // with it, over TLS
  std::shared_ptr<const crypto::TlsClientContext> tls;  // shared: connections keep the one they began with
  bool is_http2 = false;                // the application speaks HTTP/2 (without TLS: with prior knowledge)
  bool is_console = false;              // wary's own: the only app that may set wary's cookies
  bool signs_in = true;                 // an unknown browser is sent to sign in; otherwise it is refused
  std::string hsts;                     // Strict-Transport-Security's value
  bool hsts_everywhere = false;         // for names of this machine, too: somebody said so
  bool serves_plain = false;            // where the edge listens without TLS; otherwise that sends on to https
  bool forwards_authorization = false;  // credentials of wary's go on to the upstream
  std::shared_ptr<AppMetrics> metrics;  // shared: a request may outlast the site; none where nobody counts
  Route fallback;
  std::vector<Route> routes;  // longest path first, exact before prefix
  // What an answer over TLS under this name (in lower case) tells browsers; empty: nothing. Browsers take "localhost"
  // for secure however it is reached, and other servers of this machine have the name as well, on other ports.
  std::string_view hsts_of(std::string_view name) const {
    const bool is_local = name == "localhost" || name.ends_with(".localhost");
    return is_local && !hsts_everywhere ? std::string_view() : hsts;
  }
  // `path` is normalised (codec/uri.h).
  const Route& find_route(std::string_view path) const;
};

constexpr std::string_view kConsoleApp = "wary/console";

class Site {
 public:
  // What a broken entity would serve is left out and named in `problems`; the rest is served.
  static std::shared_ptr<const Site> build(const std::vector<const contract::Entity*>& apps,
                                           const std::vector<const contract::Entity*>& routes,
                                           std::vector<Error>& problems, const UpstreamTls& tls = {},
                                           const CountApp& counts = {});
  // `host` may carry a port; case does not matter.
  const App* find_app(std::string_view host) const;
  const App* find_named(const std::string& name) const;  // in lower case, without a port (codec::host_name)
  std::vector<std::string> hosts() const;
  const std::vector<std::unique_ptr<App>>& apps() const { return apps_; }

 private:
  std::vector<std::unique_ptr<App>> apps_;
  std::unordered_map<std::string, const App*> by_host_;
};

// What a Route or an App says of its record; the fallback where it says nothing.
contract::Record record_of(const contract::Entity& entity, contract::Record fallback);

// "http://ADDRESS:PORT" or "https://ADDRESS:PORT" with a numeric address, or "unix:/path". Errors: upstream_syntax.
Result<io::Address> parse_upstream(std::string_view text);

}  // namespace wary::gateway
