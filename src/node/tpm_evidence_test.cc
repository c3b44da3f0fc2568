#include "node/tpm_evidence.h"

#include <doctest/doctest.h>

#include "io/system.h"
#include "node/node_test_world.h"

namespace wary::node {
namespace {

const crypto::SigningKey& evidence_key(crypto::JoseKeyType type) {
  static const auto ec = crypto::SigningKey::generate(crypto::JoseKeyType::kP256);
  static const auto rsa = crypto::SigningKey::generate(crypto::JoseKeyType::kRsa);
  return type == crypto::JoseKeyType::kRsa ? *rsa : *ec;
}
const crypto::SigningKey& ec_key() { return evidence_key(crypto::JoseKeyType::kP256); }
const crypto::SigningKey& rsa_key() { return evidence_key(crypto::JoseKeyType::kRsa); }

struct AttributeRow {
  std::uint32_t set;
  std::uint32_t clear;
  const char* outcome;
};

// A public area of an endorsement key, as the default templates say, around any key.
struct ClaimedEndorsement {
  bool rsa = true;
  std::uint16_t name = tpm::kSha256;
  std::uint32_t attributes = 0x000300b2;
  Bytes policy{tpm::kEndorsementPolicy.begin(), tpm::kEndorsementPolicy.end()};
  std::uint16_t symmetric = tpm::kAes, bits = 128, mode = tpm::kCfb;
  std::uint16_t scheme = tpm::kNull, size = 2048, curve = tpm::kCurveP256;
  std::uint32_t exponent = 0;
  Bytes modulus, x, y;

