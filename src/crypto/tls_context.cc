#include "crypto/tls_context.h"

#include <algorithm>

#include "base/proof_cache.h"
#include "codec/text.h"
#include "crypto/hash.h"
#include "crypto/key_material.h"
#include "crypto/lean_library.h"
#include "crypto/x509_private.h"

namespace wary::crypto {

namespace {

constexpr std::size_t kSitesMax = 10'000;
constexpr std::size_t kProvenMax = 4096;  // chains that one verifier remembers; of about 2 KiB each
// And of no more than this: who has one good certificate may show it with any others, and each row of them is another.
constexpr std::size_t kProvenBytesMax = 8 * 1024;

Error option_error(std::string_view what) { return fail(ErrorKind::kInvalid, "tls_option", what); }
Error openssl_option_error(std::string_view what) { return openssl_error(ErrorKind::kInvalid, "tls_option", what); }

int peer_state_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int alert_for(const Error& error) {
  if (error.code == "x509_expired") return X509_V_ERR_CERT_HAS_EXPIRED;
  if (error.code == "x509_untrusted") return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
  return X509_V_ERR_APPLICATION_VERIFICATION;
}

Result<Bytes> der_of(X509* x509) {
  const int size = i2d_X509(x509, nullptr);
  if (size <= 0 || static_cast<std::size_t>(size) > kCertificateMax) {
    return fail(ErrorKind::kUnauthenticated, "tls_peer", "a certificate of the peer is malformed or too long");
  }
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  i2d_X509(x509, &out);
  return der;
}

// The library keeps what the peer showed, with its keys, for as long as the connection lasts: some 5 KiB a certificate,
// which all connections of one workload have alike. It is given those that were verified, the same to the byte: what
// was found by the digest of the whole chain, or read from it just now.
void share_chain(STACK_OF(X509) * shown, const Bytes& leaf, TlsPeerState& state) {
  if (!state.peer->parsed || state.peer->der != leaf) return;
  const auto& verified = state.peer->parsed->certificates;
  if (static_cast<std::size_t>(sk_X509_num(shown)) != verified.size()) return;
  for (std::size_t i = 0; i < verified.size(); ++i) {
    state.own_chain.emplace_back(sk_X509_value(shown, static_cast<int>(i)));
    X509_up_ref(verified[i].get());
    sk_X509_set(shown, static_cast<int>(i), verified[i].get());
  }
}

// In place of OpenSSL's chain building: our verifier alone decides.
int verify_callback(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* state = static_cast<TlsPeerState*>(SSL_get_ex_data(ssl, peer_state_index()));
  if (state == nullptr || state->verify == nullptr || !*state->verify) return 0;
  const STACK_OF(X509)* shown = X509_STORE_CTX_get0_untrusted(store);
  std::vector<Bytes> chain;
  const int count = shown == nullptr ? 0 : sk_X509_num(shown);
  std::optional<Error> error;
  if (static_cast<std::size_t>(count) > kChainMax) {
    error = fail(ErrorKind::kUnauthenticated, "tls_peer", "the peer's chain has more than 10 certificates");
  }
  for (int i = 0; i < count && !error; ++i) {
    auto der = der_of(sk_X509_value(shown, i));
    if (der.ok()) {
      chain.push_back(std::move(der).value());
    } else {
      error = std::move(der).error();
    }
  }
  if (!error) {
    auto peer = (*state->verify)(chain, state->server_name);
    if (peer.ok()) {
      state->peer = std::move(peer).value();
      share_chain(X509_STORE_CTX_get0_untrusted(store), chain.front(), *state);
      SSL_set_num_tickets(ssl, 0);
      X509_STORE_CTX_set_error(store, X509_V_OK);
      return 1;
    }
    error = std::move(peer).error();
  }
  X509_STORE_CTX_set_error(store, alert_for(*error));
  state->refused = std::move(error);
  return 0;
}

int alpn_callback(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                  unsigned int offered_size, void* argument) {
  const auto& own = *static_cast<const std::string*>(argument);
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_size, as_bytes(own).data(),
                                          static_cast<unsigned int>(own.size()), offered, offered_size);
  *out = chosen;
  // RFC 7301 section 3.2: no common protocol is fatal, or cross-protocol attacks become possible.
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

SSL_CTX* find_site(const TlsServerContext::Impl& impl, std::string_view name);

Result<std::string> alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) return option_error("an ALPN name has 1 to 255 bytes");
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  if (wire.size() > 4096) return option_error("too many ALPN names");
  return wire;
}

Result<SslContextHandle> new_context(const SSL_METHOD* method) {
  SslContextHandle context(SSL_CTX_new_ex(lean_library(), nullptr, method));
  SSL_CTX* raw = context.get();
  if (raw == nullptr || SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") !=
          1 ||
      SSL_CTX_set1_groups_list(raw, "X25519:P-256") != 1 || SSL_CTX_set_num_tickets(raw, 0) != 1) {
    return openssl_option_error("the TLS context was not made");
  }
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  // Without the last, a certificate that needs no other beside it is looked for a chain to in each handshake.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(raw, 128 * 1024);
  SSL_CTX_set_cert_verify_callback(raw, verify_callback, nullptr);
  return context;
}

