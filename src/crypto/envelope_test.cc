#include "crypto/envelope.h"

#include <doctest/doctest.h>

#include "codec/text.h"
#include "crypto/jose_test_world.h"
#include "crypto/pem.h"
#include "tests/support/openssl_run.h"

namespace wary::crypto {
namespace {

std::string openssl_key(test::OpensslRun& openssl, JoseKeyType type) {
  openssl.write("key.pem", encode_pem("PRIVATE KEY", jose_key(type).to_pkcs8()->reveal()));
  return "key.pem";
}

TEST_CASE("what is encrypted to an RSA key, openssl decrypts with the label and refuses without") {
  test::OpensslRun openssl;
  const std::string key = openssl_key(openssl, JoseKeyType::kRsa);
  const auto sealed = oaep_encrypt(jose_key(JoseKeyType::kRsa).public_key(), as_bytes("a seed"),
                                   as_bytes(std::string_view("LABEL\0", 6)));
  REQUIRE(sealed.ok());
  CHECK(sealed->size() == 256);
  openssl.write("sealed", std::string(as_text(*sealed)));
  const std::string decrypt = "pkeyutl -decrypt -inkey " + key +
                              " -in sealed -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt "
                              "rsa_mgf1_md:sha256";
  CHECK(openssl.run(decrypt + " -pkeyopt rsa_oaep_label:4c4142454c00") == "a seed");
  CHECK(openssl.run(decrypt).find("a seed") == std::string::npos);
  CHECK(code_of_result(oaep_encrypt(jose_key(JoseKeyType::kP256).public_key(), as_bytes("x"), {})) == "jose_key_type");
  CHECK(code_of_result(oaep_encrypt(jose_key(JoseKeyType::kRsa).public_key(), Bytes(191, 1), {})) == "envelope_failed");
}

TEST_CASE("openssl derives the same secret from the ephemeral key") {
  test::OpensslRun openssl;
  const std::string key = openssl_key(openssl, JoseKeyType::kP256);
  const auto share = share_with(jose_key(JoseKeyType::kP256).public_key());
  REQUIRE(share.ok());
  const auto ephemeral = VerifyKey::from_point(JoseKeyType::kP256, share->x, share->y);
  REQUIRE(ephemeral.ok());
  openssl.write("peer.pem", encode_pem("PUBLIC KEY", ephemeral->to_spki()));
  CHECK(openssl.run("pkeyutl -derive -inkey " + key + " -peerkey peer.pem | od -An -v -tx1 | tr -d ' \\n'") ==
        codec::encode_hex(share->shared.reveal()));
  const auto again = share_with(jose_key(JoseKeyType::kP256).public_key());
  REQUIRE(again.ok());
  CHECK(again->x != share->x);
  CHECK(code_of_result(share_with(jose_key(JoseKeyType::kP384).public_key())) == "jose_key_type");
}

TEST_CASE("the cipher is AES-128 in CFB mode from a zero vector") {
  // The first block of the key stream is the cipher of the zero block (FIPS 197 with the zero key); a ciphertext of
  // zeros makes the second block the same.
  const Bytes key(16, 0);
  const Bytes block = *codec::decode_hex("66e94bd4ef8a2c3b884cfa59ca342b2e");
  Bytes message = block;
  append(message, block);
  CHECK(*aes128_cfb_encrypt(key, message) == Bytes(32, 0));
  message.resize(20);
  CHECK(*aes128_cfb_encrypt(key, message) == Bytes(20, 0));
  CHECK(aes128_cfb_encrypt(key, {})->empty());
}

TEST_CASE("a signature with a salt of any length is good where it is asked for, and of one length in JOSE") {
  test::OpensslRun openssl;
  const std::string key = openssl_key(openssl, JoseKeyType::kRsa);
  openssl.write("message", "text");
  const VerifyKey& shown = jose_key(JoseKeyType::kRsa).public_key();
  for (const std::string salt : {"0", "20", "32", "max"}) {
    const Bytes signature = *codec::decode_hex(
        openssl.run("dgst -sha256 -sign " + key +
                    " -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha256 -sigopt rsa_pss_saltlen:" + salt +
                    " message | od -An -v -tx1 | tr -d ' \\n'"));
    CHECK(shown.verify_pss_of_any_salt(as_bytes("text"), signature));
    CHECK_FALSE(shown.verify_pss_of_any_salt(as_bytes("Text"), signature));
    CHECK(shown.verify(SignatureAlgorithm::kPs256, as_bytes("text"), signature) == (salt == "32"));
  }
  CHECK_FALSE(jose_key(JoseKeyType::kP256).public_key().verify_pss_of_any_salt(as_bytes("text"), Bytes(64, 1)));
}

}  // namespace
}  // namespace wary::crypto
