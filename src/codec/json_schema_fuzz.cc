// The first line is a schema, the rest a value. Also the value as a pattern over its own text: no input takes long.
#include "base/bytes.h"
#include "base/check.h"
#include "codec/json_schema.h"
#include "codec/pattern.h"

using namespace wary;
using namespace wary::codec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 2048) return 0;
  const std::string_view text = as_text({data, size});
  const std::size_t line = std::min(text.find('\n'), text.size());
  if (const auto pattern = Pattern::compile(text.substr(0, line)); pattern.ok()) {
    const std::string_view rest = text.substr(line);
    WARY_CHECK(pattern->matches(rest) == pattern->matches(std::string(rest)));
  }
  const auto schema_json = parse_json(text.substr(0, line));
  const auto value = parse_json(text.substr(std::min(line + 1, text.size())));
  if (!schema_json.ok() || !value.ok()) return 0;
  const auto schema = JsonSchema::compile(*schema_json);
  if (!schema.ok()) return 0;
  for (const SchemaError& error : schema->validate(*value, 10)) WARY_CHECK(!error.code.empty());
  return 0;
}
