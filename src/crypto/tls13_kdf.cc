// The key schedule of TLS 1.3 (RFC 8446 section 7.1): HKDF (RFC 5869) over SHA-256 and SHA-384, as a provider's
// algorithm. The hashes are OpenSSL's; called directly, since every way through its EVP interface costs more than they.
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "crypto/lean_library.h"

// OpenSSL 3.0 calls its hashes without EVP deprecated, and keeps them.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace wary::crypto {

namespace {

struct Direct256 {
  static constexpr std::size_t kSize = SHA256_DIGEST_LENGTH, kBlock = SHA256_CBLOCK;
  SHA256_CTX state;
  void begin() { SHA256_Init(&state); }
  void add(ByteView bytes) { SHA256_Update(&state, bytes.data(), bytes.size()); }
  void end(std::uint8_t* out) { SHA256_Final(out, &state); }
};
struct Direct384 {
  static constexpr std::size_t kSize = SHA384_DIGEST_LENGTH, kBlock = SHA512_CBLOCK;
  SHA512_CTX state;
  void begin() { SHA384_Init(&state); }
  void add(ByteView bytes) { SHA384_Update(&state, bytes.data(), bytes.size()); }
  void end(std::uint8_t* out) { SHA384_Final(out, &state); }
};

// Secrets on the stack, wiped as they go.
template <std::size_t kSize>
struct Wiped {
  std::array<std::uint8_t, kSize> bytes{};
  Wiped() = default;
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
  std::uint8_t* data() { return bytes.data(); }
  ByteView view(std::size_t size = kSize) const { return ByteView(bytes).first(size); }
};

// HMAC (RFC 2104) of parts that come one after another; keys of at most a block.
template <typename Hash>
class Hmac {
 public:
  explicit Hmac(ByteView key) {
    Wiped<Hash::kBlock> pad;
    std::copy(key.begin(), key.end(), pad.bytes.begin());
    for (std::uint8_t& byte : pad.bytes) byte ^= 0x36;
    inner_.begin();
    inner_.add(pad.view());
    for (std::uint8_t& byte : pad.bytes) byte ^= 0x36 ^ 0x5c;
    outer_.begin();
    outer_.add(pad.view());
  }
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;
  ~Hmac() {
    OPENSSL_cleanse(&inner_, sizeof inner_);
    OPENSSL_cleanse(&outer_, sizeof outer_);
  }
  void add(ByteView bytes) { inner_.add(bytes); }
  void end(std::uint8_t* out) {
    Wiped<Hash::kSize> digest;
    inner_.end(digest.data());
    outer_.add(digest.view());
    outer_.end(out);
  }