// A ticket holds no chain that could be verified again: whoever had a certificate shakes hands anew. In TLS 1.2 a
// ticket is made before that is known, so none is taken there.
SSL_TICKET_RETURN take_ticket(SSL*, SSL_SESSION* session, const unsigned char*, std::size_t, SSL_TICKET_STATUS status,
                              void*) {
  const bool is_good = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
  if (!is_good || SSL_SESSION_get0_peer(session) != nullptr ||
      SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION) {
    return SSL_TICKET_RETURN_IGNORE;
  }
  return SSL_TICKET_RETURN_USE_RENEW;
}

int make_ticket(SSL*, void*) { return 1; }

Status allow_resumption(SSL_CTX* context) {
  constexpr std::string_view kSessions = "wary";
  constexpr long kTicketSeconds = 3600;
  SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_timeout(context, kTicketSeconds);
  const bool done = SSL_CTX_set_num_tickets(context, 1) == 1 &&
                    SSL_CTX_set_session_id_context(context, as_bytes(kSessions).data(),
                                                   static_cast<unsigned int>(kSessions.size())) == 1 &&
                    SSL_CTX_set_session_ticket_cb(context, make_ticket, take_ticket, nullptr) == 1;
  return done ? Status() : openssl_option_error("session tickets were not set up");
}

Status allow_tls12(SSL_CTX* context) {
  constexpr const char* kCiphers =
      "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
      "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305";
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  const bool done =
      SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 && SSL_CTX_set_cipher_list(context, kCiphers) == 1;
  return done ? Status() : openssl_option_error("TLS 1.2 was not set up");
}

