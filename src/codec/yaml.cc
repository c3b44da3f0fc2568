// YAML structure: documents, block collections, flow collections.
#include "codec/yaml.h"

#include <unordered_set>

#include "codec/yaml_reader.h"

namespace wary::codec {

namespace {

constexpr std::size_t kKeyBytes = 1024;

class Parser {
 public:
  Parser(std::string_view text, std::string_view file, const Limits& limits)
      : reader_(text, file), file_(file), limits_(limits) {}

  Result<std::vector<YamlDocument>> stream() {
    std::vector<YamlDocument> documents;
    bool bare_allowed = true;  // only the first document, or one after "...", may lack its marker
    WARY_RETURN_IF_ERROR(reader_.next_line());
    while (!reader_.at_end()) {
      if (reader_.is_marker("...")) {
        reader_.advance(3);
        WARY_RETURN_IF_ERROR(reader_.finish_line());
        WARY_RETURN_IF_ERROR(reader_.next_line());
        bare_allowed = true;
        continue;
      }
      const bool explicit_start = reader_.is_marker("---");
      if (!explicit_start && !bare_allowed) return reader_.refuse("yaml_syntax", "the document has a value already");
      YamlDocument& document = documents.emplace_back();
      document.file = file_;
      nodes_ = &document.nodes;
      total_ = 0;
      parent_ = 0;
      name_.clear();
      key_position_ = reader_.position();
      WARY_RETURN_IF_ERROR(explicit_start ? marked(document.value) : node(-1, 0, document.value));
      if (reader_.indent() >= 0) return reader_.refuse("yaml_indent", "this belongs to nothing before it");
      bare_allowed = false;
    }
    return documents;
  }

 private:
  Status marked(Json& out) {
    reader_.advance(3);
    if (reader_.rest_is_blank()) {
      WARY_RETURN_IF_ERROR(reader_.finish_line());
      WARY_RETURN_IF_ERROR(reader_.next_line());
      return reader_.indent() >= 0 ? node(-1, 0, out) : note();
    }
    reader_.skip_spaces();
    return inline_value(-1, 0, out);
  }

  Status note() {
    if (++total_ > limits_.total) return reader_.refuse("yaml_items", "the document has more nodes than allowed");
    nodes_->push_back({parent_, name_, key_position_, reader_.position()});
    return {};
  }

  Status check_depth(std::size_t depth) {
    if (depth > limits_.depth) return reader_.refuse("yaml_depth", "the node is nested deeper than allowed");
    return {};
  }

  // At the first byte of a node that is deeper than `parent`.
  Status node(int parent, std::size_t depth, Json& out) {
    if (reader_.starts_entry('-')) {
      WARY_RETURN_IF_ERROR(note());
      return sequence(reader_.column(), depth + 1, out);
    }
    if (reader_.starts_entry('?')) return reader_.refuse("yaml_complex_key", "a key is a scalar on one line");
    WARY_ASSIGN_OR_RETURN(const bool key, reader_.has_key());
    WARY_RETURN_IF_ERROR(note());
    if (key) return mapping(reader_.column(), depth + 1, out);
    return leaf(parent, depth, out);
  }

  // On the line of a key or document marker: neither a sequence nor another key may start here.
  Status inline_value(int parent, std::size_t depth, Json& out) {
    if (reader_.peek() == '\t') return reader_.refuse("yaml_tab", "a value is set apart with spaces");
    if (reader_.starts_entry('-')) return reader_.refuse("yaml_syntax", "a sequence starts on its own line");
    WARY_ASSIGN_OR_RETURN(const bool key, reader_.has_key());
    if (key) return reader_.refuse("yaml_syntax", "a second key on one line; quote the value");
    WARY_RETURN_IF_ERROR(note());
    return leaf(parent, depth, out);
  }

  Status leaf(int parent, std::size_t depth, Json& out) {
    switch (reader_.peek()) {
      case '|':
      case '>': {
        WARY_ASSIGN_OR_RETURN(std::string text, reader_.block_scalar(parent));
        out = Json(std::move(text));
        return reader_.next_line();
      }
      case '"':
      case '\'': {
        WARY_ASSIGN_OR_RETURN(std::string text, reader_.quoted(parent));
        out = Json(std::move(text));
        break;
      }
      case '[': WARY_RETURN_IF_ERROR(flow_sequence(parent, depth + 1, out)); break;
      case '{': WARY_RETURN_IF_ERROR(flow_mapping(parent, depth + 1, out)); break;
      default: {
        WARY_ASSIGN_OR_RETURN(out, reader_.plain(parent, false));
        break;
      }
    }
    WARY_RETURN_IF_ERROR(reader_.finish_line());
    return reader_.next_line();
  }

