// Compiling: one table row a keyword.
#include "codec/json_schema.h"

#include <algorithm>
#include <array>
#include <map>

#include "codec/json_schema_impl.h"
#include "codec/text.h"

namespace wary::codec {

namespace {

constexpr std::size_t kDepth = 64;

class Compiler {
 public:
  explicit Compiler(std::vector<SchemaNode>& nodes) : nodes_(nodes) {}

  Status compile(const Json& root) {
    nodes_.emplace_back();
    if (const Json* defs = root.find("$defs"); defs != nullptr && defs->is_object()) {
      for (const auto& [name, schema] : defs->members()) {
        defs_["#/$defs/" + name] = nodes_.size();
        nodes_.emplace_back();
      }
      for (const auto& [name, schema] : defs->members()) {
        const Step step(*this, "$defs"), inner(*this, name);
        WARY_RETURN_IF_ERROR(fill(defs_["#/$defs/" + name], schema, 1));
      }
    }
    defs_["#"] = 0;
    WARY_RETURN_IF_ERROR(fill(0, root, 0));
    return check_loops();
  }

 private:
  using Index = SchemaNode::Index;
  using Row = Status (Compiler::*)(Index, const Json&, std::size_t depth);
  struct Keyword {
    std::string_view name;
    Row row;
  };

