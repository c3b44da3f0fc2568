// check_dpop on the input as a proof, and on proofs whose header and claims the input is. The one published proof is
// among the seeds: whatever else is accepted would be a forgery, but for what says the same under other unsigned
// spellings.
#include <cstdlib>

#include "codec/text.h"
#include "enforce/dpop.h"

namespace {

void check(std::string_view proof) {
  using namespace wary;
  const enforce::DpopRules rules{.method = "GET",
                                 .authority = "resource.example.org",
                                 .path = "/protectedresource",
                                 .token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
                                 .thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
                                 .now = {std::int64_t{1'562'262'618} * kNanosPerSecond}};
  const auto checked = enforce::check_dpop(proof, rules);
  if (!checked.ok()) return;
  // Signed by the example's key: its header and claims, to the byte.
  if (!proof.starts_with("eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2Iiwiandr")) std::abort();
  if (checked->issued.nanos != std::int64_t{1'562'262'618} * kNanosPerSecond) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text = as_text({data, size});
  check(text);
  // header, a zero byte, claims
  const std::size_t zero = text.find('\0');
  if (zero == text.npos) return 0;
  check(codec::encode_base64url(as_bytes(text.substr(0, zero))) + "." +
        codec::encode_base64url(as_bytes(text.substr(zero + 1))) + "." + codec::encode_base64url(Bytes(64, 1)));
  return 0;
}
