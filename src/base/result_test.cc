#include "base/result.h"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <set>

#include "base/checked.h"

using namespace wary;

namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(ErrorKind::kInvalid, "odd", "the number is odd").found(std::to_string(value));
  return value / 2;
}
Result<int> quarter(int value) {
  WARY_ASSIGN_OR_RETURN(const int first, half(value));
  return half(first);
}
Status both(int a, int b) {
  WARY_RETURN_IF_ERROR(half(a));
  WARY_RETURN_IF_ERROR(half(b));
  return {};
}

constexpr std::array kKinds = {ErrorKind::kInvalid,     ErrorKind::kUnauthenticated, ErrorKind::kDenied,
                               ErrorKind::kNotFound,    ErrorKind::kConflict,        ErrorKind::kGone,
                               ErrorKind::kExhausted,   ErrorKind::kUnavailable,     ErrorKind::kTimeout,
                               ErrorKind::kUnsupported, ErrorKind::kDataLoss,        ErrorKind::kInternal};

}  // namespace

TEST_CASE("a result is a value or the first error on the way") {
  CHECK(quarter(12).value() == 3);
  CHECK(quarter(7).error().code == "odd");
  CHECK(quarter(6).error().found_text == "3");
  CHECK(both(2, 4).ok());
  CHECK(both(2, 5).error().found_text == "5");
  Result<std::unique_ptr<int>> moved(std::make_unique<int>(4));
  const std::unique_ptr<int> taken = *std::move(moved);
  CHECK(*taken == 4);
}

TEST_CASE("every kind has a name and numbers of its own") {
  std::set<std::string_view> names;
  std::set<int> exits;
  for (const ErrorKind kind : kKinds) {
    names.insert(to_string(kind));
    exits.insert(exit_code(kind));
    CHECK(http_status(kind) >= 400);
    CHECK(http_status(kind) <= 599);
    CHECK(exit_code(kind) >= 1);
    CHECK(exit_code(kind) <= 13);
  }
  CHECK(names.size() == kKinds.size());
  CHECK(exits.size() == kKinds.size());
  CHECK(http_status(ErrorKind::kDenied) == 403);
}

TEST_CASE("an error is one line with its place, what was expected and found, and its code") {
  CHECK(fail(ErrorKind::kInvalid, "a_code", "it is wrong").to_string() == "it is wrong [a_code]");
  const Error error = fail(ErrorKind::kInvalid, "c", "m").at("f:1:2").expected("x").found("y").next("do z");
  CHECK(error.to_string() == "f:1:2: m (expected x, found y) [c]");
  CHECK(error.next_step == "do z");
  CHECK(fail(ErrorKind::kInvalid, "c", "m").found("y").to_string() == "m (found y) [c]");
  CHECK(fail(ErrorKind::kInvalid, "c", "m").found(std::string(900, 'x')).found_text.size() == 200);
}

TEST_CASE("checked arithmetic gives nothing instead of a wrong length") {
  CHECK(checked_add<std::uint8_t>(250, 5) == 255);
  CHECK_FALSE(checked_add<std::uint8_t>(250, 6));
  CHECK_FALSE(checked_sub<std::size_t>(1, 2));
  CHECK(checked_sub<int>(1, 2) == -1);
  CHECK_FALSE(checked_mul<std::int64_t>(INT64_MAX, 2));
  CHECK(checked_mul<std::uint32_t>(65535, 65537) == 4294967295u);
}