  Status sequence(int column, std::size_t depth, Json& out) {
    WARY_RETURN_IF_ERROR(check_depth(depth));
    out = Json::array();
    const std::size_t self = nodes_->size() - 1;
    while (reader_.indent() == column || out.items().empty()) {
      if (!reader_.starts_entry('-')) break;
      if (out.items().size() >= limits_.items) return reader_.refuse("yaml_items", "the sequence is too long");
      const Child child(*this, self, std::to_string(out.items().size()));
      key_position_ = reader_.position();
      reader_.advance();
      Json& item = out.items().emplace_back();
      if (reader_.rest_is_blank()) {
        WARY_RETURN_IF_ERROR(reader_.finish_line());
        WARY_RETURN_IF_ERROR(reader_.next_line());
        WARY_RETURN_IF_ERROR(reader_.indent() > column ? node(column, depth, item) : note());
      } else {
        reader_.skip_spaces();
        if (reader_.peek() == '\t') return reader_.refuse("yaml_tab", "an entry is set apart with spaces");
        key_position_ = reader_.position();
        WARY_RETURN_IF_ERROR(node(column, depth, item));
      }
      if (reader_.indent() > column) return reader_.refuse("yaml_indent", "this is deeper than the entry before it");
    }
    return {};
  }

  Status mapping(int column, std::size_t depth, Json& out) {
    WARY_RETURN_IF_ERROR(check_depth(depth));
    out = Json::object();
    const std::size_t self = nodes_->size() - 1;
    std::unordered_set<std::string> names;
    do {
      const TextPosition key_position = reader_.position();
      WARY_ASSIGN_OR_RETURN(std::string name, block_key(names));
      const Child child(*this, self, name);
      key_position_ = key_position;
      out.members().emplace_back(std::move(name), Json());
      WARY_RETURN_IF_ERROR(member_value(column, depth, out.members().back().second));
      if (reader_.indent() > column) return reader_.refuse("yaml_indent", "this is deeper than the key before it");
    } while (reader_.indent() == column);
    return {};
  }

  Status member_value(int column, std::size_t depth, Json& out) {
    if (!reader_.rest_is_blank()) {
      reader_.skip_spaces();
      return inline_value(column, depth, out);
    }
    WARY_RETURN_IF_ERROR(reader_.finish_line());
    WARY_RETURN_IF_ERROR(reader_.next_line());
    if (reader_.indent() > column) return node(column, depth, out);
    WARY_RETURN_IF_ERROR(note());
    // A sequence may stand at the column of its key.
    if (reader_.indent() == column && reader_.starts_entry('-')) return sequence(column, depth + 1, out);
    return {};
  }

  // The key and its colon.
  Result<std::string> block_key(std::unordered_set<std::string>& names) {
    if (reader_.starts_entry('-')) return reader_.refuse("yaml_indent", "a sequence entry among keys");
    if (reader_.starts_entry('?')) return reader_.refuse("yaml_complex_key", "a key is a scalar on one line");
    WARY_ASSIGN_OR_RETURN(const bool key, reader_.has_key());
    if (!key) return reader_.refuse("yaml_syntax", "a key and a colon are expected");
    const YamlReader start = reader_;
    WARY_ASSIGN_OR_RETURN(std::string name, key_text(false));
    reader_.skip_blanks();
    reader_.advance();  // the colon has_key saw
    return checked_key(std::move(name), start, names);
  }

  Result<std::string> key_text(bool in_flow) {
    if (reader_.peek() == '"' || reader_.peek() == '\'') return reader_.quoted(-1);
    const YamlReader start = reader_;
    WARY_RETURN_IF_ERROR(reader_.check_plain_start(in_flow));
    bool commented = false;
    WARY_ASSIGN_OR_RETURN(std::string name, reader_.plain_line(in_flow, commented));
    if (name == "<<") return start.refuse("yaml_merge_key", "merge keys are not used here");
    if (name.empty()) return start.refuse("yaml_complex_key", "a key is not empty");
    return name;
  }

