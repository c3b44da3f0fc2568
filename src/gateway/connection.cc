#include "gateway/connection.h"

#include <algorithm>
#include <utility>

#include "codec/proxy_protocol.h"
#include "gateway/client_http1.h"
#include "gateway/client_http2.h"

namespace wary::gateway {

namespace {

constexpr std::int64_t kHandshakeTime = 5 * kNanosPerSecond;
constexpr std::int64_t kEndingTime = 5 * kNanosPerSecond;  // without progress
constexpr std::int64_t kDrainingTime = 2 * kNanosPerSecond;
constexpr std::size_t kDrainedMost = std::size_t{1} << 20;
constexpr std::size_t kRecordBytes = 16 * 1024;  // of plaintext, in a whole record
constexpr std::size_t kLargePiece = 8 * 1024;
constexpr std::size_t kSentAtOnce = 64 * 1024;
constexpr int kTurns = 64;  // of one connection, before the others have theirs
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

std::string host_of(std::string_view address) {
  address = address.substr(0, address.rfind(':'));
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  return std::string(address);
}

Connection::Connection(Worker& worker, std::uint64_t id, std::unique_ptr<io::Stream> stream, Transport transport)
    : worker_(worker),
      id_(id),
      client_(std::move(stream)),
      transport_(std::move(transport)),
      state_(transport_.is_secure() ? State::kHandshake : State::kPreface),
      address_(host_of(client_->peer_address())) {
  const auto& proxies = worker_.options().proxy_peers;
  if (std::find(proxies.begin(), proxies.end(), address_) != proxies.end()) state_ = State::kProxyHeader;
}

Connection::~Connection() = default;

void Connection::begin() {
  set_deadline(kHandshakeTime);
  client_->on_ready([this](bool, bool) { ready(); });
  client_->want(true, false);
}

void Connection::set_deadline(std::int64_t nanos) {
  active_at_ = worker_.loop().now().nanos;
  deadline_ = active_at_ + nanos;
}

std::optional<std::int64_t> Connection::rests_since() const {
  if (state_ == State::kOpen && !protocol_->is_at_rest()) return std::nullopt;
  return active_at_;
}

void Connection::give_way() {
  settle();
  if (state_ == State::kEnded) return;
  if (state_ != State::kOpen || !is_flushed() || protocol_->holds_answers()) return end_now(true);
  protocol_->say_goodbye();
  end_saying({});
}

void Connection::keep_for(std::int64_t nanos) { deadline_ = std::max(deadline_, worker_.loop().now().nanos + nanos); }

std::size_t Connection::held_bytes() const {
  return plain_.capacity() + transport_.held_bytes() + (protocol_ ? protocol_->held_bytes() : 0);
}

Exchange* Connection::exchange(std::int32_t stream) {
  return protocol_ && !is_over() ? protocol_->exchange(stream) : nullptr;
}

void Connection::mark() {
  if (state_ != State::kEnded) worker_.at_turn_end(*this);
}

void Connection::ready() {
  settle();
  if (state_ == State::kEnded) return;
  if (state_ == State::kDraining) return drain_client();
  if (!read()) return;
  mark();
}

bool Connection::client_may_read() const {
  switch (state_) {
    case State::kProxyHeader:
    case State::kHandshake:
    case State::kPreface: return true;
    case State::kDraining: return drained_ < kDrainedMost;
    case State::kOpen: return protocol_->may_read();
    case State::kEnding:
    case State::kEnded: return false;
  }
  return false;
}

// False when the connection has ended.
bool Connection::read() {
  // What it means is used where it lies, and lies where nothing is read to meanwhile.
  const std::span<std::uint8_t> buffer = transport_.is_secure() ? worker_.socket_buffer() : worker_.plain_buffer();
  for (int i = 0; i < 4 && client_may_read() && !client_ended_; ++i) {
    const io::IoCount got = client_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      client_ended_ = true;
      break;
    }
    if (!take(buffer.first(got.count))) return false;
    if (got.count < buffer.size()) break;
  }
  // A client that has gone cannot be answered; what it had asked for before is dropped with it. A tunnel carries its
  // last bytes first.
  if (client_ended_ && (!protocol_ || is_over() || !protocol_->outlives_client_end())) {
    end_now(false);
    return false;
  }
  return true;
}

// False when it has ended, for it was none.
bool Connection::take_proxy_header() {
  const auto header = codec::parse_proxy_v2(first_bytes_);
  if (!header) {
    worker_.log().warn("gateway.proxy_header", {{"peer", address_}, {"why", header.error().message}});
    end_now(false);
    return false;
  }
  if (!header->has_value()) return true;
  state_ = transport_.is_secure() ? State::kHandshake : State::kPreface;
  if (!(*header)->source.empty()) {
    address_ = host_of((*header)->source);
    worker_.crowd().move(*this, address_);
  }
  proxied_tls_ = (*header)->came_by_tls;
  first_bytes_.erase(first_bytes_.begin(), first_bytes_.begin() + static_cast<std::ptrdiff_t>((*header)->size));
  return true;
}

// Nothing was agreed on: who means HTTP/2 begins with its preface (RFC 9113 section 3.3), everybody else is taken at
// HTTP/1.1. False: more is needed to tell.
bool Connection::take_preface() {
  const std::string_view first = as_text(first_bytes_).substr(0, kPreface.size());
  if (first.size() < kPreface.size() && kPreface.starts_with(first)) return false;
  open(first == kPreface);
  return true;
}

// False when the connection has ended.
bool Connection::take(ByteView bytes) {
  if (state_ != State::kProxyHeader && state_ != State::kPreface) return feed(bytes);
  append(first_bytes_, bytes);
  if (state_ == State::kProxyHeader && !take_proxy_header()) return false;
  if (state_ == State::kProxyHeader || (state_ == State::kPreface && !take_preface())) return true;
  const Bytes first = std::exchange(first_bytes_, {});
  return first.empty() || feed(first);
}

// False when the connection has ended.
bool Connection::feed(ByteView bytes) {
  const std::span<std::uint8_t> room = worker_.plain_buffer();
  auto got = transport_.feed(bytes, room);
  if (!got) {
    flush();  // the alert says why
    end_now(false);
    return false;
  }
  if (state_ == State::kHandshake && transport_.is_open()) open(transport_.alpn() == "h2");
  while (got && !got->empty()) {
    if (state_ == State::kOpen) protocol_->receive(*got);
    if (state_ == State::kEnded) return false;
    got = transport_.more(room);
  }
  if (transport_.is_closed_by_peer()) client_ended_ = true;
  return true;
}

void Connection::open(bool http2) {
  state_ = State::kOpen;
  speaks_http2_ = http2;
  set_deadline(kHandshakeTime * 2);
  if (http2) {
    protocol_ = std::make_unique<Http2Client>(*this);
  } else {
    protocol_ = std::make_unique<Http1Client>(*this);
  }
  if (const auto& drains = worker_.drains()) protocol_->drain(*drains);
}

// What a client still sends after its last answer is thrown away, until it hangs up: a close with bytes unread would be
// a reset, which may overtake the answer. Who has far more to send is not read on, and has until the deadline.
void Connection::drain_client() {
  while (client_may_read()) {
    const io::IoCount got = client_->read(worker_.socket_buffer());
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) return end_now(false);
    drained_ += got.count;
  }
  interest();
}

