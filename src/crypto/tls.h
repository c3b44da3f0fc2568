// TLS 1.3 (RFC 8446) without I/O: ciphertext in, ciphertext out, plaintext between. The caller owns the sockets.
//
//   WARY_ASSIGN_OR_RETURN(auto context, crypto::TlsServerContext::build(std::move(options)));  // once; shared
//   crypto::TlsSession session(context);
//   WARY_RETURN_IF_ERROR(session.feed(from_socket));       // an error still leaves an alert in output(): send it,
//   close to_socket(session.output()); session.consume_output(sent); if (session.is_open()) {
//   WARY_ASSIGN_OR_RETURN(std::size_t n, session.read(buffer)); ... session.write(answer); }
//
// TLS 1.3, and 1.2 where a server allows it; X25519 and P-256; AES-GCM and ChaCha20-Poly1305 with an ephemeral key; no
// renegotiation, no early data. Whoever proves an identity by a certificate does so anew on every connection; others
// may resume a TLS 1.3 session where a server allows it. Contexts are immutable and shareable; a session belongs to one
// thread at a time. Idle sessions hold no record buffers. Limits: 256 KiB of ciphertext fed and not yet read
// (tls_backpressure: read first); the plaintext written and not yet taken is bounded by the caller, who sees
// output().size(). Errors: tls_option, tls_handshake, tls_protocol, tls_peer (the verifier's own error is passed on
// instead when there is one), tls_alpn, tls_backpressure, tls_closed, tls_truncated.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/sign.h"
#include "crypto/x509.h"

namespace wary::crypto {

// A certificate chain, leaf first, and the leaf's key.
struct TlsIdentity {
  std::vector<Bytes> chain;
  std::shared_ptr<const PrivateKey> key;  // shared: one key serves several contexts across a reload
};

using PeerCertificate = std::shared_ptr<const Certificate>;  // shared: by all connections that show the same one
// Decides about the peer's chain (leaf first, at most 10). `server_name` is what the client asked for; empty on a
// server. Called during the handshake, on the session's thread.
using VerifyPeer =
    std::function<Result<PeerCertificate>(const std::vector<Bytes>& chain, std::string_view server_name)>;

// The usual verifiers. The clock must outlive the context. Those of SVIDs remember which chains they have verified, by
// their bytes, for as long as every certificate of them is valid and no longer than these roots are in use; whether
// whom they name is still let in is asked elsewhere, each time. A chain of more than 8 KiB is verified each time.
VerifyPeer verify_server_name(TrustRoots roots, Clock& clock);
VerifyPeer verify_svid(TrustRoots roots, std::string trust_domain, VerifyOptions::Use use, Clock& clock);
// And nobody but this one. Error: tls_peer.
VerifyPeer verify_svid_of(TrustRoots roots, std::string trust_domain, std::string spiffe_id, VerifyOptions::Use use,
                          Clock& clock);

enum class ClientAuth { kNone, kOptional, kRequired };

struct TlsServerOptions {
  struct Site {
    std::vector<std::string> names;  // "app.example", or "*.example" for exactly one label
    TlsIdentity identity;
  };
  std::vector<Site> sites;            // the first one answers names that none has
  bool refuse_unknown_names = false;  // then such a name is refused (unrecognized_name); no name at all is served
  std::vector<std::string> alpn;      // in the order of preference; empty: none is spoken
  bool allows_tls12 = false;          // ECDHE with AES-GCM or ChaCha20-Poly1305 alone
  bool resumes = false;               // TLS 1.3, of clients without a certificate; an hour
  ClientAuth client_auth = ClientAuth::kNone;
  VerifyPeer verify_client;  // needed unless kNone
};

class TlsServerContext {
 public:
  static Result<TlsServerContext> build(TlsServerOptions options);
  struct Impl;  // private to crypto/

 private:
  friend class TlsSession;
  explicit TlsServerContext(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;  // shared: sessions keep the context they began with across a reload
};

struct TlsClientOptions {
  VerifyPeer verify_server;             // needed
  std::optional<TlsIdentity> identity;  // for servers that ask
  std::vector<std::string> alpn;
};

class TlsClientContext {
 public:
  static Result<TlsClientContext> build(TlsClientOptions options);
  struct Impl;  // private to crypto/

 private:
  friend class TlsSession;
  explicit TlsClientContext(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

class TlsSession {
 public:
  explicit TlsSession(const TlsServerContext& context);
  // Begins the handshake: output() has the first flight. An IP address or empty text sends no server name.
  TlsSession(const TlsClientContext& context, std::string_view server_name);
  TlsSession(TlsSession&&) noexcept;
  TlsSession& operator=(TlsSession&&) noexcept;
  ~TlsSession();

  // Takes all of it, and goes on with the handshake as far as that leads.
  Status feed(ByteView ciphertext);
  // The same, and read() at once: what is read now is not kept in between.
  Result<std::size_t> feed_and_read(ByteView ciphertext, std::span<std::uint8_t> out);
  // Whether read() could give more of what was fed.
  bool has_more() const;
  // Ciphertext to send. The view holds until the next call that is not const.
  ByteView output() const;
  void consume_output(std::size_t size);
  // Output's room stays for the next, until this is called while nothing waits: more than `kept` bytes go back then.
  void drop_room(std::size_t kept);
  std::size_t held_bytes() const;  // by output and by what was fed

  // The handshake is done, the peer is known as far as the context demands, and nobody has closed.
  bool is_open() const;
  bool is_handshaking() const;
  bool has_failed() const;
  // The peer said close_notify: what it sent is complete. A connection that ends without was cut (tls_truncated is the
  // caller's to report).
  bool is_closed_by_peer() const;

  // Plaintext; 0 means that more ciphertext is needed, or is_closed_by_peer().
  Result<std::size_t> read(std::span<std::uint8_t> out);
  Status write(ByteView plaintext);
  void close();  // close_notify into output()

  // Known once is_open().
  const PeerCertificate& peer() const;      // none if the client showed none
  std::string_view peer_spiffe_id() const;  // empty unless the peer's certificate is a good X509-SVID
  std::string_view alpn() const;
  std::string_view server_name() const;  // what the client asked for
  std::string_view cipher() const;
  std::string_view version() const;  // "TLSv1.3"
  bool is_resumed() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::crypto