 private:
  Hash inner_, outer_;
};

struct Inputs {
  int mode = 0;
  std::string_view digest;
  ByteView key, salt, prefix, label, data;
  bool has_key = false, has_salt = false;
};

// Nothing where a parameter has another form; others than these are none of this derivation's.
std::optional<Inputs> inputs_of(const OSSL_PARAM* at) {
  Inputs in;
  for (; at != nullptr && at->key != nullptr; ++at) {
    const std::string_view name = at->key;
    if (name == OSSL_KDF_PARAM_MODE) {
      if (OSSL_PARAM_get_int(at, &in.mode) != 1) return std::nullopt;
      continue;
    }
    const ByteView value(static_cast<const std::uint8_t*>(at->data), at->data == nullptr ? 0 : at->data_size);
    if (name == OSSL_KDF_PARAM_DIGEST) {
      if (at->data_type != OSSL_PARAM_UTF8_STRING) return std::nullopt;
      in.digest = as_text(value);
      continue;
    }
    ByteView* place = nullptr;
    if (name == OSSL_KDF_PARAM_KEY) place = &in.key, in.has_key = true;
    if (name == OSSL_KDF_PARAM_SALT) place = &in.salt, in.has_salt = true;
    if (name == OSSL_KDF_PARAM_PREFIX) place = &in.prefix;
    if (name == OSSL_KDF_PARAM_LABEL) place = &in.label;
    if (name == OSSL_KDF_PARAM_DATA) place = &in.data;
    if (place == nullptr) continue;
    if (at->data_type != OSSL_PARAM_OCTET_STRING) return std::nullopt;
    *place = value;
  }
  return in;
}

template <typename Hash>
bool expand_label(ByteView secret, ByteView prefix, ByteView label, ByteView context, std::span<std::uint8_t> out) {
  const std::size_t blocks = (out.size() + Hash::kSize - 1) / Hash::kSize;
  if (secret.size() > Hash::kBlock || prefix.size() + label.size() > 255 || context.size() > 255 || blocks == 0 ||
      blocks > 255) {
    return false;
  }
  const std::array<std::uint8_t, 3> head = {static_cast<std::uint8_t>(out.size() >> 8),
                                            static_cast<std::uint8_t>(out.size()),
                                            static_cast<std::uint8_t>(prefix.size() + label.size())};
  const auto context_size = static_cast<std::uint8_t>(context.size());
  Wiped<Hash::kSize> block;
  std::size_t done = 0;
  for (std::size_t i = 1; i <= blocks; ++i) {
    Hmac<Hash> hmac(secret);
    if (i > 1) hmac.add(block.view());
    hmac.add(head);
    hmac.add(prefix);
    hmac.add(label);
    hmac.add({&context_size, 1});
    hmac.add(context);
    const auto number = static_cast<std::uint8_t>(i);
    hmac.add({&number, 1});
    hmac.end(block.data());
    const std::size_t taken = std::min(Hash::kSize, out.size() - done);
    std::copy_n(block.bytes.begin(), taken, out.begin() + static_cast<std::ptrdiff_t>(done));
    done += taken;
  }
  return true;
}

// The next secret of the schedule: what is known so far, if anything, is the salt of what comes in.
template <typename Hash>
bool extract(const Inputs& in, std::span<std::uint8_t> out) {
  if (out.size() != Hash::kSize || in.salt.size() > Hash::kBlock) return false;
  const Wiped<Hash::kSize> nothing;
  Wiped<Hash::kSize> salt;
  if (in.has_salt) {
    Wiped<Hash::kSize> of_nothing;
    Hash hash;
    hash.begin();
    hash.end(of_nothing.data());
    if (!expand_label<Hash>(in.salt, in.prefix, in.label, of_nothing.view(), salt.bytes)) return false;
  }
  Hmac<Hash> hmac(salt.view());
  hmac.add(in.has_key ? in.key : nothing.view());
  hmac.end(out.data());
  return true;
}

template <typename Hash>
bool derive_with(const Inputs& in, std::span<std::uint8_t> out) {
  if (in.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY) return extract<Hash>(in, out);
  return in.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && in.has_key &&
         expand_label<Hash>(in.key, in.prefix, in.label, in.data, out);
}

int derive(void*, unsigned char* out, std::size_t size, const OSSL_PARAM* params) {
  const auto in = inputs_of(params);
  if (!in) return 0;
  if (in->digest == "SHA256" || in->digest == "SHA2-256") return derive_with<Direct256>(*in, {out, size}) ? 1 : 0;
  if (in->digest == "SHA384" || in->digest == "SHA2-384") return derive_with<Direct384>(*in, {out, size}) ? 1 : 0;
  return 0;
}

// A derivation keeps nothing between two calls, so all share one context.
void* new_context(void*) {
  static char shared = 0;
  return &shared;
}
void free_context(void*) {}
void reset_context(void*) {}

template <typename Function>
OSSL_DISPATCH entry(int id, Function* function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

}  // namespace

const OSSL_DISPATCH* tls13_kdf() {
  static const std::array<OSSL_DISPATCH, 5> functions = {
      entry(OSSL_FUNC_KDF_NEWCTX, new_context), entry(OSSL_FUNC_KDF_FREECTX, free_context),
      entry(OSSL_FUNC_KDF_RESET, reset_context), entry(OSSL_FUNC_KDF_DERIVE, derive), OSSL_DISPATCH{}};
  return functions.data();
}

}  // namespace wary::crypto

#pragma GCC diagnostic pop
