#include "tidy/rules.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

namespace wary::tidy {

namespace {

constexpr std::size_t kFileLines = 1000;
constexpr std::size_t kFunctionLines = 70;
constexpr std::size_t kColumns = 120;

const std::map<std::string_view, int>& layers() {
  static const std::map<std::string_view, int> kLayers = {
      {"base", 0},      {"codec", 1},     {"crypto", 2},   {"io", 2},      {"cedar", 2},      {"engine", 3},
      {"contract", 3},  {"schema", 3},    {"keystore", 3}, {"http", 3},    {"spiffe", 3},     {"analysis", 4},
      {"telemetry", 4}, {"store", 4},     {"ledger", 4},   {"policy", 5},  {"link", 5},       {"enforce", 6},
      {"pdp", 7},       {"identity", 7},  {"workload", 7}, {"gateway", 7}, {"risk", 7},       {"tunnel", 7},
      {"mesh", 7},      {"segment", 7},   {"endpoint", 7}, {"detect", 7},  {"respond", 7},    {"supply", 7},
      {"keys", 7},      {"dataguard", 7}, {"comply", 7},   {"learn", 7},   {"federation", 7}, {"node", 7},
      {"control", 8},   {"cli", 8},       {"apps", 9}};
  return kLayers;
}

struct Ban {
  std::string_view text;               // a whole word, or an include
  std::set<std::string_view> allowed;  // folders
  std::string_view replacement;
};

const std::vector<Ban>& bans() {
  static const std::vector<Ban> kBans = {
      {"std::regex", {}, "a hand-written matcher, or RE2 in one wrapper"},
      {"system(", {}, "io::Process with an argument list"},
      {"popen(", {}, "io::Process with an argument list"},
      {"std::rand", {}, "the Random that main() hands down"},
      {"rand(", {}, "the Random that main() hands down"},
      {"memcmp(", {"crypto"}, "operator== for public bytes, equals_in_constant_time for secret ones"},
      {"time(", {"io"}, "the Clock that main() hands down"},
      {"gettimeofday(", {"io"}, "the Clock that main() hands down"},
      {"clock_gettime(", {"io"}, "the Clock that main() hands down"},
      {"steady_clock::now", {"io"}, "the Clock that main() hands down"},
      {"system_clock::now", {"io"}, "the Clock that main() hands down"},
      {"getenv(", {"apps"}, "an option that apps/ reads and hands down"},
      {"socket(", {"io"}, "io::Loop"},
      {"strtok(", {}, "a parser over string_view"},
      {"sprintf(", {}, "snprintf or string concatenation"},
      {"strcpy(", {}, "std::string"},
      {"alloca(", {}, "a vector"},
      {"co_await", {"cli", "control"}, "a state machine: g++ 12 destroys temporaries in co_await twice"},
      {"gmtime(", {}, "to_rfc3339"},
      {"<openssl/", {"crypto"}, "crypto/"},
      {"<sqlite3.h>", {"store"}, "store/"},
      {"<simdjson.h>", {"codec"}, "codec/json.h"},
      {"<seccomp.h>", {"io"}, "io/sandbox.h"},
      {"<nghttp2/", {"http"}, "http/http2.h"},
      {"<z3++.h>", {"analysis"}, "analysis/prove.h"},
      {"<iostream>", {}, "base/log.h, or std::fputs in apps/ and cli/"},
      {"<fstream>", {}, "io/files.h"},
      {"<filesystem>", {}, "io/files.h"},
      {"<regex>", {}, "a hand-written matcher"},
  };
  return kBans;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// `word` as a whole name: not the tail of a longer one, and not a member of some object ("clock.time(").
bool names_word(std::string_view line, std::string_view word) {
  for (std::size_t at = line.find(word); at != std::string_view::npos; at = line.find(word, at + 1)) {
    if (at == 0) return true;
    const char before = line[at - 1];
    if (is_word(before) || before == '.' || before == '>') continue;
    // Qualified by something other than std:: or the global scope: another function of the same name.
    if (before == ':' && word.find("::") == std::string_view::npos) {
      const std::string_view scope = line.substr(0, at);
      if (!scope.ends_with("std::") && !(scope == "::" || (scope.size() > 2 && !is_word(scope[scope.size() - 3]))))
        continue;
    }
    // "Clock time(" declares; a call follows an operator, a bracket, a keyword or starts the line.
    if (before == ' ' && word.ends_with("(")) {
      std::size_t end = at;
      while (end > 0 && line[end - 1] == ' ') --end;
      if (end > 0 && (is_word(line[end - 1]) || line[end - 1] == '>' || line[end - 1] == '&' || line[end - 1] == '*') &&
          !line.substr(0, end).ends_with("return") && !line.substr(0, end).ends_with("&&")) {
        continue;
      }
    }
    return true;
  }
  return false;
}

bool is_test(std::string_view path) {
  return path.find("_test.cc") != std::string_view::npos || path.find("_fuzz.cc") != std::string_view::npos;
}

std::string place(const Source& source, std::size_t line) { return source.path + ":" + std::to_string(line + 1); }

// The text before an opening brace tells a function body from a namespace, a type or an initialiser.
bool opens_function(std::string_view before) {
  while (!before.empty() && std::isspace(static_cast<unsigned char>(before.back())) != 0) before.remove_suffix(1);
  const std::size_t start = before.find_last_of(";{}");
  std::string_view head = start == std::string_view::npos ? before : before.substr(start + 1);
  if (head.find('(') == std::string_view::npos) return false;
  for (const std::string_view word : {"namespace ", "class ", "struct ", "enum ", "union "}) {
    const std::size_t at = head.find(word);
    if (at != std::string_view::npos && head.find('(') > at && head.find(')') == std::string_view::npos) return false;
  }
  return head.ends_with(")") || head.ends_with("const") || head.ends_with("override") || head.ends_with("noexcept") ||
         head.ends_with("final") || head.find("->") != std::string_view::npos ||
         head.find(") :") != std::string_view::npos || head.find(")\n") != std::string_view::npos;
}

void check_functions(const Source& source, std::vector<Finding>& findings) {
  struct Open {
    std::size_t line;
    bool function;
  };
  std::vector<Open> stack;
  std::size_t line = 0;
  std::size_t inside = 0;  // open function bodies
  const std::string_view code = source.code;
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (code[i] == '\n') ++line;
    if (code[i] == '{') {
      const bool function = inside == 0 && opens_function(code.substr(0, i));
      stack.push_back({line, function});
      if (function) ++inside;
    } else if (code[i] == '}' && !stack.empty()) {
      const Open open = stack.back();
      stack.pop_back();
      if (!open.function) continue;
      --inside;
      if (line - open.line > kFunctionLines) {
        findings.push_back({place(source, open.line), "function_length",
                            std::to_string(line - open.line) + " lines; at most 70: move the leaves out"});
      }
    }
  }
}

// Names of functions `parse_x(` or `decode_x(` in a header whose first parameter is bytes or text.
std::vector<std::string> parsers_in(const Source& source) {
  std::vector<std::string> names;
  for (const std::string_view line : lines_of(source.code)) {
    for (const std::string_view prefix : {"parse_", "decode_"}) {
      const std::size_t at = line.find(prefix);
      if (at == std::string_view::npos || (at > 0 && is_word(line[at - 1]))) continue;
      std::size_t end = at;
      while (end < line.size() && is_word(line[end])) ++end;
      if (end >= line.size() || line[end] != '(') continue;
      const std::string_view parameters = line.substr(end);
      const bool raw = parameters.find("string_view") != std::string_view::npos ||
                       parameters.find("ByteView") != std::string_view::npos ||
                       parameters.find("span<const std::uint8_t>") != std::string_view::npos;
      if (raw) names.emplace_back(line.substr(at, end - at));
    }
  }
  return names;
}

}  // namespace

void check_layers(const Source& source, std::vector<Finding>& findings) {
  const std::string_view folder = folder_of(source.path);
  const auto own = layers().find(folder);
  if (folder.empty()) return;
  if (own == layers().end()) {
    findings.push_back({place(source, 0), "layer", "folder " + std::string(folder) + " has no layer"});
    return;
  }
  const auto lines = lines_of(source.code);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    constexpr std::string_view kInclude = "#include \"";
    if (!lines[i].starts_with(kInclude)) continue;
    const std::string_view target = lines[i].substr(kInclude.size());
    const std::string_view other = target.substr(0, target.find('/'));
    if (other == folder || (other == "tests" && is_test(source.path))) continue;
    const auto found = layers().find(other);
    if (found == layers().end() || found->second >= own->second) {
      findings.push_back({place(source, i), "layer",
                          std::string(folder) + " may include lower layers only, not " + std::string(other)});
    }
  }
}

