// Classes of ASCII characters that Cedar's texts are made of. Private to cedar/.
#pragma once

namespace wary::cedar {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool starts_identifier(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

}  // namespace wary::cedar
