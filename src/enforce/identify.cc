#include "enforce/identify.h"

#include <algorithm>

#include "base/secret.h"
#include "codec/text.h"
#include "codec/uri.h"
#include "crypto/hash.h"
#include "enforce/api_key.h"
#include "enforce/dpop.h"
#include "enforce/facts.h"

namespace wary::enforce {

namespace {

constexpr std::int64_t kMissingEvery = kNanosPerSecond;  // what on_key_missing is called apart, of one issuer
constexpr std::string_view kKeyMissing = "jws_kid_unknown";

using contract::EntityId;

constexpr Limits kPeekLimits{.bytes = limits::kTokenBytes, .depth = 16, .items = 200, .total = 2000};

Subject nobody() { return {{"Wary::Anonymous", "anonymous"}, std::nullopt, true}; }

Subject somebody(EntityId principal, How how) {
  Subject out{std::move(principal), std::nullopt, false};
  out.how = how;
  return out;
}

// RFC 6750 section 3.1: a request that is malformed is another matter than a token that is no good.
Subject refused(std::string_view scheme, std::string_view error, const Error& why) {
  Subject out = nobody();
  const bool is_malformed = error == "invalid_request";
  const bool is_busy = why.kind == ErrorKind::kExhausted;
  const std::string more = scheme == "DPoP" ? "algs=\"" + std::string(kDpopAlgorithms) + "\"" : "";
  out.refusal = Challenge{is_busy        ? 503
                          : is_malformed ? 400
                                         : 401,
                          why.code, why.message, authenticate_value(scheme, error, why.message, more)};
  return out;
}

Error unauthenticated(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kUnauthenticated, code, message);
}

// spiffe://TRUST-DOMAIN/wary/node/NAME
bool is_node(std::string_view spiffe_id) {
  const std::size_t path = spiffe_id.find('/', std::string_view("spiffe://").size());
  return path != std::string_view::npos && spiffe_id.substr(path).starts_with("/wary/node/");
}

Subject by_certificate(std::string_view spiffe_id, const policy::Snapshot& snapshot) {
  EntityId holder{is_node(spiffe_id) ? "Wary::Node" : "Wary::Workload", std::string(spiffe_id)};
  // A good certificate of somebody who is not registered (any more) is nobody.
  if (snapshot.find_entity(holder) == nullptr) return nobody();
  return somebody(std::move(holder), How::kSvid);
}

Subject by_session(std::string_view token, std::string_view host, const policy::Snapshot& snapshot) {
  const std::string hash = codec::encode_hex(crypto::sha256(as_bytes(token)));
  const contract::Entity* credential = snapshot.find_entity({"Wary::Credential", hash});
  if (credential == nullptr) return nobody();
  const codec::Json* bound = fact_of(*credential, "host");
  const bool here =
      bound != nullptr && bound->is_string() && codec::equals_ignoring_case(bound->as_string(), codec::host_name(host));
  auto session_id = reference_of(*credential, "session");
  const contract::Entity* session = session_id ? snapshot.find_entity(*session_id) : nullptr;
  auto user = session != nullptr ? reference_of(*session, "user") : std::nullopt;
  if (!here || !user) return nobody();
  Subject out = somebody(std::move(*user), How::kSession);
  out.session = std::move(session_id);
  return out;
}

Subject by_api_key(std::string_view key, const policy::Snapshot& snapshot) {
  EntityId shown{"Wary::ApiKeyHash", api_key_id(key)};
  const contract::Entity* hash = snapshot.find_entity(shown);
  auto id = hash != nullptr ? reference_of(*hash, "key") : std::nullopt;
  const contract::Entity* entity = id ? snapshot.find_entity(*id) : nullptr;
  if (entity == nullptr) {
    return refused("Bearer", "invalid_token", unauthenticated("api_key_unknown", "this API key is not known"));
  }
  auto holder = reference_of(*entity, "user");
  if (!holder) holder = reference_of(*entity, "workload");
  if (!holder || snapshot.find_entity(*holder) == nullptr) {
    return refused("Bearer", "invalid_token",
                   unauthenticated("principal_unknown", "whom the credential speaks for is not known here"));
  }
  Subject out = somebody(std::move(*holder), How::kApiKey);
  out.api_key = std::move(id);
  out.api_key_hash = std::move(shown);
  return out;
}

// The scheme's value: "Bearer TOKEN", in any case; nothing of another scheme.
std::optional<std::string_view> value_of(std::string_view authorization, std::string_view scheme) {
  if (authorization.size() <= scheme.size() || authorization[scheme.size()] != ' ') return std::nullopt;
  if (!codec::equals_ignoring_case(authorization.substr(0, scheme.size()), scheme)) return std::nullopt;
  return codec::trim(authorization.substr(scheme.size()));
}

// The issuer that a JWT names, however it is signed; empty of anything else.
std::string peek_issuer(std::string_view token) {
  if (token.size() > limits::kTokenBytes) return {};
  const std::size_t first = token.find('.');
  const std::size_t second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos) return {};
  const auto payload = codec::decode_base64url(token.substr(first + 1, second - first - 1));
  const auto claims = payload ? codec::parse_json(as_text(*payload), kPeekLimits) : Result<codec::Json>(Error{});
  return claims ? std::string(claims->string_or("iss", "")) : std::string();
}

