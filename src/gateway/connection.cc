#include "gateway/connection.h"

#include <algorithm>

#include "base/limits.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::int64_t kHandshakeTime = 5 * kNanosPerSecond;
constexpr std::int64_t kEndingTime = 5 * kNanosPerSecond;  // without progress
constexpr std::int64_t kDrainingTime = 2 * kNanosPerSecond;
constexpr std::size_t kRequestHeld = 128 * 1024;  // one head at its limit, and a piece of body

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

std::size_t Connection::held_bytes() const {
  return in_.capacity() + plain_.capacity() + upstream_in_.capacity() + upstream_out_.capacity() +
         upstream_head_.capacity() + tls_.output().size();
}

void Connection::ready() {
  worker_.settle(*this);
  if (state_ == State::kEnded) return;
  flush_client();
  if (state_ == State::kDraining) return drain_client();
  if (state_ == State::kEnded) return;
  if (!read_client()) return;
  drive();
}

bool Connection::client_may_read() const {
  if (state_ == State::kDraining) return true;
  if (state_ == State::kEnding || state_ == State::kEnded) return false;
  return in_.size() - in_at_ < kRequestHeld && upstream_out_.size() - upstream_out_at_ < kUpstreamHeld;
}

// False when the connection has ended.
bool Connection::read_client() {
  const std::span<std::uint8_t> buffer = worker_.socket_buffer(), plain = worker_.plain_buffer();
  for (int i = 0; i < 4 && client_may_read() && !client_ended_; ++i) {
    const io::IoCount got = client_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      client_ended_ = true;
      break;
    }
    const Status fed = tls_.feed(buffer.first(got.count));
    if (!fed) {
      flush_client();  // the alert says why
      end_now(false);
      return false;
    }
    for (;;) {
      const auto read = tls_.read(plain);
      if (!read || *read == 0) break;
      in_ += as_text(plain.first(*read));
    }
    if (tls_.is_closed_by_peer()) client_ended_ = true;
    if (got.count < buffer.size()) break;
  }
  if (state_ == State::kHandshake && tls_.is_open()) {
    state_ = State::kHead;
    set_deadline(kHandshakeTime * 2);
  }
  // A client that has gone cannot be answered; what it had asked for before is dropped with it. A tunnel carries its
  // last bytes first.
  if (client_ended_ && state_ != State::kTunnel) {
    end_now(false);
    return false;
  }
  return true;
}

// What a client still sends after its last answer is thrown away, until it hangs up.
void Connection::drain_client() {
  for (int i = 0; i < 4; ++i) {
    const io::IoCount got = client_->read(worker_.socket_buffer());
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) return end_now(false);
  }
  interest();
}

void Connection::drive() {
  while (drive_once()) {
  }
  if (state_ == State::kEnded) return;
  trim_queues();
  interest();
}

// True when there may be more to do now: a flush made room for what waits in another queue, which no readiness would
// tell.
bool Connection::drive_once() {
  flush_upstream();
  flush_client();
  const State before = state_;
  const std::size_t taken = in_at_, received = upstream_in_.size();
  bool again = false;
  switch (state_) {
    case State::kHead: again = take_head(); break;
    case State::kExchange:
      pump_request();
      pump_response();
      break;
    case State::kTunnel: pump_tunnel(); break;
    default: break;
  }
  flush_upstream();
  flush_client();
  const bool moved = in_at_ != taken || upstream_in_.size() != received;
  const bool waits = in_at_ < in_.size() || !upstream_in_.empty();
  if (before == State::kTunnel || before == State::kExchange) again = waits && (moved || state_ != before);
  return again && state_ != State::kEnded;
}

// At the end of a turn, when nothing points into the queues.
void Connection::trim_queues() {
  constexpr std::size_t kWorthMoving = 32 * 1024;
  const auto trim = [](std::string& queue, std::size_t& at) {
    if (at == queue.size()) {
      queue.clear();
      at = 0;
    } else if (at >= kWorthMoving) {
      queue.erase(0, at);
      at = 0;
    }
  };
  trim(in_, in_at_);
  trim(upstream_out_, upstream_out_at_);
}

void Connection::flush_client() {
  if (state_ == State::kEnded) return;
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
    // A slow reader gets all of its answer as long as it reads.
    if (state_ == State::kEnding) set_deadline(kEndingTime);
  }
  if (state_ == State::kEnding && tls_.output().empty()) {
    // Everything is with the kernel; nothing is left that a revocation could hold back.
    worker_.live().remove(*this);
    valid_until_.reset();
    state_ = State::kDraining;
    set_deadline(kDrainingTime);
    client_->shutdown_write();
  }
}

void Connection::interest() {
  if (state_ == State::kEnded) return;
  client_->want(client_may_read() && !client_ended_, !tls_.output().empty());
  if (!upstream_) return;
  const bool room = tls_.output().size() < kUpstreamHeld * 4;
  upstream_->want(room && !upstream_ended_, upstream_out_at_ < upstream_out_.size());
}

void Connection::end_gracefully() {
  if (is_over()) return;
  flush_client();
  if (state_ == State::kEnded) return;
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
  valid_until_.reset();
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
      if (in_at_ == in_.size()) {
        end_gracefully();
      } else {
        refuse({408, "http_head_timeout", "the request's head did not arrive in time"});
      }
      break;
    case State::kWaiting: upstream_failed(504, "record_timeout", "this access could not be recorded in time"); break;
    case State::kConnecting: upstream_failed(504, "upstream_timeout", "the application did not answer in time"); break;
    case State::kExchange:
      if (response_body_) return end_now(true);
      upstream_failed(504, "upstream_timeout", "the application did not answer in time");
      break;
    case State::kHandshake:
    case State::kTunnel:
    case State::kEnding:
    case State::kDraining:
    case State::kEnded: return end_now(false);
  }
  // What the client sent behind that request is next.
  drive();
}

// TLS looked at the client's certificate once, when the connection began.
bool Connection::certificate_has_expired() const {
  return tls_.peer() && tls_.peer()->not_after <= worker_.clock().unix_time();
}

void Connection::live_under(const contract::Decision& decision) {
  worker_.live().put(*this, decision.depends_on);
  valid_until_ = decision.valid_until;
  if (!tls_.peer()) return;
  const UnixTime end = tls_.peer()->not_after;
  valid_until_ = valid_until_ ? std::min(*valid_until_, end) : end;
}

void Connection::reconsider(std::int64_t committed) {
  if (state_ == State::kEnded || state_ == State::kDraining) return;
  const contract::Decision decision = certificate_has_expired() ? contract::Decision::deny("certificate_expired")
                                                                : worker_.point().reconsider(request_);
  if (decision.is_allowed()) {
    live_under(decision);
    return;
  }
  // A WebSocket whose queue is empty hears why (1008, policy violation); everything else is reset: bytes that wait in a
  // queue must not reach a principal that may no longer read them.
  const bool can_say =
      state_ == State::kTunnel && plain_.empty() && tls_.output().empty() && frames_down_.is_between_frames();
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
