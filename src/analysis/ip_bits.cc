#include "analysis/ip_bits.h"

namespace wary::analysis {

namespace {

std::uint64_t word(const cedar::IpAddress& address, std::size_t first, std::size_t count) {
  std::uint64_t out = 0;
  for (std::size_t i = first; i < first + count; ++i) out = out << 8 | address.bytes[i];
  return out;
}

z3::expr prefix_of(const z3::expr& bits) { return bits.extract(135, 128); }
z3::expr address_of(const z3::expr& bits) { return bits.extract(127, 0); }

// The bits that the prefix leaves free.
z3::expr free_bits(const z3::expr& bits) {
  z3::context& context = bits.ctx();
  const z3::expr width = z3::ite(ip_is_v6(bits), context.bv_val(128, 128), context.bv_val(32, 128));
  return z3::shl(context.bv_val(1, 128), width - z3::zext(prefix_of(bits), 120)) - context.bv_val(1, 128);
}

}  // namespace

z3::expr ip_bits(z3::context& context, const cedar::IpAddress& address) {
  const std::uint64_t high = address.is_v6 ? word(address, 0, 8) : 0;
  const std::uint64_t low = address.is_v6 ? word(address, 8, 8) : word(address, 0, 4);
  const z3::expr family = context.bv_val(address.is_v6 ? 1 : 0, 1);
  const z3::expr prefix = context.bv_val(static_cast<unsigned>(address.prefix), 8);
  return z3::concat(z3::concat(z3::concat(family, prefix), context.bv_val(high, 64)), context.bv_val(low, 64));
}

z3::expr ip_is_v6(const z3::expr& bits) { return bits.extract(136, 136) == bits.ctx().bv_val(1, 1); }

z3::expr is_valid_ip(const z3::expr& bits) {
  z3::context& context = bits.ctx();
  const z3::expr v4 = z3::ule(prefix_of(bits), context.bv_val(32, 8)) && bits.extract(127, 32) == context.bv_val(0, 96);
  return z3::ite(ip_is_v6(bits), z3::ule(prefix_of(bits), context.bv_val(128, 8)), v4);
}

z3::expr ip_in_range(const z3::expr& a, const z3::expr& b) {
  const z3::expr free_a = free_bits(a);
  const z3::expr free_b = free_bits(b);
  const z3::expr first_a = address_of(a) & ~free_a;
  const z3::expr first_b = address_of(b) & ~free_b;
  return ip_is_v6(a) == ip_is_v6(b) && z3::ule(first_b, first_a) &&
         z3::ule(address_of(a) | free_a, address_of(b) | free_b);
}

cedar::IpAddress ip_from_bits(bool is_v6, std::uint8_t prefix, std::uint64_t high, std::uint64_t low) {
  cedar::IpAddress out;
  out.is_v6 = is_v6;
  out.prefix = prefix;
  const std::size_t size = is_v6 ? 16 : 4;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t from_end = size - 1 - i;
    const std::uint64_t half = from_end < 8 ? low : high;
    out.bytes[i] = static_cast<std::uint8_t>(half >> (8 * (from_end % 8)));
  }
  return out;
}

}  // namespace wary::analysis
