#include <cstdlib>

#include "ledger/note.h"

// parse_note, parse_checkpoint_text, parse_size, and a verifier key.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::ledger;
  const std::string_view text = wary::as_text({data, size});
  if (const auto key = NoteVerifier::parse(text); key.ok() && key->to_vkey() != text) std::abort();
  if (const auto number = parse_size(text); number.ok() && std::to_string(*number) != text) std::abort();
  const auto note = parse_note(text);
  const auto checkpoint = parse_checkpoint_text(note.ok() ? std::string_view(note->text) : text);
  if (checkpoint.ok() && checkpoint_text(*checkpoint) != (note.ok() ? std::string_view(note->text) : text))
    std::abort();
  static const auto key = NoteVerifier::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  (void)verify_checkpoint(text, *key);
  return 0;
}
