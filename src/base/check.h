// WARY_CHECK(condition): a broken invariant of our own. On in release; prints the place and no data, then aborts, and
// the supervisor restarts the process. What can fail from outside returns a Result instead.
#pragma once

namespace wary {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}  // namespace wary

#define WARY_CHECK(condition) \
  (static_cast<bool>(condition) ? static_cast<void>(0) : ::wary::check_failed(#condition, __FILE__, __LINE__))
