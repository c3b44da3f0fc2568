#include "http/websocket_stream.h"

#include "codec/text.h"
#include "crypto/hash.h"

namespace wary::http {

namespace ws = codec::websocket;

namespace {

constexpr std::int64_t kPingEvery = 15 * kNanosPerSecond;
constexpr std::int64_t kSilenceMost = 40 * kNanosPerSecond;
constexpr std::string_view kAcceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 section 1.3
constexpr std::array<std::uint8_t, 2> kNormalClosure = {0x03, 0xe8};

}  // namespace

std::string websocket_accept(std::string_view key) {
  return codec::encode_base64(crypto::sha1(as_bytes(std::string(key) + std::string(kAcceptSuffix))));
}

WebSocketStream::WebSocketStream(io::Loop& loop, std::unique_ptr<io::Stream> below, Side side, std::string_view rest,
                                 Random& random)
    : LayeredStream(loop, std::move(below)), side_(side), random_(random), reader_(side) {
  if (!rest.empty()) {
    if (const Status taken = take(as_bytes(rest)); !taken) failure_ = taken.error();
  }
  heard_ = loop.now().nanos;
  if (side == Side::kClient) timer_ = loop.after(kPingEvery, [this] { look(); });
}

WebSocketStream::~WebSocketStream() { loop().cancel(timer_); }

void WebSocketStream::look() {
  timer_ = loop().after(kPingEvery, [this] { look(); });
  if (is_over()) return;
  if (loop().now().nanos - heard_ > kSilenceMost) {
    failure_ =
        fail(ErrorKind::kTimeout, "websocket_silent", "nothing came from the other side, not even an answer to a ping");
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

Status WebSocketStream::take(ByteView below) {
  heard_ = loop().now().nanos;
  return reader_.take(below, plain_, [this](ws::Opcode opcode, ByteView payload) {
    if (opcode == ws::Opcode::kPing && out_.size() < 4096) frame(ws::Opcode::kPong, payload);
    if (opcode != ws::Opcode::kClose) return;
    ended_ = true;
    end();
  });
}

void WebSocketStream::put(ByteView plain) { frame(ws::Opcode::kBinary, plain); }

void WebSocketStream::end() {
  if (closed_) return;
  closed_ = true;
  frame(ws::Opcode::kClose, kNormalClosure);
}

}  // namespace wary::http
