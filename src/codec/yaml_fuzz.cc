// No crash, the limits hold, and every value that comes out is JSON that reads back as itself; every node has a place.
#include "base/bytes.h"
#include "base/check.h"
#include "codec/yaml.h"

using namespace wary;
using namespace wary::codec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Limits limits{.bytes = 4096, .depth = 16, .items = 64, .total = 512};
  const auto documents = parse_yaml(as_text({data, size}), "f", limits);
  if (!documents.ok()) {
    WARY_CHECK(documents.error().where.starts_with("f:"));
    return 0;
  }
  for (const YamlDocument& document : *documents) {
    const auto again = parse_json(document.value.to_string());
    WARY_CHECK(again.ok() && *again == document.value);
    WARY_CHECK(!document.nodes.empty() && document.nodes.front().name.empty());
    WARY_CHECK(document.nodes.size() <= limits.total);
  }
  return 0;
}
