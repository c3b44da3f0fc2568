#include "http/tls_stream.h"

#include <algorithm>

namespace wary::http {

using io::IoCount;
using State = io::IoCount::State;

namespace {

constexpr std::size_t kTlsReadBytes = 16 * 1024;
constexpr std::size_t kTlsWriteBytes = 64 * 1024;
constexpr std::size_t kTlsKeptBytes = 20 * 1024;  // of room for what is sent

}  // namespace

TlsStream::TlsStream(io::Loop& loop, std::unique_ptr<io::Stream> inner, crypto::TlsSession session)
    : loop_(loop), inner_(std::move(inner)), session_(std::move(session)) {
  inner_->on_ready([this](bool readable, bool writable) { turn(readable, writable); });
  interest();
}

// In order as far as that goes without waiting.
TlsStream::~TlsStream() {
  session_.close();
  flush();
}

void TlsStream::turn(bool readable, bool writable) {
  flush();
  if (session_.is_handshaking() && !failure_) {
    while (session_.is_handshaking() && !failure_ && take_ciphertext().state == State::kSome) {
    }
    flush();
    interest();
    if (session_.is_handshaking() && !failure_) return;
    readable = writable = true;
  }
  if (!ready_) return;
  const Ready call = ready_;  // which may destroy this
  call(readable, writable);
}

IoCount TlsStream::failed(Error error) {
  if (!failure_) failure_ = std::move(error);
  flush();  // the alert
  return {State::kFailed, 0, 0};
}

IoCount TlsStream::take_ciphertext() {
  std::uint8_t buffer[kTlsReadBytes];  // NOLINT: a read buffer
  const IoCount got = inner_->read(buffer);
  if (got.state == State::kWouldBlock) return got;
  if (got.state != State::kSome) {
    return failed(fail(ErrorKind::kUnavailable, "tls_truncated", "the connection ended without the session's end"));
  }
  if (Status fed = session_.feed(ByteView(buffer).first(got.count)); !fed) return failed(std::move(fed).error());
  flush();
  return got;
}

IoCount TlsStream::read(std::span<std::uint8_t> out) {
  may_hold_plaintext_ = false;
  while (!failure_) {
    if (!session_.is_handshaking()) {
      const auto taken = session_.read(out);
      if (!taken) return failed(taken.error());
      may_hold_plaintext_ = *taken == out.size();
      if (*taken > 0) return {State::kSome, *taken, 0};
      if (session_.is_closed_by_peer()) return {State::kEnd, 0, 0};
    }
    const IoCount got = take_ciphertext();
    if (got.state != State::kSome) return got;
  }
  return {State::kFailed, 0, 0};
}

IoCount TlsStream::write(ByteView bytes) {
  if (failure_) return {State::kFailed, 0, 0};
  if (session_.is_handshaking() || !flush()) return {State::kWouldBlock, 0, 0};
  if (bytes.empty()) return {State::kSome, 0, 0};
  if (encrypted_ == 0) {
    const std::size_t size = std::min(bytes.size(), kTlsWriteBytes);
    if (Status taken = session_.write(bytes.first(size)); !taken) return failed(std::move(taken).error());
    encrypted_ = size;
    if (!flush()) return {State::kWouldBlock, 0, 0};
  }
  WARY_CHECK(encrypted_ <= bytes.size());  // the same bytes again
  return {State::kSome, std::exchange(encrypted_, 0), 0};
}

IoCount TlsStream::write_two(ByteView first, ByteView second) { return write(first.empty() ? second : first); }

// Whether everything has left.
bool TlsStream::flush() {
  while (!session_.output().empty()) {
    const IoCount put = inner_->write(session_.output());
    if (put.state == State::kWouldBlock) return false;
    if (put.state == State::kSome) {
      session_.consume_output(put.count);
      session_.drop_room(kTlsKeptBytes);
      continue;
    }
    // Nothing leaves any more; the next read or write says so.
    session_.consume_output(session_.output().size());
    if (!failure_) failure_ = fail(ErrorKind::kUnavailable, "tls_truncated", "the connection broke");
    return false;
  }
  return true;
}

void TlsStream::interest() {
  const bool shakes = session_.is_handshaking() && !failure_;
  inner_->want(shakes || wants_read_, !session_.output().empty() || (wants_write_ && !shakes));
}

void TlsStream::want(bool readable, bool writable) {
  wants_read_ = readable;
  wants_write_ = writable;
  interest();
  if (!readable || !may_hold_plaintext_) return;
  // What was decrypted already shows at no socket.
  may_hold_plaintext_ = false;
  loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired() && wants_read_) turn(true, false);
  });
}

void TlsStream::shutdown_write() {
  session_.close();
  if (flush()) inner_->shutdown_write();
}

}  // namespace wary::http
