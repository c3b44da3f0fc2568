#include "federation/listener.h"

#include <algorithm>

#include "federation/endpoint.h"
#include "http/tls_stream.h"
#include "spiffe/bundle.h"

namespace wary::federation {

namespace {

constexpr std::int64_t kRetryMin = kNanosPerSecond;
constexpr std::int64_t kRetryMax = 30 * kNanosPerSecond;

}  // namespace

Listener::Listener(ListenerParts parts, std::string trust_domain, Issue issue)
    : parts_(parts), trust_domain_(std::move(trust_domain)), issue_(std::move(issue)) {
  server_ = std::make_unique<http::Server>(
      parts_.loop, [this](const std::shared_ptr<http::Exchange>& exchange) { answer(exchange); });
}

Listener::~Listener() { parts_.loop.cancel(timer_); }

Status Listener::listen(const io::Address& address) {
  WARY_ASSIGN_OR_RETURN(socket_, parts_.loop.listen(address, {}, [this](std::unique_ptr<io::Stream> stream) {
    if (!context_ || document_.empty()) return;
    server_->serve(std::make_unique<http::TlsStream>(parts_.loop, std::move(stream), crypto::TlsSession(*context_)));
  }));
  return {};
}

void Listener::serve(std::string document) {
  if (document == document_) return;
  document_ = std::move(document);
  renew_as_needed();
}

void Listener::renew_as_needed() {
  const auto bundle = spiffe::parse_bundle(trust_domain_, document_);
  const auto roots = bundle ? crypto::TrustRoots::build(bundle->x509_authorities) : Result<crypto::TrustRoots>(Error{});
  if (!roots || chain_.empty()) return renew();
  crypto::VerifyOptions rules;
  rules.svid = true;
  rules.trust_domain = trust_domain_;
  const auto leaf = roots->verify(chain_, parts_.clock.unix_time(), rules);
  if (!leaf) return renew();
  const std::int64_t left = leaf->not_after.nanos - parts_.clock.unix_time().nanos;
  renew_after(std::clamp(3 * bundle->refresh_after_s() * kNanosPerSecond, left / 2, left - left / 4));
}

void Listener::answer(const std::shared_ptr<http::Exchange>& exchange) const {
  const http::Request& request = exchange->request();
  if (request.path != kBundlePath) return exchange->respond(404, {{"Content-Type", "text/plain"}}, "not found\n");
  if (request.method != "GET" && request.method != "HEAD") {
    return exchange->respond(405, {{"Content-Type", "text/plain"}, {"Allow", "GET, HEAD"}}, "only to be read\n");
  }
  exchange->respond(200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-cache"}}, document_);
}

void Listener::renew_after(std::int64_t nanos) {
  parts_.loop.cancel(timer_);
  timer_ = parts_.loop.after(nanos, [this] { renew(); });
}

void Listener::renew() {
  parts_.loop.cancel(timer_);
  const std::uint64_t number = ++asked_;
  const auto again = [this](const Error& why) {
    parts_.log.warn("federation.no_certificate", {{"code", why.code}, {"why", why.message}});
    retry_after_ = std::clamp(retry_after_ * 2, kRetryMin, kRetryMax);
    renew_after(retry_after_);
  };
  auto made = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  if (!made) return again(made.error());
  auto key = std::make_shared<const crypto::PrivateKey>(std::move(made).value());
  const auto csr = crypto::make_csr(*key, "federation");
  if (!csr) return again(csr.error());
  issue_(*csr, [this, alive = std::weak_ptr<int>(alive_), number, key, again](Result<std::vector<Bytes>> chain) {
    if (alive.expired() || number != asked_) return;
    const Status taken = chain ? take(*chain, key) : Status(chain.error());
    if (!taken) again(taken.error());
  });
}

Status Listener::take(const std::vector<Bytes>& chain, std::shared_ptr<const crypto::PrivateKey> key) {
  if (chain.empty()) return fail(ErrorKind::kInternal, "federation_chain", "there is no certificate in the answer");
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate leaf, crypto::parse_certificate(chain.front()));
  crypto::TlsServerOptions options;
  options.sites.push_back({{}, {chain, std::move(key)}});
  options.alpn = {"http/1.1"};
  WARY_ASSIGN_OR_RETURN(context_, crypto::TlsServerContext::build(std::move(options)));
  chain_ = chain;
  retry_after_ = 0;
  const std::int64_t left = leaf.not_after.nanos - parts_.clock.unix_time().nanos;
  renew_after(std::max(left / 2, kRetryMin));
  parts_.log.info("federation.certificate", {{"until", to_rfc3339(leaf.not_after)}});
  return {};
}

}  // namespace wary::federation
