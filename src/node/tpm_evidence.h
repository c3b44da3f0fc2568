// What a machine with a TPM 2.0 sends, checked: is that endorsement key known, is that attestation key in the same
// TPM, and did that key sign this quote?
//
//   WARY_ASSIGN_OR_RETURN(auto ek, node::parse_endorsement_key(sent.endorsement_public));
//   WARY_RETURN_IF_ERROR(node::check_endorsement_certificate(ek, {sent.certificate, intermediate}, roots, now));
//   WARY_ASSIGN_OR_RETURN(auto ak, node::parse_attestation_key(sent.attestation_public));
//   WARY_ASSIGN_OR_RETURN(auto credential, node::make_credential(ek, ak, secret, random));   // sent to the node
//   // the node's TPM gives the secret back: equals_in_constant_time(secret.reveal(), answer), once
//   WARY_ASSIGN_OR_RETURN(auto quote, node::check_quote(ak, sent.attested, sent.signature, qualifying_data));
//
// The order matters: only a TPM that holds both keys can give the secret back, so a quote is worth something after
// that. `qualifying_data` is the SHA-256 of a statement of Method::kTpm (statement.h).
//
// Endorsement keys are of the default templates (TCG EK credential profile, L-1 and L-2: RSA-2048, ECC P-256).
// Attestation keys sign what the TPM itself made and nothing else: restricted, fixed to the TPM and to its parent,
// made in it; ECDSA P-256, or RSA-2048 with PKCS#1 or PSS (a salt of any length), with SHA-256, name of SHA-256.
//
// Pure functions but for randomness; any thread. Limits: 1 KiB a public area, 64 KiB a certificate, 5 certificates,
// 1 KiB what is attested, 1 KiB a signature, 16 banks of 32 registers, secrets of 16 to 32 bytes.
// Errors. Keys: tpm_public_syntax; tpm_ek_type, tpm_ek_template, tpm_ek_key; tpm_ak_type, tpm_ak_scheme, tpm_ak_key,
// tpm_ak_not_resident (not fixed to TPM and parent), tpm_ak_imported, tpm_ak_not_restricted, tpm_ak_not_signing,
// tpm_ak_decrypts, tpm_ak_attributes (another one). Endorsement: tpm_ek_certificate_chain (its length),
// tpm_ek_certificate_ca, tpm_ek_certificate_use, tpm_ek_certificate_key (of another key), those of x509.h,
// tpm_ek_unknown (not pinned). Credentials: tpm_secret_size, and those of crypto/envelope.h. Quotes: tpm_quote_syntax,
// tpm_quote_magic (not made by a TPM), tpm_quote_type (another attestation), tpm_quote_signature, tpm_quote_stale (of
// another challenge).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/hash.h"
#include "crypto/jose_key.h"
#include "crypto/x509.h"

namespace wary::node {

struct EndorsementKey {
  crypto::VerifyKey key;  // RSA or P-256; it decrypts and never signs
  Bytes spki;
  // SHA-256 of the SubjectPublicKeyInfo: what an operator pins of a TPM without a certificate.
  crypto::Digest fingerprint{};
};
// `tpm2b_public`: TPM2B_PUBLIC and nothing after it.
Result<EndorsementKey> parse_endorsement_key(ByteView tpm2b_public);

struct AttestationKey {
  enum class Scheme { kEcdsa, kRsaSsa, kRsaPss };
  crypto::VerifyKey key;
  Scheme scheme = Scheme::kEcdsa;
  Bytes name;  // the TPM's: algorithm and digest, 34 bytes
};
Result<AttestationKey> parse_attestation_key(ByteView tpm2b_public);

// Either of the two makes an endorsement key a known one. `chain_der`: its certificate first, then what leads to a
// root. keyUsage and extended key usage have to fit where they are there.
Status check_endorsement_certificate(const EndorsementKey& ek, const std::vector<Bytes>& chain_der,
                                     const crypto::TrustRoots& roots, UnixTime now);
Status check_endorsement_pin(const EndorsementKey& ek, std::span<const crypto::Digest> pinned);

// What only the TPM that holds both keys turns into the secret (part 1 section 24).
struct Credential {
  Bytes blob;              // TPM2B_ID_OBJECT
  Bytes encrypted_secret;  // TPM2B_ENCRYPTED_SECRET
};
Result<Credential> make_credential(const EndorsementKey& ek, const AttestationKey& ak, const Secret& secret,
                                   Random& random);

struct PcrSelection {
  std::uint16_t hash = 0;       // the TPM's number: 0x000b is SHA-256
  std::uint32_t registers = 0;  // bit n: register n
  bool operator==(const PcrSelection&) const = default;
};
struct Quote {
  std::vector<PcrSelection> selection;
  crypto::Digest pcr_digest{};  // SHA-256 of the selected registers' values, one after the other
  // The TPM's clock in milliseconds; it stands still while the machine is off. A reset is a start of the machine, a
  // restart is one from sleep; `clock_is_safe`: no earlier time was ever said to be later.
  std::uint64_t clock_ms = 0;
  std::uint32_t reset_count = 0;
  std::uint32_t restart_count = 0;
  bool clock_is_safe = false;
  std::uint64_t firmware_version = 0;
};
// `attested`: TPMS_ATTEST; `signature`: TPMT_SIGNATURE; nothing after either.
Result<Quote> check_quote(const AttestationKey& ak, ByteView attested, ByteView signature, ByteView qualifying_data);

}  // namespace wary::node
