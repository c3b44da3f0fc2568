// Addresses as bit vectors: one bit of family (1: IPv6), eight of prefix, 128 of address with an IPv4 address in the
// low 32. Private to analysis/.
#pragma once

#include <z3++.h>

#include "cedar/value.h"

namespace wary::analysis {

constexpr unsigned kIpBits = 137;

z3::expr ip_bits(z3::context& context, const cedar::IpAddress& address);
z3::expr is_valid_ip(const z3::expr& bits);
z3::expr ip_is_v6(const z3::expr& bits);
// Every address of `a` is one of `b`.
z3::expr ip_in_range(const z3::expr& a, const z3::expr& b);
cedar::IpAddress ip_from_bits(bool is_v6, std::uint8_t prefix, std::uint64_t high, std::uint64_t low);

}  // namespace wary::analysis
