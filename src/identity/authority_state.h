// Private to identity/: what an authority remembers, as one sealed file that is replaced whole.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "crypto/seal.h"
#include "io/files.h"

namespace wary::identity {

enum class KeyStage {
  kNext,     // published where that is needed, and not signing yet
  kActive,   // signs
  kOld,      // signs no more; what it signed holds until `until`
  kTainted,  // as old, and taken away as soon as was asked for
};

struct KeyRecord {
  std::string key;    // its name in its store
  std::string store;  // KeyStore::name
  Bytes shown;        // certificate, or SubjectPublicKeyInfo of a token key
  KeyStage stage = KeyStage::kNext;
  UnixTime made;
  UnixTime until;  // a certificate's end; of kOld and kTainted, when it is forgotten
};

// One kind's records: at most one is next, exactly one active.
using KeyRecords = std::vector<KeyRecord>;

struct AuthorityState {
  std::string trust_domain;
  std::uint64_t sequence = 1;  // grows with every change of what others are to trust
  bool complete = false;       // everything of the first start stands
  KeyRecords roots;
  KeyRecords intermediates;
  KeyRecords tokens;
  std::vector<KeyRecord> retired;  // keys still to be removed from their stores
};

enum class KeyKind { kRoot, kIntermediate, kToken };
inline constexpr std::array<KeyKind, 3> kKeyKinds = {KeyKind::kRoot, KeyKind::kIntermediate, KeyKind::kToken};
std::string_view to_string(KeyKind kind);
KeyRecords& records_of(AuthorityState& state, KeyKind kind);
const KeyRecords& records_of(const AuthorityState& state, KeyKind kind);

KeyRecord* find_stage(KeyRecords& records, KeyStage stage);
const KeyRecord* find_stage(const KeyRecords& records, KeyStage stage);

// Errors: authority_state (damaged, sealed by another key, or not what this program writes), and those of io.
Result<AuthorityState> read_state(io::Files& files, const std::string& path, const crypto::SealKey& seal);
Status write_state(io::Files& files, const std::string& path, const crypto::SealKey& seal, Random& random,
                   const AuthorityState& state);

}  // namespace wary::identity
