#include "spiffe/bundle.h"

#include <algorithm>

#include "codec/text.h"

namespace wary::spiffe {

namespace {

using codec::Json;

constexpr std::string_view kX509Use = "x509-svid";
constexpr std::string_view kJwtUse = "jwt-svid";
constexpr Limits kBundleLimits{.bytes = std::size_t{1} << 20, .depth = 16, .items = kBundleKeysMax, .total = 20'000};

Error refuse_bundle(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kInvalid, code, message);
}

Result<std::optional<std::int64_t>> counter(const Json& json, std::string_view name, std::string_view code) {
  const Json* member = json.find(name);
  if (member == nullptr) return std::optional<std::int64_t>();
  if (!member->is_integer() || member->as_integer() < 0) {
    return refuse_bundle(code, "the member is a whole number that is not negative").at(std::string(name));
  }
  return std::optional<std::int64_t>(member->as_integer());
}

// The certificate of an entry whose other members say the same key.
Result<Bytes> read_authority(const Json& entry, const crypto::Jwk& key, std::string_view trust_domain) {
  const Json* chain = entry.find("x5c");
  if (chain == nullptr || !chain->is_array() || chain->items().empty() || !chain->items().front().is_string()) {
    return refuse_bundle("bundle_key_x5c", "an X.509 entry holds its certificate");
  }
  auto der = codec::decode_base64(chain->items().front().as_string());
  if (!der.ok()) return refuse_bundle("bundle_key_x5c", "the certificate is no base64").found(der.error().where);
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate certificate, crypto::parse_certificate(*der));
  WARY_RETURN_IF_ERROR(crypto::check_svid_signer(certificate, trust_domain));
  if (certificate.public_key != key.key.to_spki()) {
    return refuse_bundle("bundle_key_x5c_other", "the certificate is of another key than its entry");
  }
  return std::move(der).value();
}

struct Reading {
  Bundle bundle;
  void leave_out(std::size_t index, Error error) { bundle.left_out.push_back({index, std::move(error)}); }
};

Status read_x509_entry(const Json& entry, std::size_t index, Reading& out) {
  if (entry.find("kid") != nullptr) {
    out.leave_out(index, refuse_bundle("bundle_key_kid", "an X.509 entry has no kid"));
    return {};
  }
  auto key = crypto::jwk_from_json(entry);
  auto authority = key.ok() ? read_authority(entry, *key, out.bundle.trust_domain) : Result<Bytes>(key.error());
  if (!authority.ok()) {
    out.leave_out(index, std::move(authority).error());
    return {};
  }
  out.bundle.x509_authorities.push_back(std::move(authority).value());
  if (entry.find("x5c")->items().size() > 1) {
    out.leave_out(index, refuse_bundle("bundle_key_x5c_more", "an entry holds one certificate; the first counts"));
  }
  return {};
}

Status read_jwt_entry(const Json& entry, std::size_t index, Reading& out) {
  auto key = crypto::jwk_from_json(entry);
  if (!key.ok()) {
    out.leave_out(index, std::move(key).error());
    return {};
  }
  if (key->kid.empty()) {
    out.leave_out(index, refuse_bundle("bundle_key_kid", "a JWT entry has a kid"));
    return {};
  }
  if (std::ranges::find(out.bundle.jwt_authorities, key->kid, &crypto::Jwk::kid) != out.bundle.jwt_authorities.end()) {
    return refuse_bundle("bundle_kid_repeated", "two JWT entries have the same kid").found(key->kid);
  }
  out.bundle.jwt_authorities.push_back(std::move(key).value());
  return {};
}

Status read_entry(const Json& entry, std::size_t index, Reading& out) {
  if (!entry.is_object()) return refuse_bundle("bundle_syntax", "an entry is an object");
  const std::string_view type = entry.string_or("kty", "");
  if (type != "EC" && type != "RSA" && type != "OKP") {
    out.leave_out(index, fail(ErrorKind::kUnsupported, "bundle_key_type", "the entry's type is unknown").found(type));
    return {};
  }
  const std::string_view use = entry.string_or("use", "");
  if (use == kX509Use) return read_x509_entry(entry, index, out);
  if (use == kJwtUse) return read_jwt_entry(entry, index, out);
  out.leave_out(index, fail(ErrorKind::kUnsupported, "bundle_key_use", "the entry's use is unknown").found(use));
  return {};
}

}  // namespace

