// The extension types of Cedar: decimal, ipaddr, datetime, duration. Literals in text form, their canonical text, and
// the table of functions and methods an expression may call.
//
//   Result<IpAddress> network = parse_ip("10.0.0.0/8");
//   const ExtensionFunction* f = find_extension("isInRange");
//
// Pure; any thread. Literals are short by construction: a longer text is refused before it is read.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cedar/value.h"

namespace wary::cedar {

// Error: cedar_extension, with what is wrong in the message.
Result<Decimal> parse_decimal(std::string_view text);
Result<IpAddress> parse_ip(std::string_view text);
Result<Datetime> parse_datetime(std::string_view text);
Result<Duration> parse_duration(std::string_view text);

std::string format_decimal(Decimal value);      // "12.3400"
std::string format_ip(const IpAddress& value);  // "10.0.0.0/8"; without a prefix for a single address
std::string format_duration(Duration value);    // "1234ms"
// Every datetime has a Cedar text: datetime("...") inside years 0 to 9999, an offset from 1970 outside.
std::string format_datetime_call(Datetime value);

bool is_loopback(const IpAddress& address);
bool is_multicast(const IpAddress& address);
bool is_in_range(const IpAddress& address, const IpAddress& range);
Datetime date_of_checked(Datetime value, bool& overflow);  // midnight at or before
Duration time_of(Datetime value);                          // since that midnight

enum class ExtensionOp : std::uint8_t {
  kDecimal,
  kIp,
  kDatetime,
  kDuration,
  kLessThan,
  kLessThanOrEqual,
  kGreaterThan,
  kGreaterThanOrEqual,
  kIsIpv4,
  kIsIpv6,
  kIsLoopback,
  kIsMulticast,
  kIsInRange,
  kOffset,
  kDurationSince,
  kToDate,
  kToTime,
  kToMilliseconds,
  kToSeconds,
  kToMinutes,
  kToHours,
  kToDays,
};

struct ExtensionFunction {
  std::string_view name;
  ExtensionOp op;
  std::uint8_t arguments;  // with the receiver of a method
  bool is_method;          // x.f(y) rather than f(x, y)
};

const ExtensionFunction* find_extension(std::string_view name);
const ExtensionFunction& extension(ExtensionOp op);

// What a call gave: a value, or why not. kTypeError and kFailed are Cedar's TypeError and
// FailedExtensionFunctionExecution.
struct ExtensionResult {
  enum class Outcome : std::uint8_t { kValue, kTypeError, kFailed };
  Outcome outcome = Outcome::kValue;
  Value value;
  std::string message;
};
// `arguments` has as many values as the function wants.
ExtensionResult call_extension(ExtensionOp op, std::span<const Value> arguments);

}  // namespace wary::cedar
