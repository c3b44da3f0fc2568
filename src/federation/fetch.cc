#include "federation/fetch.h"

#include <algorithm>
#include <charconv>

#include "codec/text.h"

namespace wary::federation {

namespace {

constexpr std::int64_t kConnectTime = 5 * kNanosPerSecond;
constexpr std::size_t kAddressesTried = 4;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

Fetch::Fetch(FetchParts parts, const Endpoint& endpoint, crypto::VerifyPeer verify, Done done)
    : parts_(parts), url_(endpoint.url), verify_(std::move(verify)), done_(std::move(done)) {}

Fetch::~Fetch() { parts_.loop.cancel(timer_); }

void Fetch::start() {
  timer_ = parts_.loop.after(kFetchTime, [this] {
    finish(fail(ErrorKind::kTimeout, "federation_timeout", "no whole bundle came within 20 s").at(url_.to_string()));
  });
  ask(url_);
}

void Fetch::ask(const codec::Uri& url) {
  url_ = url;
  parts_.resolver.find(url_.host, [this, alive = std::weak_ptr<int>(alive_)](Result<std::vector<std::string>> found) {
    if (alive.expired() || !done_) return;
    if (!found) return finish(std::move(found).error());
    call(*found);
  });
}

void Fetch::call(const std::vector<std::string>& addresses) {
  const std::string_view host = url_.host;
  const bool is_literal = host.size() > 2 && host.front() == '[';
  http::TlsServer server{io::Address::tcp(addresses.front(), url_.port),
                         std::string(is_literal ? host.substr(1, host.size() - 2) : host)};
  for (std::size_t i = 1; i < std::min(addresses.size(), kAddressesTried); ++i) {
    server.others.push_back(io::Address::tcp(addresses[i], url_.port));
  }
  http::ClientRequest request;
  request.path = url_.path;
  request.query = url_.query.value_or("");
  request.host = authority_of(url_);
  request.headers = {{"Accept", "application/json"}, {"User-Agent", "wary"}};
  request.timeout_nanos = kFetchTime;  // the fetch's own began before
  if (url_.scheme == "http") return call_plain(server.address, std::move(request));
  crypto::TlsClientOptions options;
  options.verify_server = verify_;
  const auto context = crypto::TlsClientContext::build(std::move(options));
  if (!context) return finish(context.error());
  const auto told = [this, alive = std::weak_ptr<int>(alive_)](Result<http::TlsReply> reply) {
    if (alive.expired() || !done_) return;
    if (!reply) return answered(std::move(reply).error());
    answered(std::move(reply->response));
  };
  calling_ = http::call_tls(parts_.loop, server, *context, request, told,
                            {.body_bytes = kDocumentMax, .connect_nanos = kConnectTime});
}

// On loopback alone: whoever could be listened to there is this machine's own.
void Fetch::call_plain(const io::Address& address, http::ClientRequest request) {
  plain_ = std::make_unique<http::Call>(
      std::move(request), http::CallLimits{.body_bytes = kDocumentMax}, [this](Result<http::ClientResponse> response) {
        // From inside the stream's turn: what follows may end the call.
        parts_.loop.post([this, alive = std::weak_ptr<int>(alive_), response = std::move(response)] {
          if (!alive.expired() && done_) answered(response);
        });
      });
  if (Status prepared = plain_->prepare(); !prepared) return finish(std::move(prepared).error());
  parts_.loop.connect(address, kConnectTime,
                      [this, alive = std::weak_ptr<int>(alive_)](Result<std::unique_ptr<io::Stream>> stream) {
                        if (alive.expired() || !done_) return;
                        if (!stream) return finish(std::move(stream).error());
                        plain_->begin(std::move(stream).value());
                      });
}

void Fetch::answered(Result<http::ClientResponse> response) {
  if (!response) return finish(std::move(response).error());
  max_age_s_ = max_age_of(response->header("cache-control"));
  if (response->status == 200) return finish(std::move(response->body));
  if (!is_redirect(response->status) || url_.scheme == "http") {
    return finish(fail(ErrorKind::kUnavailable, "federation_status", "the endpoint answers without a bundle")
                      .at(url_.to_string())
                      .expected("200")
                      .found(std::to_string(response->status)));
  }
  if (++redirects_ > kRedirectsMax) {
    return finish(fail(ErrorKind::kDenied, "federation_redirects", "the endpoint redirects more than three times")
                      .at(url_.to_string()));
  }
  auto next = redirect_target(url_, response->header("location"));
  if (!next) return finish(std::move(next).error());
  ask(*next);
}

void Fetch::finish(Result<std::string> result) {
  if (!done_) return;
  parts_.loop.cancel(timer_);
  if (!result && result.error().where.empty()) result.error().where = url_.to_string();
  // Called from wherever it ends; destroyed only from the loop itself.
  parts_.loop.post(
      [alive = std::weak_ptr<int>(alive_), done = std::exchange(done_, nullptr), result = std::move(result)] {
        if (!alive.expired()) done(result);
      });
}

std::optional<std::int64_t> max_age_of(std::string_view cache_control) {
  std::optional<std::int64_t> out;
  while (!cache_control.empty()) {
    const std::size_t end = std::min(cache_control.find(','), cache_control.size());
    const std::string directive = codec::to_lower(codec::trim(cache_control.substr(0, end)));
    cache_control.remove_prefix(std::min(end + 1, cache_control.size()));
    if (directive == "no-store" || directive == "no-cache") return 0;
    constexpr std::string_view kMaxAge = "max-age=";
    if (!directive.starts_with(kMaxAge)) continue;
    std::int64_t seconds = 0;
    const char* last = directive.data() + directive.size();
    const auto parsed = std::from_chars(directive.data() + kMaxAge.size(), last, seconds);
    if (parsed.ec == std::errc() && parsed.ptr == last && seconds >= 0) out = seconds;
  }
  return out;
}

crypto::VerifyPeer verify_web_server(crypto::TrustRoots roots, Clock& clock) {
  return [roots = std::move(roots), &clock](const std::vector<Bytes>& chain,
                                            std::string_view name) -> Result<crypto::PeerCertificate> {
    const Bytes address = io::address_bytes(name);
    crypto::VerifyOptions rules;
    if (address.empty()) rules.dns_name = name;
    WARY_ASSIGN_OR_RETURN(crypto::Certificate leaf, roots.verify(chain, clock.unix_time(), rules));
    if (name.empty() ||
        (!address.empty() && std::ranges::find(leaf.ip_addresses, address) == leaf.ip_addresses.end())) {
      return fail(ErrorKind::kUnauthenticated, "x509_name", "the certificate is not for that address")
          .at(leaf.subject)
          .expected(name)
          .next("use a name that its certificate has in the endpoint's URL");
    }
    return std::make_shared<const crypto::Certificate>(std::move(leaf));
  };
}

crypto::VerifyPeer verify_spiffe_server(crypto::TrustRoots roots, crypto::SpiffeId id, Clock& clock) {
  return [roots = std::move(roots), id = std::move(id), &clock](const std::vector<Bytes>& chain,
                                                                std::string_view) -> Result<crypto::PeerCertificate> {
    crypto::VerifyOptions rules;
    rules.svid = true;
    rules.trust_domain = id.trust_domain;
    WARY_ASSIGN_OR_RETURN(crypto::Certificate leaf, roots.verify(chain, clock.unix_time(), rules));
    WARY_ASSIGN_OR_RETURN(const crypto::SpiffeId shown, crypto::check_svid(leaf));
    if (shown == id) return std::make_shared<const crypto::Certificate>(std::move(leaf));
    return fail(ErrorKind::kUnauthenticated, "federation_server", "the endpoint's server is somebody else")
        .expected(id.to_string())
        .found(shown.to_string());
  };
}

}  // namespace wary::federation
