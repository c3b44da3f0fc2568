#include "workload/bundles.h"

#include "codec/text.h"

namespace wary::workload {

Result<KnownBundle> bundle_of(const contract::Entity& trust_domain) {
  KnownBundle out;
  codec::Json jwks = codec::Json::array();
  for (const contract::Fact& fact : trust_domain.attributes) {
    if (fact.name != "bundle" || !fact.value.is_string()) continue;
    WARY_ASSIGN_OR_RETURN(const codec::Json bundle, codec::parse_json(fact.value.as_string()));
    const codec::Json* keys = bundle.find("keys");
    if (keys == nullptr || !keys->is_array()) break;
    for (const codec::Json& key : keys->items()) {
      if (key.string_or("use", "") == "jwt-svid") jwks.push(key);
      const codec::Json* chain = key.find("x5c");
      if (key.string_or("use", "") != "x509-svid" || chain == nullptr || !chain->is_array()) continue;
      for (const codec::Json& certificate : chain->items()) {
        WARY_ASSIGN_OR_RETURN(const Bytes der,
                              codec::decode_base64(certificate.is_string() ? certificate.as_string() : std::string()));
        out.x509 += as_text(der);
      }
    }
    out.jwt = codec::Json::object({{"keys", jwks}}).to_string();
    return out;
  }
  return fail(ErrorKind::kInvalid, "bundle_missing", "a trust domain without a bundle");
}

}  // namespace wary::workload
