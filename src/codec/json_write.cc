// The JSON writer: what it writes, parse_json reads back as the same value.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "codec/json.h"
#include "codec/text.h"

namespace wary::codec {

namespace {

struct Style {
  bool pretty = false;
  bool sorted = false;
};

void append_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";  // as ECMAScript's JSON.stringify: JSON has no word for it
    return;
  }
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  const std::string_view digits(text.data(), static_cast<std::size_t>(end - text.data()));
  out += digits;
  // Keeps a double a double when it is read back.
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void append_line(std::string& out, std::size_t depth) {
  out += '\n';
  out.append(2 * depth, ' ');
}

void append_value(std::string& out, const Json& json, Style style, std::size_t depth);

void append_array(std::string& out, const Json& json, Style style, std::size_t depth) {
  out += '[';
  bool first = true;
  for (const Json& item : json.items()) {
    if (!first) out += ',';
    first = false;
    if (style.pretty) append_line(out, depth + 1);
    append_value(out, item, style, depth + 1);
  }
  if (style.pretty && !first) append_line(out, depth);
  out += ']';
}

void append_member(std::string& out, const Json::Member& member, bool is_first, Style style, std::size_t depth) {
  if (!is_first) out += ',';
  if (style.pretty) append_line(out, depth + 1);
  append_json_string(out, member.first);
  out += style.pretty ? ": " : ":";
  append_value(out, member.second, style, depth + 1);
}

void append_sorted(std::string& out, const std::vector<Json::Member>& members, Style style, std::size_t depth) {
  std::vector<const Json::Member*> sorted;
  sorted.reserve(members.size());
  for (const Json::Member& member : members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  for (const Json::Member* member : sorted) append_member(out, *member, member == sorted.front(), style, depth);
}

void append_object(std::string& out, const Json& json, Style style, std::size_t depth) {
  const std::vector<Json::Member>& members = json.members();
  out += '{';
  if (style.sorted && members.size() > 1) {
    append_sorted(out, members, style, depth);
  } else {
    for (const Json::Member& member : members) append_member(out, member, &member == members.data(), style, depth);
  }
  if (style.pretty && !members.empty()) append_line(out, depth);
  out += '}';
}

void append_value(std::string& out, const Json& json, Style style, std::size_t depth) {
  switch (json.type()) {
    case Json::Type::kNull: out += "null"; return;
    case Json::Type::kBool: out += json.as_bool() ? "true" : "false"; return;
    case Json::Type::kInteger: out += std::to_string(json.as_integer()); return;
    case Json::Type::kNumber: append_number(out, json.as_number()); return;
    case Json::Type::kString: append_json_string(out, json.as_string()); return;
    case Json::Type::kArray: append_array(out, json, style, depth); return;
    case Json::Type::kObject: append_object(out, json, style, depth); return;
  }
}

void append_escape(std::string& out, unsigned char byte) {
  switch (byte) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  out += "\\u00";
  out += kHex[byte >> 4];
  out += kHex[byte & 0xf];
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain = 0;  // start of the run not yet copied
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
      ++i;
      continue;
    }
    const std::size_t length = byte < 0x80 ? 0 : utf8_length_at(text, i);
    if (length != 0) {
      i += length;
      continue;
    }
    out += text.substr(plain, i - plain);
    if (byte < 0x80) {
      append_escape(out, byte);
    } else {
      out += "\xef\xbf\xbd";  // U+FFFD: what is written must always be read back
    }
    plain = ++i;
  }
  out += text.substr(plain);
  out += '"';
}

std::string Json::to_string() const {
  std::string out;
  append_value(out, *this, {}, 0);
  return out;
}
std::string Json::to_pretty_string() const {
  std::string out;
  append_value(out, *this, {.pretty = true}, 0);
  return out;
}
std::string Json::to_canonical_string() const {
  std::string out;
  append_value(out, *this, {.sorted = true}, 0);
  return out;
}

}  // namespace wary::codec
