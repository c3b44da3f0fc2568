#include "http/websocket_stream.h"

#include <algorithm>
#include <array>

#include "codec/text.h"
#include "crypto/hash.h"

namespace wary::http {

namespace ws = codec::websocket;

namespace {

constexpr std::int64_t kPingEvery = 15 * kNanosPerSecond;
constexpr std::int64_t kSilenceMost = 40 * kNanosPerSecond;
constexpr std::size_t kPlainMost = std::size_t{256} << 10;
constexpr std::size_t kWebSocketWriteMost = std::size_t{64} << 10;
constexpr std::size_t kBelowBytes = std::size_t{16} << 10;
constexpr std::size_t kUnsentForPong = 4096;                                        // who does not read gets no pongs
constexpr std::string_view kAcceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 section 1.3
constexpr std::array<std::uint8_t, 2> kNormalClosure = {0x03, 0xe8};

}  // namespace

std::string websocket_accept(std::string_view key) {
  return codec::encode_base64(crypto::sha1(as_bytes(std::string(key) + std::string(kAcceptSuffix))));
}

WebSocketStream::WebSocketStream(io::Loop& loop, std::unique_ptr<io::Stream> below, Side side, std::string_view rest,
                                 Random& random)
    : loop_(loop), below_(std::move(below)), side_(side), random_(random), reader_(side), heard_(loop.now().nanos) {
  below_->on_ready([this](bool readable, bool writable) { below_ready(readable, writable); });
  if (const Status taken = take(as_bytes(rest)); !taken) failure_ = taken.error();
  if (side == Side::kClient) timer_ = loop.after(kPingEvery, [this] { look(); });
}

WebSocketStream::~WebSocketStream() { loop_.cancel(timer_); }

void WebSocketStream::look() {
  timer_ = loop_.after(kPingEvery, [this] { look(); });
  if (is_over()) return;
  if (loop_.now().nanos - heard_ > kSilenceMost) {
    failure_ = fail(ErrorKind::kTimeout, "websocket_silent", "nothing came from the other side for 40 s");
    return call_again();
  }
  frame(ws::Opcode::kPing, {});
  flush();
}

void WebSocketStream::frame(ws::Opcode opcode, ByteView payload) {
  std::optional<std::array<std::uint8_t, 4>> mask;
  if (side_ == Side::kClient) random_.fill(mask.emplace());
  ws::append_frame(out_, opcode, payload, mask);
}

void WebSocketStream::say_close() {
  if (said_close_) return;
  said_close_ = true;
  frame(ws::Opcode::kClose, kNormalClosure);
}

Status WebSocketStream::take(ByteView bytes) {
  heard_ = loop_.now().nanos;
  return reader_.take(bytes, plain_, [this](ws::Opcode opcode, ByteView payload) {
    if (opcode == ws::Opcode::kPing && out_.size() < kUnsentForPong) frame(ws::Opcode::kPong, payload);
    if (opcode != ws::Opcode::kClose) return;
    ended_ = true;
    say_close();
  });
}

void WebSocketStream::want(bool readable, bool writable) {
  wants_read_ = readable;
  wants_write_ = writable;
  interest();
  if (readable && (plain_at_ < plain_.size() || is_over())) call_again();
}

void WebSocketStream::interest() {
  below_->want(!is_over() && plain_.size() < kPlainMost, wants_write_ || out_at_ < out_.size());
}

// Below may be quiet while there is something to read here: the loop tells of it in below's place.
void WebSocketStream::call_again() {
  if (called_) return;
  called_ = true;
  loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    called_ = false;
    if (wants_read_ && ready_) ready_(true, wants_write_ && out_.empty());
  });
}

void WebSocketStream::below_ready(bool readable, bool writable) {
  flush();
  const bool may_write = writable && wants_write_ && out_.empty();
  if (readable && plain_.size() < kPlainMost) read_below();
  const bool may_read = wants_read_ && (plain_at_ < plain_.size() || is_over());
  interest();
  if ((may_read || may_write) && ready_) ready_(may_read, may_write);
}

void WebSocketStream::read_below() {
  if (is_over()) return;
  std::array<std::uint8_t, kBelowBytes> buffer;
  const io::IoCount got = below_->read(buffer);
  if (got.state == io::IoCount::State::kWouldBlock) return;
  if (got.state != io::IoCount::State::kSome) {
    below_ended_ = true;
    return;
  }
  if (const Status taken = take(ByteView(buffer).first(got.count)); !taken) failure_ = taken.error();
  flush();
}

io::IoCount WebSocketStream::read(std::span<std::uint8_t> out) {
  if (plain_at_ == plain_.size()) read_below();
  const std::size_t count = std::min(out.size(), plain_.size() - plain_at_);
  if (count > 0) {
    std::copy_n(plain_.begin() + static_cast<std::ptrdiff_t>(plain_at_), count, out.begin());
    plain_at_ += count;
    if (plain_at_ == plain_.size()) {
      plain_.clear();
      plain_at_ = 0;
    }
    return {io::IoCount::State::kSome, count, 0};
  }
  if (failure_) return {io::IoCount::State::kFailed, 0, 0};
  if (is_over()) return {io::IoCount::State::kEnd, 0, 0};
  return {io::IoCount::State::kWouldBlock, 0, 0};
}

io::IoCount WebSocketStream::write(ByteView bytes) {
  if (failure_ || below_ended_ || said_close_) return {io::IoCount::State::kFailed, 0, 0};
  flush();
  if (!out_.empty()) return {io::IoCount::State::kWouldBlock, 0, 0};
  const ByteView part = bytes.first(std::min(bytes.size(), kWebSocketWriteMost));
  frame(ws::Opcode::kBinary, part);
  flush();
  return {io::IoCount::State::kSome, part.size(), 0};
}

io::IoCount WebSocketStream::write_two(ByteView first, ByteView second) {
  return write(first.empty() ? second : first);
}

void WebSocketStream::shutdown_write() {
  say_close();
  flush();
}

void WebSocketStream::flush() {
  while (out_at_ < out_.size()) {
    const io::IoCount put = below_->write(ByteView(out_).subspan(out_at_));
    if (put.state == io::IoCount::State::kWouldBlock) return interest();
    if (put.state != io::IoCount::State::kSome) {
      below_ended_ = true;
      break;
    }
    out_at_ += put.count;
  }
  out_.clear();
  out_at_ = 0;
}

}  // namespace wary::http