Status use_identity(SSL_CTX* context, const TlsIdentity& identity) {
  if (identity.chain.empty() || !identity.key) return option_error("an identity has a certificate and its key");
  for (std::size_t i = 0; i < identity.chain.size(); ++i) {
    WARY_ASSIGN_OR_RETURN(const X509Handle x509, read_x509(identity.chain[i]));
    const long done =
        i == 0 ? SSL_CTX_use_certificate(context, x509.get()) : SSL_CTX_add1_chain_cert(context, x509.get());
    if (done != 1) return openssl_option_error("a certificate was not taken");
  }
  if (SSL_CTX_use_PrivateKey(context, identity.key->material().key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return openssl_option_error("the key does not belong to the certificate");
  }
  return {};
}

int server_name_callback(SSL* ssl, int* alert, void* argument) {
  const auto& impl = *static_cast<const TlsServerContext::Impl*>(argument);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_CTX* site = find_site(impl, codec::to_lower(std::string_view(name)));
  if (site == nullptr && impl.refuse_unknown_names) {
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  if (site != nullptr) SSL_set_SSL_CTX(ssl, site);
  return SSL_TLSEXT_ERR_OK;
}

SSL_CTX* find_site(const TlsServerContext::Impl& impl, std::string_view name) {
  if (const auto exact = impl.by_name.find(name); exact != impl.by_name.end()) return exact->second;
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return nullptr;
  const auto wildcard = impl.by_name.find("*" + std::string(name.substr(dot)));
  return wildcard == impl.by_name.end() ? nullptr : wildcard->second;
}

}  // namespace

void attach(SSL* ssl, TlsPeerState* state) { WARY_CHECK(SSL_set_ex_data(ssl, peer_state_index(), state) == 1); }

Result<TlsServerContext> TlsServerContext::build(TlsServerOptions options) {
  if (options.sites.empty() || options.sites.size() > kSitesMax) return option_error("a server has 1 to 10000 sites");
  if (options.client_auth != ClientAuth::kNone && !options.verify_client) {
    return option_error("asking for client certificates needs a verifier");
  }
  auto impl = std::make_shared<Impl>();
  impl->refuse_unknown_names = options.refuse_unknown_names;
  impl->verify = std::move(options.verify_client);
  WARY_ASSIGN_OR_RETURN(impl->alpn, alpn_wire(options.alpn));
  for (const TlsServerOptions::Site& site : options.sites) {
    WARY_ASSIGN_OR_RETURN(SslContextHandle context, new_context(TLS_server_method()));
    SSL_CTX* raw = context.get();
    WARY_RETURN_IF_ERROR(use_identity(raw, site.identity));
    if (options.allows_tls12) WARY_RETURN_IF_ERROR(allow_tls12(raw));
    if (options.resumes) WARY_RETURN_IF_ERROR(allow_resumption(raw));
    int mode = SSL_VERIFY_NONE;
    if (options.client_auth != ClientAuth::kNone) mode = SSL_VERIFY_PEER;
    if (options.client_auth == ClientAuth::kRequired) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(raw, mode, nullptr);
    if (!impl->alpn.empty()) SSL_CTX_set_alpn_select_cb(raw, alpn_callback, &impl->alpn);
    SSL_CTX_set_tlsext_servername_callback(raw, server_name_callback);
    SSL_CTX_set_tlsext_servername_arg(raw, impl.get());
    for (const std::string& name : site.names) {
      if (!impl->by_name.emplace(codec::to_lower(name), raw).second) {
        return fail(ErrorKind::kInvalid, "tls_option", "two sites have one name").found(name);
      }
    }
    impl->contexts.push_back(std::move(context));
  }
  return TlsServerContext(std::move(impl));
}

Result<TlsClientContext> TlsClientContext::build(TlsClientOptions options) {
  if (!options.verify_server) return option_error("a client needs a verifier");
  auto impl = std::make_shared<Impl>();
  impl->verify = std::move(options.verify_server);
  WARY_ASSIGN_OR_RETURN(impl->alpn, alpn_wire(options.alpn));
  WARY_ASSIGN_OR_RETURN(impl->context, new_context(TLS_client_method()));
  if (options.identity) WARY_RETURN_IF_ERROR(use_identity(impl->context.get(), *options.identity));
  SSL_CTX_set_verify(impl->context.get(), SSL_VERIFY_PEER, nullptr);
  if (!impl->alpn.empty() && SSL_CTX_set_alpn_protos(impl->context.get(), as_bytes(impl->alpn).data(),
                                                     static_cast<unsigned int>(impl->alpn.size())) != 0) {
    return openssl_option_error("the ALPN names were not taken");
  }
  return TlsClientContext(std::move(impl));
}

VerifyPeer verify_server_name(TrustRoots roots, Clock& clock) {
  return [roots = std::move(roots), &clock](const std::vector<Bytes>& chain,
                                            std::string_view server_name) -> Result<PeerCertificate> {
    if (server_name.empty()) {
      return fail(ErrorKind::kUnauthenticated, "x509_name", "no server name was asked for, so none can be checked")
          .next("ask by the server's DNS name");
    }
    VerifyOptions rules;
    rules.dns_name = server_name;
    WARY_ASSIGN_OR_RETURN(Certificate peer, roots.verify(chain, clock.unix_time(), rules));
    return std::make_shared<const Certificate>(std::move(peer));
  };
}

namespace {

// Of all bytes of the chain and of where each certificate ends.
Digest digest_of(const std::vector<Bytes>& chain) {
  Sha256 hash;
  for (const Bytes& certificate : chain) {
    const std::uint64_t size = certificate.size();
    hash.update(ByteView(reinterpret_cast<const std::uint8_t*>(&size), sizeof size));
    hash.update(certificate);
  }
  return hash.finish();
}

std::size_t size_of(const std::vector<Bytes>& chain) {
  std::size_t size = 0;
  for (const Bytes& certificate : chain) size += certificate.size();
  return size;
}

}  // namespace

VerifyPeer verify_svid(TrustRoots roots, std::string trust_domain, VerifyOptions::Use use, Clock& clock) {
  VerifyOptions rules;
  rules.use = use;
  rules.svid = true;
  rules.trust_domain = std::move(trust_domain);
  const auto proven = std::make_shared<ProofCache<Certificate>>(kProvenMax);
  return [roots = std::move(roots), rules = std::move(rules), proven, &clock](
             const std::vector<Bytes>& chain, std::string_view) -> Result<PeerCertificate> {
    const UnixTime now = clock.unix_time();
    const Digest digest = digest_of(chain);
    if (PeerCertificate known = proven->find(digest, now)) return known;
    WARY_ASSIGN_OR_RETURN(VerifiedChain verified, roots.verify_chain(chain, now, rules));
    auto peer = std::make_shared<const Certificate>(std::move(verified.leaf));
    if (size_of(chain) > kProvenBytesMax) return peer;
    proven->add(digest, peer, verified.from, verified.until);
    return peer;
  };
}

VerifyPeer verify_svid_of(TrustRoots roots, std::string trust_domain, std::string spiffe_id, VerifyOptions::Use use,
                          Clock& clock) {
  return [any = verify_svid(std::move(roots), std::move(trust_domain), use, clock), spiffe_id = std::move(spiffe_id)](
             const std::vector<Bytes>& chain, std::string_view server_name) -> Result<PeerCertificate> {
    WARY_ASSIGN_OR_RETURN(PeerCertificate peer, any(chain, server_name));
    WARY_ASSIGN_OR_RETURN(const SpiffeId id, check_svid(*peer));
    if (id.to_string() == spiffe_id) return peer;
    return fail(ErrorKind::kUnauthenticated, "tls_peer", "another workload answers here")
        .expected(spiffe_id)
        .found(id.to_string());
  };
}

}  // namespace wary::crypto