void check_banned(const Source& source, std::vector<Finding>& findings) {
  const std::string_view folder = folder_of(source.path);
  if (folder.empty() || is_test(source.path)) return;
  const auto lines = lines_of(source.code);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const Ban& ban : bans()) {
      if (ban.allowed.contains(folder)) continue;
      const bool include = ban.text.starts_with('<');
      const bool hit = include ? lines[i].starts_with("#include") && lines[i].find(ban.text) != std::string_view::npos
                               : names_word(lines[i], ban.text);
      if (hit) {
        findings.push_back({place(source, i), "banned",
                            std::string(ban.text) + " is not used here; use " + std::string(ban.replacement)});
      }
    }
  }
}

void check_size(const Source& source, std::vector<Finding>& findings) {
  const auto lines = lines_of(source.text);
  if (lines.size() > kFileLines) {
    findings.push_back({place(source, 0), "file_length", std::to_string(lines.size()) + " lines; a file is one idea"});
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].size() > kColumns) {
      findings.push_back({place(source, i), "line_length", std::to_string(lines[i].size()) + " columns; at most 120"});
    }
    // Put together here so that this file does not find itself.
    for (const std::string& word : {std::string("FIX") + "ME", std::string("TO") + "DO", std::string("XX") + "X:"}) {
      if (names_word(lines[i], word)) {
        findings.push_back({place(source, i), "leftover", word + ": do it, or say in the docs what is not there"});
      }
    }
  }
  if (!is_test(source.path)) check_functions(source, findings);
}

