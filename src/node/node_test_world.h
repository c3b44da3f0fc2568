// What the tests of node/ share: codes of refusals, and TPM structures that no TPM made.
#pragma once

#include <string>

#include "crypto/hash.h"
#include "crypto/jose_key.h"
#include "node/tpm_evidence.h"
#include "node/tpm_format.h"

namespace wary::node {

template <typename T>
std::string refusal_of(const Result<T>& result) {
  return result.ok() ? "ok" : result.error().code;
}

inline void add_sized_part(Bytes& out, ByteView bytes) {
  append_big_endian(out, static_cast<std::uint16_t>(bytes.size()));
  append(out, bytes);
}

constexpr std::uint32_t kGoodAttributes = tpm::kFixedTpm | tpm::kFixedParent | tpm::kSensitiveDataOrigin |
                                          tpm::kUserWithAuth | tpm::kNoDa | tpm::kSign | tpm::kRestricted;

// A public area that claims to be an attestation key's, around any key.
inline Bytes claimed_attestation_key(const crypto::VerifyKey& key, std::uint16_t scheme,
                                     std::uint32_t attributes = kGoodAttributes) {
  const bool rsa = key.type() == crypto::JoseKeyType::kRsa;
  Bytes area;
  append_big_endian(area, rsa ? tpm::kRsa : tpm::kEcc);
  append_big_endian(area, tpm::kSha256);
  append_big_endian(area, attributes);
  add_sized_part(area, {});
  append_big_endian(area, tpm::kNull);
  append_big_endian(area, scheme);
  append_big_endian(area, tpm::kSha256);
  if (rsa) {
    append_big_endian(area, std::uint16_t{2048});
    append_big_endian(area, std::uint32_t{0});
  } else {
    append_big_endian(area, tpm::kCurveP256);
    append_big_endian(area, tpm::kNull);
  }
  add_sized_part(area, key.first_part());
  if (!rsa) add_sized_part(area, key.second_part());
  Bytes out;
  add_sized_part(out, area);
  return out;
}

struct ClaimedQuote {
  std::uint32_t magic = 0xff544347;
  std::uint16_t type = 0x8018;
  Bytes qualifying = to_bytes("challenge");
  std::uint8_t safe = 1;
  std::uint32_t banks = 1;
  std::uint8_t select_size = 3;
  std::size_t digest_size = 32;

  Bytes bytes() const {
    Bytes out;
    append_big_endian(out, magic);
    append_big_endian(out, type);
    add_sized_part(out, Bytes(34, 7));
    add_sized_part(out, qualifying);
    append_big_endian(out, std::uint64_t{1'234'567});
    append_big_endian(out, std::uint32_t{8});
    append_big_endian(out, std::uint32_t{9});
    out.push_back(safe);
    append_big_endian(out, std::uint64_t{0x2019'1023});
    append_big_endian(out, banks);
    for (std::uint32_t i = 0; i < banks; ++i) {
      append_big_endian(out, tpm::kSha256);
      out.push_back(select_size);
      out.insert(out.end(), select_size, 0x81);
    }
    add_sized_part(out, Bytes(digest_size, 5));
    return out;
  }
};

// Of a key outside any TPM.
inline Bytes claimed_signature(const crypto::SigningKey& key, std::uint16_t scheme, ByteView attested) {
  Bytes out;
  append_big_endian(out, scheme);
  append_big_endian(out, tpm::kSha256);
  if (scheme == tpm::kEcdsa) {
    const Bytes raw = *key.sign(crypto::SignatureAlgorithm::kEs256, attested);
    add_sized_part(out, ByteView(raw).first(32));
    add_sized_part(out, ByteView(raw).subspan(32));
  } else {
    add_sized_part(
        out, *key.sign(scheme == tpm::kRsaSsa ? crypto::SignatureAlgorithm::kRs256 : crypto::SignatureAlgorithm::kPs256,
                       attested));
  }
  return out;
}

}  // namespace wary::node