// Secrets as their hash, of all three together, with the certificate that a token may be bound to; nothing where none
// is shown.
void append_shown(std::string& out, const Presented& presented) {
  out.clear();
  for (const std::string_view text : {presented.host, presented.spiffe_id}) {
    out.append(std::to_string(text.size())).append(":").append(text);
  }
  if (presented.session_token.empty() && presented.authorization.empty() && presented.api_key.empty()) return;
  const auto secrets = {presented.session_token, presented.authorization, presented.api_key,
                        presented.authorization.empty() ? std::string_view() : as_text(presented.client_certificate)};
  const std::size_t at = out.size();
  for (const std::string_view secret : secrets) out.append(std::to_string(secret.size())).append(":");
  for (const std::string_view secret : secrets) out += secret;
  const crypto::Digest digest = crypto::sha256(as_bytes(std::string_view(out).substr(at)));
  wipe(out.data() + at, out.size() - at);
  out.resize(at);
  out += as_text(digest);
}

// Of two credentials of one request: the one that says more, or why not both.
Subject agreed(Subject first, Subject second) {
  if (first.refusal) return first;
  if (second.refusal) return second;
  if (second.is_anonymous || first.principal == second.principal) return first;
  if (first.is_anonymous) return second;
  Subject out = refused("Bearer", "invalid_request",
                        fail(ErrorKind::kInvalid, "credential_conflict", "two credentials name different principals"));
  return out;
}

}  // namespace

Subject Identifier::identify(const Presented& presented, const policy::Snapshot& snapshot) {
  if (presented.has_repeated_field) {
    Subject out = refused("Bearer", "invalid_request",
                          fail(ErrorKind::kInvalid, "credential_repeated", "a field with a credential came twice"));
    out.owns_authorization = out.owns_api_key = true;
    return out;
  }
  Subject certificate = presented.spiffe_id.empty() ? nobody() : by_certificate(presented.spiffe_id, snapshot);
  Subject token = presented.authorization.empty() ? nobody() : by_authorization(presented, snapshot);
  const bool owns_authorization = token.owns_authorization;
  const bool owns_api_key = is_api_key(presented.api_key);
  const std::string hint = token.hint;
  Subject out = std::move(token);
  if (owns_api_key) out = agreed(std::move(out), by_api_key(presented.api_key, snapshot));
  const bool is_bound = out.token && !out.token->x5t.empty();
  if (is_node(presented.spiffe_id)) {
    // A machine's certificate says from where: whoever asks there is somebody else, or nobody but the machine.
    if (!presented.session_token.empty()) {
      out = agreed(std::move(out), by_session(presented.session_token, presented.host, snapshot));
    }
    if (out.is_anonymous && !out.refusal) {
      out = std::move(certificate);
    } else if (!certificate.is_anonymous) {
      out.device = std::move(certificate.principal);
    }
  } else if (!presented.spiffe_id.empty()) {
    if (!is_bound) out = agreed(std::move(out), std::move(certificate));
  } else if (!presented.session_token.empty()) {
    out = agreed(std::move(out), by_session(presented.session_token, presented.host, snapshot));
  }
  out.owns_authorization = owns_authorization;
  out.owns_api_key = owns_api_key;
  out.hint = hint;
  return out;
}

