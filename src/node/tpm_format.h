// Private to node/: the TPM's structures (TPM 2.0 library, part 2) as far as evidence needs them, read from bytes. No
// header of the TPM's stack: whoever checks evidence has no TPM.
//
//   const auto area = node::read_public_area(bytes);   // nothing: malformed, or of a kind that no evidence is of
//
// What is read borrows from the bytes. Big-endian; sized buffers have two bytes of length. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace wary::node {

namespace tpm {
constexpr std::uint16_t kRsa = 0x0001;
constexpr std::uint16_t kAes = 0x0006;
constexpr std::uint16_t kSha256 = 0x000b;
constexpr std::uint16_t kNull = 0x0010;
constexpr std::uint16_t kRsaSsa = 0x0014;
constexpr std::uint16_t kRsaPss = 0x0016;
constexpr std::uint16_t kEcdsa = 0x0018;
constexpr std::uint16_t kEcc = 0x0023;
constexpr std::uint16_t kCfb = 0x0043;
constexpr std::uint16_t kCurveP256 = 0x0003;
// Attributes of objects (part 2 section 8.3).
constexpr std::uint32_t kFixedTpm = 1u << 1;
constexpr std::uint32_t kStClear = 1u << 2;
constexpr std::uint32_t kFixedParent = 1u << 4;
constexpr std::uint32_t kSensitiveDataOrigin = 1u << 5;
constexpr std::uint32_t kUserWithAuth = 1u << 6;
constexpr std::uint32_t kAdminWithPolicy = 1u << 7;
constexpr std::uint32_t kNoDa = 1u << 10;
constexpr std::uint32_t kRestricted = 1u << 16;
constexpr std::uint32_t kDecrypt = 1u << 17;
constexpr std::uint32_t kSign = 1u << 18;
// PolicySecret of the endorsement hierarchy: the policy of both default templates.
inline constexpr std::array<std::uint8_t, 32> kEndorsementPolicy = {
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};
}  // namespace tpm

class TpmReader {
 public:
  explicit TpmReader(ByteView bytes) : bytes_(bytes) {}
  bool is_empty() const { return bytes_.empty(); }
  ByteView rest() const { return bytes_; }
  // False: too few bytes, and nothing has moved.
  template <typename T>
  [[nodiscard]] bool read(T& value) {
    if (bytes_.size() < sizeof(T)) return false;
    value = read_big_endian<T>(bytes_.data());
    bytes_ = bytes_.subspan(sizeof(T));
    return true;
  }
  [[nodiscard]] bool read_bytes(ByteView& value, std::size_t size);
  [[nodiscard]] bool read_sized(ByteView& value, std::size_t size_max);

 private:
  ByteView bytes_;
};

// TPMT_PUBLIC of an RSA or ECC key.
struct PublicArea {
  std::uint16_t type = 0;
  std::uint16_t name_algorithm = 0;
  std::uint32_t attributes = 0;
  ByteView policy;
  std::uint16_t symmetric = tpm::kNull;
  std::uint16_t symmetric_bits = 0;
  std::uint16_t symmetric_mode = 0;
  std::uint16_t scheme = tpm::kNull;
  std::uint16_t scheme_hash = 0;
  std::uint16_t key_bits = 0;             // RSA
  std::uint32_t exponent = 0;             // RSA; 0: 65537
  std::uint16_t curve = 0;                // ECC
  std::uint16_t derivation = tpm::kNull;  // ECC
  ByteView first;                         // modulus, or x
  ByteView second;                        // nothing, or y
  ByteView area;                          // what its name is the hash of
};
// A whole TPM2B_PUBLIC and nothing after it.
std::optional<PublicArea> read_public_area(ByteView tpm2b_public);

// TPMT_SIGNATURE.
struct TpmSignature {
  std::uint16_t scheme = 0;
  std::uint16_t hash = 0;
  ByteView first;   // of RSA all of it; r
  ByteView second;  // nothing; s
};
std::optional<TpmSignature> read_signature(ByteView bytes);

}  // namespace wary::node
