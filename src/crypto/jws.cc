#include "crypto/jws.h"

#include <algorithm>
#include <array>

#include "codec/json.h"
#include "codec/text.h"

namespace wary::crypto {

namespace {

constexpr std::size_t kHeaderMax = 4 * 1024;
constexpr Limits kHeaderLimits{.bytes = kHeaderMax, .depth = 8, .items = 32, .total = 200};
// crit and b64 change how a token is read; the others offer a key.
constexpr std::array<std::string_view, 6> kRefusedMembers = {"crit", "b64", "jwk", "jku", "x5c", "x5u"};

Error jws_refuse(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kUnauthenticated, code, message);
}

Result<Bytes> part_of(std::string_view text, std::string_view name) {
  auto bytes = codec::decode_base64url(text);
  if (!bytes.ok()) return jws_refuse("jws_syntax", "a part is no base64url without padding").at(std::string(name));
  return std::move(bytes).value();
}

Result<std::optional<std::string>> header_text(const codec::Json& json, std::string_view name) {
  const codec::Json* member = json.find(name);
  if (member == nullptr) return std::optional<std::string>();
  if (!member->is_string() || member->as_string().empty() || member->as_string().size() > kJwkTextMax) {
    return jws_refuse("jws_header", "the member is a text of 1 to 512 bytes").at(std::string(name));
  }
  return std::optional<std::string>(member->as_string());
}

// `key`: where the header's jwk goes, of a token that has to bring one.
Result<JwsHeader> read_header(ByteView bytes, std::optional<Jwk>* key) {
  const auto json = codec::parse_json(as_text(bytes), kHeaderLimits);
  if (!json.ok()) return jws_refuse("jws_header", json.error().message).found(json.error().code);
  if (!json->is_object()) return jws_refuse("jws_header", "the header is an object");
  WARY_ASSIGN_OR_RETURN(const std::optional<std::string> name, header_text(*json, "alg"));
  if (!name) return jws_refuse("jws_header", "the header names no algorithm");
  const auto algorithm = signature_algorithm_of(*name);
  if (!algorithm) {
    return jws_refuse("jws_algorithm_unknown", "the header's algorithm is no public-key signature").found(*name);
  }
  JwsHeader out{*algorithm, {}, {}, {}};
  WARY_ASSIGN_OR_RETURN(out.kid, header_text(*json, "kid"));
  WARY_ASSIGN_OR_RETURN(out.typ, header_text(*json, "typ"));
  for (const auto& [member, value] : json->members()) {
    if (key != nullptr && member == "jwk") {
      WARY_ASSIGN_OR_RETURN(*key, jwk_from_json(value));
      continue;
    }
    if (std::ranges::find(kRefusedMembers, member) != kRefusedMembers.end()) {
      return jws_refuse("jws_header_refused", "the header has a member that no token may have here").found(member);
    }
    if (member != "alg" && member != "kid" && member != "typ") out.others.push_back(member);
  }
  return out;
}

Result<Jws> parse_parts(std::string_view token, std::size_t bytes_max, std::optional<Jwk>* key) {
  if (token.size() > bytes_max) {
    return jws_refuse("jws_size", "the token is too long").found(std::to_string(token.size()) + " bytes");
  }
  const std::size_t first = token.find('.');
  const std::size_t second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) {
    return jws_refuse("jws_syntax", "a token is header.payload.signature");
  }
  if (first > kHeaderMax * 4 / 3) return jws_refuse("jws_size", "the header is too long");
  WARY_ASSIGN_OR_RETURN(const Bytes header, part_of(token.substr(0, first), "header"));
  WARY_ASSIGN_OR_RETURN(JwsHeader read, read_header(header, key));
  WARY_ASSIGN_OR_RETURN(Bytes payload, part_of(token.substr(first + 1, second - first - 1), "payload"));
  WARY_ASSIGN_OR_RETURN(Bytes signature, part_of(token.substr(second + 1), "signature"));
  if (signature.empty()) return jws_refuse("jws_syntax", "the token has no signature");
  return Jws{std::move(read), std::move(payload), std::string(token.substr(0, second)), std::move(signature)};
}

}  // namespace

Result<Jws> parse_jws(std::string_view token, std::size_t bytes_max) { return parse_parts(token, bytes_max, nullptr); }

Result<JwsWithKey> parse_jws_with_key(std::string_view token, std::size_t bytes_max) {
  std::optional<Jwk> key;
  WARY_ASSIGN_OR_RETURN(Jws jws, parse_parts(token, bytes_max, &key));
  if (!key) return jws_refuse("jws_header", "the token has to bring its key").at("jwk");
  jws.header.kid.reset();
  return JwsWithKey{std::move(jws), std::move(*key)};
}

Result<std::size_t> verify_jws(const Jws& jws, std::span<const Jwk> keys,
                               std::span<const SignatureAlgorithm> accepted) {
  const SignatureAlgorithm algorithm = jws.header.algorithm;
  if (std::ranges::find(accepted, algorithm) == accepted.end()) {
    return jws_refuse("jws_algorithm_refused", "the token's algorithm is not accepted here")
        .found(to_string(algorithm));
  }
  bool named = !jws.header.kid;
  std::size_t tried = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (jws.header.kid && keys[i].kid != *jws.header.kid) continue;
    named = true;
    if (keys[i].use == "enc" || !keys[i].may_verify(algorithm)) continue;
    if (tried++ == kJwsKeysTried) {
      return jws_refuse("jws_keys_many", "the token names no key, and too many could have signed it");
    }
    if (keys[i].key.verify(algorithm, as_bytes(jws.signing_input), jws.signature)) return i;
  }
  if (!named) return jws_refuse("jws_kid_unknown", "no key has the name that the token says").found(*jws.header.kid);
  if (tried == 0)
    return jws_refuse("jws_key_mismatch", "no key is for the token's algorithm").found(to_string(algorithm));
  return jws_refuse("jws_signature", "the signature is not by a key that is known here");
}

Result<std::string> make_jws(const JwsMaking& making, ByteView payload, const SignJws& sign) {
  const auto too_long = fail(ErrorKind::kExhausted, "jws_size", "the token would be too long");
  if (making.kid.size() > kJwkTextMax || making.typ.size() > kJwkTextMax || payload.size() > limits::kTokenBytes) {
    return too_long;
  }
  codec::Json header = codec::Json::object();
  header.set("alg", to_string(making.algorithm));
  if (!making.kid.empty()) header.set("kid", making.kid);
  if (!making.typ.empty()) header.set("typ", making.typ);
  std::string token = codec::encode_base64url(as_bytes(header.to_string())) + "." + codec::encode_base64url(payload);
  WARY_ASSIGN_OR_RETURN(const Bytes signature, sign(making.algorithm, as_bytes(token)));
  token += "." + codec::encode_base64url(signature);
  if (token.size() > limits::kTokenBytes) return too_long;
  return token;
}

}  // namespace wary::crypto
