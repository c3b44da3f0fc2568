#include "contract/entity.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "codec/text.h"

namespace wary::contract {

namespace {

constexpr std::size_t kFactsMax = 1024;
constexpr std::size_t kParentsMax = 256;
constexpr std::size_t kIdTextMax = 8 * 1024;
constexpr std::size_t kIdMax = 4 * 1024;

Error id_syntax(std::size_t offset, std::string_view message) {
  return fail(ErrorKind::kInvalid, "entity_id_syntax", message).at("offset " + std::to_string(offset));
}

bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Name::Name::Name; gives the offset after it.
Result<std::size_t> scan_type(std::string_view text) {
  std::size_t at = 0;
  for (;;) {
    if (at >= text.size() || !starts_name(text[at])) return id_syntax(at, "a type name was expected");
    while (at < text.size() && (starts_name(text[at]) || is_digit(text[at]))) ++at;
    if (!text.substr(at).starts_with("::")) return at;
    if (text.substr(at).starts_with("::\"")) return at;
    at += 2;
  }
}

// The escapes of Cedar's string literals (its grammar's STR): \n \r \t \\ \0 \' \" \xNN (below 80) \u{N..}.
Status read_escape(std::string_view text, std::size_t& at, std::string& out) {
  const std::size_t start = at;
  ++at;
  if (at >= text.size()) return id_syntax(start, "the escape is cut");
  const char kind = text[at++];
  switch (kind) {
    case 'n': out += '\n'; return {};
    case 'r': out += '\r'; return {};
    case 't': out += '\t'; return {};
    case '0': out += '\0'; return {};
    case '\\':
    case '\'':
    case '"': out += kind; return {};
    case 'x': {
      const int high = at < text.size() ? codec::hex_value(text[at]) : -1;
      const int low = at + 1 < text.size() ? codec::hex_value(text[at + 1]) : -1;
      if (high < 0 || high > 7 || low < 0) return id_syntax(start, "\\x takes 00 to 7f");
      out += static_cast<char>(high * 16 + low);
      at += 2;
      return {};
    }
    case 'u': {
      const std::size_t end = text.find('}', at);
      if (at >= text.size() || text[at] != '{' || end == text.npos || end - at < 2 || end - at > 7) {
        return id_syntax(start, "\\u takes {1 to 6 hex digits}");
      }
      std::uint32_t code = 0;
      const auto [stop, error] = std::from_chars(text.data() + at + 1, text.data() + end, code, 16);
      if (error != std::errc() || stop != text.data() + end || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return id_syntax(start, "\\u takes a Unicode scalar value");
      }
      codec::append_utf8(out, code);
      at = end + 1;
      return {};
    }
    default: return id_syntax(start, "this escape is not known");
  }
}

codec::Json id_json(const EntityId& id) { return codec::Json::object({{"type", id.type}, {"id", id.id}}); }

codec::Json facts_json(const std::vector<Fact>& facts) {
  codec::Json list = codec::Json::array();
  for (const Fact& fact : facts) {
    codec::Json item = codec::Json::object(
        {{"name", fact.name}, {"value", fact.value}, {"source", fact.source}, {"since", fact.since.nanos}});
    if (fact.expires) {
      item.set("expires", fact.expires->nanos);
      item.set("on_expiry", fact.on_expiry);
    }
    list.push(std::move(item));
  }
  return list;
}

// Reads an object member by member and refuses what nobody asked for.
class Reader {
 public:
  Reader(const codec::Json& json, std::string pointer) : json_(json), pointer_(std::move(pointer)) {}

  Status expect(std::initializer_list<std::string_view> required, std::initializer_list<std::string_view> optional) {
    if (!json_.is_object()) return error("entity_json_type", "an object was expected", "");
    for (const std::string_view name : required) {
      if (json_.find(name) == nullptr) return error("entity_json_missing", "a member is missing", name);
    }
    for (const auto& [name, value] : json_.members()) {
      const auto is = [&](std::string_view known) { return known == name; };
      if (!std::ranges::any_of(required, is) && !std::ranges::any_of(optional, is)) {
        return error("entity_json_unknown", "this member is not known", name);
      }
    }
    return {};
  }
  Result<std::string> text(std::string_view name, bool may_be_empty = false) {
    const codec::Json& value = *json_.find(name);
    if (!value.is_string()) return error("entity_json_type", "text was expected", name);
    if (value.as_string().empty() && !may_be_empty) return error("entity_json_value", "the text is empty", name);
    if (value.as_string().size() > kIdMax) return error("entity_json_value", "the text is too long", name);
    return value.as_string();
  }
  Result<UnixTime> time(std::string_view name) {
    const codec::Json& value = *json_.find(name);
    if (!value.is_integer()) return error("entity_json_type", "nanoseconds since 1970 were expected", name);
    return UnixTime{value.as_integer()};
  }
  Result<const std::vector<codec::Json>*> list(std::string_view name, std::size_t count_max) {
    const codec::Json& value = *json_.find(name);
    if (!value.is_array()) return error("entity_json_type", "an array was expected", name);
    if (value.items().size() > count_max) return error("entity_json_limit", "the array is too long", name);
    return &value.items();
  }
  Error error(std::string_view code, std::string_view message, std::string_view name) const {
    return fail(ErrorKind::kInvalid, code, message).at(place(name));
  }
  std::string place(std::string_view name) const {
    return name.empty() ? pointer_ : pointer_ + "/" + std::string(name);
  }
  const codec::Json& json() const { return json_; }

