// conform_framing DIR: published HTTP/1 framing cases below DIR, each held to its verdict by the parser, whole and byte
// by byte. A set is a JSON list of cases with raw_b64 and expect (framing.json), or with messages_complete (llhttp).
#include "codec/http1_conformance.h"
#include "codec/json.h"
#include "codec/text.h"
#include "tests/conform/count.h"

namespace wary::test {
namespace {

namespace http1 = codec::http1;

constexpr Limits kLimits{.bytes = std::size_t{256} << 20, .depth = 100, .items = 1'000'000, .total = 10'000'000};

void run_case(const codec::Json& item, const std::string& raw, const std::string& name, Count& count) {
  const auto wanted = static_cast<std::size_t>(item.integer_or("upstream_requests", 0));
  const auto verdict = http1::check_framing_case({raw, item.string_or("expect", ""), wanted});
  count.check(verdict.passed, name + ": " + verdict.reason);
}

// llhttp takes requests without Host, which we refuse: they get one, so that the rest is judged. No more messages than
// llhttp completes may come out; fewer is stricter. A method is any token for a gateway.
void run_llhttp_case(const codec::Json& item, std::string raw, const std::string& name, Count& count) {
  if (name.ends_with("Invalid method")) return count.skip("llhttp: methods that are none of its list");
  if (codec::to_lower(std::string_view(raw)).find("\r\nhost:") == std::string::npos) {
    for (std::size_t at = raw.find("HTTP/1.1\r\n"); at != std::string::npos; at = raw.find("HTTP/1.1\r\n", at + 1)) {
      raw.insert(at + 10, "Host: a\r\n");
    }
  }
  const auto whole = http1::run_connection(raw, 0), bytewise = http1::run_connection(raw, 1);
  const auto most = static_cast<std::size_t>(item.integer_or("messages_complete", 0));
  count.check(whole.requests == bytewise.requests && whole.requests.size() <= most, name);
}

void run_file(const std::string& path, const std::string& name, Count& count) {
  if (!name.ends_with(".json")) return count.unknown(name.substr(0, name.rfind('/')));
  const auto json = codec::parse_json(read_file(path).value_or(""), kLimits);
  const bool is_set =
      json.ok() && json->is_array() && !json->items().empty() && json->items()[0].find("raw_b64") != nullptr;
  // Responses are judged by what a client asked, which these cases do not say.
  if (!is_set || name.find("responses") != std::string::npos) return count.unknown(name);
  for (const codec::Json& item : json->items()) {
    const std::string place = name + " " + std::string(item.string_or("id", ""));
    const auto raw = codec::decode_base64(item.string_or("raw_b64", ""));
    if (!raw.ok())
      count.check(false, place + ": raw_b64");
    else if (item.find("upstream_requests") != nullptr)
      run_case(item, std::string(as_text(*raw)), place, count);
    else if (item.find("messages_complete") != nullptr)
      run_llhttp_case(item, std::string(as_text(*raw)), place, count);
    else
      count.unknown(name);
  }
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: conform_framing DIR\n"), 2;
  wary::test::Count count;
  wary::test::each_file(argv[1], count, [&](const std::string& path, const std::string& name) {
    wary::test::run_file(path, name, count);
  });
  return count.close();
}
