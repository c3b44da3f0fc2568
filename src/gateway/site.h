// Site: what the gateway serves, as one immutable value built from the App and Route entities of a snapshot.
//
//   auto site = Site::build(apps, routes);
//   const App* app = site->find_app("metrics.localhost");
//   const Route& route = app->find_route("/api/v1/query");
//
// Attributes of Wary::App: hosts (set of names), upstream ("http://127.0.0.1:9090" or "unix:/path"), record
// ("with" | "before"), sign_in ("session" | "none"), forward_authorization (true). Of Wary::Route: app (entity), path
// ("/exact", or "/api/*" for "/api" and all below), record.
// A path that no route names is the app's own: its resource is the App. Immutable; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "contract/decision.h"
#include "contract/entity.h"
#include "io/loop.h"

namespace wary::gateway {

struct Route {
  contract::EntityId resource;  // the Route, or the App for what no route names
  std::string path;             // without the star
  bool is_prefix = true;
  contract::Record record = contract::Record::kWith;
};

struct App {
  contract::EntityId id;
  std::string tenant;
  std::vector<std::string> hosts;  // lower case, without port
  io::Address upstream;
  bool is_console = false;              // wary's own: the only app that may set wary's cookies
  bool signs_in = true;                 // an unknown browser is sent to sign in; otherwise it is refused
  bool forwards_authorization = false;  // credentials of wary's go on to the upstream
  Route fallback;
  std::vector<Route> routes;  // longest path first, exact before prefix
  // `path` is normalised (codec/uri.h).
  const Route& find_route(std::string_view path) const;
};

constexpr std::string_view kConsoleApp = "wary/console";

class Site {
 public:
  // What a broken entity would serve is left out and named in `problems`; the rest is served.
  static std::shared_ptr<const Site> build(const std::vector<const contract::Entity*>& apps,
                                           const std::vector<const contract::Entity*>& routes,
                                           std::vector<Error>& problems);
  // `host` may carry a port; case does not matter.
  const App* find_app(std::string_view host) const;
  std::vector<std::string> hosts() const;

 private:
  std::vector<std::unique_ptr<App>> apps_;
  std::unordered_map<std::string, const App*> by_host_;
};

// "http://ADDRESS:PORT" with a numeric address, or "unix:/path". Errors: upstream_syntax.
Result<io::Address> parse_upstream(std::string_view text);

}  // namespace wary::gateway
