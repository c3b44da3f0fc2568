// Identifier: from what a request shows to who sends it: the certificate's SPIFFE ID, a session's cookie, an access
// token of an Issuer (bearer, or with a DPoP proof, or bound to the certificate), or an API key.
//
//   Identifier identifier(shared_proofs, clock);
//   Subject who = identifier.identify(presented, *snapshot);
//   std::shared_ptr<const Recognised> again = identifier.recognise(presented, snapshot);   // the same, remembered
//
// Authorization and X-Api-Key belong to applications as well: only a key of wary's form, or a JWT that names an issuer
// of the snapshot, is a credential here; anything else is left to the application and makes nobody known. A credential
// that is wary's and wrong refuses. Two that name different principals refuse (credential_conflict), but for two pairs:
// a certificate goes before a cookie, which browsers send unasked; and a token that is bound to the certificate it
// comes with speaks for its own subject.
//
// What somebody was recognised by is remembered (as a hash) for the very snapshot that it was looked up in, and a token
// until it ends; a refusal is not, and neither is who showed a DPoP proof, which is good once.
//
// Thread rule: one thread's; the set of proofs is shared by all. Limits: those of jwt_issuer.h, dpop.h and
// token_cache.h. Codes of refusals: of jwt_issuer.h and dpop.h; credential_repeated, credential_conflict,
// api_key_unknown, token_bound (shown as bearer, or without its certificate), token_unbound (with DPoP, and bound to no
// key), dpop_missing, dpop_required, dpop_replayed, dpop_busy, principal_unknown.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/recent_table.h"
#include "base/seen_set.h"
#include "enforce/access.h"
#include "enforce/subject.h"
#include "enforce/token_cache.h"
#include "policy/snapshot.h"

namespace wary::enforce {

constexpr std::int64_t kProofsKept = 90 * kNanosPerSecond;  // longer than a proof is good
constexpr std::size_t kProofsMax = 1 << 20;
constexpr std::size_t kRecognisedMax = 2048;

class Identifier {
 public:
  Identifier(SeenSet& proofs, Clock& clock) : proofs_(proofs), clock_(clock), began_(clock.unix_time()) {}
  Subject identify(const Presented& presented, const policy::Snapshot& snapshot);
  std::shared_ptr<const Recognised> recognise(const Presented& presented, const policy::SnapshotPtr& snapshot);
  // Proofs from before now are refused: another process may have seen them.
  void begin_now() { began_ = clock_.unix_time(); }
  std::size_t cached() const { return verified_.size(); }
  // A token of this issuer names a key that its set lacks: it may have another set by now. Once a second at most of
  // each issuer, for anybody can write such a token: that bounds what is sent. How often the issuer is asked is for who
  // hears it to say, once for all of those that ask.
  std::function<void(const std::string& issuer)> on_key_missing;

 private:
  struct Known {
    JwtIssuer issuer;
    std::string rules, jwks;  // as the entity had them: what changed begins a new generation
    std::uint64_t generation = 0;
    std::uint64_t seen = 0;           // revision
    std::optional<Monotonic> missed;  // when on_key_missing was last called
  };
  void learn(const policy::Snapshot& snapshot);
  Known* issuer_named(std::string_view url);
  std::uint64_t generation_of(const std::string& name) const;
  Subject by_authorization(const Presented& presented, const policy::Snapshot& snapshot);
  // What checking this token gave, now or before; null: it names no issuer of the snapshot. Holds until the next call.
  const CachedToken* check(std::string_view text);
  void note_missing(Known& known);
  Status check_binding(const VerifiedToken& token, std::string_view text, bool is_dpop, const Presented& presented);

  SeenSet& proofs_;
  Clock& clock_;
  UnixTime began_;
  std::map<std::string, Known> issuers_;  // by name
  std::uint64_t revision_ = 0;
  std::uint64_t last_generation_ = 0;
  TokenCache verified_;
  // Shared with the request that goes on.
  RecentTable<std::shared_ptr<const Recognised>> recognised_{kRecognisedMax};
  policy::SnapshotPtr recognised_in_;  // held, so that no other can ever lie at its address
  std::string shown_;                  // what was shown, as a text that nothing else makes
  TokenCache refused_{1024};           // apart, so that tokens nobody issued push out none that somebody did
};

}  // namespace wary::enforce
