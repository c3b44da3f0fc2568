#include "crypto/jwk.h"

#include <algorithm>
#include <array>

#include "codec/text.h"
#include "crypto/hash.h"

namespace wary::crypto {

namespace {

using codec::Json;

// The members of RFC 7518 section 6 that only a private or a symmetric key has.
constexpr std::array<std::string_view, 8> kPrivateMembers = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

struct CurveName {
  std::string_view name;
  std::string_view type;
  JoseKeyType key_type;
};
constexpr std::array<CurveName, 4> kCurveNames = {{{"P-256", "EC", JoseKeyType::kP256},
                                                   {"P-384", "EC", JoseKeyType::kP384},
                                                   {"P-521", "EC", JoseKeyType::kP521},
                                                   {"Ed25519", "OKP", JoseKeyType::kEd25519}}};

Error jwk_syntax(std::string_view member, std::string_view message) {
  return fail(ErrorKind::kInvalid, "jwk_syntax", message).at(std::string(member));
}

// Empty where the member is absent.
Result<std::optional<std::string>> text_member(const Json& json, std::string_view name) {
  const Json* member = json.find(name);
  if (member == nullptr) return std::optional<std::string>();
  if (!member->is_string() || member->as_string().empty())
    return jwk_syntax(name, "the member is a text that says something");
  if (member->as_string().size() > kJwkTextMax) return jwk_syntax(name, "the member has at most 512 bytes");
  return std::optional<std::string>(member->as_string());
}

Result<Bytes> number_member(const Json& json, std::string_view name) {
  const Json* member = json.find(name);
  if (member == nullptr || !member->is_string()) return jwk_syntax(name, "the key's type demands this number");
  auto bytes = codec::decode_base64url(member->as_string());
  if (!bytes.ok()) return jwk_syntax(name, "the number is no base64url without padding");
  return std::move(bytes).value();
}

Result<VerifyKey> key_of(const Json& json) {
  WARY_ASSIGN_OR_RETURN(const std::optional<std::string> type, text_member(json, "kty"));
  if (!type) return jwk_syntax("kty", "a key has a type");
  if (*type == "RSA") {
    WARY_ASSIGN_OR_RETURN(const Bytes modulus, number_member(json, "n"));
    WARY_ASSIGN_OR_RETURN(const Bytes exponent, number_member(json, "e"));
    return VerifyKey::from_rsa(modulus, exponent);
  }
  if (*type == "EC" || *type == "OKP") {
    WARY_ASSIGN_OR_RETURN(const std::optional<std::string> curve, text_member(json, "crv"));
    if (!curve) return jwk_syntax("crv", "a key of this type names its curve");
    for (const CurveName& row : kCurveNames) {
      if (row.name != *curve || row.type != *type) continue;
      WARY_ASSIGN_OR_RETURN(const Bytes x, number_member(json, "x"));
      if (row.key_type == JoseKeyType::kEd25519) return VerifyKey::from_ed25519(x);
      WARY_ASSIGN_OR_RETURN(const Bytes y, number_member(json, "y"));
      return VerifyKey::from_point(row.key_type, x, y);
    }
    return fail(ErrorKind::kUnsupported, "jwk_type", "the key's curve is unknown").at("crv").found(*curve);
  }
  return fail(ErrorKind::kUnsupported, "jwk_type", "the key's type is unknown").at("kty").found(*type);
}

Result<std::optional<std::vector<std::string>>> operations_of(const Json& json) {
  const Json* member = json.find("key_ops");
  if (member == nullptr) return std::optional<std::vector<std::string>>();
  if (!member->is_array()) return jwk_syntax("key_ops", "the member is a list of texts");
  std::vector<std::string> out;
  for (const Json& item : member->items()) {
    if (!item.is_string() || std::ranges::find(out, item.as_string()) != out.end()) {
      return jwk_syntax("key_ops", "the member is a list of different texts");
    }
    out.push_back(item.as_string());
  }
  return std::optional(std::move(out));
}

void set_key(Json& out, const VerifyKey& key) {
  const auto name = std::ranges::find(kCurveNames, key.type(), &CurveName::key_type);
  if (name == kCurveNames.end()) {
    out.set("kty", "RSA");
    out.set("n", codec::encode_base64url(key.first_part()));
    out.set("e", codec::encode_base64url(key.second_part()));
    return;
  }
  out.set("kty", name->type);
  out.set("crv", name->name);
  out.set("x", codec::encode_base64url(key.first_part()));
  if (!key.second_part().empty()) out.set("y", codec::encode_base64url(key.second_part()));
}

}  // namespace

bool Jwk::may_verify(SignatureAlgorithm wanted) const {
  if (!key.fits(wanted) || (algorithm && *algorithm != to_string(wanted))) return false;
  return !operations || std::ranges::find(*operations, "verify") != operations->end();
}

Result<Jwk> jwk_from_json(const Json& json) {
  if (!json.is_object()) return jwk_syntax("", "a key is an object");
  if (json.string_or("kty", "") == "oct" ||
      std::ranges::any_of(kPrivateMembers, [&](std::string_view name) { return json.find(name) != nullptr; })) {
    return fail(ErrorKind::kInvalid, "jwk_private", "the key is not a public one")
        .next("take it out of the document, and make a new one: whoever read this has the key");
  }
  WARY_ASSIGN_OR_RETURN(VerifyKey key, key_of(json));
  Jwk out{std::move(key), {}, {}, {}, {}};
  WARY_ASSIGN_OR_RETURN(std::optional<std::string> kid, text_member(json, "kid"));
  WARY_ASSIGN_OR_RETURN(std::optional<std::string> use, text_member(json, "use"));
  WARY_ASSIGN_OR_RETURN(out.algorithm, text_member(json, "alg"));
  WARY_ASSIGN_OR_RETURN(out.operations, operations_of(json));
  out.kid = std::move(kid).value_or("");
  out.use = std::move(use).value_or("");
  return out;
}

Result<Jwk> parse_jwk(std::string_view text, const Limits& limits) {
  WARY_ASSIGN_OR_RETURN(const Json json, codec::parse_json(text, limits));
  return jwk_from_json(json);
}

Result<JwkSet> jwk_set_from_json(const Json& json) {
  const Json* keys = json.find("keys");
  if (keys == nullptr || !keys->is_array()) return jwk_syntax("keys", "a set of keys is an object with a list of them");
  if (keys->items().size() > kJwkSetMax) {
    return fail(ErrorKind::kExhausted, "jwk_set_size", "a set has at most 256 keys");
  }
  JwkSet out;
  for (std::size_t i = 0; i < keys->items().size(); ++i) {
    auto key = jwk_from_json(keys->items()[i]);
    if (!key.ok()) {
      out.left_out.push_back({i, std::move(key).error()});
      continue;
    }
    if (!key->kid.empty() && std::ranges::find(out.keys, key->kid, &Jwk::kid) != out.keys.end()) {
      return fail(ErrorKind::kInvalid, "jwk_kid_repeated", "two keys of the set have the same name").found(key->kid);
    }
    out.keys.push_back(std::move(key).value());
  }
  return out;
}

Result<JwkSet> parse_jwk_set(std::string_view text, const Limits& limits) {
  WARY_ASSIGN_OR_RETURN(const Json json, codec::parse_json(text, limits));
  return jwk_set_from_json(json);
}

Json to_json(const Jwk& key) {
  Json out = Json::object();
  set_key(out, key.key);
  if (!key.kid.empty()) out.set("kid", key.kid);
  if (!key.use.empty()) out.set("use", key.use);
  if (key.algorithm) out.set("alg", *key.algorithm);
  if (key.operations) {
    Json operations = Json::array();
    for (const std::string& operation : *key.operations) operations.push(operation);
    out.set("key_ops", std::move(operations));
  }
  return out;
}

std::string thumbprint(const VerifyKey& key) {
  Json required = Json::object();
  set_key(required, key);
  return codec::encode_base64url(sha256(as_bytes(required.to_canonical_string())));
}

}  // namespace wary::crypto
