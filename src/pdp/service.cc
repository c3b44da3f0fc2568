#include "pdp/service.h"

#include <algorithm>

#include "pdp/forward.h"
#include "pdp/kubernetes.h"
#include "pdp/spop.h"

namespace wary::pdp {

namespace {

constexpr std::size_t kOffloadsMax = 256;
constexpr std::size_t kUnsentMax = std::size_t{1} << 20;

}  // namespace

// One connection of HAProxy's.
class Service::Offload {
 public:
  Offload(Authority& authority, std::string pep, std::unique_ptr<io::Stream> stream, std::function<void()> ended)
      : spop_(authority, std::move(pep)), stream_(std::move(stream)), ended_(std::move(ended)) {
    stream_->on_ready([this](bool, bool) { turn(); });
    stream_->want(true, false);
  }

 private:
  void turn() {
    char buffer[Spop::kFrameMax];  // NOLINT: a read buffer
    bool open = send();
    while (open && !spop_.is_over() && out_.size() < kUnsentMax) {
      const io::IoCount got = stream_->read({reinterpret_cast<std::uint8_t*>(buffer), sizeof buffer});
      if (got.state == io::IoCount::State::kWouldBlock) break;
      open = got.state == io::IoCount::State::kSome;
      if (!open) break;
      out_ += spop_.receive({buffer, got.count});
      open = send();
    }
    if (!open || (spop_.is_over() && out_.empty())) {
      stream_->want(false, false);
      return ended_();
    }
    stream_->want(!spop_.is_over() && out_.size() < kUnsentMax, !out_.empty());
  }

  bool send() {
    std::size_t sent = 0;
    bool open = true;
    while (open && sent < out_.size()) {
      const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(sent)));
      if (put.state == io::IoCount::State::kWouldBlock) break;
      open = put.state == io::IoCount::State::kSome;
      if (open) sent += put.count;
    }
    out_.erase(0, sent);
    return open;
  }

  Spop spop_;
  std::unique_ptr<io::Stream> stream_;
  std::function<void()> ended_;
  std::string out_;
};

Service::~Service() = default;

void Service::offload(std::unique_ptr<io::Stream> stream) {
  const io::PeerCredentials peer = stream->peer_credentials();
  // The protocol has no word for who is not known: closed at once.
  if (!is_known(peer) || offloads_.size() >= kOffloadsMax) return;
  const std::uint64_t number = ++last_offload_;
  // Erased from the loop, not from inside its own call.
  offloads_[number] =
      std::make_unique<Offload>(authority_, "unix uid " + std::to_string(peer.uid), std::move(stream),
                                [this, number] { loop_.post([this, number] { offloads_.erase(number); }); });
}

Service::Service(io::Loop& loop, Authority& authority, ServiceOptions options)
    : loop_(loop),
      authority_(authority),
      authzen_(authority),
      options_(std::move(options)),
      server_(loop, [this](const std::shared_ptr<http::Exchange>& exchange) { handle(*exchange); }) {
  server_.is_known = [this](const io::PeerCredentials& peer) { return is_known(peer); };
}

Status Service::listen() {
  // Others may connect only when some of them are meant; each is told apart by the kernel.
  const unsigned mode = options_.peers.empty() ? 0600 : 0666;
  WARY_ASSIGN_OR_RETURN(offload_listener_,
                        loop_.listen(io::Address::unix_socket(options_.directory + "/spop.sock"), {.mode = mode},
                                     [this](std::unique_ptr<io::Stream> stream) { offload(std::move(stream)); }));
  return server_.listen(io::Address::unix_socket(options_.directory + "/pdp.sock"), {.mode = mode});
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
