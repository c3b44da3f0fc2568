#include "crypto/hash.h"

#include <doctest/doctest.h>

#include "codec/text.h"
#include "crypto/crypto_test_world.h"
#include "crypto/random_id.h"
#include "crypto/seal.h"

namespace wary::crypto {
namespace {

class CountingRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = next_++;
  }

 private:
  std::uint8_t next_ = 0;
};

TEST_CASE("SHA-256 gives the FIPS 180-4 examples, at once and in pieces") {
  CHECK(codec::encode_hex(sha256(as_bytes("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(codec::encode_hex(sha256({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  for (int round = 0; round < 2; ++round) {
    hash.update(as_bytes("a"));
    hash.update({});
    hash.update(as_bytes("bc"));
    CHECK(hash.finish() == sha256(as_bytes("abc")));
  }
}

TEST_CASE("HMAC-SHA-256 gives the RFC 4231 test cases") {
  CHECK(codec::encode_hex(hmac_sha256(Bytes(20, 0x0b), as_bytes("Hi There"))) ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(codec::encode_hex(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(codec::encode_hex(hmac_sha256(Bytes(20, 0xaa), Bytes(50, 0xdd))) ==
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  CHECK(codec::encode_hex(
            hmac_sha256(Bytes(131, 0xaa), as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))) ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  // An empty key is a key, not "the key before".
  CHECK(codec::encode_hex(hmac_sha256({}, {})) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST_CASE("HKDF gives the RFC 5869 test cases 1 to 3") {
  const Secret first = hkdf_sha256(Bytes(22, 0x0b), hex("000102030405060708090a0b0c"), hex("f0f1f2f3f4f5f6f7f8f9"), 42);
  CHECK(codec::encode_hex(first.reveal()) ==
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  Bytes key(80), salt(80), purpose(80);
  for (std::size_t i = 0; i < 80; ++i) {
    key[i] = static_cast<std::uint8_t>(i);
    salt[i] = static_cast<std::uint8_t>(0x60 + i);
    purpose[i] = static_cast<std::uint8_t>(0xb0 + i);
  }
  CHECK(
      codec::encode_hex(hkdf_sha256(key, salt, purpose, 82).reveal()) ==
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8"
      "367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  CHECK(codec::encode_hex(hkdf_sha256(Bytes(22, 0x0b), {}, {}, 42).reveal()) ==
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST_CASE("a sealed secret opens under its own name and key only") {
  CountingRandom random;
  const SealKey key = SealKey::generate(random);
  const SealKey other = SealKey::generate(random);
  const Bytes sealed = *seal(key, "ca.key", as_bytes("private"), random);
  CHECK(as_text(unseal(key, "ca.key", sealed)->reveal()) == "private");
  CHECK(unseal(key, "other.key", sealed).error().code == "seal_broken");
  CHECK(unseal(other, "ca.key", sealed).error().code == "seal_broken");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Bytes altered = sealed;
    altered[i] ^= 1;
    const auto opened = unseal(key, "ca.key", altered);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == (i < 5 ? "seal_syntax" : "seal_broken"));
  }
  CHECK(unseal(key, "ca.key", ByteView(sealed).first(32)).error().code == "seal_syntax");
  CHECK(unseal(key, "n", *seal(key, "n", {}, random))->empty());
  CHECK(seal(key, "n", Bytes((1 << 20) + 1), random).error().code == "seal_syntax");
  CHECK(*seal(key, "n", as_bytes("x"), random) != *seal(key, "n", as_bytes("x"), random));
}

TEST_CASE("a sealing key file that was altered is refused") {
  CountingRandom random;
  const SealKey key = SealKey::generate(random);
  const Secret file = key.to_key_file();
  const auto back = SealKey::decode_key_file(file.reveal());
  REQUIRE(back.ok());
  CHECK(equals_in_constant_time(back->reveal(), key.reveal()));
  Bytes altered(file.reveal().begin(), file.reveal().end());
  altered[10] ^= 1;
  CHECK(SealKey::decode_key_file(altered).error().code == "seal_broken");
  altered[0] ^= 1;
  CHECK(SealKey::decode_key_file(altered).error().code == "seal_syntax");
  CHECK(SealKey::decode_key_file({}).error().code == "seal_syntax");
}

TEST_CASE("a random id is 26 characters of base32 that hold all 128 bits") {
  CountingRandom random;
  CHECK(random_id(random) == "aaaqeayeaudaocajbifqydiob4");
  CHECK(random_id(random) != random_id(random));
}

}  // namespace
}  // namespace wary::crypto
