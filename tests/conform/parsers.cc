// conform_parsers DIR: hostile-input corpora below DIR, each input by itself. Sets by folder: json_parsing (y_
// accepted, n_ refused), yaml_suite (each case of each file), the fuzzers' corpora of DER (no verdict: bounded time).
#include <chrono>

#include "codec/der.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "tests/conform/count.h"

namespace wary::test {
namespace {

constexpr auto kTimeMax = std::chrono::seconds(1);

// True when `run` kept the time.
bool is_quick(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::steady_clock::now() - start < kTimeMax;
}

void run_json(const std::string& text, const std::string& name, Count& count) {
  const std::string file = name.substr(name.rfind('/') + 1);
  bool accepted = false;
  const bool quick = is_quick([&] { accepted = codec::parse_json(text).ok(); });
  // RFC 8259 lets a reader refuse duplicate members; wary does (codec/json.h).
  const bool duplicate = file.starts_with("y_object_duplicated_key");
  const bool right = file.starts_with("y_")   ? accepted != duplicate
                     : file.starts_with("n_") ? !accepted
                                              : codec::parse_json(text).ok() == accepted;
  count.check(quick && right, name);
}

// The suite writes what an editor would hide: these marks stand for it.
std::string unmark(std::string text) {
  const auto replace = [&](std::string_view mark, std::string_view by) {
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size())) {
      text.replace(at, mark.size(), by);
    }
  };
  replace("\u2423", " ");
  replace("\u2014", "");
  replace("\u00bb", "\t");
  replace("\u21b5", "");
  if (text.ends_with("\u220e\n")) text.resize(text.size() - 4);
  return text;
}

// The values of a text that holds one JSON value after the other.
std::vector<codec::Json> json_values(const std::string& text) {
  std::vector<codec::Json> values;
  std::string part;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    part += text.substr(at, end - at);
    at = end;
    auto value = codec::parse_json(part);
    if (!value.ok()) continue;
    values.push_back(std::move(*value));
    part.clear();
  }
  return values;
}

// A subset is read: anchors, tags, directives, complex keys are refused by their own codes, which is right for a case
// that has them; what is accepted must be equal to the suite's JSON.
void run_yaml_case(const codec::Json& item, const std::string& name, Count& count) {
  const std::string text = unmark(item.find("yaml")->as_string());
  std::vector<codec::Json> found;
  std::string code;
  const bool quick = is_quick([&] {
    auto documents = codec::parse_yaml(text, name);
    if (!documents.ok())
      code = documents.error().code;
    else
      for (codec::YamlDocument& document : *documents) found.push_back(std::move(document.value));
  });
  if (item.bool_or("fail", false)) return count.check(quick && !code.empty(), name);
  if (!code.empty()) return count.skip("yaml: outside of the part that is read: " + code);
  const codec::Json* json = item.find("json");
  if (json == nullptr || !json->is_string()) return count.skip("yaml: accepted, and the suite has no value to compare");
  count.check(quick && found == json_values(unmark(json->as_string())), name);
}

void run_yaml(const std::string& text, const std::string& name, Count& count) {
  const auto description = codec::parse_yaml(text, name);
  if (!description.ok()) return count.check(false, name + ": " + description.error().to_string());
  std::size_t number = 0;
  for (const codec::Json& item : description->front().value.items()) {
    ++number;
    if (item.find("yaml") != nullptr) run_yaml_case(item, name + " case " + std::to_string(number), count);
  }
}

void run_file(const std::string& path, const std::string& name, Count& count) {
  const std::string text = read_file(path).value_or("");
  if (name.find("json_parsing/") != std::string::npos) return run_json(text, name, count);
  if (name.find("yaml_suite/") != std::string::npos && name.ends_with(".yaml")) return run_yaml(text, name, count);
  if (name.find("_corpus/") != std::string::npos || name.find("der_fuzz/") != std::string::npos) {
    const bool accepted = codec::der::check_der(as_bytes(text)).ok();
    bool again = accepted;
    const bool quick = is_quick([&] { again = codec::der::check_der(as_bytes(text)).ok(); });
    return count.check(quick && again == accepted, name);
  }
  count.unknown(name);
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: conform_parsers DIR\n"), 2;
  wary::test::Count count;
  wary::test::each_file(argv[1], count, [&](const std::string& path, const std::string& name) {
    wary::test::run_file(path, name, count);
  });
  return count.close();
}
