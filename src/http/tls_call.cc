#include "http/tls_call.h"

#include <optional>

#include "http/call.h"
#include "http/tls_stream.h"

namespace wary::http {

namespace {

class TlsCall : public std::enable_shared_from_this<TlsCall> {
 public:
  using Done = std::function<void(Result<TlsReply>)>;
  TlsCall(io::Loop& loop, crypto::TlsSession session, const ClientRequest& request, Done done,
          const TlsCallLimits& limits)
      : loop_(loop),
        session_(std::move(session)),
        done_(std::move(done)),
        call_(std::in_place, request, CallLimits{.body_bytes = limits.body_bytes},
              [this](Result<ClientResponse> response) { answered(std::move(response)); }) {}
  ~TlsCall() { loop_.cancel(timer_); }

  // The addresses in the order they are tried in.
  void begin(std::vector<io::Address> addresses, std::int64_t connect_timeout, std::int64_t timeout) {
    addresses_ = std::move(addresses);
    connect_timeout_ = connect_timeout;
    timer_ = loop_.after(timeout, [this] {
      timer_ = 0;
      call_->finish(fail(ErrorKind::kTimeout, "http_timeout", "no whole answer in time"));
    });
    if (Status prepared = call_->prepare(); !prepared) return call_->finish(std::move(prepared).error());
    connect();
  }

 private:
  void connect() {
    loop_.connect(addresses_[tried_++], connect_timeout_,
                  [weak = weak_from_this()](Result<std::unique_ptr<io::Stream>> stream) {
                    const auto self = weak.lock();
                    if (self && self->done_ && !self->is_over_) self->connected(std::move(stream));
                  });
  }

  void connected(Result<std::unique_ptr<io::Stream>> stream) {
    if (!stream && tried_ < addresses_.size()) return connect();
    if (!stream) return call_->finish(std::move(stream).error());
    auto secure = std::make_unique<TlsStream>(loop_, std::move(stream).value(), std::move(session_));
    secure_ = secure.get();
    call_->begin(std::move(secure));
  }

  void answered(Result<ClientResponse> response) {
    is_over_ = true;
    loop_.cancel(timer_);
    timer_ = 0;
    // Why the connection failed says more than that the answer was cut off.
    if (!response && secure_ != nullptr && secure_->failure() && response.error().code == "http_truncated") {
      response = *secure_->failure();
    }
    // From the loop: this may run inside the stream's own call.
    loop_.post([weak = weak_from_this(), response = std::make_shared<Result<ClientResponse>>(std::move(response))] {
      const auto self = weak.lock();
      if (!self || !self->done_) return;
      const Done done = std::exchange(self->done_, nullptr);
      TlsReply reply;
      if (*response && (*response)->status == 101) reply.stream = self->call_->take_stream(reply.rest);
      self->call_.reset();
      if (!*response) return done(response->error());
      reply.response = std::move(**response);
      done(std::move(reply));
    });
  }

  io::Loop& loop_;
  crypto::TlsSession session_;
  Done done_;
  TlsStream* secure_ = nullptr;  // call_'s
  std::optional<Call> call_;     // until it is answered
  std::vector<io::Address> addresses_;
  std::size_t tried_ = 0;
  std::int64_t connect_timeout_ = 0;
  bool is_over_ = false;
  io::TimerId timer_ = 0;
};

}  // namespace

std::shared_ptr<void> call_tls(io::Loop& loop, const TlsServer& server, const crypto::TlsClientContext& context,
                               const ClientRequest& request, std::function<void(Result<TlsReply>)> done,
                               const TlsCallLimits& limits) {
  auto call =
      std::make_shared<TlsCall>(loop, crypto::TlsSession(context, server.name), request, std::move(done), limits);
  std::vector<io::Address> addresses = {server.address};
  addresses.insert(addresses.end(), server.others.begin(), server.others.end());
  const std::int64_t connect = limits.connect_nanos > 0 ? limits.connect_nanos : request.timeout_nanos;
  call->begin(std::move(addresses), connect, request.timeout_nanos);
  return call;
}

}  // namespace wary::http
