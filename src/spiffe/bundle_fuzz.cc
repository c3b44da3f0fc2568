// parse_bundle: what is accepted is written and read back as the same bundle, within its bounds, and can be held.
#include <cstdlib>

#include "spiffe/bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  auto bundle = spiffe::parse_bundle("example.org", as_text({data, size}));
  if (!bundle.ok()) return 0;
  if (bundle->x509_authorities.size() + bundle->jwt_authorities.size() > spiffe::kBundleKeysMax) std::abort();
  const auto text = spiffe::write_bundle(*bundle);
  if (!text.ok()) std::abort();
  const auto again = spiffe::parse_bundle("example.org", *text);
  if (!again.ok() || !again->left_out.empty() || again->sequence != bundle->sequence ||
      again->x509_authorities != bundle->x509_authorities ||
      again->jwt_authorities.size() != bundle->jwt_authorities.size()) {
    std::abort();
  }
  spiffe::BundleSet set;
  if (!set.put(std::move(bundle).value()).ok()) std::abort();
  return 0;
}