std::shared_ptr<const Recognised> Identifier::recognise(const Presented& presented,
                                                        const policy::SnapshotPtr& snapshot) {
  if (!snapshot || presented.has_repeated_field || !presented.dpop.empty()) {
    return std::make_shared<const Recognised>(recognised(snapshot ? identify(presented, *snapshot) : nobody()));
  }
  if (recognised_in_ != snapshot) {
    recognised_.clear();
    recognised_in_ = snapshot;
  }
  append_shown(shown_, presented);
  if (const auto* known = recognised_.find(shown_)) {
    const auto& token = (*known)->subject.token;
    if (!token || clock_.unix_time() < token->expires) return *known;
  }
  const auto who = std::make_shared<const Recognised>(recognised(identify(presented, *snapshot)));
  if (!who->subject.refusal) recognised_.put(shown_, who);
  return who;
}

Subject Identifier::by_authorization(const Presented& presented, const policy::Snapshot& snapshot) {
  auto text = value_of(presented.authorization, "Bearer");
  const auto proven = value_of(presented.authorization, "DPoP");
  const bool is_dpop = proven.has_value();
  if (is_dpop) text = proven;
  if (!text) return nobody();
  if (!is_dpop && is_api_key(*text)) {
    Subject out = by_api_key(*text, snapshot);
    out.owns_authorization = true;
    return out;
  }
  learn(snapshot);
  const CachedToken* checked = check(*text);
  if (checked == nullptr) {
    Subject out = nobody();
    out.hint = "token_issuer_unknown";
    return out;
  }
  const auto refuse = [&](std::string_view error, const Error& why) {
    Subject out = refused(is_dpop ? "DPoP" : "Bearer", error, why);
    out.owns_authorization = true;
    return out;
  };
  const std::shared_ptr<const VerifiedToken> token = checked->token;
  if (!token) return refuse("invalid_token", checked->error);
  const Status bound = check_binding(*token, *text, is_dpop, presented);
  if (!bound) {
    // What is wrong is the token, or how it was shown; everything else is said of the proof.
    const bool is_token = bound.error().code.starts_with("token_") || bound.error().code == "dpop_required";
    return refuse(is_token ? "invalid_token" : "invalid_dpop_proof", bound.error());
  }
  if (snapshot.find_entity(token->principal) == nullptr) {
    return refuse("invalid_token",
                  unauthenticated("principal_unknown", "whom the credential speaks for is not known here"));
  }
  Subject out = somebody(token->principal, How::kToken);
  out.token = token;
  out.is_dpop = is_dpop;
  out.owns_authorization = true;
  return out;
}

const CachedToken* Identifier::check(std::string_view text) {
  const crypto::Digest digest = crypto::sha256(as_bytes(text));
  const UnixTime now = clock_.unix_time();
  const auto generation = [this](const std::string& name) { return generation_of(name); };
  if (const CachedToken* kept = verified_.find(digest, now, generation)) return kept;
  if (const CachedToken* kept = refused_.find(digest, now, generation)) {
    const auto known = issuers_.find(kept->issuer);
    if (kept->error.code == kKeyMissing && known != issuers_.end()) note_missing(known->second);
    return kept;
  }
  const auto read = read_token(text);
  Known* known = issuer_named(read ? read->issuer : peek_issuer(text));
  if (known == nullptr) return nullptr;
  auto token = read ? check_token(*read, known->issuer, now) : Result<VerifiedToken>(read.error());
  if (!token) {
    if (token.error().code == kKeyMissing) note_missing(*known);
    return &refused_.put(digest,
                         {nullptr, token.error(), known->issuer.name, known->generation, {now.nanos + kRefusalKept}});
  }
  auto kept = std::make_shared<const VerifiedToken>(std::move(token).value());
  return &verified_.put(digest, {kept, {}, known->issuer.name, known->generation, kept->expires});
}