Status check_trust_domain(std::string_view name) {
  const auto id = crypto::parse_spiffe_id("spiffe://" + std::string(name.substr(0, 256)));
  if (id.ok() && id->path.empty() && id->trust_domain == name) return {};
  return refuse_bundle("bundle_trust_domain", "this is no name of a trust domain").found(name);
}

Result<Bundle> parse_bundle(std::string_view trust_domain, std::string_view text) {
  WARY_RETURN_IF_ERROR(check_trust_domain(trust_domain));
  WARY_ASSIGN_OR_RETURN(const Json json, codec::parse_json(text, kBundleLimits));
  const Json* keys = json.find("keys");
  if (keys == nullptr || !keys->is_array()) {
    return refuse_bundle("bundle_syntax", "a bundle is an object with a list of keys").at("keys");
  }
  Reading out;
  out.bundle.trust_domain = trust_domain;
  WARY_ASSIGN_OR_RETURN(out.bundle.sequence, counter(json, "spiffe_sequence", "bundle_sequence"));
  WARY_ASSIGN_OR_RETURN(out.bundle.refresh_hint_s, counter(json, "spiffe_refresh_hint", "bundle_refresh_hint"));
  for (std::size_t i = 0; i < keys->items().size(); ++i) {
    WARY_RETURN_IF_ERROR(read_entry(keys->items()[i], i, out));
  }
  return std::move(out.bundle);
}

Result<std::string> write_bundle(const Bundle& bundle) {
  WARY_RETURN_IF_ERROR(check_trust_domain(bundle.trust_domain));
  if (bundle.x509_authorities.size() + bundle.jwt_authorities.size() > kBundleKeysMax) {
    return fail(ErrorKind::kExhausted, "bundle_size", "a bundle has at most 256 keys");
  }
  Json out = Json::object();
  if (bundle.sequence) out.set("spiffe_sequence", *bundle.sequence);
  if (bundle.refresh_hint_s) out.set("spiffe_refresh_hint", *bundle.refresh_hint_s);
  Json keys = Json::array();
  for (const Bytes& der : bundle.x509_authorities) {
    WARY_ASSIGN_OR_RETURN(const crypto::Certificate certificate, crypto::parse_certificate(der));
    WARY_ASSIGN_OR_RETURN(crypto::VerifyKey key, crypto::VerifyKey::decode_spki(certificate.public_key));
    Json entry = crypto::to_json({std::move(key), {}, std::string(kX509Use), {}, {}});
    entry.set("x5c", Json::array({codec::encode_base64(der)}));
    keys.push(std::move(entry));
  }
  for (const crypto::Jwk& authority : bundle.jwt_authorities) {
    crypto::Jwk key = authority;
    key.use = kJwtUse;
    keys.push(crypto::to_json(key));
  }
  out.set("keys", std::move(keys));
  std::string text = out.to_string();
  // Read back: so a reader finds what was meant, all of it.
  WARY_ASSIGN_OR_RETURN(const Bundle read, parse_bundle(bundle.trust_domain, text));
  if (!read.left_out.empty()) return read.left_out.front().error;
  return text;
}

Status BundleSet::put(Bundle bundle) {
  WARY_RETURN_IF_ERROR(check_trust_domain(bundle.trust_domain));
  if (held_.size() >= kBundleSetMax && !held_.contains(bundle.trust_domain)) {
    return fail(ErrorKind::kExhausted, "bundle_set_size", "there are bundles of 1,024 trust domains already");
  }
  WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots, crypto::TrustRoots::build(bundle.x509_authorities));
  std::string name = bundle.trust_domain;
  held_.insert_or_assign(std::move(name), Held{std::move(bundle), std::move(roots)});
  return {};
}

void BundleSet::remove(std::string_view trust_domain) {
  if (const auto at = held_.find(trust_domain); at != held_.end()) held_.erase(at);
}

const Bundle* BundleSet::find(std::string_view trust_domain) const {
  const auto at = held_.find(trust_domain);
  return at == held_.end() ? nullptr : &at->second.bundle;
}

const crypto::TrustRoots* BundleSet::find_roots(std::string_view trust_domain) const {
  const auto at = held_.find(trust_domain);
  return at == held_.end() ? nullptr : &at->second.roots;
}

}  // namespace wary::spiffe