  explicit ClaimedEndorsement(bool is_rsa) : rsa(is_rsa) {
    const crypto::VerifyKey& key = rsa ? rsa_key().public_key() : ec_key().public_key();
    (rsa ? modulus : x).assign(key.first_part().begin(), key.first_part().end());
    if (!rsa) y.assign(key.second_part().begin(), key.second_part().end());
  }
  Bytes bytes() const {
    Bytes area;
    append_big_endian(area, rsa ? tpm::kRsa : tpm::kEcc);
    append_big_endian(area, name);
    append_big_endian(area, attributes);
    add_sized_part(area, policy);
    append_big_endian(area, symmetric);
    if (symmetric != tpm::kNull) {
      append_big_endian(area, bits);
      append_big_endian(area, mode);
    }
    append_big_endian(area, scheme);
    if (scheme != tpm::kNull) append_big_endian(area, tpm::kSha256);
    if (rsa) {
      append_big_endian(area, size);
      append_big_endian(area, exponent);
      add_sized_part(area, modulus);
    } else {
      append_big_endian(area, curve);
      append_big_endian(area, tpm::kNull);
      add_sized_part(area, x);
      add_sized_part(area, y);
    }
    Bytes out;
    add_sized_part(out, area);
    return out;
  }
};

template <typename Change>
std::string claimed(bool rsa, Change change) {
  ClaimedEndorsement shape(rsa);
  change(shape);
  return refusal_of(parse_endorsement_key(shape.bytes()));
}

TEST_CASE("an endorsement key is of a default template to the bit, or refused") {
  const auto as_it_is = [](ClaimedEndorsement&) {};
  CHECK(claimed(true, as_it_is) == "ok");
  CHECK(claimed(false, as_it_is) == "ok");
  CHECK(parse_endorsement_key(ClaimedEndorsement(true).bytes())->spki == rsa_key().public_key().to_spki());
  CHECK(parse_endorsement_key(ClaimedEndorsement(false).bytes())->fingerprint ==
        crypto::sha256(ec_key().public_key().to_spki()));
  for (const bool rsa : {true, false}) {
    for (int bit = 0; bit < 32; ++bit) {
      CHECK(claimed(rsa, [&](auto& c) { c.attributes ^= 1u << bit; }) == "tpm_ek_template");
    }
    CHECK(claimed(rsa, [](auto& c) { c.policy.clear(); }) == "tpm_ek_template");
    CHECK(claimed(rsa, [](auto& c) { c.policy[31] ^= 1; }) == "tpm_ek_template");
    CHECK(claimed(rsa, [](auto& c) { c.policy.resize(65); }) == "tpm_public_syntax");
    CHECK(claimed(rsa, [](auto& c) { c.name = 0x000c; }) == "tpm_ek_template");
    CHECK(claimed(rsa, [](auto& c) { c.symmetric = tpm::kNull; }) == "tpm_ek_template");
    CHECK(claimed(rsa, [](auto& c) { c.bits = 256; }) == "tpm_ek_template");
    CHECK(claimed(rsa, [](auto& c) { c.mode = 0x42; }) == "tpm_ek_template");
    CHECK(claimed(rsa, [](auto& c) { c.scheme = tpm::kRsaSsa; }) == "tpm_ek_template");
    CHECK(claimed(rsa, [](auto& c) { c.scheme = 0x0017; }) == "tpm_public_syntax");
  }
  CHECK(claimed(true, [](auto& c) { c.size = 1024; }) == "tpm_ek_type");
  CHECK(claimed(true, [](auto& c) { c.exponent = 3; }) == "tpm_ek_type");
  CHECK(claimed(true, [](auto& c) { c.modulus.pop_back(); }) == "tpm_ek_type");
  CHECK(claimed(true, [](auto& c) { c.modulus.back() &= 0xfe; }) == "tpm_ek_key");
  CHECK(claimed(true, [](auto& c) { c.modulus.front() = 0; }) == "tpm_ek_key");
  CHECK(claimed(true, [](auto& c) { c.modulus.resize(513); }) == "tpm_public_syntax");
  CHECK(claimed(false, [](auto& c) { c.curve = 4; }) == "tpm_ek_type");
  CHECK(claimed(false, [](auto& c) { c.x.resize(31); }) == "tpm_ek_type");
  CHECK(claimed(false, [](auto& c) { c.y[31] ^= 1; }) == "tpm_ek_key");  // off the curve
}

TEST_CASE("an attestation key has what makes its quotes worth something, and nothing that harms") {
  const crypto::VerifyKey& key = ec_key().public_key();
  const AttributeRow rows[] = {
      {0, 0, "ok"},
      {tpm::kStClear | tpm::kAdminWithPolicy, tpm::kUserWithAuth | tpm::kNoDa, "ok"},
      {0, tpm::kFixedTpm, "tpm_ak_not_resident"},
      {0, tpm::kFixedParent, "tpm_ak_not_resident"},
      {0, tpm::kSensitiveDataOrigin, "tpm_ak_imported"},
      {0, tpm::kSign, "tpm_ak_not_signing"},
      {0, tpm::kRestricted, "tpm_ak_not_restricted"},
      {tpm::kDecrypt, 0, "tpm_ak_decrypts"},
      {1u << 11, 0, "tpm_ak_attributes"},  // encrypted duplication
      {1u << 19, 0, "tpm_ak_attributes"},  // x509sign
      {1u << 0, 0, "tpm_ak_attributes"},
      {1u << 31, 0, "tpm_ak_attributes"},
  };
  for (const AttributeRow& row : rows) {
    CAPTURE(row.set);
    CAPTURE(row.clear);
    const Bytes bytes = claimed_attestation_key(key, tpm::kEcdsa, (kGoodAttributes | row.set) & ~row.clear);
    CHECK(refusal_of(parse_attestation_key(bytes)) == row.outcome);
  }
  CHECK(refusal_of(parse_attestation_key(claimed_attestation_key(key, tpm::kRsaSsa))) == "tpm_ak_scheme");
  const crypto::VerifyKey& rsa = rsa_key().public_key();
  CHECK(refusal_of(parse_attestation_key(claimed_attestation_key(rsa, tpm::kRsaSsa))) == "ok");
  CHECK(refusal_of(parse_attestation_key(claimed_attestation_key(rsa, tpm::kRsaPss))) == "ok");
  CHECK(refusal_of(parse_attestation_key(claimed_attestation_key(rsa, tpm::kEcdsa))) == "tpm_ak_scheme");
  // An endorsement key is none.
  CHECK(refusal_of(parse_attestation_key(ClaimedEndorsement(false).bytes())) == "tpm_ak_not_signing");
}

TEST_CASE("a key's public area, cut or longer or altered, is another key or none") {
  for (const bool rsa : {false, true}) {
    const Bytes good =
        claimed_attestation_key(rsa ? rsa_key().public_key() : ec_key().public_key(), rsa ? tpm::kRsaPss : tpm::kEcdsa);
    const auto read = parse_attestation_key(good);
    REQUIRE(read.ok());
    CHECK(read->name.size() == 34);
    for (std::size_t i = 0; i < good.size(); ++i) {
      CHECK(refusal_of(parse_attestation_key(ByteView(good).first(i))) == "tpm_public_syntax");
      Bytes altered = good;
      altered[i] ^= 1;
      const auto other = parse_attestation_key(altered);
      if (other) CHECK(other->name != read->name);
    }
    Bytes longer = good;
    longer.push_back(0);
    CHECK(refusal_of(parse_attestation_key(longer)) == "tpm_public_syntax");
    CHECK(refusal_of(parse_endorsement_key(longer)) == "tpm_public_syntax");
  }
  Bytes huge;
  add_sized_part(huge, Bytes(2000, 1));
  CHECK(refusal_of(parse_attestation_key(huge)) == "tpm_public_syntax");
}

TEST_CASE("a quote is read whole, by its key alone, and for one challenge") {
  struct Row {
    const crypto::SigningKey& key;
    std::uint16_t scheme;
  };
  for (const Row& row : {Row{ec_key(), tpm::kEcdsa}, Row{rsa_key(), tpm::kRsaSsa}, Row{rsa_key(), tpm::kRsaPss}}) {
    CAPTURE(row.scheme);
    const auto ak = parse_attestation_key(claimed_attestation_key(row.key.public_key(), row.scheme));
    REQUIRE(ak.ok());
    const Bytes challenge = to_bytes("challenge");
    const auto check = [&](const ClaimedQuote& claimed) {
      const Bytes bytes = claimed.bytes();
      return check_quote(*ak, bytes, claimed_signature(row.key, row.scheme, bytes), challenge);
    };
    const auto quote = check({});
    REQUIRE_MESSAGE(quote.ok(), quote.error().to_string());
    CHECK(quote->selection == std::vector<PcrSelection>{{tpm::kSha256, 0x818181}});
    CHECK(quote->pcr_digest[31] == 5);
    CHECK(quote->clock_ms == 1'234'567);
    CHECK(quote->reset_count == 8);
    CHECK(quote->restart_count == 9);
    CHECK(quote->clock_is_safe);
    CHECK(quote->firmware_version == 0x2019'1023);
    CHECK(check({.banks = 0})->selection.empty());
    CHECK(check({.safe = 0})->clock_is_safe == false);
    CHECK(check({.banks = 16, .select_size = 4})->selection.size() == 16);
    CHECK(refusal_of(check({.magic = 0xff544348})) == "tpm_quote_magic");
    CHECK(refusal_of(check({.type = 0x8017})) == "tpm_quote_type");
    CHECK(refusal_of(check({.qualifying = to_bytes("challengf")})) == "tpm_quote_stale");
    CHECK(refusal_of(check({.qualifying = {}})) == "tpm_quote_stale");
    CHECK(refusal_of(check({.qualifying = Bytes(65, 1)})) == "tpm_quote_syntax");
    CHECK(refusal_of(check({.safe = 2})) == "tpm_quote_syntax");
    CHECK(refusal_of(check({.banks = 17})) == "tpm_quote_syntax");
    CHECK(refusal_of(check({.select_size = 5})) == "tpm_quote_syntax");
    CHECK(refusal_of(check({.digest_size = 20})) == "tpm_quote_syntax");
    const Bytes bytes = ClaimedQuote().bytes(), signature = claimed_signature(row.key, row.scheme, bytes);
    CHECK(refusal_of(check_quote(*ak, bytes, signature, {})) == "tpm_quote_stale");
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      Bytes altered = bytes;
      altered[i] ^= 1;
      CHECK_FALSE(check_quote(*ak, altered, signature, challenge).ok());
      CHECK_FALSE(check_quote(*ak, ByteView(bytes).first(i), signature, challenge).ok());
    }
    for (std::size_t i = 0; i < signature.size(); ++i) {
      Bytes altered = signature;
      altered[i] ^= 1;
      CHECK_FALSE(check_quote(*ak, bytes, altered, challenge).ok());
      CHECK(refusal_of(check_quote(*ak, bytes, ByteView(signature).first(i), challenge)) == "tpm_quote_syntax");
    }
    Bytes longer = bytes;
    longer.push_back(0);
    CHECK(refusal_of(check_quote(*ak, longer, claimed_signature(row.key, row.scheme, longer), challenge)) ==
          "tpm_quote_syntax");
    CHECK(refusal_of(check_quote(*ak, Bytes(1025, 1), signature, challenge)) == "tpm_quote_syntax");
  }
  // The key's own scheme, not the one the signature names.
  const auto pss = parse_attestation_key(claimed_attestation_key(rsa_key().public_key(), tpm::kRsaPss));
  const Bytes bytes = ClaimedQuote().bytes();
  CHECK(refusal_of(check_quote(*pss, bytes, claimed_signature(rsa_key(), tpm::kRsaSsa, bytes),
                               to_bytes("challenge"))) == "tpm_quote_signature");
}

TEST_CASE("a credential is made anew each time, for a secret of a sensible size") {
  const auto random = io::make_system_random();
  const auto ak = parse_attestation_key(claimed_attestation_key(ec_key().public_key(), tpm::kEcdsa));
  for (const bool rsa : {true, false}) {
    const auto ek = parse_endorsement_key(ClaimedEndorsement(rsa).bytes());
    REQUIRE(ek.ok());
    const auto first = make_credential(*ek, *ak, Secret(32), *random);
    const auto second = make_credential(*ek, *ak, Secret(32), *random);
    REQUIRE((first.ok() && second.ok()));
    CHECK(first->blob.size() == 2 + 2 + 32 + 2 + 32);
    CHECK(first->encrypted_secret.size() == (rsa ? 2 + 256 : 2 + 2 * (2 + 32)));
    CHECK(first->blob != second->blob);
    CHECK(first->encrypted_secret != second->encrypted_secret);
    CHECK(refusal_of(make_credential(*ek, *ak, Secret(15), *random)) == "tpm_secret_size");
    CHECK(refusal_of(make_credential(*ek, *ak, Secret(33), *random)) == "tpm_secret_size");
  }
}

}  // namespace
}  // namespace wary::node
