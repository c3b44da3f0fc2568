#include "ledger/note.h"

#include <algorithm>
#include <array>

#include "codec/text.h"

namespace wary::ledger {

namespace {

constexpr std::size_t kSignaturesMax = 64;
constexpr std::string_view kDash = "\xe2\x80\x94 ";  // U+2014 and a space
constexpr std::uint8_t kEd25519 = 1;

Error note_syntax(std::size_t offset, std::string_view message) {
  return fail(ErrorKind::kInvalid, "note_syntax", message).at("offset " + std::to_string(offset));
}
Error checkpoint_syntax(std::string_view message) { return fail(ErrorKind::kInvalid, "checkpoint_syntax", message); }

bool is_key_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && codec::is_utf8(name) &&
         std::ranges::none_of(name, [](char c) { return (c >= 0 && c <= 0x20) || c == '+' || c == 0x7f; });
}

// SHA-256(name || 0A || type || key)[:4]
std::uint32_t key_id_of(std::string_view name, ByteView typed_key) {
  Bytes bytes = to_bytes(name);
  bytes.push_back('\n');
  append(bytes, typed_key);
  return read_big_endian<std::uint32_t>(crypto::sha256(bytes).data());
}

std::string hex_of(std::uint32_t value) {
  Bytes bytes;
  append_big_endian(bytes, value);
  return codec::encode_hex(bytes);
}

// One signature line, without its newline.
Result<NoteSignature> parse_signature(std::string_view line, std::size_t offset) {
  if (!line.starts_with(kDash)) return note_syntax(offset, "a signature line starts with a dash");
  line.remove_prefix(kDash.size());
  const std::size_t space = line.find(' ');
  if (space == line.npos || !is_key_name(line.substr(0, space)))
    return note_syntax(offset, "the key's name is malformed");
  auto bytes = codec::decode_base64(line.substr(space + 1));
  if (!bytes.ok() || bytes->size() < 5) return note_syntax(offset, "the signature is malformed");
  NoteSignature signature;
  signature.name = line.substr(0, space);
  signature.key_id = read_big_endian<std::uint32_t>(bytes->data());
  signature.signature.assign(bytes->begin() + 4, bytes->end());
  return signature;
}

}  // namespace

Result<Note> parse_note(std::string_view text) {
  if (text.size() > kNoteMax) return note_syntax(kNoteMax, "the note is too long");
  if (!codec::is_utf8(text)) return note_syntax(0, "the note is no UTF-8");
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n') || byte == 0x7f) return note_syntax(i, "the note holds a control character");
  }
  // The signatures are below the last empty line: the text may hold empty lines itself.
  const std::size_t split = text.rfind("\n\n");
  if (split == text.npos) return note_syntax(text.size(), "the note has no signatures");
  Note note;
  note.text = text.substr(0, split + 1);
  std::size_t at = split + 2;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    if (end == text.npos) return note_syntax(at, "the last line has no end");
    if (note.signatures.size() >= kSignaturesMax) return note_syntax(at, "too many signatures");
    WARY_ASSIGN_OR_RETURN(NoteSignature signature, parse_signature(text.substr(at, end - at), at));
    note.signatures.push_back(std::move(signature));
    at = end + 1;
  }
  if (note.signatures.empty()) return note_syntax(text.size(), "the note has no signatures");
  return note;
}

Result<NoteVerifier> NoteVerifier::of(std::string name, const crypto::PublicKey& key) {
  if (key.type() != crypto::KeyType::kEd25519 || !is_key_name(name)) {
    return fail(ErrorKind::kInvalid, "note_key", "a note key is Ed25519 and its name has no spaces and no plus");
  }
  Bytes typed = {kEd25519};
  append(typed, key.raw());
  const std::uint32_t id = key_id_of(name, typed);
  return NoteVerifier(std::move(name), id, key);
}

