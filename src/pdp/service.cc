#include "pdp/service.h"

#include <algorithm>

#include "http/wire.h"
#include "pdp/envoy.h"
#include "pdp/forward.h"
#include "pdp/kubernetes.h"
#include "pdp/spop.h"

namespace wary::pdp {

namespace {

constexpr std::size_t kOffloadsMax = 256;

}  // namespace

Service::~Service() = default;

// Connections that are opened and left alone keep nobody out, as at http::Server.
void Service::drop_most_silent() {
  wires_.erase(std::min_element(wires_.begin(), wires_.end(),
                                [](const auto& a, const auto& b) { return a.second->heard() < b.second->heard(); }));
}

// A connection that speaks another protocol than HTTP/1.1.
void Service::offload(std::unique_ptr<io::Stream> stream, bool is_grpc) {
  const io::PeerCredentials peer = stream->peer_credentials();
  // There is no word for who is not known that both protocols have: closed at once.
  // The gateway speaks neither: what comes from this process here is not meant to.
  if (!is_known(peer) || is_gateway(peer.pid)) return;
  if (wires_.size() >= kOffloadsMax) drop_most_silent();
  const std::uint64_t number = ++last_wire_;
  const std::string pep = "unix uid " + std::to_string(peer.uid);
  // Erased from the loop, not from inside its own call.
  const auto ended = [this, number] { loop_.post([this, number] { wires_.erase(number); }); };
  if (is_grpc) {
    const auto answer = [this, pep](const http::Http2Request& request) {
      return answer_envoy(authority_, request, pep);
    };
    wires_[number] = std::make_unique<http::WireOf<http::Http2>>(loop_, std::move(stream), ended, answer);
  } else {
    wires_[number] = std::make_unique<http::WireOf<Spop>>(loop_, std::move(stream), ended, authority_, pep);
  }
}

Service::Service(io::Loop& loop, Authority& authority, ServiceOptions options)
    : loop_(loop),
      authority_(authority),
      authzen_(authority),
      options_(std::move(options)),
      server_(loop, [this](const std::shared_ptr<http::Exchange>& exchange) { handle(*exchange); }) {
  server_.is_known = [this](const io::PeerCredentials& peer) { return is_known(peer); };
}

Status Service::listen() { return listen({-1, -1, -1}); }

Status Service::listen(const std::vector<int>& inherited) {
  WARY_CHECK(inherited.size() == 3);
  // Others may connect only when some of them are meant; each is told apart by the kernel.
  const unsigned mode = options_.peers.empty() ? 0600 : 0666;
  WARY_ASSIGN_OR_RETURN(grpc_listener_,
                        loop_.listen(io::Address::unix_socket(options_.directory + "/grpc.sock"),
                                     {.mode = mode, .inherited = inherited[0]},
                                     [this](std::unique_ptr<io::Stream> stream) { offload(std::move(stream), true); }));
  WARY_ASSIGN_OR_RETURN(
      spop_listener_, loop_.listen(io::Address::unix_socket(options_.directory + "/spop.sock"),
                                   {.mode = mode, .inherited = inherited[1]},
                                   [this](std::unique_ptr<io::Stream> stream) { offload(std::move(stream), false); }));
  return server_.listen(io::Address::unix_socket(options_.directory + "/pdp.sock"),
                        {.mode = mode, .inherited = inherited[2]});
}

std::vector<int> Service::descriptors() const {
  std::vector<int> out = {grpc_listener_->descriptor(), spop_listener_->descriptor()};
  for (const int descriptor : server_.descriptors()) out.push_back(descriptor);
  return out;
}

void Service::pause() {
  grpc_listener_->pause();
  spop_listener_->pause();
  server_.pause();
}

void Service::resume() {
  grpc_listener_->resume();
  spop_listener_->resume();
  server_.resume();
}

void Service::leave() {
  grpc_listener_->leave_name();
  spop_listener_->leave_name();
  grpc_listener_.reset();
  spop_listener_.reset();
  server_.leave();
}

bool Service::is_known(const io::PeerCredentials& peer) const {
  return peer.uid == options_.own || peer.uid == 0 ||
         std::find(options_.peers.begin(), options_.peers.end(), peer.uid) != options_.peers.end();
}

bool Service::may_evaluate(const std::string& principal) {
  auto asker = contract::parse_entity_id(principal);
  if (!asker) return false;
  Question question;
  question.request.tenant = std::string(contract::kDefaultTenant);
  question.request.principal = std::move(*asker);
  question.request.action = {"Wary::Action", "pdp.evaluate"};
  question.request.resource = {"Wary::Platform", "wary"};
  return authority_.consider(question).is_allowed();
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
  const bool is_through_gateway = is_gateway(request.peer.pid);
  if (is_through_gateway) {
    call.pep = request.header("Wary-Principal");
    if (!may_evaluate(call.pep)) {
      const Answer answer = refusal(403, "pdp_not_permitted", "asking needs pdp.evaluate on Wary::Platform::\"wary\"");
      return exchange.respond(answer.status, answer.headers, answer.body);
    }
  } else if (is_known(request.peer)) {
    call.pep = "unix uid " + std::to_string(request.peer.uid);
  }
  if (!call.pep.empty()) {
    // The gateway takes away what a client says about itself, its wary cookie among it: there is nobody to judge.
    if (is_through_gateway && is_forward(request)) {
      const Answer answer = refusal(404, "pdp_forward", "forward authentication is asked at the unix socket alone");
      return exchange.respond(answer.status, answer.headers, answer.body);
    }
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