  Result<std::string> checked_key(std::string name, const YamlReader& start, std::unordered_set<std::string>& names) {
    if (name.size() > kKeyBytes) return start.refuse("yaml_size", "a key is at most 1,024 bytes");
    if (names.size() >= limits_.items) return start.refuse("yaml_items", "the mapping has too many keys");
    if (!names.insert(name).second) return start.refuse("yaml_duplicate_key", "the mapping has this key already");
    return name;
  }

  // Between the tokens of a flow collection: blanks, comments, and lines deeper than `parent`.
  Status flow_space(int parent) {
    while (true) {
      reader_.skip_blanks();
      if (reader_.is_comment()) {
        while (!reader_.is_break()) reader_.advance();
      }
      if (reader_.at_end()) return reader_.refuse("yaml_syntax", "the flow collection is not closed");
      if (!reader_.is_break()) return {};
      reader_.skip_break();
      reader_.skip_spaces();
      if (reader_.rest_is_blank()) continue;
      if (reader_.column() <= parent || reader_.is_document_marker()) {
        return reader_.refuse("yaml_indent", "a flow collection goes on deeper than what holds it");
      }
    }
  }

  Status flow_node(int parent, std::size_t depth, Json& out) {
    WARY_RETURN_IF_ERROR(note());
    switch (reader_.peek()) {
      case '[': return flow_sequence(parent, depth + 1, out);
      case '{': return flow_mapping(parent, depth + 1, out);
      case '"':
      case '\'': {
        WARY_ASSIGN_OR_RETURN(std::string text, reader_.quoted(parent));
        out = Json(std::move(text));
        return {};
      }
      default: break;
    }
    WARY_ASSIGN_OR_RETURN(out, reader_.plain(parent, true));
    return {};
  }

  Status flow_sequence(int parent, std::size_t depth, Json& out) {
    WARY_RETURN_IF_ERROR(check_depth(depth));
    out = Json::array();
    const std::size_t self = nodes_->size() - 1;
    reader_.advance();
    while (true) {
      WARY_RETURN_IF_ERROR(flow_space(parent));
      if (reader_.peek() == ']') break;
      if (out.items().size() >= limits_.items) return reader_.refuse("yaml_items", "the sequence is too long");
      const Child child(*this, self, std::to_string(out.items().size()));
      key_position_ = reader_.position();
      WARY_RETURN_IF_ERROR(flow_node(parent, depth, out.items().emplace_back()));
      WARY_RETURN_IF_ERROR(flow_space(parent));
      if (reader_.peek() == ':')
        return reader_.refuse("yaml_complex_key", "a pair in a sequence is written {key: value}");
      if (reader_.peek() == ']') break;
      if (reader_.peek() != ',') return reader_.refuse("yaml_syntax", "entries are set apart by commas");
      reader_.advance();
    }
    reader_.advance();
    return {};
  }

  Status flow_mapping(int parent, std::size_t depth, Json& out) {
    WARY_RETURN_IF_ERROR(check_depth(depth));
    out = Json::object();
    const std::size_t self = nodes_->size() - 1;
    std::unordered_set<std::string> names;
    reader_.advance();
    while (true) {
      WARY_RETURN_IF_ERROR(flow_space(parent));
      if (reader_.peek() == '}') break;
      const TextPosition key_position = reader_.position();
      WARY_ASSIGN_OR_RETURN(std::string name, flow_key(names));
      const Child child(*this, self, name);
      key_position_ = key_position;
      Json& value = out.members().emplace_back(std::move(name), Json()).second;
      WARY_RETURN_IF_ERROR(flow_space(parent));
      if (reader_.peek() == ',' || reader_.peek() == '}') {
        WARY_RETURN_IF_ERROR(note());
      } else {
        WARY_RETURN_IF_ERROR(flow_node(parent, depth, value));
      }
      WARY_RETURN_IF_ERROR(flow_space(parent));
      if (reader_.peek() == '}') break;
      if (reader_.peek() != ',') return reader_.refuse("yaml_syntax", "members are set apart by commas");
      reader_.advance();
    }
    reader_.advance();
    return {};
  }

