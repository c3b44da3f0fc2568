// Offline proofs: a file `.tlog-proof` (c2sp.org/tlog-proof@v1) beside the bytes of one event. Whoever has both and the
// log's public key checks, without asking anybody, that the log holds that event.
//
//   std::string file = encode_proof({index, hashes, checkpoint_note});
//   WARY_ASSIGN_OR_RETURN(VerifiedProof proof, verify_proof(file, event_bytes, "wary.local/log+1a2b3c4d+AY..."));
//
// Functions; any thread. Limits: 128 KiB, 63 hashes. Errors: proof_syntax, proof_mismatch, and those of ledger/note.h.
#pragma once

#include "ledger/note.h"

namespace wary::ledger {

struct TlogProof {
  std::uint64_t index = 0;
  std::vector<Hash> hashes;
  std::string checkpoint;  // the signed note
};
std::string encode_proof(const TlogProof& proof);
Result<TlogProof> parse_proof(std::string_view text);

struct VerifiedProof {
  std::uint64_t index = 0;
  Checkpoint checkpoint;
};
Result<VerifiedProof> verify_proof(std::string_view proof, ByteView event_bytes, std::string_view vkey);

}  // namespace wary::ledger
