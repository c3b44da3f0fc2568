#include "cedar/extension.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/checked.h"
#include "cedar/characters.h"

namespace wary::cedar {

namespace {

using Int64 = std::int64_t;

Error refused(std::string_view type, std::string_view why, std::string_view text) {
  return fail(ErrorKind::kInvalid, "cedar_extension", std::string(type) + ": " + std::string(why)).found(text);
}

// Non-empty, digits only; nothing when it does not fit.
std::optional<Int64> digits_to_int(std::string_view digits) {
  Int64 value = 0;
  for (const char c : digits) {
    if (__builtin_mul_overflow(value, Int64{10}, &value) || __builtin_add_overflow(value, Int64{c - '0'}, &value)) {
      return std::nullopt;
    }
  }
  return value;
}

// Moves past the digits at the front and returns them.
std::string_view take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Exactly `count` digits.
std::optional<Int64> take_number(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  const std::string_view digits = text.substr(0, count);
  if (!std::all_of(digits.begin(), digits.end(), is_digit)) return std::nullopt;
  text.remove_prefix(count);
  return digits_to_int(digits);
}

constexpr Int64 kDay = 86'400'000;

bool is_leap_year(Int64 year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

Int64 days_in_month(Int64 year, Int64 month) {
  constexpr std::array<Int64, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap_year(year) ? 29 : kDays[static_cast<std::size_t>(month - 1)];
}

// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, counted in years that begin in March.
Int64 days_from_civil(Int64 year, Int64 month, Int64 day) {
  const Int64 y = month <= 2 ? year - 1 : year;
  const Int64 era = (y >= 0 ? y : y - 399) / 400;
  const Int64 year_of_era = y - era * 400;
  const Int64 day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const Int64 day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

struct Civil {
  Int64 year, month, day;
};

Civil civil_from_days(Int64 days) {
  const Int64 shifted = days + 719'468;
  const Int64 era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const Int64 day_of_era = shifted - era * 146'097;
  const Int64 year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const Int64 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const Int64 shifted_month = (5 * day_of_year + 2) / 153;
  const Int64 month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

std::string padded(Int64 value, std::size_t width) {
  std::string digits = std::to_string(value);
  return digits.size() < width ? std::string(width - digits.size(), '0') + digits : digits;
}

}  // namespace

Result<Decimal> parse_decimal(std::string_view text) {
  std::string_view rest = text;
  const bool negative = take(rest, "-");
  const std::string_view whole = take_digits(rest);
  if (whole.empty() || !take(rest, ".")) return refused("decimal", "not a decimal literal", text);
  const std::string_view fraction = take_digits(rest);
  if (fraction.empty() || !rest.empty()) return refused("decimal", "not a decimal literal", text);
  if (fraction.size() > 4) return refused("decimal", "more than four digits after the point", text);
  // Built up on the side of its sign, so that the smallest value is reachable.
  const Int64 sign = negative ? -1 : 1;
  Int64 value = 0;
  std::string digits(whole);
  digits += fraction;
  digits.append(4 - fraction.size(), '0');
  for (const char c : digits) {
    if (__builtin_mul_overflow(value, Int64{10}, &value) ||
        __builtin_add_overflow(value, sign * Int64{c - '0'}, &value)) {
      return refused("decimal", "outside -922337203685477.5808 to 922337203685477.5807", text);
    }
  }
  return Decimal{value};
}

std::string format_decimal(Decimal value) {
  const bool negative = value.ten_thousandths < 0;
  const std::uint64_t magnitude = negative ? ~static_cast<std::uint64_t>(value.ten_thousandths) + 1
                                           : static_cast<std::uint64_t>(value.ten_thousandths);
  return (negative ? "-" : "") + std::to_string(magnitude / 10'000) + "." +
         padded(static_cast<Int64>(magnitude % 10'000), 4);
}

Result<Datetime> parse_datetime(std::string_view text) {
  std::string_view rest = text;
  const auto year = take_number(rest, 4);
  if (!year || !take(rest, "-")) return refused("datetime", "must start with YYYY-MM-DD", text);
  const auto month = take_number(rest, 2);
  if (!month || !take(rest, "-")) return refused("datetime", "must start with YYYY-MM-DD", text);
  const auto day = take_number(rest, 2);
  if (!day) return refused("datetime", "must start with YYYY-MM-DD", text);
  if (*month < 1 || *month > 12 || *day < 1 || *day > days_in_month(*year, *month)) {
    return refused("datetime", "no such date", text);
  }
  const Int64 midnight = days_from_civil(*year, *month, *day) * kDay;
  if (rest.empty()) return Datetime{midnight};

  if (!take(rest, "T")) return refused("datetime", "the time starts with T", text);
  const auto hour = take_number(rest, 2);
  if (!hour || !take(rest, ":")) return refused("datetime", "the time is hh:mm:ss", text);
  const auto minute = take_number(rest, 2);
  if (!minute || !take(rest, ":")) return refused("datetime", "the time is hh:mm:ss", text);
  const auto second = take_number(rest, 2);
  if (!second) return refused("datetime", "the time is hh:mm:ss", text);
  Int64 milliseconds = 0;
  if (take(rest, ".")) {
    const auto fraction = take_number(rest, 3);
    if (!fraction) return refused("datetime", "a fraction of a second has three digits", text);
    milliseconds = *fraction;
  }
  if (*hour > 23 || *minute > 59 || *second > 59) return refused("datetime", "no such time of day", text);
  Int64 offset = 0;
  if (!take(rest, "Z")) {
    const Int64 sign = take(rest, "+") ? 1 : take(rest, "-") ? -1 : 0;
    const auto offset_hour = take_number(rest, 2);
    const auto offset_minute = take_number(rest, 2);
    if (sign == 0 || !offset_hour || !offset_minute) return refused("datetime", "must end with Z or +hhmm", text);
    if (*offset_hour > 23 || *offset_minute > 59) return refused("datetime", "an offset is below 24 hours", text);
    offset = sign * (*offset_hour * 60 + *offset_minute) * 60'000;
  }
  if (!rest.empty()) return refused("datetime", "text after the end", text);
  return Datetime{midnight + ((*hour * 60 + *minute) * 60 + *second) * 1000 + milliseconds - offset};
}

Datetime date_of_checked(Datetime value, bool& overflow) {
  const Int64 remainder = ((value.milliseconds % kDay) + kDay) % kDay;
  Datetime date;
  overflow = __builtin_sub_overflow(value.milliseconds, remainder, &date.milliseconds);
  return date;
}

Duration time_of(Datetime value) { return {((value.milliseconds % kDay) + kDay) % kDay}; }

std::string format_datetime_call(Datetime value) {
  const Int64 time = time_of(value).milliseconds;
  // Euclidean day number; the subtraction cannot overflow after the division.
  const Int64 days = value.milliseconds / kDay - (value.milliseconds % kDay < 0 ? 1 : 0);
  const Civil date = civil_from_days(days);
  if (date.year < 0 || date.year > 9999) {
    return "datetime(\"1970-01-01\").offset(duration(\"" + format_duration({value.milliseconds}) + "\"))";
  }
  return "datetime(\"" + padded(date.year, 4) + "-" + padded(date.month, 2) + "-" + padded(date.day, 2) + "T" +
         padded(time / 3'600'000, 2) + ":" + padded(time / 60'000 % 60, 2) + ":" + padded(time / 1000 % 60, 2) + "." +
         padded(time % 1000, 3) + "Z\")";
}

Result<Duration> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    Int64 milliseconds;
  };
  constexpr std::array<Unit, 5> kUnits = {{{"d", kDay}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
  std::string_view rest = text;
  const Int64 sign = take(rest, "-") ? -1 : 1;
  if (rest.empty()) return refused("duration", "no quantity", text);
  Int64 total = 0;
  std::size_t next_unit = 0;
  bool overflow = false;  // reported only for a well-formed text
  while (!rest.empty()) {
    const std::string_view digits = take_digits(rest);
    std::size_t letters = 0;
    while (letters < rest.size() && !is_digit(rest[letters])) ++letters;
    const std::string_view name = rest.substr(0, letters);
    rest.remove_prefix(letters);
    std::size_t unit = next_unit;
    while (unit < kUnits.size() && kUnits[unit].name != name) ++unit;
    if (digits.empty() || unit == kUnits.size()) {
      return refused("duration", "quantities with the units d, h, m, s, ms, in this order", text);
    }
    next_unit = unit + 1;
    const auto quantity = digits_to_int(digits);
    Int64 part = 0;
    // -9223372036854775808ms is in range though its digits alone are not.
    if (!quantity && sign < 0 && unit == 4) {
      std::string_view significant = digits;
      while (significant.starts_with("0")) significant.remove_prefix(1);
      if (significant == "9223372036854775808" && total == 0) {
        total = std::numeric_limits<Int64>::min();
        continue;
      }
    }
    overflow = overflow || !quantity || __builtin_mul_overflow(*quantity, sign * kUnits[unit].milliseconds, &part) ||
               __builtin_add_overflow(total, part, &total);
  }
  if (overflow) return refused("duration", "does not fit 64 bits of milliseconds", text);
  return Duration{total};
}

std::string format_duration(Duration value) { return std::to_string(value.milliseconds) + "ms"; }

}  // namespace wary::cedar
