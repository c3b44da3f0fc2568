#include "crypto/lean_library.h"

#include <doctest/doctest.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <optional>
#include <string>

#include "base/bytes.h"
#include "codec/text.h"
#include "crypto/crypto_test_world.h"
#include "crypto/handles.h"

namespace wary::crypto {
namespace {

using KdfHandle = Handle<EVP_KDF, EVP_KDF_free>;
using KdfContextHandle = Handle<EVP_KDF_CTX, EVP_KDF_CTX_free>;

struct Derivation {
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::string digest = "SHA256";
  std::optional<Bytes> key, salt;
  std::string label;
  std::optional<Bytes> data;
  std::size_t size = 32;
};

// Empty where it was refused.
Bytes derive_in(OSSL_LIB_CTX* library, Derivation what) {
  const KdfHandle kdf(EVP_KDF_fetch(library, OSSL_KDF_NAME_TLS1_3_KDF, nullptr));
  REQUIRE(kdf);
  const KdfContextHandle context(EVP_KDF_CTX_new(kdf.get()));
  std::string prefix = "tls13 ";
  std::vector<OSSL_PARAM> params = {OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &what.mode),
                                    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, what.digest.data(), 0)};
  const auto add = [&params](const char* name, auto& bytes) {
    params.push_back(OSSL_PARAM_construct_octet_string(name, bytes.data(), bytes.size()));
  };
  if (what.key) add(OSSL_KDF_PARAM_KEY, *what.key);
  if (what.salt) add(OSSL_KDF_PARAM_SALT, *what.salt);
  add(OSSL_KDF_PARAM_PREFIX, prefix);
  add(OSSL_KDF_PARAM_LABEL, what.label);
  if (what.data) add(OSSL_KDF_PARAM_DATA, *what.data);
  params.push_back(OSSL_PARAM_construct_end());
  Bytes out(what.size);
  const bool done = EVP_KDF_derive(context.get(), out.data(), out.size(), params.data()) == 1;
  ERR_clear_error();
  return done ? out : Bytes();
}

TEST_CASE("the key schedule gives the secrets of RFC 8448 section 3") {
  Derivation early;
  early.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
  early.label = "derived";
  const Bytes early_secret = derive_in(lean_library(), early);
  CHECK(early_secret == hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"));
  Derivation handshake = early;
  handshake.salt = early_secret;
  handshake.key = hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
  CHECK(derive_in(lean_library(), handshake) ==
        hex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"));
}

TEST_CASE("the key schedule gives what the library's own gives, and refuses more") {
  for (const std::string digest : {"SHA256", "SHA384"}) {
    const std::size_t size = digest == "SHA256" ? 32 : 48;
    for (std::size_t i = 0; i < 300; ++i) {
      Derivation expand;
      expand.digest = digest;
      expand.key = Bytes(size, static_cast<std::uint8_t>(i * 7));
      expand.label = std::string(1 + i % 20, static_cast<char>('a' + i % 26));
      if (i % 3 != 0) expand.data = Bytes(1 + i % 64, static_cast<std::uint8_t>(i));
      expand.size = 1 + i % 200;
      CHECK(derive_in(lean_library(), expand) == derive_in(nullptr, expand));
      Derivation extract;
      extract.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
      extract.digest = digest;
      extract.label = "derived";
      if (i % 2 != 0) extract.key = Bytes(1 + i % 66, static_cast<std::uint8_t>(i * 3));
      if (i % 5 != 0) extract.salt = Bytes(size, static_cast<std::uint8_t>(i * 5));
      extract.size = size;
      const Bytes secret = derive_in(lean_library(), extract);
      CHECK(secret.size() == size);
      CHECK(secret == derive_in(nullptr, extract));
    }
  }
  Derivation refused;
  refused.key = Bytes(32, 1);
  refused.label = std::string(250, 'x');  // with its prefix longer than a byte can say
  CHECK(derive_in(lean_library(), refused).empty());
  refused.label = "key";
  refused.digest = "SHA1";
  CHECK(derive_in(lean_library(), refused).empty());
  refused.digest = "SHA256";
  refused.size = 255 * 32 + 1;
  CHECK(derive_in(lean_library(), refused).empty());
  refused.size = 32;
  refused.key.reset();
  CHECK(derive_in(lean_library(), refused).empty());
}

TEST_CASE("keys are read that TLS and certificates speak, and no others") {
  const auto is_read = [](const char* type, const char* group) {
    const KeyHandle key(group == nullptr ? EVP_PKEY_Q_keygen(nullptr, nullptr, type)
                                         : EVP_PKEY_Q_keygen(nullptr, nullptr, type, group));
    REQUIRE(key);
    std::uint8_t* der = nullptr;
    const int size = i2d_PUBKEY(key.get(), &der);
    const std::uint8_t* at = der;
    const KeyHandle read(d2i_PUBKEY_ex(nullptr, &at, size, lean_library(), nullptr));
    OPENSSL_free(der);
    ERR_clear_error();
    return read && EVP_PKEY_eq(read.get(), key.get()) == 1;
  };
  CHECK(is_read("EC", "P-256"));
  CHECK(is_read("EC", "P-384"));
  CHECK(is_read("ED25519", nullptr));
  CHECK_FALSE(is_read("ED448", nullptr));
}

}  // namespace
}  // namespace wary::crypto
