// The expressions of the generated worlds. Private to cedar_generator.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "tests/support/cedar_generator.h"

namespace wary::test {

// The kinds an expression may be meant to have.
enum class Meant { kBool, kLong, kString, kEntity, kEntities, kLongs, kRecord, kIp, kDecimal, kDatetime, kDuration };
constexpr std::size_t kMeantCount = 11;

// Attributes every entity and context may have, by what they are meant to hold.
struct Attribute {
  std::string_view name;
  Meant kind;
};
constexpr std::array<Attribute, 14> kAttributes = {{
    {"b", Meant::kBool},
    {"n", Meant::kLong},
    {"m", Meant::kLong},
    {"s", Meant::kString},
    {"e", Meant::kEntity},
    {"owner", Meant::kEntity},
    {"es", Meant::kEntities},
    {"ns", Meant::kLongs},
    {"r", Meant::kRecord},
    {"addr", Meant::kIp},
    {"dec", Meant::kDecimal},
    {"at", Meant::kDatetime},
    {"dur", Meant::kDuration},
    {"a b", Meant::kLong},
}};
constexpr std::array<std::string_view, 4> kTypes = {"U", "G", "N::R", "N::M::F"};
constexpr std::array<std::string_view, 4> kTags = {"k", "t", "if", ""};
constexpr std::array<std::string_view, 9> kStrings = {"", "x", "xy", "a*b", "\"q\"", "line\n", "é", "😀z", "a\\b"};
constexpr std::array<std::string_view, 9> kAddresses = {"10.0.0.1",   "10.0.0.0/8", "127.0.0.1",      "::1",
                                                        "224.0.0.1",  "ff00::/8",   "2001:db8::1/64", "0.0.0.0/0",
                                                        "10.1.2.3/32"};
constexpr std::array<std::string_view, 7> kDecimals = {
    "0.0", "1.5", "-1.5", "1.50", "922337203685477.5807", "-922337203685477.5808", "0.0001"};
constexpr std::array<std::string_view, 8> kDatetimes = {"1970-01-01",
                                                        "2024-02-29",
                                                        "2024-02-29T23:59:59Z",
                                                        "1969-12-31T23:59:59.999Z",
                                                        "2024-01-01T00:00:00+0130",
                                                        "2024-01-01T00:00:00.250-2359",
                                                        "0000-01-01",
                                                        "9999-12-31T23:59:59.999Z"};
constexpr std::array<std::string_view, 9> kDurations = {
    "0ms", "1d", "-1d2h", "1d2h3m4s5ms", "36h", "-5ms", "9223372036854775807ms", "-9223372036854775808ms", "90s"};

// Texts and how tightly they bind, as the grammar nests.
struct Written {
  enum Level { kIf, kOr, kAnd, kRelation, kSum, kProduct, kUnary, kMember };
  std::string text;
  Level level = kMember;
};

class ExpressionWriter {
 public:
  explicit ExpressionWriter(Dice& dice) : dice_(dice) {}
  Written write(Meant kind, int depth);
  std::string at_least(Written::Level level, Meant kind, int depth);
  std::string entity_literal();

 private:
  Written boolean(int depth);
  Written boolean_leaf();
  Written connective(int depth);
  Written comparison(int depth);
  Written membership(int depth);
  Written presence(int depth);
  Written set_test(int depth);
  Written extension_test(int depth);
  Written like(int depth);
  Written is_type(int depth);
  Written number(int depth);
  Written number_leaf();
  Written entity(int depth);
  Written set(Meant element, int depth);
  Written record(int depth);
  Written extension_value(Meant kind, int depth);
  Written constructor(std::string_view name, std::string_view argument, int depth);
  Written attribute(Meant kind, int depth);
  Written tag(int depth);
  Written conditional(Meant kind, int depth);
  std::string receiver(int depth);
  std::string string_literal();
  std::string list(std::string_view open, const std::vector<std::string>& items, std::string_view close);

  Dice& dice_;
};

std::string quoted(std::string_view text);

}  // namespace wary::test
