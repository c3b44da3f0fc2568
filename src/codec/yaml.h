// YAML 1.2, the part of it that reads one way: block and flow mappings and sequences, plain and quoted scalars, literal
// and folded blocks, comments, documents. It becomes Json, with the place of every node for later errors.
//
//   WARY_ASSIGN_OR_RETURN(auto documents, codec::parse_yaml(text, "app.yaml"));
//   const codec::YamlNode* node = documents[0].find("/spec/port");   // JSON pointer
//   fail(...).at(codec::place(documents[0].file, node->value));      // "app.yaml:7:9"
//
// Scalars follow the core schema: null, true, false, integers (int64), floats; everything else is a string ("no" too).
// Keys are strings. Refused with their own codes: anchors yaml_anchor, aliases yaml_alias, tags yaml_tag, merge keys
// yaml_merge_key, keys that are no scalars on one line yaml_complex_key, tabs that indent yaml_tab, duplicate keys
// yaml_duplicate_key, directives yaml_directive; also yaml_syntax, yaml_indent, yaml_escape, yaml_utf8,
// yaml_integer_range, yaml_number_range, yaml_depth, yaml_items, yaml_size. `where` is file:line:column.
// Values; any thread. Limits: as JSON; a key is at most 1,024 bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "codec/json.h"
#include "codec/text.h"

namespace wary::codec {

struct YamlNode {
  std::size_t parent = 0;  // index; the root's own is 0
  std::string name;        // key, or index in the sequence as digits
  TextPosition key;        // of the member's key; of the value where there is none
  TextPosition value;
};

struct YamlDocument {
  std::string file;
  Json value;
  std::vector<YamlNode> nodes;  // in the order of the text, parents first
  // The node of that JSON pointer (RFC 6901), or the nearest one above it that exists.
  const YamlNode& find(std::string_view pointer) const;
};

std::string place(std::string_view file, TextPosition position);  // "file:line:column"

// No document at all gives an empty list. `file` is for messages only.
Result<std::vector<YamlDocument>> parse_yaml(std::string_view text, std::string_view file, const Limits& limits = {});

}  // namespace wary::codec
