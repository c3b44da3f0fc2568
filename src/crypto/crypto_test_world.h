// What the tests of crypto/ share: a moment, and bytes as published vectors write them.
#pragma once

#include "base/time.h"
#include "codec/text.h"

namespace wary::crypto {

constexpr UnixTime kNow{std::int64_t{1'800'000'000} * kNanosPerSecond};

inline Bytes hex(std::string_view text) { return *codec::decode_hex(text); }

}  // namespace wary::crypto
