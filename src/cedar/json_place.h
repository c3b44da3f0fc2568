// What the JSON readers of cedar/ share: refusals, and the JSON pointer of their place. Private to cedar/.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"
#include "codec/json.h"

namespace wary::cedar {

inline std::string_view json_type_name(const codec::Json& json) {
  switch (json.type()) {
    case codec::Json::Type::kNull: return "null";
    case codec::Json::Type::kBool: return "a boolean";
    case codec::Json::Type::kInteger: return "an integer";
    case codec::Json::Type::kNumber: return "a fraction";
    case codec::Json::Type::kString: return "a string";
    case codec::Json::Type::kArray: return "an array";
    case codec::Json::Type::kObject: return "an object";
  }
  return "";
}

inline Error wrong_type(std::string_view expected, const codec::Json& found) {
  return fail(ErrorKind::kInvalid, "cedar_json_type", "not the JSON that stands here")
      .expected(expected)
      .found(json_type_name(found));
}

// Puts a step in front of the place an error names, so that it ends as a JSON pointer (RFC 6901) from the outermost
// value.
inline Error inside(Error error, std::string_view step) {
  std::string place = "/";
  for (const char c : step) {
    if (c == '~')
      place += "~0";
    else if (c == '/')
      place += "~1";
    else
      place += c;
  }
  error.where = place + error.where;
  return error;
}

inline Status only_members(const codec::Json& json, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : json.members()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string expected;
    for (const std::string_view member : known) expected += (expected.empty() ? "" : ", ") + std::string(member);
    return fail(ErrorKind::kInvalid, "cedar_json_member", "an unknown member").expected(expected).found(name);
  }
  return {};
}

}  // namespace wary::cedar
