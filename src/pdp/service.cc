#include "pdp/service.h"

#include <algorithm>

#include "pdp/forward.h"
#include "pdp/kubernetes.h"

namespace wary::pdp {

Service::Service(io::Loop& loop, Authority& authority, ServiceOptions options)
    : authority_(authority),
      authzen_(authority),
      options_(std::move(options)),
      server_(loop, [this](const std::shared_ptr<http::Exchange>& exchange) { handle(*exchange); }) {
  server_.is_known = [this](const io::PeerCredentials& peer) { return is_known(peer); };
}

Status Service::listen() {
  // Others may connect only when some of them are meant; each is told apart by the kernel.
  const unsigned mode = options_.peers.empty() ? 0600 : 0666;
  return server_.listen(io::Address::unix_socket(options_.path), {.mode = mode});
}

bool Service::is_known(const io::PeerCredentials& peer) const {
  return peer.uid == options_.own || peer.uid == 0 ||
         std::find(options_.peers.begin(), options_.peers.end(), peer.uid) != options_.peers.end();
}

void Service::handle(http::Exchange& exchange) {
  const http::Request& request = exchange.request();
  Call call;
  call.method = request.method;
  call.path = request.path;
  call.host = request.host;
  call.content_type = request.header("Content-Type");
  call.content_encoding = request.header("Content-Encoding");
  call.request_id = request.header("X-Request-ID");
  call.body = request.body;
  if (is_known(request.peer)) call.pep = "unix uid " + std::to_string(request.peer.uid);
  if (!call.pep.empty()) {
    if (const auto forward = answer_forward(authority_, request, call.pep)) {
      return exchange.respond(forward->status, forward->headers, forward->body);
    }
    if (call.path == "/kubernetes/authorize") {
      const Answer answer = answer_kubernetes(authority_, call);
      return exchange.respond(answer.status, answer.headers, answer.body);
    }
  }
  const Answer answer = authzen_.answer(call);
  exchange.respond(answer.status, answer.headers, answer.body);
}

}  // namespace wary::pdp
