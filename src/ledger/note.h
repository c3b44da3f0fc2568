// Signed notes and checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) with Ed25519.
//
//   WARY_ASSIGN_OR_RETURN(auto verifier, NoteVerifier::parse("wary.local/log+1a2b3c4d+AY..."));   // a vkey
//   WARY_ASSIGN_OR_RETURN(Checkpoint head, verify_checkpoint(note_text, verifier));
//
// Values; any thread. Limits: 64 KiB a note, 64 signatures. Signatures of unknown keys are ignored; a known key whose
// signature is bad spoils the note. Errors: note_syntax (with the place), note_unsigned, note_signature, note_key,
// checkpoint_syntax, checkpoint_origin.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crypto/sign.h"
#include "ledger/merkle.h"

namespace wary::ledger {

constexpr std::size_t kNoteMax = 64 * 1024;

struct NoteSignature {
  std::string name;
  std::uint32_t key_id = 0;
  Bytes signature;
};
struct Note {
  std::string text;  // ends with a newline
  std::vector<NoteSignature> signatures;
};
Result<Note> parse_note(std::string_view text);

class NoteVerifier {
 public:
  static Result<NoteVerifier> parse(std::string_view vkey);
  static Result<NoteVerifier> of(std::string name, const crypto::PublicKey& key);  // key_id made as specified
  const std::string& name() const { return name_; }
  std::uint32_t key_id() const { return key_id_; }
  std::string to_vkey() const;
  bool verify(std::string_view text, ByteView signature) const;

 private:
  NoteVerifier(std::string name, std::uint32_t key_id, crypto::PublicKey key)
      : name_(std::move(name)), key_id_(key_id), key_(std::move(key)) {}
  std::string name_;
  std::uint32_t key_id_;
  crypto::PublicKey key_;
};

struct TreeHead {
  std::uint64_t size = 0;
  Hash root = empty_root();
  bool operator==(const TreeHead&) const = default;
};
struct Checkpoint {
  std::string origin;
  TreeHead head;
};
std::string checkpoint_text(const Checkpoint& checkpoint);
Result<Checkpoint> parse_checkpoint_text(std::string_view text);  // no extension lines
// The line that is added below `text` and an empty line; `signature` is Ed25519 over the text.
std::string signature_line(const NoteVerifier& key, ByteView signature);
// The whole note: syntax, signature by that key, and that the origin is the key's name.
Result<Checkpoint> verify_checkpoint(std::string_view note, const NoteVerifier& key);

// Digits without leading zeros, below 2^62.
Result<std::uint64_t> parse_size(std::string_view text);

}  // namespace wary::ledger
