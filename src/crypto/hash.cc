#include "crypto/hash.h"

#include <algorithm>

#include "crypto/handles.h"

namespace wary::crypto {

namespace {

// Fetched once: EVP_sha256() would look the implementation up again at every use (OpenSSL 3.0, crypto(7)).
const EVP_MD* sha256_method() {
  static const Handle<EVP_MD, EVP_MD_free> method(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  WARY_CHECK(method != nullptr);
  return method.get();
}

EVP_MAC* hmac_method() {
  static const Handle<EVP_MAC, EVP_MAC_free> method(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  WARY_CHECK(method != nullptr);
  return method.get();
}

}  // namespace

struct Sha256::State {
  DigestContextHandle context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  WARY_CHECK(EVP_DigestInit_ex2(state_->context.get(), sha256_method(), nullptr) == 1);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(ByteView bytes) {
  WARY_CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

Digest Sha256::finish() {
  Digest digest;
  WARY_CHECK(EVP_DigestFinal_ex(state_->context.get(), digest.data(), nullptr) == 1);
  WARY_CHECK(EVP_DigestInit_ex2(state_->context.get(), nullptr, nullptr) == 1);
  return digest;
}

Digest sha256(ByteView bytes) {
  thread_local Sha256 hash;  // a context is worth keeping: making one costs more than hashing a short message
  hash.update(bytes);
  return hash.finish();
}

std::array<std::uint8_t, 20> sha1(ByteView bytes) {
  std::array<std::uint8_t, 20> digest{};
  const Handle<EVP_MD, EVP_MD_free> method(EVP_MD_fetch(nullptr, "SHA1", nullptr));
  WARY_CHECK(method != nullptr &&
             EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, method.get(), nullptr) == 1);
  return digest;
}

Digest hmac_sha256(ByteView key, ByteView message) {
  const Handle<EVP_MAC_CTX, EVP_MAC_CTX_free> context(EVP_MAC_CTX_new(hmac_method()));
  WARY_CHECK(context != nullptr);
  std::string name = "SHA256";
  const std::array<OSSL_PARAM, 2> parameters = {OSSL_PARAM_construct_utf8_string("digest", name.data(), name.size()),
                                                OSSL_PARAM_construct_end()};
  // A null key would mean "the one set before".
  const std::uint8_t empty = 0;
  Digest digest;
  std::size_t size = 0;
  WARY_CHECK(EVP_MAC_init(context.get(), key.empty() ? &empty : key.data(), key.size(), parameters.data()) == 1);
  WARY_CHECK(EVP_MAC_update(context.get(), message.data(), message.size()) == 1);
  WARY_CHECK(EVP_MAC_final(context.get(), digest.data(), &size, digest.size()) == 1 && size == digest.size());
  return digest;
}

Secret hkdf_sha256(ByteView key, ByteView salt, ByteView purpose, std::size_t size) {
  WARY_CHECK(size <= 255 * sizeof(Digest));
  const Digest zeros{};
  Digest extracted = hmac_sha256(salt.empty() ? ByteView(zeros) : salt, key);
  Secret out(size);
  Bytes block;  // T(i-1) | info | i
  std::uint8_t counter = 1;
  for (std::size_t done = 0; done < size; ++counter) {
    append(block, purpose);
    block.push_back(counter);
    Digest next = hmac_sha256(extracted, block);
    const std::size_t n = std::min(next.size(), size - done);
    std::copy_n(next.begin(), n, out.reveal_mutable().begin() + static_cast<std::ptrdiff_t>(done));
    done += n;
    wipe(block.data(), block.size());
    block.assign(next.begin(), next.end());
    wipe(next.data(), next.size());
  }
  wipe(block.data(), block.size());
  wipe(extracted.data(), extracted.size());
  return out;
}

}  // namespace wary::crypto
