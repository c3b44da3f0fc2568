// jose_peer: answers JSON lines with what wary's JOSE and SPIFFE code makes of them, so that tests/jose/test.mjs can
// put another implementation beside it. A line has "op"; the answer has what was asked, or "code" of the error.
#include <cstdio>
#include <iostream>
#include <string>

#include "codec/text.h"
#include "crypto/jws.h"
#include "crypto/sign.h"
#include "spiffe/bundle.h"
#include "spiffe/jwt_svid.h"

namespace wary::test {
namespace {

using codec::Json;
using crypto::SignatureAlgorithm;

constexpr UnixTime kPeerNow{std::int64_t{1'800'000'000} * kNanosPerSecond};

Json code_of(const Error& error) { return Json::object({{"code", error.code}}); }

Result<SignatureAlgorithm> algorithm_in(const Json& json) {
  const auto algorithm = crypto::signature_algorithm_of(json.string_or("alg", ""));
  if (!algorithm) return fail(ErrorKind::kInvalid, "peer_alg", "no such algorithm");
  return *algorithm;
}

crypto::JoseKeyType type_for(SignatureAlgorithm algorithm) {
  switch (algorithm) {
    case SignatureAlgorithm::kEs256: return crypto::JoseKeyType::kP256;
    case SignatureAlgorithm::kEs384: return crypto::JoseKeyType::kP384;
    case SignatureAlgorithm::kEs512: return crypto::JoseKeyType::kP521;
    case SignatureAlgorithm::kEdDsa: return crypto::JoseKeyType::kEd25519;
    default: return crypto::JoseKeyType::kRsa;
  }
}

// A token by the PKCS#8 key of the line, or by a new one.
Result<Json> sign_line(const Json& line) {
  WARY_ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, algorithm_in(line));
  Result<crypto::SigningKey> key = fail(ErrorKind::kInvalid, "peer_key", "none");
  if (const std::string_view text = line.string_or("pkcs8", ""); text.empty()) {
    key = crypto::SigningKey::generate(type_for(algorithm));
  } else {
    WARY_ASSIGN_OR_RETURN(const Bytes der, codec::decode_base64(text));
    key = crypto::SigningKey::from_pkcs8(der);
  }
  if (!key.ok()) return std::move(key).error();
  WARY_ASSIGN_OR_RETURN(
      const std::string token,
      crypto::make_jws({algorithm, std::string(line.string_or("kid", "")), "JWT"},
                       as_bytes(line.string_or("payload", "")),
                       [&](SignatureAlgorithm one, ByteView input) { return key->sign(one, input); }));
  return Json::object({{"token", token},
                       {"jwk", crypto::to_json({key->public_key(), {}, {}, {}, {}})},
                       {"thumbprint", crypto::thumbprint(key->public_key())}});
}

Result<Json> verify_line(const Json& line) {
  WARY_ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, algorithm_in(line));
  WARY_ASSIGN_OR_RETURN(const crypto::JwkSet set, crypto::jwk_set_from_json(line));
  WARY_ASSIGN_OR_RETURN(const crypto::Jws jws, crypto::parse_jws(line.string_or("token", "")));
  WARY_ASSIGN_OR_RETURN(const std::size_t index, crypto::verify_jws(jws, set.keys, {{algorithm}}));
  return Json::object({{"payload", as_text(jws.payload)}, {"thumbprint", crypto::thumbprint(set.keys[index].key)}});
}

// A bundle of example.org with a root and a key for tokens, and a token of it.
Result<Json> issue_line(const Json& line) {
  WARY_ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, algorithm_in(line));
  WARY_ASSIGN_OR_RETURN(const crypto::SigningKey key, crypto::SigningKey::generate(type_for(algorithm)));
  WARY_ASSIGN_OR_RETURN(const crypto::PrivateKey root_key, crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
  const UnixTime end{kPeerNow.nanos + 3600 * kNanosPerSecond};
  WARY_ASSIGN_OR_RETURN(Bytes root, crypto::create_ca({"root", "example.org", kPeerNow, end}, root_key));
  spiffe::Bundle bundle;
  bundle.trust_domain = "example.org";
  bundle.sequence = 7;
  bundle.x509_authorities.push_back(std::move(root));
  bundle.jwt_authorities.push_back({key.public_key(), "k", {}, {}, {}});
  spiffe::JwtSvidWanted wanted;
  wanted.id = "spiffe://example.org/orders";
  wanted.audience = {"reports"};
  wanted.issued_at = kPeerNow;
  wanted.expires_at = end;
  WARY_ASSIGN_OR_RETURN(const std::string token,
                        spiffe::make_jwt_svid(wanted, {algorithm, "k"}, [&](SignatureAlgorithm one, ByteView input) {
                          return key.sign(one, input);
                        }));
  WARY_ASSIGN_OR_RETURN(const std::string text, spiffe::write_bundle(bundle));
  return Json::object({{"token", token}, {"bundle", text}});
}

Result<Json> check_line(const Json& line) {
  spiffe::BundleSet bundles;
  WARY_ASSIGN_OR_RETURN(spiffe::Bundle bundle, spiffe::parse_bundle("example.org", line.string_or("bundle", "")));
  WARY_RETURN_IF_ERROR(bundles.put(std::move(bundle)));
  WARY_ASSIGN_OR_RETURN(const spiffe::JwtSvid svid, spiffe::check_jwt_svid(line.string_or("token", ""), bundles,
                                                                           {.audience = "reports", .now = kPeerNow}));
  return Json::object({{"id", svid.id.to_string()}});
}

Json answer(const std::string& text) {
  const auto line = codec::parse_json(text);
  if (!line.ok()) return code_of(line.error());
  const std::string_view op = line->string_or("op", "");
  const auto result = op == "sign"     ? sign_line(*line)
                      : op == "verify" ? verify_line(*line)
                      : op == "issue"  ? issue_line(*line)
                      : op == "check"  ? check_line(*line)
                                       : Result<Json>(fail(ErrorKind::kInvalid, "peer_op", "no such question"));
  return result.ok() ? *result : code_of(result.error());
}

}  // namespace
}  // namespace wary::test

int main() {
  for (std::string line; std::getline(std::cin, line);) std::puts(wary::test::answer(line).to_string().c_str());
  return 0;
}
