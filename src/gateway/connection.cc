#include "gateway/connection.h"

#include "base/limits.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::int64_t kHandshakeTime = 5 * kNanosPerSecond;
constexpr std::int64_t kEndingTime = 2 * kNanosPerSecond;
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kRequestHeld = 128 * 1024;  // one head at its limit, and a piece of body
constexpr std::size_t kUpstreamHeld = 64 * 1024;

}  // namespace

Connection::Connection(Worker& worker, std::uint64_t id, std::unique_ptr<io::Stream> stream,
                       const crypto::TlsServerContext& context)
    : worker_(worker), id_(id), client_(std::move(stream)), tls_(context) {}

Connection::~Connection() = default;

void Connection::begin() {
  set_deadline(kHandshakeTime);
  client_->on_ready([this](bool, bool) { ready(); });
  client_->want(true, false);
}

void Connection::set_deadline(std::int64_t nanos) { deadline_ = worker_.loop().now().nanos + nanos; }

void Connection::ready() {
  if (state_ == State::kEnded) return;
  flush_client();
  if (state_ == State::kEnded) return;
  if (!read_client()) return;
  drive();
}

bool Connection::client_may_read() const {
  if (state_ == State::kEnding || state_ == State::kEnded) return false;
  return in_.size() - in_at_ < kRequestHeld && upstream_out_.size() - upstream_out_at_ < kUpstreamHeld;
}

// False when the connection has ended.
bool Connection::read_client() {
  std::uint8_t buffer[kReadBytes];  // NOLINT: a read buffer
  for (int i = 0; i < 4 && client_may_read() && !client_ended_; ++i) {
    const io::IoCount got = client_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      client_ended_ = true;
      break;
    }
    const Status fed = tls_.feed({buffer, got.count});
    if (!fed) {
      flush_client();  // the alert says why
      end_now(false);
      return false;
    }
    for (;;) {
      const std::size_t before = in_.size();
      in_.resize(before + kReadBytes);
      const auto read = tls_.read({reinterpret_cast<std::uint8_t*>(in_.data()) + before, kReadBytes});
      in_.resize(before + (read ? *read : 0));
      if (!read || *read == 0) break;
    }
    if (tls_.is_closed_by_peer()) client_ended_ = true;
    if (got.count < sizeof buffer) break;
  }
  if (state_ == State::kHandshake && tls_.is_open()) {
    state_ = State::kHead;
    set_deadline(kHandshakeTime * 2);
  }
  // A client that has gone cannot be answered; what it had asked for before is dropped with it.
  if (client_ended_ && (state_ != State::kTunnel || in_at_ == in_.size())) {
    end_now(false);
    return false;
  }
  return true;
}

void Connection::drive() {
  for (bool again = true; again;) {
    again = false;
    switch (state_) {
      case State::kHead: again = take_head(); break;
      case State::kExchange:
        pump_request();
        pump_response();
        again = state_ == State::kHead && in_at_ < in_.size();
        break;
      case State::kTunnel: pump_tunnel(); break;
      default: break;
    }
  }
  if (state_ == State::kEnded) return;
  if (in_at_ == in_.size()) {
    in_.clear();
    in_at_ = 0;
  }
  flush_upstream();
  if (state_ == State::kEnded) return;
  flush_client();
  interest();
}

void Connection::flush_client() {
  if (!plain_.empty()) {
    const Status written = tls_.write(as_bytes(plain_));
    plain_.clear();
    if (!written) return end_now(true);
  }
  while (!tls_.output().empty()) {
    const io::IoCount put = client_->write(tls_.output());
    if (put.state == io::IoCount::State::kWouldBlock) break;
    if (put.state != io::IoCount::State::kSome) return end_now(true);
    tls_.consume_output(put.count);
  }
  if (state_ == State::kEnding && tls_.output().empty()) end_now(false);
}

void Connection::interest() {
  if (state_ == State::kEnded) return;
  client_->want(client_may_read() && !client_ended_, !tls_.output().empty());
  if (!upstream_) return;
  const bool room = tls_.output().size() < kUpstreamHeld * 4;
  upstream_->want(room && !upstream_ended_, upstream_out_at_ < upstream_out_.size());
}

void Connection::end_gracefully() {
  if (state_ == State::kEnded || state_ == State::kEnding) return;
  flush_client();
  if (state_ == State::kEnded) return;
  worker_.live().remove(*this);
  upstream_.reset();
  tls_.close();
  state_ = State::kEnding;
  set_deadline(kEndingTime);
  flush_client();
}

void Connection::end_now(bool reset) {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  worker_.live().remove(*this);
  if (reset) client_->reset_on_close();
  if (reset && upstream_) upstream_->reset_on_close();
  // The descriptors close here; the object goes at the end of the turn, since its caller may still stand in it.
  client_.reset();
  upstream_.reset();
  worker_.finished(id_);
}

void Connection::on_deadline() {
  switch (state_) {
    case State::kHead:
      // A connection that waits for its next request goes quietly; half a head is answered.
      if (in_at_ == in_.size()) return end_gracefully();
      return refuse({408, "http_head_timeout", "the request's head did not arrive in time"});
    case State::kConnecting:
    case State::kWaiting:
      return upstream_failed(504, "upstream_timeout", "the application did not answer in time");
    case State::kExchange:
      if (!response_body_) return upstream_failed(504, "upstream_timeout", "the application did not answer in time");
      return end_now(true);
    case State::kHandshake:
    case State::kTunnel:
    case State::kEnding:
    case State::kEnded: return end_now(false);
  }
}

void Connection::reconsider(std::int64_t committed) {
  if (state_ == State::kEnded || state_ == State::kEnding) return;
  const contract::Decision decision = worker_.point().reconsider(request_);
  if (decision.is_allowed()) {
    worker_.live().put(*this, decision.depends_on);
    return;
  }
  // A WebSocket whose queue is empty hears why (1008, policy violation); everything else is reset: bytes that wait in a
  // queue must not reach a principal that may no longer read them.
  const bool can_say = state_ == State::kTunnel && plain_.empty() && tls_.output().empty();
  const contract::Request request = request_;
  const std::string first = decision_id_;
  if (can_say) {
    constexpr std::uint8_t kCloseFrame[] = {0x88, 0x02, 0x03, 0xf0};  // NOLINT: RFC 6455: close, code 1008
    (void)tls_.write(kCloseFrame);
    tls_.close();
    flush_client();
  }
  if (state_ != State::kEnded) end_now(!can_say);
  // Read again after the descriptors are closed: this is when the last byte was handed over.
  worker_.point().record_cut(request, decision, first, committed, worker_.clock().monotonic().nanos);
}

}  // namespace wary::gateway
