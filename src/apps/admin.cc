#include "apps/admin.h"

#include <unistd.h>

namespace wary::apps {

Result<std::unique_ptr<http::Server>> serve_metrics(io::Loop& loop, Metrics& metrics, const std::string& directory,
                                                    int inherited) {
  auto server = std::make_unique<http::Server>(loop, [&metrics](const std::shared_ptr<http::Exchange>& exchange) {
    const http::Request& request = exchange->request();
    const bool owner = request.peer.uid == getuid() || request.peer.uid == 0;
    if (!owner) return exchange->respond(403, {}, "");
    if (request.method == "GET" && request.path == "/livez") return exchange->respond(200, {}, "ok\n");
    if (request.method != "GET" || request.path != "/metrics") return exchange->respond(404, {}, "");
    exchange->respond(200, {{"Content-Type", "text/plain; version=0.0.4"}}, metrics.to_prometheus());
  });
  WARY_RETURN_IF_ERROR(
      server->listen(io::Address::unix_socket(directory + "/admin.sock"), {.mode = 0600, .inherited = inherited}));
  return server;
}

}  // namespace wary::apps
