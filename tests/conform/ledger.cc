// conform_ledger DIR: published vectors of the transparency log below DIR: RFC 6962 inclusion and consistency proofs,
// by the folder they lie in. Proofs between a subtree and a tree belong to another standard and are listed as skipped.
#include <algorithm>
#include <bit>

#include "codec/json.h"
#include "codec/text.h"
#include "ledger/merkle.h"
#include "tests/conform/count.h"

namespace wary::test {
namespace {

using namespace wary::ledger;

// The vectors have Go's zero values: an absent hash is empty.
Hash hash_in(const codec::Json& json, bool& well_formed) {
  Hash hash{};
  if (!json.is_string()) {
    well_formed = false;
    return hash;
  }
  const auto bytes = codec::decode_base64(json.as_string());
  if (!bytes.ok() || bytes->size() != hash.size()) {
    well_formed = false;
    return hash;
  }
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  return hash;
}

bool verdict(const codec::Json& test, const std::string& kind) {
  bool well_formed = true;
  std::vector<Hash> proof;
  if (const codec::Json* list = test.find("proof"); list != nullptr && list->is_array()) {
    for (const codec::Json& item : list->items()) proof.push_back(hash_in(item, well_formed));
  }
  const auto number = [&](const char* name) { return static_cast<std::uint64_t>(test.integer_or(name, 0)); };
  const auto hash = [&](const char* name) -> Hash {
    const codec::Json* value = test.find(name);
    return value == nullptr ? hash_in(codec::Json(), well_formed) : hash_in(*value, well_formed);
  };
  if (kind == "consistency") {
    // Some roots are text of another length that only has to be equal or not: any injection into hashes keeps that.
    bool ignored = true;
    const auto root = [&](const char* name) {
      const Hash as_hash = hash_in(*test.find(name), ignored);
      return as_hash == Hash{} ? leaf_hash(as_bytes(test.string_or(name, ""))) : as_hash;
    };
    const Hash a = root("root1"), b = root("root2");
    return well_formed && verify_consistency(proof, number("size1"), number("size2"), a, b);
  }
  const Hash leaf = hash("leafHash"), root = hash("root");
  if (!well_formed) return false;
  if (kind == "inclusion") return verify_inclusion(proof, number("leafIdx"), number("treeSize"), leaf, root);
  // A subtree [start, end) is a tree of its own if it starts at a multiple of the power of two that covers it.
  const std::uint64_t start = number("start"), end = number("end"), index = number("leafIdx");
  if (start >= end || index < start || start % std::bit_ceil(end - start) != 0) return false;
  return verify_inclusion(proof, index - start, end - start, leaf, root);
}

std::string kind_of(const std::string& name) {
  for (const char* kind : {"subtreeconsistency", "subtreeinclusion", "inclusion", "consistency"}) {
    if (name.find("/" + std::string(kind) + "/") != std::string::npos) return kind;
  }
  return {};
}

void run_file(const std::string& path, const std::string& name, Count& count) {
  const std::string kind = name.ends_with(".json") && name.find("rfc6962") != std::string::npos ? kind_of(name) : "";
  if (kind.empty()) return count.unknown(name.substr(0, name.find('/')));
  if (kind == "subtreeconsistency") return count.skip("subtreeconsistency: Merkle Tree Certificates, not RFC 6962");
  const std::string text = read_file(path).value_or("");
  const auto json = codec::parse_json(text);
  if (!json.ok()) {
    // Sizes of 2^63 and more: no tree of ours is that large, and none of these is to be accepted.
    const bool refused =
        json.error().code == "json_integer_range" && text.find("\"wantErr\": true") != std::string::npos;
    return count.check(refused, name + ": " + json.error().to_string());
  }
  count.check(verdict(*json, kind == "subtreeinclusion" ? "subtree" : kind) != json->bool_or("wantErr", false), name);
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: conform_ledger DIR\n"), 2;
  wary::test::Count count;
  wary::test::each_file(argv[1], count, [&](const std::string& path, const std::string& name) {
    wary::test::run_file(path, name, count);
  });
  return count.close();
}
