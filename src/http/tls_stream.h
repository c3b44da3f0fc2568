// TlsStream: a TLS client connection as a stream.
//
//   http::connect_tls(loop, Address::tcp("127.0.0.1", 7443), context, "console.localhost", 5 * kNanosPerSecond,
//                     [](Result<std::unique_ptr<io::Stream>> stream) { ... });
//
// The handshake is done when the callback comes. Errors: connect_*, those of the TLS session (its verifier's own among
// them), tls_timeout, tls_closed. Thread rule: the loop's. Destroying what connect_tls returned gives the attempt up.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "crypto/tls.h"
#include "http/layered_stream.h"

namespace wary::http {

class TlsStream final : public LayeredStream {
 public:
  TlsStream(io::Loop& loop, std::unique_ptr<io::Stream> below, crypto::TlsSession session);
  const crypto::TlsSession& session() const { return session_; }
  void begin();                       // the first flight
  std::function<void()> on_progress;  // while the handshake goes on

 protected:
  Status take(ByteView below) override;
  void put(ByteView plain) override;
  void end() override;
  void progressed() override;

 private:
  void move_output();
  crypto::TlsSession session_;
};

using Connected = std::function<void(Result<std::unique_ptr<io::Stream>>)>;
std::shared_ptr<void> connect_tls(io::Loop& loop, const io::Address& address, const crypto::TlsClientContext& context,
                                  const std::string& server_name, std::int64_t timeout_nanos, Connected connected);

}  // namespace wary::http