  // A step into the schema, for the pointer in errors.
  class Step {
   public:
    Step(Compiler& compiler, std::string_view token) : compiler_(compiler), size_(compiler.pointer_.size()) {
      append_pointer(compiler.pointer_, token);
    }
    ~Step() { compiler_.pointer_.resize(size_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Compiler& compiler_;
    std::size_t size_;
  };

  Error refuse(std::string_view code, std::string_view message) const {
    return fail(ErrorKind::kInvalid, code, message).at(pointer_.empty() ? "the root" : pointer_);
  }
  Error wrong(std::string_view expected) const {
    return refuse("schema_syntax", "the keyword's value is of another kind").expected(expected);
  }

  Status fill(Index index, const Json& schema, std::size_t depth) {
    if (depth > kDepth) return refuse("schema_depth", "the schema is nested too deep");
    if (schema.is_bool()) {
      nodes_[index].never = !schema.as_bool();
      return {};
    }
    if (!schema.is_object()) return refuse("schema_syntax", "a schema is an object or a boolean");
    for (const auto& [name, value] : schema.members()) {
      const Step step(*this, name);
      const auto rows = keywords();
      const auto row = std::find_if(rows.begin(), rows.end(), [&n = name](const Keyword& k) { return k.name == n; });
      if (row == rows.end()) return refuse("schema_keyword", "this keyword is not known here").found(name);
      WARY_RETURN_IF_ERROR((this->*row->row)(index, value, depth));
    }
    return {};
  }

  Result<Index> child(const Json& schema, std::size_t depth) {
    const Index index = nodes_.size();
    nodes_.emplace_back();
    WARY_RETURN_IF_ERROR(fill(index, schema, depth + 1));
    return index;
  }

  Status annotation(Index, const Json&, std::size_t) { return {}; }

  Status defs(Index index, const Json& value, std::size_t) {
    if (index != 0) return refuse("schema_keyword", "$defs stands at the root");
    return value.is_object() ? Status() : wrong("an object of schemas");
  }

  Status type(Index index, const Json& value, std::size_t) {
    constexpr std::array<std::string_view, 7> kNames = {"null",   "boolean", "integer", "number",
                                                        "string", "array",   "object"};
    const std::vector<Json> names = value.is_array() ? value.items() : std::vector<Json>{value};
    if (names.empty()) return wrong("a type name or a list of them");
    for (const Json& name : names) {
      const auto found = name.is_string() ? std::find(kNames.begin(), kNames.end(), name.as_string()) : kNames.end();
      if (found == kNames.end()) return wrong("a type name or a list of them");
      nodes_[index].types |= 1u << (found - kNames.begin());
    }
    return {};
  }

  Status properties(Index index, const Json& value, std::size_t depth) {
    if (!value.is_object()) return wrong("an object of schemas");
    std::vector<SchemaNode::Property> out;
    for (const auto& [name, schema] : value.members()) {
      const Step step(*this, name);
      WARY_ASSIGN_OR_RETURN(const Index property, child(schema, depth));
      out.push_back({name, property});
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    nodes_[index].properties = std::move(out);
    return {};
  }

  Status required(Index index, const Json& value, std::size_t) {
    if (!value.is_array()) return wrong("a list of names");
    for (const Json& name : value.items()) {
      if (!name.is_string()) return wrong("a list of names");
      nodes_[index].required.push_back(name.as_string());
    }
    return {};
  }

  Status one(Index index, const Json& value, std::size_t depth, std::optional<Index> SchemaNode::* slot) {
    WARY_ASSIGN_OR_RETURN(const Index schema, child(value, depth));
    nodes_[index].*slot = schema;
    return {};
  }
  Status additional(Index i, const Json& v, std::size_t d) { return one(i, v, d, &SchemaNode::additional); }
  Status items(Index i, const Json& v, std::size_t d) { return one(i, v, d, &SchemaNode::items); }

  Status several(Index index, const Json& value, std::size_t depth, std::vector<Index> SchemaNode::* slot) {
    if (!value.is_array() || value.items().empty()) return wrong("a list of schemas");
    std::vector<Index> out;
    for (std::size_t i = 0; i < value.items().size(); ++i) {
      const Step step(*this, std::to_string(i));
      WARY_ASSIGN_OR_RETURN(const Index schema, child(value.items()[i], depth));
      out.push_back(schema);
    }
    nodes_[index].*slot = std::move(out);
    return {};
  }
  Status any_of(Index i, const Json& v, std::size_t d) { return several(i, v, d, &SchemaNode::any_of); }
  Status one_of(Index i, const Json& v, std::size_t d) { return several(i, v, d, &SchemaNode::one_of); }
  Status all_of(Index i, const Json& v, std::size_t d) { return several(i, v, d, &SchemaNode::all_of); }

  Status choose(Index index, const std::vector<Json>& values) {
    std::vector<std::string> keys;
    for (const Json& value : values) {
      keys.push_back(schema_equality_key(value));
      nodes_[index].choices_text += (keys.size() > 1 ? ", " : "") + value.to_string();
    }
    if (nodes_[index].choices) return refuse("schema_syntax", "a schema has enum or const, not both");
    nodes_[index].choices = std::move(keys);
    return {};
  }
  Status enumeration(Index index, const Json& value, std::size_t) {
    return value.is_array() ? choose(index, value.items()) : Status(wrong("a list of values"));
  }
  Status constant(Index index, const Json& value, std::size_t) { return choose(index, {value}); }

  Status count(Index index, const Json& value, std::optional<std::size_t> SchemaNode::* slot) {
    const bool whole = value.is_integer() ||
                       (value.type() == Json::Type::kNumber && value.as_number() >= 0 && value.as_number() < 1e15 &&
                        value.as_number() == static_cast<double>(static_cast<std::int64_t>(value.as_number())));
    if (!whole || value.as_number() < 0) return wrong("a count");
    nodes_[index].*slot = static_cast<std::size_t>(value.as_number());
    return {};
  }
  Status min_items(Index i, const Json& v, std::size_t) { return count(i, v, &SchemaNode::min_items); }
  Status max_items(Index i, const Json& v, std::size_t) { return count(i, v, &SchemaNode::max_items); }
  Status min_length(Index i, const Json& v, std::size_t) { return count(i, v, &SchemaNode::min_length); }
  Status max_length(Index i, const Json& v, std::size_t) { return count(i, v, &SchemaNode::max_length); }

  Status unique_items(Index index, const Json& value, std::size_t) {
    if (!value.is_bool()) return wrong("true or false");
    nodes_[index].unique_items = value.as_bool();
    return {};
  }

  Status bound(Index index, const Json& value, std::optional<Json> SchemaNode::* slot) {
    if (!value.is_integer() && value.type() != Json::Type::kNumber) return wrong("a number");
    nodes_[index].*slot = value;
    return {};
  }
  Status minimum(Index i, const Json& v, std::size_t) { return bound(i, v, &SchemaNode::minimum); }
  Status maximum(Index i, const Json& v, std::size_t) { return bound(i, v, &SchemaNode::maximum); }
  Status above(Index i, const Json& v, std::size_t) { return bound(i, v, &SchemaNode::exclusive_minimum); }
  Status below(Index i, const Json& v, std::size_t) { return bound(i, v, &SchemaNode::exclusive_maximum); }

  Status pattern(Index index, const Json& value, std::size_t) {
    if (!value.is_string()) return wrong("a pattern");
    Result<Pattern> pattern = Pattern::compile(value.as_string());
    if (!pattern.ok()) return refuse("schema_syntax", pattern.error().message).found(value.as_string());
    nodes_[index].pattern = *std::move(pattern);
    nodes_[index].pattern_text = value.as_string();
    return {};
  }

  Status format(Index index, const Json& value, std::size_t) {
    if (!value.is_string() || !is_known_schema_format(value.as_string())) {
      return wrong("dns-label, hostname, uri or spiffe-id");
    }
    nodes_[index].format = value.as_string();
    return {};
  }

  Status ref(Index index, const Json& value, std::size_t) {
    if (!value.is_string()) return wrong("a reference");
    const auto found = defs_.find(value.as_string());
    if (found == defs_.end() && value.as_string() != "#") {
      return refuse("schema_ref", "a reference is # or #/$defs/NAME of this schema").found(value.as_string());
    }
    nodes_[index].ref = found == defs_.end() ? 0 : found->second;
    return {};
  }

  static std::vector<Keyword> keywords() {
    using C = Compiler;
    return {{"type", &C::type},
            {"properties", &C::properties},
            {"required", &C::required},
            {"additionalProperties", &C::additional},
            {"items", &C::items},
            {"enum", &C::enumeration},
            {"const", &C::constant},
            {"pattern", &C::pattern},
            {"format", &C::format},
            {"minimum", &C::minimum},
            {"maximum", &C::maximum},
            {"exclusiveMinimum", &C::above},
            {"exclusiveMaximum", &C::below},
            {"minLength", &C::min_length},
            {"maxLength", &C::max_length},
            {"minItems", &C::min_items},
            {"maxItems", &C::max_items},
            {"uniqueItems", &C::unique_items},
            {"anyOf", &C::any_of},
            {"oneOf", &C::one_of},
            {"allOf", &C::all_of},
            {"$ref", &C::ref},
            {"$defs", &C::defs},
            {"description", &C::annotation},
            {"default", &C::annotation},
            {"title", &C::annotation},
            {"examples", &C::annotation},
            {"$comment", &C::annotation},
            {"$schema", &C::annotation},
            {"$id", &C::annotation}};
  }

  // A schema that leads to itself on the same value would never end.
  Status check_loops() {
    std::vector<int> state(nodes_.size(), 0);  // 1: on the way, 2: done
    for (Index i = 0; i < nodes_.size(); ++i) {
      if (!ends(i, state, 0)) return refuse("schema_loop", "a schema leads to itself without a step into the value");
    }
    return {};
  }
  bool ends(Index index, std::vector<int>& state, std::size_t depth) {
    if (depth > kSchemaChain) return false;
    if (state[index] != 0) return state[index] == 2;
    state[index] = 1;
    const SchemaNode& node = nodes_[index];
    std::vector<Index> next = node.any_of;
    next.insert(next.end(), node.one_of.begin(), node.one_of.end());
    next.insert(next.end(), node.all_of.begin(), node.all_of.end());
    if (node.ref) next.push_back(*node.ref);
    for (const Index i : next) {
      if (!ends(i, state, depth + 1)) return false;
    }
    state[index] = 2;
    return true;
  }

  std::vector<SchemaNode>& nodes_;
  std::map<std::string, Index> defs_;
  std::string pointer_;
};

}  // namespace

void append_pointer(std::string& pointer, std::string_view token) {
  pointer += '/';
  for (const char byte : token) {
    if (byte == '~') {
      pointer += "~0";
    } else if (byte == '/') {
      pointer += "~1";
    } else {
      pointer += byte;
    }
  }
}

Error SchemaError::to_error() const {
  return fail(ErrorKind::kInvalid, code, message).at(pointer).expected(expected).found(found);
}

JsonSchema::JsonSchema(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JsonSchema::JsonSchema(JsonSchema&&) noexcept = default;
JsonSchema& JsonSchema::operator=(JsonSchema&&) noexcept = default;
JsonSchema::~JsonSchema() = default;

Result<JsonSchema> JsonSchema::compile(const Json& schema) {
  auto impl = std::make_unique<Impl>();
  WARY_RETURN_IF_ERROR(Compiler(impl->nodes).compile(schema));
  return JsonSchema(std::move(impl));
}

}  // namespace wary::codec