void Connection::settle() {
  if (worker_.live().has_marked() && protocol_ && state_ != State::kEnded) protocol_->settle();
}

void Connection::turn_end() {
  settle();
  if (state_ == State::kEnded) return;
  int turns = 0;
  // A flush makes room for what waits in another queue, which no readiness would tell.
  do {
    flush();
    if (state_ != State::kOpen) break;
  } while (protocol_->drive() && ++turns < kTurns);
  if (state_ == State::kOpen || state_ == State::kEnding) flush();
  if (state_ == State::kEnded) return;
  if (turns == kTurns) mark();
  interest();
}

bool Connection::write(std::string_view bytes) {
  broken_ = broken_ || !transport_.write(bytes);
  return !broken_;
}

void Connection::put(std::string_view bytes) {
  mark();
  if (bytes.size() < kLargePiece || state_ != State::kOpen) {
    plain_ += bytes;
    return;
  }
  keeps_room_ = true;
  // What waits and the beginning of it are a whole record together.
  const std::size_t first = std::min(bytes.size(), kRecordBytes - plain_.size() % kRecordBytes);
  plain_ += bytes.substr(0, first);
  const bool written = write(plain_) && write(bytes.substr(first));
  plain_.clear();
  if (written && transport_.output().size() >= kSentAtOnce) send_some();
}

