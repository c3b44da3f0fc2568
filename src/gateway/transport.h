// Transport: what a client's bytes come in: TLS, or, at the listener without it, nothing. Private to gateway/.
//
//   Transport transport(context);            // or Transport(): what comes is what was meant
//   auto plain = transport.feed(bytes, room);
//   while (plain && !plain->empty()) { use(*plain); plain = transport.more(room); }
//   transport.write(answer); stream.write(transport.output()); transport.consume_output(sent);
//
// Without TLS there is no name, no certificate and no goodbye: whoever asks for them gets nothing. Thread rule: its
// connection's. Limits: of crypto/tls.h; output is bounded by the caller, who sees how much there is.
#pragma once

#include <span>
#include <string_view>
#include <variant>

#include "base/byte_queue.h"
#include "crypto/tls.h"

namespace wary::gateway {

class Transport {
 public:
  Transport() = default;
  explicit Transport(const crypto::TlsServerContext& context) : way_(crypto::TlsSession(context)) {}

  bool is_secure() const { return tls() != nullptr; }
  // The plaintext of these bytes, or the first of it; a view of `bytes` or of `room`. An error still leaves an alert in
  // output().
  Result<std::string_view> feed(ByteView bytes, std::span<std::uint8_t> room) {
    crypto::TlsSession* session = tls();
    if (session == nullptr) return as_text(bytes);
    return text_of(session->feed_and_read(bytes, room), room);
  }
  // The next of what was fed; empty when there is no more.
  Result<std::string_view> more(std::span<std::uint8_t> room) {
    crypto::TlsSession* session = tls();
    if (session == nullptr || !session->has_more()) return std::string_view();
    return text_of(session->read(room), room);
  }
  // Nothing is to be agreed on any more.
  bool is_open() const { return tls() == nullptr || tls()->is_open(); }
  bool is_closed_by_peer() const { return tls() != nullptr && tls()->is_closed_by_peer(); }

  Status write(std::string_view plaintext) {
    if (crypto::TlsSession* session = tls()) return session->write(as_bytes(plaintext));
    queue().put(as_bytes(plaintext));
    return {};
  }
  void close() {
    if (crypto::TlsSession* session = tls()) session->close();
  }
  ByteView output() const { return tls() != nullptr ? tls()->output() : queue().view(); }
  void consume_output(std::size_t size) {
    if (crypto::TlsSession* session = tls()) return session->consume_output(size);
    queue().consume(size);
  }
  void drop_room(std::size_t kept) {
    if (crypto::TlsSession* session = tls()) return session->drop_room(kept);
    queue().drop_room(kept);
  }
  std::size_t held_bytes() const { return tls() != nullptr ? tls()->held_bytes() : queue().held_bytes(); }

  // Null of a client that showed none.
  const crypto::Certificate* peer() const { return tls() != nullptr ? tls()->peer().get() : nullptr; }
  std::string_view peer_spiffe_id() const { return tls() != nullptr ? tls()->peer_spiffe_id() : std::string_view(); }
  std::string_view server_name() const { return tls() != nullptr ? tls()->server_name() : std::string_view(); }
  std::string_view alpn() const { return tls() != nullptr ? tls()->alpn() : std::string_view(); }

 private:
  static Result<std::string_view> text_of(Result<std::size_t> size, std::span<std::uint8_t> room) {
    if (!size) return std::move(size).error();
    return as_text(room.first(*size));
  }
  crypto::TlsSession* tls() { return std::get_if<crypto::TlsSession>(&way_); }
  const crypto::TlsSession* tls() const { return std::get_if<crypto::TlsSession>(&way_); }
  ByteQueue& queue() { return *std::get_if<ByteQueue>(&way_); }
  const ByteQueue& queue() const { return *std::get_if<ByteQueue>(&way_); }

  std::variant<ByteQueue, crypto::TlsSession> way_;
};

}  // namespace wary::gateway
