#include "crypto/sign.h"

#include <doctest/doctest.h>

#include "codec/text.h"
#include "crypto/crypto_test_world.h"
#include "crypto/pem.h"

namespace wary::crypto {
namespace {

TEST_CASE("Ed25519 gives the RFC 8032 section 7.1 signatures") {
  struct Row {
    std::string_view secret, public_key, message, signature;
  };
  const std::vector<Row> rows = {{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                                  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                                  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e"
                                  "39701cf9b46bd25bf5f0595bbe24"
                                  "655141438e7a100b"},
                                 {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                                  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
                                  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f"
                                  "3613d0f11d8c387b2eaeb4302aee"
                                  "b00d291612bb0c00"},
                                 {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                                  "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
                                  "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67"
                                  "f760984dc6594a7c15e9716ed28d"
                                  "c027beceea1ec40a"}};
  for (const Row& row : rows) {
    Bytes pkcs8 = hex("302e020100300506032b657004220420");
    append(pkcs8, hex(row.secret));
    const auto key = PrivateKey::from_pkcs8(pkcs8);
    REQUIRE(key.ok());
    CHECK(codec::encode_hex(key->public_key().raw()) == row.public_key);
    const Bytes signature = *key->sign(hex(row.message));
    CHECK(codec::encode_hex(signature) == row.signature);
    const auto verifier = PublicKey::from_raw(KeyType::kEd25519, hex(row.public_key));
    CHECK(verifier->verify(hex(row.message), signature));
    CHECK_FALSE(verifier->verify(hex("00"), signature));
    CHECK_FALSE(verifier->verify(hex(row.message), ByteView(signature).first(63)));
    CHECK_FALSE(verifier->verify(hex(row.message), {}));
  }
}

TEST_CASE("both key types sign, verify, and come back from their encodings") {
  for (const KeyType type : {KeyType::kEd25519, KeyType::kEcdsaP256}) {
    const auto key = PrivateKey::generate(type);
    REQUIRE(key.ok());
    const Bytes signature = *key->sign(as_bytes("message"));
    const PublicKey shown = key->public_key();
    CHECK(shown.type() == type);
    CHECK(shown.verify(as_bytes("message"), signature));
    CHECK_FALSE(shown.verify(as_bytes("Message"), signature));
    CHECK(PublicKey::decode_spki(shown.to_spki())->verify(as_bytes("message"), signature));
    CHECK(PublicKey::from_raw(type, shown.raw())->to_spki() == shown.to_spki());
    const auto again = PrivateKey::from_pkcs8(key->to_pkcs8()->reveal());
    REQUIRE(again.ok());
    CHECK(again->type() == type);
    CHECK(shown.verify(as_bytes("other"), *again->sign(as_bytes("other"))));
    Bytes trailing = shown.to_spki();
    trailing.push_back(0);
    CHECK(PublicKey::decode_spki(trailing).error().code == "key_syntax");
    const auto stranger = PrivateKey::generate(type);
    CHECK_FALSE(stranger->public_key().verify(as_bytes("message"), signature));
  }
}

TEST_CASE("malformed and foreign keys are refused with their code") {
  CHECK(PublicKey::decode_spki({}).error().code == "key_syntax");
  CHECK(PublicKey::decode_spki(Bytes(5000)).error().code == "key_syntax");
  CHECK(PublicKey::from_raw(KeyType::kEd25519, Bytes(31)).error().code == "key_syntax");
  CHECK(PublicKey::from_raw(KeyType::kEcdsaP256, Bytes(64)).error().code == "key_syntax");
  Bytes off_curve(65, 1);
  off_curve[0] = 4;
  CHECK(PublicKey::from_raw(KeyType::kEcdsaP256, off_curve).error().code == "key_syntax");
  CHECK(PrivateKey::from_pkcs8({}).error().code == "key_syntax");
  CHECK(PrivateKey::from_pkcs8(Bytes(5000)).error().code == "key_syntax");
  CHECK(PrivateKey::from_pkcs8(as_bytes("not a key")).error().code == "key_syntax");
  // X25519 agrees on keys, it does not sign.
  Bytes x25519 = hex("302a300506032b656e032100");
  append(x25519, Bytes(32, 9));
  CHECK(PublicKey::decode_spki(x25519).error().code == "key_type_unsupported");
}

TEST_CASE("an ECDSA signature goes between DER and JOSE form") {
  const auto key = PrivateKey::generate(KeyType::kEcdsaP256);
  const Bytes der = *key->sign(as_bytes("m"));
  const Bytes raw = *ecdsa_to_raw(der);
  CHECK(raw.size() == 64);
  CHECK(*ecdsa_to_der(raw) == der);
  CHECK(ecdsa_to_der(ByteView(raw).first(63)).error().code == "key_syntax");
  CHECK(ecdsa_to_raw({}).error().code == "key_syntax");
  CHECK(ecdsa_to_raw(as_bytes("x")).error().code == "key_syntax");
  // r of 33 bytes does not fit.
  Bytes wide = hex("3027022101");
  wide.resize(wide.size() + 32);
  append(wide, hex("020101"));
  wide[1] = static_cast<std::uint8_t>(wide.size() - 2);
  CHECK(ecdsa_to_raw(wide).error().code == "key_syntax");
}

TEST_CASE("PEM comes back from its text, and other spellings are refused with the line") {
  const Bytes bytes(100, 7);
  const std::string text = encode_pem("TEST DATA", bytes);
  const auto blocks = decode_pem(text + "\n" + text);
  REQUIRE(blocks.ok());
  REQUIRE(blocks->size() == 2);
  CHECK((*blocks)[1].label == "TEST DATA");
  CHECK((*blocks)[1].bytes == bytes);
  CHECK(decode_pem("")->empty());
  for (const std::string_view bad :
       {"x", "-----BEGIN -----\n", "-----BEGIN A-----\n", "-----BEGIN A-----\nAAAA\n-----END B-----\n",
        "-----BEGIN A-----\nAAA\n-----END A-----\n", "-----BEGIN A-----\nAAAA\nAAAA\n-----END A-----\n",
        "-----BEGIN A-----\n\n-----END A-----\n", "-----BEGIN A-----\nAAAA\n-----END A-----\ntail",
        "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n-----END A-----\n", "-----BEGIN A-B-----\n-----END A-B-----\n"}) {
    CAPTURE(bad);
    const auto result = decode_pem(bad);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == "pem_syntax");
    CHECK(result.error().where.starts_with("line "));
  }
  CHECK(decode_pem(text, {.bytes = 10}).error().code == "pem_syntax");
  CHECK(decode_pem(text + text, {.items = 1}).error().code == "pem_syntax");
}

}  // namespace
}  // namespace wary::crypto