Result<NoteVerifier> NoteVerifier::parse(std::string_view vkey) {
  const auto bad = [](std::string_view message) { return fail(ErrorKind::kInvalid, "note_key", message); };
  const std::size_t first = vkey.find('+');
  const std::size_t second = first == vkey.npos ? vkey.npos : vkey.find('+', first + 1);
  if (second == vkey.npos || vkey.size() > 1024) return bad("a verifier key is name+id+key");
  const auto typed = codec::decode_base64(vkey.substr(second + 1));
  if (!typed.ok() || typed->size() != 33 || typed->front() != kEd25519) return bad("only Ed25519 keys are known");
  WARY_ASSIGN_OR_RETURN(const auto key,
                        crypto::PublicKey::from_raw(crypto::KeyType::kEd25519, ByteView(*typed).subspan(1)));
  WARY_ASSIGN_OR_RETURN(NoteVerifier verifier, of(std::string(vkey.substr(0, first)), key));
  if (vkey.substr(first + 1, second - first - 1) != hex_of(verifier.key_id_)) return bad("the key's id is not its own");
  return verifier;
}

std::string NoteVerifier::to_vkey() const {
  Bytes typed = {kEd25519};
  append(typed, key_.raw());
  return name_ + "+" + hex_of(key_id_) + "+" + codec::encode_base64(typed);
}

bool NoteVerifier::verify(std::string_view text, ByteView signature) const {
  return key_.verify(as_bytes(text), signature);
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto bad = [&] { return checkpoint_syntax("a size is a decimal number below 2^62").found(text); };
  if (text.empty() || text.size() > 19 || (text.size() > 1 && text[0] == '0')) return bad();
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return bad();
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (value >= std::uint64_t{1} << 62) return bad();
  return value;
}

std::string checkpoint_text(const Checkpoint& checkpoint) {
  return checkpoint.origin + "\n" + std::to_string(checkpoint.head.size) + "\n" +
         codec::encode_base64(checkpoint.head.root) + "\n";
}

Result<Checkpoint> parse_checkpoint_text(std::string_view text) {
  std::array<std::string_view, 3> lines;
  for (std::string_view& line : lines) {
    const std::size_t end = text.find('\n');
    if (end == text.npos) return checkpoint_syntax("a checkpoint has origin, size and root, each on a line");
    line = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  if (!text.empty()) return checkpoint_syntax("extension lines are not taken");
  if (lines[0].empty()) return checkpoint_syntax("the origin is empty");
  Checkpoint checkpoint;
  checkpoint.origin = lines[0];
  WARY_ASSIGN_OR_RETURN(checkpoint.head.size, parse_size(lines[1]));
  const auto root = codec::decode_base64(lines[2]);
  if (!root.ok() || root->size() != checkpoint.head.root.size())
    return checkpoint_syntax("the root is no SHA-256 hash");
  std::ranges::copy(*root, checkpoint.head.root.begin());
  return checkpoint;
}

std::string signature_line(const NoteVerifier& key, ByteView signature) {
  Bytes bytes;
  append_big_endian(bytes, key.key_id());
  append(bytes, signature);
  return std::string(kDash) + key.name() + " " + codec::encode_base64(bytes) + "\n";
}

Result<Checkpoint> verify_checkpoint(std::string_view text, const NoteVerifier& key) {
  WARY_ASSIGN_OR_RETURN(const Note note, parse_note(text));
  bool is_signed = false;
  for (const NoteSignature& signature : note.signatures) {
    if (signature.name != key.name() || signature.key_id != key.key_id()) continue;
    if (!key.verify(note.text, signature.signature)) {
      return fail(ErrorKind::kUnauthenticated, "note_signature", "the signature of a known key is bad").at(key.name());
    }
    is_signed = true;
  }
  if (!is_signed) {
    return fail(ErrorKind::kUnauthenticated, "note_unsigned", "no signature is by the expected key")
        .expected(key.to_vkey());
  }
  WARY_ASSIGN_OR_RETURN(Checkpoint checkpoint, parse_checkpoint_text(note.text));
  if (checkpoint.origin != key.name()) {
    return fail(ErrorKind::kUnauthenticated, "checkpoint_origin", "the checkpoint is of another log")
        .expected(key.name())
        .found(checkpoint.origin);
  }
  return checkpoint;
}

}  // namespace wary::ledger
