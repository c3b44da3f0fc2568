// API keys: what a program that can hold neither a certificate nor a session shows instead.
//
//   std::string key = make_api_key(random);       // shown once; only its hash is kept
//   if (is_api_key(text)) id = api_key_id(text);  // id of the Wary::ApiKeyHash that stands for it
//
// "wary_", 43 characters 0-9A-Za-z that hold 256 random bits, and 6 more: the CRC-32 of all before it in base 62. So a
// scanner finds one in a commit by wary_[0-9A-Za-z]{49}, and knows by the sum that it is none by chance. Functions; any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"

namespace wary::enforce {

constexpr std::string_view kApiKeyPrefix = "wary_";
constexpr std::size_t kApiKeyBytes = 54;

std::string make_api_key(Random& random);
// The form and the sum: that it may be one. Whose it is, the snapshot says.
bool is_api_key(std::string_view text);
// SHA-256 in hex.
std::string api_key_id(std::string_view key);

}  // namespace wary::enforce
