// Result<T>: a value or an Error. Everything that can fail from outside returns one; exceptions never cross a folder.
//
//   Result<int> parse_port(std::string_view text);
//   WARY_ASSIGN_OR_RETURN(int port, parse_port(text));
//   return fail(ErrorKind::kInvalid, "port_out_of_range", "a port is 1 to 65535").expected("1..65535").found(text);
//
// `kind` is a closed set that maps once to HTTP status, gRPC status and exit code. `code` is a stable string owned by
// the folder that makes it. Values; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace wary {

enum class ErrorKind {
  kInvalid,          // malformed or refused input
  kUnauthenticated,  // who is asking is not known
  kDenied,           // known, and may not
  kNotFound,
  kConflict,     // someone else changed it, or it exists already
  kGone,         // existed; compacted or expired
  kExhausted,    // a limit or quota was reached
  kUnavailable,  // cannot be done now; try again
  kTimeout,
  kUnsupported,
  kDataLoss,  // stored bytes are not what was written
  kInternal,
};

struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string code;           // stable, e.g. "yaml_alias"
  std::string message;        // one sentence
  std::string where;          // file:line:column, object, or empty
  std::string expected_text;  // what was expected, or empty
  std::string found_text;     // what was found, shortened, or empty
  std::string next_step;      // what the person can do, or empty

  Error& at(std::string place) & {
    where = std::move(place);
    return *this;
  }
  Error&& at(std::string place) && {
    where = std::move(place);
    return std::move(*this);
  }
  Error&& expected(std::string_view text) && {
    expected_text = text;
    return std::move(*this);
  }
  Error&& found(std::string_view text) && {
    found_text = std::string(text.substr(0, 200));
    return std::move(*this);
  }
  Error&& next(std::string_view text) && {
    next_step = text;
    return std::move(*this);
  }

  // One line: "where: message (expected X, found Y) [code]"; the next step is left to the caller's second line.
  std::string to_string() const;
};

inline Error fail(ErrorKind kind, std::string_view code, std::string_view message) {
  Error error;
  error.kind = kind;
  error.code = code;
  error.message = message;
  return error;
}

int http_status(ErrorKind kind);
int exit_code(ErrorKind kind);  // 1..13, never 0
std::string_view to_string(ErrorKind kind);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT: a value is a result
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: an error is a result
  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  T& value() & {
    WARY_CHECK(ok());
    return *value_;
  }
  const T& value() const& {
    WARY_CHECK(ok());
    return *value_;
  }
  T&& value() && {
    WARY_CHECK(ok());
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() & {
    WARY_CHECK(!ok());
    return error_;
  }
  const Error& error() const& {
    WARY_CHECK(!ok());
    return error_;
  }
  Error&& error() && {
    WARY_CHECK(!ok());
    return std::move(error_);
  }

 private:
  std::optional<T> value_;
  Error error_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: an error is a result
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() & {
    WARY_CHECK(!ok());
    return *error_;
  }
  const Error& error() const& {
    WARY_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    WARY_CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace wary

#define WARY_CONCAT_INNER(a, b) a##b
#define WARY_CONCAT(a, b) WARY_CONCAT_INNER(a, b)
#define WARY_RETURN_IF_ERROR(expression)                            \
  do {                                                              \
    auto wary_status_ = (expression);                               \
    if (!wary_status_.ok()) return std::move(wary_status_).error(); \
  } while (false)
#define WARY_ASSIGN_OR_RETURN_IMPL(name, declaration, expression) \
  auto name = (expression);                                       \
  if (!name.ok()) return std::move(name).error();                 \
  declaration = std::move(name).value()
#define WARY_ASSIGN_OR_RETURN(declaration, ...) \
  WARY_ASSIGN_OR_RETURN_IMPL(WARY_CONCAT(wary_result_, __COUNTER__), declaration, (__VA_ARGS__))
