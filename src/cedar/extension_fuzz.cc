// Literals of the extension types: what is accepted has a canonical text that means the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cedar/extension.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::cedar;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto same = [](const auto& first, const auto& second) {
    if (!second.ok() || !(*second == *first)) std::abort();
  };
  if (const auto value = parse_decimal(text); value.ok()) same(value, parse_decimal(format_decimal(*value)));
  if (const auto value = parse_ip(text); value.ok()) same(value, parse_ip(format_ip(*value)));
  if (const auto value = parse_duration(text); value.ok()) same(value, parse_duration(format_duration(*value)));
  if (const auto value = parse_datetime(text); value.ok()) {
    const std::string call = format_datetime_call(*value);
    if (call.find("offset") == std::string::npos) same(value, parse_datetime(call.substr(10, call.size() - 12)));
  }
  return 0;
}