void Identifier::note_missing(Known& known) {
  const Monotonic now = clock_.monotonic();
  if (!on_key_missing || (known.missed && now.nanos - known.missed->nanos < kMissingEvery)) return;
  known.missed = now;
  on_key_missing(known.issuer.name);
}

// Who shows a bound token has what it is bound to (RFC 9449 section 7, RFC 8705 section 3).
Status Identifier::check_binding(const VerifiedToken& token, std::string_view text, bool is_dpop,
                                 const Presented& presented) {
  if (!token.x5t.empty()) {
    const bool has = !presented.client_certificate.empty() &&
                     codec::encode_base64url(crypto::sha256(presented.client_certificate)) == token.x5t;
    if (!has) return unauthenticated("token_bound", "the token is bound to another certificate than this connection's");
  }
  if (!is_dpop) {
    if (!token.jkt.empty()) return unauthenticated("token_bound", "the token is bound to a key: show it with DPoP");
    if (token.require_dpop) return unauthenticated("dpop_required", "tokens of this issuer are shown with DPoP");
    return {};
  }
  if (token.jkt.empty()) return unauthenticated("token_unbound", "the token is bound to no key: DPoP proves nothing");
  if (presented.dpop.empty()) return unauthenticated("dpop_missing", "the request has no DPoP proof");
  WARY_ASSIGN_OR_RETURN(const DpopProof proof, check_dpop(presented.dpop, {.method = presented.method,
                                                                           .authority = presented.host,
                                                                           .path = presented.path,
                                                                           .token = text,
                                                                           .thumbprint = token.jkt,
                                                                           .now = clock_.unix_time(),
                                                                           .not_before = began_}));
  const auto added = proofs_.add(proof.id, clock_.monotonic());
  if (added == SeenSet::Added::kSeen) return unauthenticated("dpop_replayed", "the proof was shown before");
  if (added == SeenSet::Added::kFull) return fail(ErrorKind::kExhausted, "dpop_busy", "too many proofs at once");
  return {};
}

void Identifier::learn(const policy::Snapshot& snapshot) {
  if (revision_ == snapshot.revision() && revision_ != 0) return;
  revision_ = snapshot.revision();
  for (const contract::Entity* entity : snapshot.entities_of_type("Wary::Issuer")) {
    std::string rules = text_of(*entity, "rules"), jwks = text_of(*entity, "jwks");
    Known& known = issuers_[entity->id.id];
    known.seen = revision_;
    if (known.generation != 0 && known.rules == rules && known.jwks == jwks) continue;
    known.generation = ++last_generation_;
    const auto json = codec::parse_json(rules);
    auto issuer = json ? issuer_from(entity->id.id, *json, jwks) : Result<JwtIssuer>(json.error());
    // One that cannot be read vouches for nobody; its name stays, so that its tokens are refused and not passed on.
    known.issuer = issuer ? std::move(issuer).value() : JwtIssuer{};
    if (known.issuer.url.empty() && json) known.issuer.url = json->string_or("url", "");
    known.issuer.name = entity->id.id;
    known.rules = std::move(rules);
    known.jwks = std::move(jwks);
  }
  std::erase_if(issuers_, [&](const auto& one) { return one.second.seen != revision_; });
}

Identifier::Known* Identifier::issuer_named(std::string_view url) {
  if (url.empty()) return nullptr;
  const auto found = std::ranges::find_if(issuers_, [&](const auto& one) { return one.second.issuer.url == url; });
  return found == issuers_.end() ? nullptr : &found->second;
}

std::uint64_t Identifier::generation_of(const std::string& name) const {
  const auto found = issuers_.find(name);
  return found == issuers_.end() ? 0 : found->second.generation;
}

}  // namespace wary::enforce
