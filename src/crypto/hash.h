// Hashes and what is made of them: SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869).
//
//   crypto::Digest digest = crypto::sha256(bytes);
//   crypto::Sha256 hash;                    // one object hashes many messages without a new allocation
//   hash.update(a); hash.update(b);
//   digest = hash.finish();                 // and starts anew
//
// Functions: any thread. A Sha256 belongs to one thread. None fails: a library that cannot hash breaks an invariant.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/secret.h"

namespace wary::crypto {

using Digest = std::array<std::uint8_t, 32>;

Digest sha256(ByteView bytes);
// For protocols that ask for it and stand on nothing it promised (RFC 6455 section 4.2.2).
std::array<std::uint8_t, 20> sha1(ByteView bytes);

class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void update(ByteView bytes);
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest hmac_sha256(ByteView key, ByteView message);
// `size` at most 255 * 32 bytes (RFC 5869 section 2.3).
Secret hkdf_sha256(ByteView key, ByteView salt, ByteView purpose, std::size_t size);

}  // namespace wary::crypto
