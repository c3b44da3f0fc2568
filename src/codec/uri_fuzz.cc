// What is accepted is written back and read again as the same; a normalised path is normal.
#include "base/bytes.h"
#include "base/check.h"
#include "codec/uri.h"

using namespace wary;
using namespace wary::codec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  if (const auto uri = parse_uri(text); uri.ok()) {
    const auto again = parse_uri(uri->to_string());
    WARY_CHECK(again.ok() ? *again == *uri : again.error().code == "uri_size");
  }
  if (const auto target = parse_origin_form(text); target.ok()) {
    WARY_CHECK(std::string(target->path) + (target->query ? "?" + std::string(*target->query) : "") == text);
  }
  if (const auto path = normalise_path(text); path.ok()) {
    const auto again = normalise_path(*path);
    WARY_CHECK(again.ok() && *again == *path);
    WARY_CHECK(path->find("//") == std::string::npos && path->find("/../") == std::string::npos);
  }
  if (const auto id = parse_spiffe_id(text); id.ok()) WARY_CHECK(id->to_string() == text);
  return 0;
}
