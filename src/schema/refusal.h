// A value that does not conform, and the way down to it as a JSON pointer. Private to schema/.
#pragma once

#include "base/result.h"

namespace wary::schema {

inline Error refuse(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kInvalid, code, message);
}

// The place of an error seen from one step further out.
inline Error inside(Error error, std::string_view step) {
  error.where = "/" + std::string(step) + error.where;
  return error;
}

}  // namespace wary::schema
