#include <cstdlib>

#include "ledger/proof.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::ledger;
  const std::string_view text = wary::as_text({data, size});
  const auto proof = parse_proof(text);
  if (!proof.ok()) return 0;
  if (encode_proof(*proof) != text) std::abort();
  (void)verify_inclusion(proof->hashes, proof->index, proof->index + 1 + size, leaf_hash({}), empty_root());
  (void)verify_consistency(proof->hashes, proof->index, proof->index + 1 + size, leaf_hash({}), empty_root());
  (void)verify_proof(text, {}, "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  return 0;
}
