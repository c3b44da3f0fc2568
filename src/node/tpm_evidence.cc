#include "node/tpm_evidence.h"

#include <algorithm>
#include <array>

#include "node/tpm_format.h"

namespace wary::node {

namespace {

constexpr std::size_t kTpmCoordinate = 32;
constexpr std::size_t kModulus = 256;
constexpr std::uint16_t kModulusBits = 2048;
constexpr std::array<std::uint8_t, 3> kExponent = {1, 0, 1};
constexpr std::size_t kEndorsementChainMax = 5;
// Bits of keyUsage (RFC 5280 section 4.2.1.3).
constexpr std::uint32_t kKeyEncipherment = 1u << 2;
constexpr std::uint32_t kKeyAgreement = 1u << 4;

constexpr std::uint32_t kEndorsementAttributes = tpm::kFixedTpm | tpm::kFixedParent | tpm::kSensitiveDataOrigin |
                                                 tpm::kAdminWithPolicy | tpm::kRestricted | tpm::kDecrypt;

Error public_syntax() {
  return fail(ErrorKind::kInvalid, "tpm_public_syntax", "this is no public area of a TPM's RSA or ECC key");
}
Error evidence_refusal(std::string_view code, std::string_view what) {
  return fail(ErrorKind::kUnauthenticated, code, what);
}

// Both kinds of keys are of these sizes alone.
bool has_known_size(const PublicArea& area) {
  if (area.type == tpm::kRsa) {
    return area.key_bits == kModulusBits && area.first.size() == kModulus && area.exponent == 0;
  }
  return area.curve == tpm::kCurveP256 && area.first.size() == kTpmCoordinate && area.second.size() == kTpmCoordinate;
}

Result<crypto::VerifyKey> key_of(const PublicArea& area) {
  if (area.type == tpm::kRsa) return crypto::VerifyKey::from_rsa(area.first, kExponent);
  return crypto::VerifyKey::from_point(crypto::JoseKeyType::kP256, area.first, area.second);
}

Status check_attributes(std::uint32_t attributes) {
  const auto has = [&](std::uint32_t all) { return (attributes & all) == all; };
  if (!has(tpm::kFixedTpm | tpm::kFixedParent)) {
    return evidence_refusal("tpm_ak_not_resident", "the attestation key may leave its TPM");
  }
  if (!has(tpm::kSensitiveDataOrigin)) {
    return evidence_refusal("tpm_ak_imported", "the attestation key was made outside its TPM");
  }
  if (!has(tpm::kSign)) return evidence_refusal("tpm_ak_not_signing", "the attestation key does not sign");
  if (!has(tpm::kRestricted)) {
    return evidence_refusal("tpm_ak_not_restricted", "the attestation key also signs what its TPM did not make");
  }
  if (has(tpm::kDecrypt)) return evidence_refusal("tpm_ak_decrypts", "the attestation key also decrypts");
  constexpr std::uint32_t kHarmless = tpm::kStClear | tpm::kUserWithAuth | tpm::kAdminWithPolicy | tpm::kNoDa;
  constexpr std::uint32_t kTaken =
      kHarmless | tpm::kFixedTpm | tpm::kFixedParent | tpm::kSensitiveDataOrigin | tpm::kSign | tpm::kRestricted;
  if ((attributes & ~kTaken) != 0) {
    return evidence_refusal("tpm_ak_attributes", "the attestation key has an attribute that none has");
  }
  return {};
}

Result<AttestationKey::Scheme> scheme_of(const PublicArea& area) {
  if (area.scheme_hash == tpm::kSha256 && area.symmetric == tpm::kNull) {
    if (area.type == tpm::kEcc && area.scheme == tpm::kEcdsa) return AttestationKey::Scheme::kEcdsa;
    if (area.type == tpm::kRsa && area.scheme == tpm::kRsaSsa) return AttestationKey::Scheme::kRsaSsa;
    if (area.type == tpm::kRsa && area.scheme == tpm::kRsaPss) return AttestationKey::Scheme::kRsaPss;
  }
  return evidence_refusal("tpm_ak_scheme", "the attestation key signs in a way that is not taken")
      .expected("ECDSA, RSASSA or RSAPSS with SHA-256");
}

}  // namespace

Result<EndorsementKey> parse_endorsement_key(ByteView tpm2b_public) {
  const auto area = read_public_area(tpm2b_public);
  if (!area) return public_syntax();
  if (!has_known_size(*area)) {
    return evidence_refusal("tpm_ek_type", "the endorsement key is of a kind that is not taken")
        .expected("RSA-2048 or ECC P-256");
  }
  if (area->name_algorithm != tpm::kSha256 || area->attributes != kEndorsementAttributes ||
      !std::ranges::equal(area->policy, tpm::kEndorsementPolicy) || area->symmetric != tpm::kAes ||
      area->symmetric_bits != 128 || area->symmetric_mode != tpm::kCfb || area->scheme != tpm::kNull) {
    return evidence_refusal("tpm_ek_template", "the endorsement key is not of the default template");
  }
  const auto key = key_of(*area);
  if (!key) return evidence_refusal("tpm_ek_key", "the endorsement key is no key").found(key.error().message);
  Bytes spki = key->to_spki();
  const crypto::Digest fingerprint = crypto::sha256(spki);
  return EndorsementKey{*key, std::move(spki), fingerprint};
}

Result<AttestationKey> parse_attestation_key(ByteView tpm2b_public) {
  const auto area = read_public_area(tpm2b_public);
  if (!area) return public_syntax();
  if (!has_known_size(*area) || area->name_algorithm != tpm::kSha256) {
    return evidence_refusal("tpm_ak_type", "the attestation key is of a kind that is not taken")
        .expected("ECC P-256 or RSA-2048, with a name of SHA-256");
  }
  WARY_RETURN_IF_ERROR(check_attributes(area->attributes));
  WARY_ASSIGN_OR_RETURN(const AttestationKey::Scheme scheme, scheme_of(*area));
  const auto key = key_of(*area);
  if (!key) return evidence_refusal("tpm_ak_key", "the attestation key is no key").found(key.error().message);
  Bytes name;
  append_big_endian(name, area->name_algorithm);
  append(name, crypto::sha256(area->area));
  return AttestationKey{*key, scheme, std::move(name)};
}

Status check_endorsement_certificate(const EndorsementKey& ek, const std::vector<Bytes>& chain_der,
                                     const crypto::TrustRoots& roots, UnixTime now) {
  if (chain_der.empty() || chain_der.size() > kEndorsementChainMax) {
    return evidence_refusal("tpm_ek_certificate_chain", "an endorsement key's chain has 1 to 5 certificates")
        .found(std::to_string(chain_der.size()));
  }
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate leaf, crypto::parse_certificate(chain_der.front()));
  if (leaf.is_ca) {
    return evidence_refusal("tpm_ek_certificate_ca", "an authority's certificate is no endorsement key's");
  }
  const bool agrees = ek.key.type() == crypto::JoseKeyType::kP256;
  const bool fits = !leaf.has_key_usage || (leaf.key_usage & (agrees ? kKeyAgreement : kKeyEncipherment)) != 0;
  if (!fits || (leaf.has_extended_key_usage && !leaf.names_endorsement)) {
    return evidence_refusal("tpm_ek_certificate_use", "the certificate is not for an endorsement key");
  }
  if (leaf.public_key != ek.spki) {
    return evidence_refusal("tpm_ek_certificate_key", "the certificate is of another endorsement key");
  }
  crypto::VerifyOptions any;
  any.use = crypto::VerifyOptions::Use::kAny;
  const auto verified = roots.verify(chain_der, now, any);
  return verified ? Status() : Status(verified.error());
}

Status check_endorsement_pin(const EndorsementKey& ek, std::span<const crypto::Digest> pinned) {
  if (std::ranges::find(pinned, ek.fingerprint) != pinned.end()) return {};
  return evidence_refusal("tpm_ek_unknown", "nobody named this endorsement key");
}

}  // namespace wary::node