  Result<std::string> flow_key(std::unordered_set<std::string>& names) {
    if (reader_.peek() == '[' || reader_.peek() == '{' || reader_.starts_entry('?') || reader_.starts_entry(':')) {
      return reader_.refuse("yaml_complex_key", "a key is a scalar on one line");
    }
    const bool is_quoted = reader_.peek() == '"' || reader_.peek() == '\'';
    const YamlReader start = reader_;
    WARY_ASSIGN_OR_RETURN(std::string name, key_text(true));
    if (reader_.position().line != start.position().line) {
      return start.refuse("yaml_complex_key", "a key is a scalar on one line");
    }
    reader_.skip_blanks();
    if (reader_.peek() != ':') return reader_.refuse("yaml_syntax", "a key is followed by a colon");
    reader_.advance();
    const char next = reader_.peek();
    const bool apart = next == ' ' || next == '\t' || reader_.is_break() || next == ',' || next == '}' || next == ']' ||
                       next == '[' || next == '{';
    if (!is_quoted && !apart) return reader_.refuse("yaml_syntax", "a space follows the colon");
    return checked_key(std::move(name), start, names);
  }

  // Says whose child the next node is, and what it is called there.
  class Child {
   public:
    Child(Parser& parser, std::size_t parent, std::string name) : parser_(parser), before_(parser.parent_) {
      parser.parent_ = parent;
      parser.name_ = std::move(name);
    }
    ~Child() { parser_.parent_ = before_; }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

   private:
    Parser& parser_;
    std::size_t before_;
  };

  YamlReader reader_;
  std::string_view file_;
  const Limits& limits_;
  std::vector<YamlNode>* nodes_ = nullptr;
  std::size_t parent_ = 0;
  std::string name_;
  TextPosition key_position_;
  std::size_t total_ = 0;
};

Error refuse_text(std::string_view text, std::size_t at, std::string_view file, std::string_view code,
                  std::string_view message) {
  return fail(ErrorKind::kInvalid, code, message).at(place(file, position_of(text, at)));
}

// Line feeds only, UTF-8, no control characters: what the reader may rely on.
Result<std::string> prepare(std::string_view text, std::string_view file) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length_at(text, i);
    if (length == 0) return refuse_text(text, i, file, "yaml_utf8", "the text is UTF-8");
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool carriage_return = byte == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    const bool mark = text.substr(i, 3) == "\xef\xbb\xbf";
    if ((byte < 0x20 && byte != '\n' && byte != '\t' && !carriage_return) || byte == 0x7f || mark) {
      return refuse_text(text, i, file, "yaml_syntax", "control characters are written as escapes in double quotes");
    }
    if (!carriage_return) out += text.substr(i, length);
    i += length;
  }
  return out;
}

}  // namespace

std::string place(std::string_view file, TextPosition position) {
  std::string out(file);
  if (!out.empty()) out += ':';
  return out + std::to_string(position.line) + ":" + std::to_string(position.column);
}

const YamlNode& YamlDocument::find(std::string_view pointer) const {
  WARY_CHECK(!nodes.empty());
  std::size_t current = 0;
  while (pointer.starts_with('/')) {
    const std::size_t end = std::min(pointer.find('/', 1), pointer.size());
    std::string name;
    for (std::size_t i = 1; i < end; ++i) {
      const bool escaped = pointer[i] == '~' && i + 1 < end;
      name += !escaped ? pointer[i] : pointer[++i] == '1' ? '/' : '~';
    }
    pointer.remove_prefix(end);
    std::size_t next = current + 1;  // children come after their parent
    while (next < nodes.size() && (nodes[next].parent != current || nodes[next].name != name)) ++next;
    if (next >= nodes.size()) break;
    current = next;
  }
  return nodes[current];
}

Result<std::vector<YamlDocument>> parse_yaml(std::string_view text, std::string_view file, const Limits& limits) {
  if (text.size() > limits.bytes) return refuse_text(text, limits.bytes, file, "yaml_size", "the text is too long");
  WARY_ASSIGN_OR_RETURN(const std::string prepared, prepare(text, file));
  return Parser(prepared, file, limits).stream();
}

}  // namespace wary::codec
