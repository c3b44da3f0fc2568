#include "enforce/jwt_issuer.h"

#include <algorithm>

#include "codec/text.h"
#include "crypto/hash.h"

namespace wary::enforce {

namespace {

using codec::Json;

constexpr Limits kClaimsLimits{.bytes = limits::kTokenBytes, .depth = 16, .items = 200, .total = 2000};
constexpr std::size_t kListedMax = 1000;
constexpr std::size_t kValuesMax = 100;  // scopes, groups, audiences of one token
constexpr std::int64_t kLastTime = INT64_MAX / kNanosPerSecond;
constexpr std::string_view kOwner = "owner";

Error refuse_token(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kUnauthenticated, code, message);
}
Error wrong_rules(std::string_view message, std::string_view member) {
  return fail(ErrorKind::kInvalid, "issuer_rules", message).at(std::string(member));
}

std::vector<std::string> texts_in(const Json* list) {
  std::vector<std::string> out;
  if (list == nullptr) return out;
  if (list->is_string()) out.push_back(list->as_string());
  if (!list->is_array()) return out;
  for (const Json& item : list->items()) {
    if (item.is_string()) out.push_back(item.as_string());
  }
  return out;
}

Status read_algorithms(const Json& rules, JwtIssuer& issuer) {
  for (const std::string& name : texts_in(rules.find("algorithms"))) {
    const auto algorithm = crypto::signature_algorithm_of(name);
    if (!algorithm) {
      return fail(ErrorKind::kInvalid, "issuer_algorithm", "this is no signature by a private key").found(name);
    }
    issuer.algorithms.push_back(*algorithm);
  }
  if (issuer.algorithms.empty()) return wrong_rules("an issuer says how it signs", "algorithms");
  return {};
}

Status read_principals(const Json& rules, JwtIssuer& issuer) {
  issuer.claim = rules.string_or("claim", "sub");
  issuer.suffix = rules.string_or("suffix", "");
  issuer.only_listed = rules.bool_or("only_listed", false);
  if (const Json* subjects = rules.find("subjects"); subjects != nullptr) {
    if (!subjects->is_array() || subjects->items().size() > kListedMax) return wrong_rules("a list", "subjects");
    for (const Json& one : subjects->items()) {
      const std::string value(one.string_or("value", ""));
      contract::EntityId id{std::string(one.string_or("type", "")), std::string(one.string_or("id", ""))};
      if (value.empty() || id.type.empty() || id.id.empty()) return wrong_rules("a value and whose it is", "subjects");
      if (!issuer.subjects.emplace(value, std::move(id)).second) {
        return wrong_rules("a value that is listed twice", "subjects").found(value);
      }
    }
  }
  issuer.groups_claim = rules.string_or("groups_claim", "");
  if (const Json* groups = rules.find("groups"); groups != nullptr) {
    if (!groups->is_array() || groups->items().size() > kListedMax) return wrong_rules("a list", "groups");
    for (const Json& one : groups->items()) {
      const std::string value(one.string_or("value", "")), group(one.string_or("group", ""));
      if (value.empty() || group.empty()) return wrong_rules("a value and its group", "groups");
      if (!issuer.groups.emplace(value, group).second) {
        return wrong_rules("a value that is listed twice", "groups").found(value);
      }
    }
  }
  return {};
}

Status read_keys(std::string_view jwks, JwtIssuer& issuer) {
  if (jwks.empty()) return {};
  WARY_ASSIGN_OR_RETURN(crypto::JwkSet set, crypto::parse_jwk_set(jwks));
  std::erase_if(set.keys, [](const crypto::Jwk& key) { return key.use == "enc"; });
  if (set.keys.empty()) return fail(ErrorKind::kInvalid, "issuer_keys", "no key of the set can verify a token");
  issuer.keys = std::move(set.keys);
  return {};
}

// NumericDate of RFC 7519 section 2; a fraction is cut off.
Result<std::optional<std::int64_t>> seconds_of(const Json& claims, std::string_view name) {
  const Json* member = claims.find(name);
  if (member == nullptr) return std::optional<std::int64_t>();
  if (member->is_integer()) return std::optional(std::clamp<std::int64_t>(member->as_integer(), 0, kLastTime));
  if (member->type() != Json::Type::kNumber)
    return refuse_token("token_claim", "a time is a number").at(std::string(name));
  return std::optional(
      static_cast<std::int64_t>(std::clamp(member->as_number(), 0.0, static_cast<double>(kLastTime - 1024))));
}

Result<std::string> text_claim(const Json& claims, std::string_view name, bool is_required) {
  const Json* member = claims.find(name);
  if (member == nullptr && !is_required) return std::string();
  if (member == nullptr) return refuse_token("token_claim_missing", "the token lacks a claim").at(std::string(name));
  if (!member->is_string() || member->as_string().empty()) {
    return refuse_token("token_claim", "the claim is no text").at(std::string(name));
  }
  return member->as_string();
}

// RFC 9068 section 4: an ID token, or another kind of JWT of the same issuer, is no access token.
Result<bool> is_access_token(const crypto::JwsHeader& header, const JwtIssuer& issuer) {
  const std::string typ = codec::to_lower(header.typ.value_or(""));
  if (typ == "at+jwt" || typ == "application/at+jwt") return true;
  if (issuer.allow_untyped && (typ.empty() || typ == "jwt" || typ == "application/jwt")) return false;
  return refuse_token("token_typ", "the token's typ is not at+jwt").found(typ);
}

Status check_times(const Json& claims, const JwtIssuer& issuer, bool is_typed, UnixTime now, VerifiedToken& out) {
  WARY_ASSIGN_OR_RETURN(const auto exp, seconds_of(claims, "exp"));
  WARY_ASSIGN_OR_RETURN(const auto nbf, seconds_of(claims, "nbf"));
  WARY_ASSIGN_OR_RETURN(const auto iat, seconds_of(claims, "iat"));
  WARY_ASSIGN_OR_RETURN(const auto authenticated, seconds_of(claims, "auth_time"));
  if (!exp || (is_typed && !iat)) {
    return refuse_token("token_claim_missing", "the token lacks a claim").at(exp ? "iat" : "exp");
  }
  const std::int64_t skew = issuer.skew_s * kNanosPerSecond;
  out.expires = {std::min(*exp, kLastTime - kSkewMax) * kNanosPerSecond + skew};
  if (out.expires.nanos <= now.nanos) return refuse_token("token_expired", "the token has expired");
  for (const auto& time : {nbf, iat, authenticated}) {
    if (time && *time * kNanosPerSecond > now.nanos + skew) {
      return refuse_token("token_not_yet", "the token speaks of a time to come");
    }
  }
  if (authenticated) out.auth_time = UnixTime{*authenticated * kNanosPerSecond};
  return {};
}

// RFC 7800 section 3.1: who understands no member of it must not take the token for one that is bound to nothing.
Status check_confirmation(const Json& claims, VerifiedToken& out) {
  const Json* cnf = claims.find("cnf");
  if (cnf == nullptr) return {};
  if (!cnf->is_object() || cnf->members().empty()) return refuse_token("token_confirmation", "cnf is an object");
  for (const auto& [name, value] : cnf->members()) {
    const bool is_text = value.is_string() && !value.as_string().empty();
    if (name == "jkt" && is_text) {
      out.jkt = value.as_string();
    } else if (name == "x5t#S256" && is_text) {
      out.x5t = value.as_string();
    } else {
      return refuse_token("token_confirmation", "the token is bound to what cannot be checked here").found(name);
    }
  }
  return {};
}

Result<contract::EntityId> principal_of(const Json& claims, const JwtIssuer& issuer) {
  WARY_ASSIGN_OR_RETURN(const std::string value, text_claim(claims, issuer.claim, true));
  // An address that nobody has confirmed is what its holder typed in.
  if (issuer.claim == "email" && !claims.bool_or("email_verified", false)) {
    return refuse_token("token_principal", "the address in the token was never verified").at("email_verified");
  }
  if (const auto listed = issuer.subjects.find(value); listed != issuer.subjects.end()) return listed->second;
  const bool fits = !issuer.only_listed && value.size() > issuer.suffix.size() && value.ends_with(issuer.suffix);
  const std::string name = fits ? value.substr(0, value.size() - issuer.suffix.size()) : std::string();
  if (!fits || name == kOwner || name.size() > limits::kNameBytes) {
    return refuse_token("token_principal", "the token speaks for nobody who is known here").at(issuer.claim);
  }
  return contract::EntityId{"Wary::User", name};
}

// RFC 8693 section 4.2; some issuers write a list as `scp`.
std::vector<std::string> scopes_of(const Json& claims) {
  std::vector<std::string> out;
  const Json* scope = claims.find("scope");
  if (scope == nullptr) scope = claims.find("scp");
  if (scope == nullptr) return out;
  if (!scope->is_string()) out = texts_in(scope);
  std::string_view left = scope->is_string() ? std::string_view(scope->as_string()) : std::string_view();
  while (!left.empty() && out.size() < kValuesMax) {
    const std::size_t end = std::min(left.find(' '), left.size());
    if (end != 0) out.emplace_back(left.substr(0, end));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  if (out.size() > kValuesMax) out.resize(kValuesMax);
  return out;
}

std::vector<std::string> groups_of(const Json& claims, const JwtIssuer& issuer) {
  std::vector<std::string> out;
  if (issuer.groups_claim.empty()) return out;
  for (const std::string& value : texts_in(claims.find(issuer.groups_claim))) {
    const auto known = issuer.groups.find(value);
    const bool is_new = known != issuer.groups.end() && std::ranges::find(out, known->second) == out.end();
    if (is_new && out.size() < kValuesMax) out.push_back(known->second);
  }
  return out;
}

Status check_audience(const Json& claims, const JwtIssuer& issuer) {
  const std::vector<std::string> named = texts_in(claims.find("aud"));
  const bool is_here = std::ranges::any_of(
      issuer.audiences, [&](const std::string& own) { return std::ranges::find(named, own) != named.end(); });
  return is_here ? Status() : Status(refuse_token("token_audience", "the token is for somebody else"));
}

}  // namespace

Result<JwtIssuer> issuer_from(std::string_view name, const Json& rules, std::string_view jwks) {
  JwtIssuer issuer;
  issuer.name = name;
  issuer.url = rules.string_or("url", "");
  issuer.audiences = texts_in(rules.find("audiences"));
  if (issuer.url.empty()) return wrong_rules("an issuer has a name of its own", "url");
  if (issuer.audiences.empty()) return wrong_rules("tokens are for an audience", "audiences");
  WARY_RETURN_IF_ERROR(read_algorithms(rules, issuer));
  issuer.allow_untyped = rules.bool_or("allow_untyped", false);
  issuer.require_dpop = rules.bool_or("require_dpop", false);
  issuer.skew_s = std::clamp<std::int64_t>(rules.integer_or("skew", 30), 0, kSkewMax);
  WARY_RETURN_IF_ERROR(read_principals(rules, issuer));
  WARY_RETURN_IF_ERROR(read_keys(jwks, issuer));
  return issuer;
}

Result<UncheckedToken> read_token(std::string_view token) {
  WARY_ASSIGN_OR_RETURN(crypto::Jws jws, crypto::parse_jws(token));
  auto claims = codec::parse_json(as_text(jws.payload), kClaimsLimits);
  if (!claims) return refuse_token("token_claims", claims.error().message).found(claims.error().code);
  if (!claims->is_object()) return refuse_token("token_claims", "the claims are an object");
  WARY_ASSIGN_OR_RETURN(std::string issuer, text_claim(*claims, "iss", true));
  return UncheckedToken{std::move(jws), std::move(claims).value(), std::move(issuer)};
}

Result<VerifiedToken> check_token(const UncheckedToken& token, const JwtIssuer& issuer, UnixTime now) {
  if (token.issuer != issuer.url) return refuse_token("token_issuer", "the token is of another issuer");
  WARY_ASSIGN_OR_RETURN(const bool is_typed, is_access_token(token.jws.header, issuer));
  if (issuer.keys.empty()) return refuse_token("token_no_keys", "no key of the issuer is known yet");
  WARY_ASSIGN_OR_RETURN(const std::size_t by, crypto::verify_jws(token.jws, issuer.keys, issuer.algorithms));
  VerifiedToken out;
  out.issuer = issuer.name;
  out.key = crypto::thumbprint(issuer.keys[by].key);
  out.require_dpop = issuer.require_dpop;
  WARY_RETURN_IF_ERROR(check_audience(token.claims, issuer));
  WARY_RETURN_IF_ERROR(check_times(token.claims, issuer, is_typed, now, out));
  WARY_RETURN_IF_ERROR(check_confirmation(token.claims, out));
  WARY_ASSIGN_OR_RETURN(out.subject, text_claim(token.claims, "sub", true));
  WARY_ASSIGN_OR_RETURN(out.id, text_claim(token.claims, "jti", is_typed));
  WARY_ASSIGN_OR_RETURN(out.client, text_claim(token.claims, "client_id", is_typed));
  if (out.client.empty()) {
    WARY_ASSIGN_OR_RETURN(out.client, text_claim(token.claims, "azp", false));
  }
  WARY_ASSIGN_OR_RETURN(out.acr, text_claim(token.claims, "acr", false));
  WARY_ASSIGN_OR_RETURN(out.principal, principal_of(token.claims, issuer));
  out.scopes = scopes_of(token.claims);
  out.groups = groups_of(token.claims, issuer);
  return out;
}

std::string token_entity_id(std::string_view issuer, std::string_view token_id) {
  return std::string(issuer) + "/" + codec::encode_hex(crypto::sha256(as_bytes(token_id)));
}

}  // namespace wary::enforce
