// Private to crypto/: contexts, and the part of a session that OpenSSL's callbacks see.
#pragma once

#include <map>

#include "crypto/handles.h"
#include "crypto/tls.h"

namespace wary::crypto {

struct TlsServerContext::Impl {
  std::vector<SslContextHandle> contexts;  // one a site
  std::map<std::string, SSL_CTX*, std::less<>> by_name;
  bool refuse_unknown_names = false;
  std::string alpn;  // wire form: length-prefixed names
  VerifyPeer verify;
};

struct TlsClientContext::Impl {
  SslContextHandle context;
  std::string alpn;
  VerifyPeer verify;
};

// What the verify callback needs and leaves; hangs at the SSL object.
struct TlsPeerState {
  const VerifyPeer* verify = nullptr;
  std::string server_name;  // of a client session
  PeerCertificate peer;
  std::vector<X509Handle> own_chain;  // as it was read, until the handshake is done
  std::optional<Error> refused;
};
void attach(SSL* ssl, TlsPeerState* state);

}  // namespace wary::crypto
