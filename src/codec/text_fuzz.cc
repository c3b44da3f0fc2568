// Strict means one spelling: what is decoded and encoded again is the input (hex and escapes in one case).
#include "base/check.h"
#include "codec/text.h"

using namespace wary;
using namespace wary::codec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  if (const auto bytes = decode_base64(text); bytes.ok()) WARY_CHECK(encode_base64(*bytes) == text);
  if (const auto bytes = decode_base64url(text); bytes.ok()) WARY_CHECK(encode_base64url(*bytes) == text);
  if (const auto bytes = decode_hex(text); bytes.ok()) WARY_CHECK(encode_hex(*bytes) == to_lower(text));
  if (const auto plain = decode_percent(text); plain.ok()) {
    const auto again = decode_percent(encode_percent(*plain));
    WARY_CHECK(again.ok() && *again == *plain);
  }
  WARY_CHECK(decode_base64(encode_base64({data, size})).value() == Bytes(data, data + size));
  std::string printable;
  append_printable(printable, text);
  for (const char byte : printable) WARY_CHECK(byte >= 0x20 && byte < 0x7f);
  const auto cookie = find_cookie(text, "a");
  WARY_CHECK(!cookie || cookie->data() >= text.data());
  (void)is_utf8(text);
  return 0;
}
