#include "enforce/api_key.h"

#include <algorithm>
#include <array>

#include "codec/text.h"
#include "crypto/hash.h"

namespace wary::enforce {

namespace {

constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kSecretDigits = 43;  // 62^43 is more than 2^256
constexpr std::size_t kSumDigits = 6;
static_assert(kApiKeyPrefix.size() + kSecretDigits + kSumDigits == kApiKeyBytes);

// CRC-32 of ISO 3309, as in gzip.
std::uint32_t crc32(std::string_view text) {
  std::uint32_t sum = 0xffffffffU;
  for (const char byte : text) {
    sum ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1U) != 0 ? 0xedb88320U : 0U);
  }
  return ~sum;
}

std::string sum_of(std::string_view text) {
  std::string out(kSumDigits, '0');
  std::uint32_t left = crc32(text);
  for (std::size_t i = kSumDigits; i-- > 0; left /= 62) out[i] = kDigits[left % 62];
  return out;
}

}  // namespace

std::string make_api_key(Random& random) {
  std::array<std::uint8_t, 32> number;
  random.fill(number);
  std::string digits(kSecretDigits, '0');
  for (std::size_t i = kSecretDigits; i-- > 0;) {
    std::uint32_t rest = 0;
    for (std::uint8_t& byte : number) {
      const std::uint32_t whole = rest << 8 | byte;
      byte = static_cast<std::uint8_t>(whole / 62);
      rest = whole % 62;
    }
    digits[i] = kDigits[rest];
  }
  std::string key = std::string(kApiKeyPrefix) + digits;
  return key + sum_of(key);
}

bool is_api_key(std::string_view text) {
  if (text.size() != kApiKeyBytes || !text.starts_with(kApiKeyPrefix)) return false;
  const std::string_view body = text.substr(kApiKeyPrefix.size());
  if (body.find_first_not_of(kDigits) != std::string_view::npos) return false;
  const std::size_t sum_at = kApiKeyBytes - kSumDigits;
  return sum_of(text.substr(0, sum_at)) == text.substr(sum_at);
}

std::string api_key_id(std::string_view key) { return codec::encode_hex(crypto::sha256(as_bytes(key))); }

}  // namespace wary::enforce
