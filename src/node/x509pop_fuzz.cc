#include "node/x509pop.h"

// A PEM file as a device's key and as its chain; the chain is checked against its own last certificate as the root.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text = as_text({data, size});
  const auto key = node::decode_device_key(text);
  if (key.ok()) {
    const auto signature = node::prove(*key, as_bytes("statement"));
    WARY_CHECK(signature.ok());
  }
  const auto chain = node::decode_device_chain(text);
  if (!chain) return 0;
  const auto roots = crypto::TrustRoots::build({chain->back()});
  if (!roots) return 0;
  // Nobody signed this.
  WARY_CHECK(!node::check_x509pop(*chain, *roots, as_bytes("statement"), Bytes(64, 1), {}).ok());
  return 0;
}