void check_header(const Source& source, std::vector<Finding>& findings) {
  if (!source.path.ends_with(".h") || folder_of(source.path).empty()) return;
  if (!source.text.starts_with("// ")) {
    findings.push_back({place(source, 0), "header_open", "a header starts with a comment that says what it is"});
  }
  if (source.text.find("#pragma once") == std::string::npos) {
    findings.push_back({place(source, 0), "header_open", "a header has #pragma once"});
  }
}

void check_parsers(const std::vector<Source>& sources, std::vector<Finding>& findings) {
  for (const Source& header : sources) {
    const std::string_view folder = folder_of(header.path);
    if (!header.path.ends_with(".h") || folder.empty()) continue;
    for (const std::string& name : parsers_in(header)) {
      const bool fuzzed = std::any_of(sources.begin(), sources.end(), [&](const Source& other) {
        return other.path.ends_with("_fuzz.cc") && folder_of(other.path) == folder &&
               other.code.find(name + "(") != std::string::npos;
      });
      if (!fuzzed) findings.push_back({place(header, 0), "parser_fuzz", name + " has no fuzz target in its folder"});
    }
  }
}

std::vector<Finding> check_all(const std::vector<Source>& sources) {
  std::vector<Finding> findings;
  for (const Source& source : sources) {
    check_layers(source, findings);
    check_banned(source, findings);
    check_size(source, findings);
    check_header(source, findings);
  }
  check_parsers(sources, findings);
  return findings;
}

}  // namespace wary::tidy
