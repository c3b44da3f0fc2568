// Authority: a trust domain's certificates and token keys, and how they follow one another.
//
//   WARY_ASSIGN_OR_RETURN(auto authority, Authority::open(parts, options));
//   WARY_ASSIGN_OR_RETURN(auto issued, authority->issue(csr, {.spiffe_id = "spiffe://local/orders", ...}));
//   WARY_RETURN_IF_ERROR(authority->advance());                       // what is due by age; issue() does it too
//
// A root (10 years) signs intermediates (30 days); the active intermediate signs leaves. A leaf's chain carries its
// intermediate; what others trust is the roots. A next root and a next token key are among what is trusted for
// `Schedule::ahead` before they sign anything, so that whoever refreshes within that time refuses nothing; an old one
// stays until the last thing it signed has ended. Everything that is decided is on disk before anything is signed by
// it. A clock that goes back changes nothing that was decided.
//
// One thread. Errors: authority_state, authority_key (a key is not of its certificate), authority_missing,
// rotation_under_way, authority_ended, and those of keystore/, crypto/csr.h and crypto/issuer.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "crypto/csr.h"
#include "crypto/issuer.h"
#include "crypto/seal.h"
#include "identity/authority_state.h"
#include "keystore/key_store.h"

namespace wary::identity {

// Of one kind of key, in seconds.
struct Schedule {
  std::int64_t renew_after;  // so long after an active one was made, the next is made
  std::int64_t ahead;        // so long after it was made, the next signs
  std::int64_t overlap;      // so long the old one stays known after it signed its last
};

struct AuthorityOptions {
  static constexpr std::int64_t kDay = 86'400;
  std::string trust_domain = "local";
  std::int64_t root_life = 3650 * kDay;
  std::int64_t intermediate_life = 30 * kDay;
  Schedule root{2920 * kDay, 30 * kDay, 25 * 3600};  // leaves live at most 24 h
  Schedule intermediate{18 * kDay, 2 * kDay, 25 * 3600};
  Schedule token{29 * kDay, 1 * kDay, 2 * 3600};  // tokens live at most 1 h
};

struct AuthorityParts {
  io::Files& files;
  std::string directory;  // holds authority.state
  Clock& clock;
  Random& random;
  Log& log;
  const crypto::SealKey& seal;
  // A key is loaded from the store that made it, which must be one of these.
  std::vector<keystore::KeyStore*> stores;
  // Where new keys are made.
  keystore::KeyStore& root_store;
  keystore::KeyStore& intermediate_store;
  keystore::KeyStore& token_store;
  // A root of before there were intermediates: its key (in root_store) and certificate.
  std::optional<KeyRecord> first_root;
};

struct JwtAuthority {
  std::string kid;
  Bytes spki;
  UnixTime not_after;  // what it signs has ended by then
};
// What is to be trusted now; the next ones too.
struct Authorities {
  std::vector<Bytes> x509_roots;  // DER
  std::vector<JwtAuthority> jwt;
  std::uint64_t sequence = 0;
};

class Authority {
 public:
  // Makes what is missing only where there was never an authority; `may_begin` says that this is a first start.
  static Result<std::unique_ptr<Authority>> open(const AuthorityParts& parts, const AuthorityOptions& options,
                                                 bool may_begin);
  bool is_complete() const { return state_.complete; }
  Status mark_complete();  // the first start is over

  Status advance();

  struct Issued {
    std::vector<Bytes> chain;  // leaf first, then the intermediate
    UnixTime not_after;
  };
  Result<Issued> issue(ByteView csr, const crypto::LeafOptions& options);

  struct TokenKey {
    std::string kid;
    keystore::Key* key;
  };
  TokenKey token_key();

  Authorities authorities() const;
  const Bytes& active_root() const;

  struct Rotation {
    KeyKind kind = KeyKind::kIntermediate;
    // The next one is made and signs at once, known to others or not; a next one that was waiting is dropped, and the
    // old root or token key is tainted and known for only so long as `grace_seconds`. Otherwise the ordinary rotation
    // begins now instead of at its age. An intermediate is never anything to wait for.
    bool at_once = false;
    std::int64_t grace_seconds = 0;
  };
  Status rotate(const Rotation& rotation);

 private:
  // A state that is being made, with the keys that were made for it and what will be said of it in the log.
  struct Draft {
    AuthorityState state;
    std::map<std::string, std::unique_ptr<keystore::Key>> made;
    struct Line {
      std::string_view event;
      KeyKind kind;
      std::string key;
    };
    std::vector<Line> lines;
    bool changed = false;
  };
  Authority(AuthorityParts parts, AuthorityOptions options) : parts_(std::move(parts)), options_(std::move(options)) {}
  Status begin();
  Status load();
  Status load_key(const KeyRecord& record, bool is_certificate);
  Status use_intermediate();
  keystore::KeyStore* store_named(std::string_view name) const;
  UnixTime now() const { return parts_.clock.unix_time(); }
  std::string path() const { return parts_.directory + "/authority.state"; }

  // What a draft goes through (authority_rotation.cc).
  const Schedule& schedule_of(KeyKind kind) const;
  keystore::Key& key_of(const Draft& draft, const KeyRecord& record) const;
  Status make_next(Draft& draft, KeyKind kind);
  Result<Bytes> make_certificate(Draft& draft, KeyKind kind, keystore::Key& key);
  Status activate(Draft& draft, KeyKind kind, KeyStage old_stage, std::int64_t known_seconds);
  Status replace_at_once(Draft& draft, KeyKind kind, KeyStage old_stage, std::int64_t known_seconds);
  Status step(Draft& draft, KeyKind kind);
  void retire(Draft& draft, KeyKind kind, const KeyRecord& record);
  void drop_next(Draft& draft, KeyKind kind);
  void drop_ended(Draft& draft, KeyKind kind);
  void discard(Draft& draft);
  Status commit(Draft draft);
  Status finish_pending();
  void remove_retired();

  AuthorityParts parts_;
  AuthorityOptions options_;
  AuthorityState state_;
  std::map<std::string, std::unique_ptr<keystore::Key>> keys_;  // by name: those that sign or will
  std::optional<Draft> pending_;  // was not written: to be written before anything else is made
  crypto::CsrChecker checker_;
  std::optional<crypto::LeafIssuer> issuer_;
  Bytes intermediate_;
  keystore::Key* intermediate_key_ = nullptr;
  UnixTime looked_;  // when it was last looked at what is due
};

}  // namespace wary::identity
