// parse_json and the slow scanner agree on every input, and what is written is read back as the same value.
#include "base/bytes.h"
#include "base/check.h"
#include "codec/json.h"
#include "codec/json_scan.h"

using namespace wary;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  const Limits limits{.bytes = 4096, .depth = 16, .items = 64, .total = 512};
  const Result<codec::Json> value = codec::parse_json(text, limits);
  WARY_CHECK(value.ok() == codec::scan_json(text, limits).ok());
  if (!value.ok()) return 0;
  const Limits wide{.bytes = 1 << 20};
  const Result<codec::Json> again = codec::parse_json(value->to_string(), wide);
  WARY_CHECK(again.ok() && *again == *value);
  const Result<codec::Json> pretty = codec::parse_json(value->to_pretty_string(), wide);
  WARY_CHECK(pretty.ok() && *pretty == *value);
  const Result<codec::Json> canonical = codec::parse_json(value->to_canonical_string(), wide);
  WARY_CHECK(canonical.ok() && canonical->to_canonical_string() == value->to_canonical_string());
  return 0;
}
