#include "ledger/proof.h"

#include <algorithm>

#include "codec/text.h"

namespace wary::ledger {

namespace {

constexpr std::string_view kHeader = "c2sp.org/tlog-proof@v1\n";
constexpr std::string_view kIndex = "index ";
constexpr std::size_t kProofMax = 128 * 1024;
constexpr std::size_t kHashesMax = 63;

Error proof_syntax(std::string_view text, std::string_view rest, std::string_view message) {
  return fail(ErrorKind::kInvalid, "proof_syntax", message).at("offset " + std::to_string(text.size() - rest.size()));
}

}  // namespace

std::string encode_proof(const TlogProof& proof) {
  std::string text = std::string(kHeader) + std::string(kIndex) + std::to_string(proof.index) + "\n";
  for (const Hash& hash : proof.hashes) text += codec::encode_base64(hash) + "\n";
  return text + "\n" + proof.checkpoint;
}

Result<TlogProof> parse_proof(std::string_view text) {
  if (text.size() > kProofMax) return proof_syntax(text, text, "the proof is too long");
  if (!text.starts_with(kHeader)) return proof_syntax(text, text, "this is no tlog-proof of version 1");
  std::string_view rest = text.substr(kHeader.size());
  const auto next_line = [&](std::string_view& line) {
    const std::size_t end = rest.find('\n');
    if (end == rest.npos) return false;
    line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return true;
  };
  TlogProof proof;
  std::string_view line;
  if (!next_line(line) || !line.starts_with(kIndex)) return proof_syntax(text, rest, "the index line is missing");
  const auto index = parse_size(line.substr(kIndex.size()));
  if (!index.ok()) return proof_syntax(text, rest, "the index is malformed");
  proof.index = *index;
  for (;;) {
    if (!next_line(line)) return proof_syntax(text, rest, "the empty line before the checkpoint is missing");
    if (line.empty()) break;
    const auto bytes = codec::decode_base64(line);
    Hash hash{};
    if (!bytes.ok() || bytes->size() != hash.size()) return proof_syntax(text, rest, "a hash is malformed");
    if (proof.hashes.size() >= kHashesMax) return proof_syntax(text, rest, "no tree is that deep");
    std::ranges::copy(*bytes, hash.begin());
    proof.hashes.push_back(hash);
  }
  proof.checkpoint = rest;
  return proof;
}

Result<VerifiedProof> verify_proof(std::string_view proof_text, ByteView event_bytes, std::string_view vkey) {
  WARY_ASSIGN_OR_RETURN(const NoteVerifier key, NoteVerifier::parse(vkey));
  WARY_ASSIGN_OR_RETURN(const TlogProof proof, parse_proof(proof_text));
  WARY_ASSIGN_OR_RETURN(Checkpoint checkpoint, verify_checkpoint(proof.checkpoint, key));
  if (!verify_inclusion(proof.hashes, proof.index, checkpoint.head.size, leaf_hash(event_bytes),
                        checkpoint.head.root)) {
    return fail(ErrorKind::kDataLoss, "proof_mismatch", "the signed tree does not hold these bytes at that index")
        .at("index " + std::to_string(proof.index))
        .next("the event, the proof or the log was altered; get all three anew and compare");
  }
  return VerifiedProof{proof.index, std::move(checkpoint)};
}

}  // namespace wary::ledger
