// The table of extension functions, and calling them on values.
#include <algorithm>

#include "cedar/extension.h"

namespace wary::cedar {

namespace {

using Outcome = ExtensionResult::Outcome;

// In the order of ExtensionOp.
constexpr std::array<ExtensionFunction, 22> kFunctions = {{
    {"decimal", ExtensionOp::kDecimal, 1, false},
    {"ip", ExtensionOp::kIp, 1, false},
    {"datetime", ExtensionOp::kDatetime, 1, false},
    {"duration", ExtensionOp::kDuration, 1, false},
    {"lessThan", ExtensionOp::kLessThan, 2, true},
    {"lessThanOrEqual", ExtensionOp::kLessThanOrEqual, 2, true},
    {"greaterThan", ExtensionOp::kGreaterThan, 2, true},
    {"greaterThanOrEqual", ExtensionOp::kGreaterThanOrEqual, 2, true},
    {"isIpv4", ExtensionOp::kIsIpv4, 1, true},
    {"isIpv6", ExtensionOp::kIsIpv6, 1, true},
    {"isLoopback", ExtensionOp::kIsLoopback, 1, true},
    {"isMulticast", ExtensionOp::kIsMulticast, 1, true},
    {"isInRange", ExtensionOp::kIsInRange, 2, true},
    {"offset", ExtensionOp::kOffset, 2, true},
    {"durationSince", ExtensionOp::kDurationSince, 2, true},
    {"toDate", ExtensionOp::kToDate, 1, true},
    {"toTime", ExtensionOp::kToTime, 1, true},
    {"toMilliseconds", ExtensionOp::kToMilliseconds, 1, true},
    {"toSeconds", ExtensionOp::kToSeconds, 1, true},
    {"toMinutes", ExtensionOp::kToMinutes, 1, true},
    {"toHours", ExtensionOp::kToHours, 1, true},
    {"toDays", ExtensionOp::kToDays, 1, true},
}};

ExtensionResult good(Value value) { return {Outcome::kValue, std::move(value), {}}; }

ExtensionResult type_error(std::string_view expected, const Value& found, std::string_view constructor) {
  std::string message = "expected " + std::string(expected) + ", got " + found.type_name();
  if (found.as_string() != nullptr && !constructor.empty()) {
    message += "; write " + std::string(constructor) + "(\"...\") around the string";
  }
  return {Outcome::kTypeError, Value(), std::move(message)};
}

ExtensionResult overflow(std::string_view what) {
  return {Outcome::kFailed, Value(), std::string(what) + " does not fit 64 bits of milliseconds"};
}

template <typename T>
ExtensionResult constructed(Result<T> parsed) {
  if (parsed.ok()) return good(Value(*parsed));
  return {Outcome::kFailed, Value(), parsed.error().message + ": `" + parsed.error().found_text + "`"};
}

ExtensionResult construct(ExtensionOp op, const Value& argument) {
  const std::string* text = argument.as_string();
  if (text == nullptr) return type_error("string", argument, "");
  switch (op) {
    case ExtensionOp::kDecimal: return constructed(parse_decimal(*text));
    case ExtensionOp::kIp: return constructed(parse_ip(*text));
    case ExtensionOp::kDatetime: return constructed(parse_datetime(*text));
    default: return constructed(parse_duration(*text));
  }
}

ExtensionResult compare_decimals(ExtensionOp op, std::span<const Value> arguments) {
  for (const Value& argument : arguments) {
    if (argument.as_decimal() == nullptr) return type_error("decimal", argument, "decimal");
  }
  const auto order = *arguments[0].as_decimal() <=> *arguments[1].as_decimal();
  switch (op) {
    case ExtensionOp::kLessThan: return good(Value(order < 0));
    case ExtensionOp::kLessThanOrEqual: return good(Value(order <= 0));
    case ExtensionOp::kGreaterThan: return good(Value(order > 0));
    default: return good(Value(order >= 0));
  }
}

ExtensionResult ip_test(ExtensionOp op, std::span<const Value> arguments) {
  for (const Value& argument : arguments) {
    if (argument.as_ip() == nullptr) return type_error("ipaddr", argument, "ip");
  }
  const IpAddress& address = *arguments[0].as_ip();
  switch (op) {
    case ExtensionOp::kIsIpv4: return good(Value(!address.is_v6));
    case ExtensionOp::kIsIpv6: return good(Value(address.is_v6));
    case ExtensionOp::kIsLoopback: return good(Value(is_loopback(address)));
    case ExtensionOp::kIsMulticast: return good(Value(is_multicast(address)));
    default: return good(Value(is_in_range(address, *arguments[1].as_ip())));
  }
}

ExtensionResult datetime_method(ExtensionOp op, std::span<const Value> arguments) {
  const Datetime* datetime = arguments[0].as_datetime();
  if (datetime == nullptr) return type_error("datetime", arguments[0], "datetime");
  if (op == ExtensionOp::kToTime) return good(Value(time_of(*datetime)));
  if (op == ExtensionOp::kToDate) {
    bool overflowed = false;
    const Datetime date = date_of_checked(*datetime, overflowed);
    return overflowed ? overflow("the date") : good(Value(date));
  }
  if (op == ExtensionOp::kOffset) {
    const Duration* by = arguments[1].as_duration();
    if (by == nullptr) return type_error("duration", arguments[1], "duration");
    Datetime moved;
    const bool over = __builtin_add_overflow(datetime->milliseconds, by->milliseconds, &moved.milliseconds);
    return over ? overflow("the datetime") : good(Value(moved));
  }
  const Datetime* since = arguments[1].as_datetime();
  if (since == nullptr) return type_error("datetime", arguments[1], "datetime");
  Duration between;
  const bool over = __builtin_sub_overflow(datetime->milliseconds, since->milliseconds, &between.milliseconds);
  return over ? overflow("the duration") : good(Value(between));
}

ExtensionResult duration_method(ExtensionOp op, const Value& argument) {
  const Duration* duration = argument.as_duration();
  if (duration == nullptr) return type_error("duration", argument, "duration");
  const std::int64_t milliseconds = duration->milliseconds;
  switch (op) {
    case ExtensionOp::kToMilliseconds: return good(Value(milliseconds));
    case ExtensionOp::kToSeconds: return good(Value(milliseconds / 1000));
    case ExtensionOp::kToMinutes: return good(Value(milliseconds / 60'000));
    case ExtensionOp::kToHours: return good(Value(milliseconds / 3'600'000));
    default: return good(Value(milliseconds / 86'400'000));
  }
}

}  // namespace

const ExtensionFunction& extension(ExtensionOp op) { return kFunctions[static_cast<std::size_t>(op)]; }

const ExtensionFunction* find_extension(std::string_view name) {
  const auto at = std::find_if(kFunctions.begin(), kFunctions.end(),
                               [&](const ExtensionFunction& function) { return function.name == name; });
  return at != kFunctions.end() ? at : nullptr;
}

ExtensionResult call_extension(ExtensionOp op, std::span<const Value> arguments) {
  switch (op) {
    case ExtensionOp::kDecimal:
    case ExtensionOp::kIp:
    case ExtensionOp::kDatetime:
    case ExtensionOp::kDuration: return construct(op, arguments[0]);
    case ExtensionOp::kLessThan:
    case ExtensionOp::kLessThanOrEqual:
    case ExtensionOp::kGreaterThan:
    case ExtensionOp::kGreaterThanOrEqual: return compare_decimals(op, arguments);
    case ExtensionOp::kIsIpv4:
    case ExtensionOp::kIsIpv6:
    case ExtensionOp::kIsLoopback:
    case ExtensionOp::kIsMulticast:
    case ExtensionOp::kIsInRange: return ip_test(op, arguments);
    case ExtensionOp::kOffset:
    case ExtensionOp::kDurationSince:
    case ExtensionOp::kToDate:
    case ExtensionOp::kToTime: return datetime_method(op, arguments);
    default: return duration_method(op, arguments[0]);
  }
}

}  // namespace wary::cedar
