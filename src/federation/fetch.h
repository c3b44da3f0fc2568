// Fetch: one bundle from its endpoint: name, connection, TLS, request, redirects; without waiting.
//
//   Fetch fetch({loop, resolver}, endpoint, verify, [](Result<std::string> document) { ... });
//   fetch.start();
//
// `verify` decides about the server's certificate, at the endpoint and wherever it redirects to. An http URL, which
// only issuer_keys.h lets in and of a loopback address alone, is asked without TLS and goes nowhere else. `done` comes
// once, from the loop, and may destroy the fetch; it never comes after that. Thread rule: the loop's. Limits: 20 s in
// all, 3 redirects, 4 MiB, 4 addresses of a name. Errors: federation_url, federation_redirect, federation_redirects,
// federation_status, http_body_too_large and others of http/call.h, federation_timeout, connect_*, resolve_*, tls_* and
// the verifier's own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "crypto/tls.h"
#include "federation/endpoint.h"
#include "http/call.h"
#include "http/tls_call.h"
#include "io/resolver.h"

namespace wary::federation {

constexpr std::size_t kDocumentMax = std::size_t{4} << 20;
constexpr int kRedirectsMax = 3;
constexpr std::int64_t kFetchTime = 20 * kNanosPerSecond;

struct FetchParts {
  io::Loop& loop;
  io::Resolver& resolver;
};

class Fetch {
 public:
  using Done = std::function<void(Result<std::string>)>;
  Fetch(FetchParts parts, const Endpoint& endpoint, crypto::VerifyPeer verify, Done done);
  ~Fetch();
  void start();
  // Seconds that the answer's Cache-Control says it is good for; nothing where it does not say. Of an answer that came.
  std::optional<std::int64_t> max_age_s() const { return max_age_s_; }

 private:
  void ask(const codec::Uri& url);
  void call(const std::vector<std::string>& addresses);
  void call_plain(const io::Address& address, http::ClientRequest request);
  void answered(Result<http::ClientResponse> response);
  void finish(Result<std::string> result);

  FetchParts parts_;
  codec::Uri url_;
  crypto::VerifyPeer verify_;
  Done done_;
  int redirects_ = 0;
  std::optional<std::int64_t> max_age_s_;
  io::TimerId timer_ = 0;
  std::shared_ptr<void> calling_;
  std::unique_ptr<http::Call> plain_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// max-age of a Cache-Control field, 0 with no-store or no-cache; nothing where it says none of them.
std::optional<std::int64_t> max_age_of(std::string_view cache_control);

// Verifiers of the two profiles. The clock must outlive them.
crypto::VerifyPeer verify_web_server(crypto::TrustRoots roots, Clock& clock);
// Errors besides those of crypto/x509.h: federation_server (another SPIFFE ID).
crypto::VerifyPeer verify_spiffe_server(crypto::TrustRoots roots, crypto::SpiffeId id, Clock& clock);

}  // namespace wary::federation
