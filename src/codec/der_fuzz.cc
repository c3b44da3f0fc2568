// What check_der accepts is rebuilt by the writer from what the reader says, byte for byte.
#include "base/check.h"
#include "codec/der.h"

using namespace wary;
using namespace wary::codec;

namespace {

Bytes rebuild(ByteView bytes) {
  der::Reader reader(bytes);
  der::Writer writer;
  while (!reader.is_empty()) {
    der::Tag tag = 0;
    ByteView content;
    WARY_CHECK(reader.read_any(tag, content));
    writer.add(tag, der::is_constructed(tag) ? ByteView(rebuild(content)) : content);
    if (tag != der::kOid) continue;
    if (const auto text = der::oid_to_text(content)) {
      const auto again = der::oid_from_text(*text);
      WARY_CHECK(again.ok() && std::equal(again->begin(), again->end(), content.begin(), content.end()));
    }
  }
  return writer.bytes();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (!der::check_der(bytes).ok()) return 0;
  const Bytes again = rebuild(bytes);
  WARY_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  return 0;
}