 private:
  const codec::Json& json_;
  std::string pointer_;
};

Result<EntityId> id_from(const codec::Json& json, std::string pointer) {
  Reader reader(json, std::move(pointer));
  WARY_RETURN_IF_ERROR(reader.expect({"type", "id"}, {}));
  WARY_ASSIGN_OR_RETURN(std::string type, reader.text("type"));
  WARY_ASSIGN_OR_RETURN(std::string id, reader.text("id", true));
  const auto end = scan_type(type);
  if (!end.ok() || *end != type.size()) return reader.error("entity_json_value", "this is no type name", "type");
  return EntityId{std::move(type), std::move(id)};
}

Result<std::vector<Fact>> facts_from(Reader& owner, std::string_view member) {
  WARY_ASSIGN_OR_RETURN(const auto* items, owner.list(member, kFactsMax));
  std::vector<Fact> facts;
  for (std::size_t i = 0; i < items->size(); ++i) {
    Reader reader((*items)[i], owner.place(member) + "/" + std::to_string(i));
    WARY_RETURN_IF_ERROR(reader.expect({"name", "value", "source", "since"}, {"expires", "on_expiry"}));
    Fact fact;
    WARY_ASSIGN_OR_RETURN(fact.name, reader.text("name"));
    WARY_ASSIGN_OR_RETURN(fact.source, reader.text("source"));
    WARY_ASSIGN_OR_RETURN(fact.since, reader.time("since"));
    fact.value = *reader.json().find("value");
    const bool has_expiry = reader.json().find("expires") != nullptr;
    // An expiry without its value would make the fact vanish, and a forbid with it.
    if (has_expiry != (reader.json().find("on_expiry") != nullptr)) {
      return reader.error("entity_json_missing", "expires and on_expiry stand together", "on_expiry");
    }
    if (has_expiry) {
      WARY_ASSIGN_OR_RETURN(fact.expires, reader.time("expires"));
      fact.on_expiry = *reader.json().find("on_expiry");
    }
    for (const Fact& other : facts) {
      if (other.name == fact.name) return reader.error("entity_json_value", "one fact has one owner", "name");
    }
    facts.push_back(std::move(fact));
  }
  return facts;
}

}  // namespace

std::string EntityId::to_string() const {
  std::string text;
  text.reserve(type.size() + id.size() + 8);
  append_to(text);
  return text;
}

void EntityId::append_to(std::string& text) const {
  text.append(type).append("::\"");
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : id) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      text += "\\x";
      text += kHex[byte >> 4];
      text += kHex[byte & 15];
    } else {
      text += c;
    }
  }
  text += '"';
}

Result<EntityId> parse_entity_id(std::string_view text) {
  if (text.size() > kIdTextMax) return id_syntax(kIdTextMax, "the entity id is too long");
  if (!codec::is_utf8(text)) return id_syntax(0, "the entity id is no UTF-8");
  WARY_ASSIGN_OR_RETURN(std::size_t at, scan_type(text));
  EntityId id{std::string(text.substr(0, at)), ""};
  if (!text.substr(at).starts_with("::\"")) return id_syntax(at, "::\" was expected");
  at += 3;
  while (at < text.size() && text[at] != '"') {
    if (text[at] == '\\') {
      WARY_RETURN_IF_ERROR(read_escape(text, at, id.id));
    } else {
      id.id += text[at++];
    }
  }
  if (at >= text.size()) return id_syntax(at, "the closing quote is missing");
  if (at + 1 != text.size()) return id_syntax(at + 1, "text follows the entity id");
  return id;
}

codec::Json to_json(const Entity& entity) {
  codec::Json parents = codec::Json::array();
  for (const EntityId& parent : entity.parents) parents.push(id_json(parent));
  return codec::Json::object({{"tenant", entity.tenant},
                              {"id", id_json(entity.id)},
                              {"parents", std::move(parents)},
                              {"attributes", facts_json(entity.attributes)},
                              {"tags", facts_json(entity.tags)}});
}

Result<Entity> entity_from_json(const codec::Json& json) {
  Reader reader(json, "");
  WARY_RETURN_IF_ERROR(reader.expect({"tenant", "id", "parents", "attributes", "tags"}, {}));
  Entity entity;
  WARY_ASSIGN_OR_RETURN(entity.tenant, reader.text("tenant"));
  WARY_ASSIGN_OR_RETURN(entity.id, id_from(*json.find("id"), "/id"));
  WARY_ASSIGN_OR_RETURN(const auto* parents, reader.list("parents", kParentsMax));
  for (std::size_t i = 0; i < parents->size(); ++i) {
    WARY_ASSIGN_OR_RETURN(EntityId parent, id_from((*parents)[i], "/parents/" + std::to_string(i)));
    entity.parents.push_back(std::move(parent));
  }
  WARY_ASSIGN_OR_RETURN(entity.attributes, facts_from(reader, "attributes"));
  WARY_ASSIGN_OR_RETURN(entity.tags, facts_from(reader, "tags"));
  return entity;
}

}  // namespace wary::contract