void Connection::send_some() {
  while (!transport_.output().empty()) {
    const io::IoCount put = client_->write(transport_.output());
    if (put.state == io::IoCount::State::kWouldBlock) break;
    if (put.state != io::IoCount::State::kSome) {
      broken_ = true;
      break;
    }
    transport_.consume_output(put.count);
    active_at_ = worker_.loop().now().nanos;
    // A slow reader gets all of its answer as long as it reads.
    if (state_ == State::kEnding) set_deadline(kEndingTime);
  }
}

void Connection::drop_room() {
  constexpr std::size_t kKeptBytes = 4 * 1024;  // what most answers need
  if (plain_.capacity() > kKeptBytes) plain_.shrink_to_fit();
  transport_.drop_room(kKeptBytes);
}

void Connection::flush() {
  if (state_ == State::kEnded) return;
  if (!plain_.empty()) {
    (void)write(plain_);
    plain_.clear();
  }
  if (!broken_) send_some();
  if (broken_) return end_now(true);
  if (!keeps_room_ && transport_.output().empty()) drop_room();
  if (state_ == State::kEnding && transport_.output().empty()) {
    // Everything is with the kernel; nothing is left that a revocation could hold back.
    if (protocol_) protocol_->give_up(false);
    state_ = State::kDraining;
    set_deadline(kDrainingTime);
    client_->shutdown_write();
  }
}

void Connection::interest() {
  if (state_ == State::kEnded) return;
  client_->want(client_may_read() && !client_ended_, !transport_.output().empty());
}

void Connection::end_gracefully() {
  if (is_over()) return;
  flush();
  if (state_ == State::kEnded) return;
  transport_.close();
  state_ = State::kEnding;
  set_deadline(kEndingTime);
  mark();
}

void Connection::end_now(bool reset) {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  if (protocol_) protocol_->give_up(reset);
  // It ends here for the client; the object goes at the end of the turn, since its caller may still stand in it, or
  // later: what else the kernel does for a descriptor waits where thousands end.
  if (reset)
    client_->reset_now();
  else
    client_.reset();
  worker_.finished(id_);
}

void Connection::end_saying(std::string_view last) {
  if (state_ == State::kEnded) return;
  plain_ += last;
  if (!plain_.empty()) (void)write(plain_);
  plain_.clear();
  if (!is_over()) transport_.close();
  state_ = State::kEnded;
  if (protocol_) protocol_->give_up(false);
  client_->finish(transport_.output());
  worker_.finished(id_);
}

// Who is at its handshake was accepted here: only where there is no time left, it is not served either.
void Connection::drain(Drain how) {
  if (state_ == State::kOpen) return protocol_->drain(how);
  if (begins() && how != Drain::kLeave) end_now(false);
}

void Connection::sweep(std::int64_t now, UnixTime wall) {
  if (state_ == State::kOpen) {
    protocol_->on_deadlines(now);
    if (state_ == State::kOpen) protocol_->on_expired(wall);
    if (state_ == State::kOpen && is_flushed()) {
      std::string().swap(plain_);
      transport_.drop_room(0);
      protocol_->rest();
    }
  }
  if (state_ != State::kEnded && is_flushed()) drop_room();  // of what streams, too: it may rest for hours
  if (state_ != State::kEnded && deadline_ <= now) on_deadline();
}

void Connection::on_deadline() {
  settle();  // its last words go out behind what waits
  if (state_ == State::kEnded) return;
  if (state_ != State::kOpen) return end_now(false);
  protocol_->on_idle();
}

}  // namespace wary::gateway
