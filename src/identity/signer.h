// Signer: the keys of a trust domain and the table of who may have what done with them. It runs alone in wary-signer;
// this is its core, without sockets: a caller's role and a request in, an answer or an error out.
//
//   WARY_ASSIGN_OR_RETURN(auto signer, Signer::open(files, "signer", clock, random, {.trust_domain = "local"}));
//   codec::Json answer = signer->handle(Role::kControl, request);
//
// Keys: the authority's (authority.h), one Ed25519 key for ledger checkpoints and one for snapshots, made at the first
// start. What is signed is checked for its form, so that no key signs in another's place: a checkpoint must be of this
// log and never smaller than one signed before; a snapshot must carry its own domain; a token is written here, from
// claims that were checked.
//
// Requests {"op": ...}: public; authorities; ledger.sign {message}; snapshot.sign {message}; certificate.issue {csr,
// dns_names | spiffe_id, ttl_seconds}; jwt.sign {spiffe_id, audiences, ttl_seconds}; ca.rotate {kind: root |
// intermediate | token, at_once, grace_seconds}. Bytes are base64. A role that asks for what its row does not have is a
// broken or hostile process: the caller is told nothing and its connection ends (signer_forbidden). Thread rule: one
// thread. Limits: 64 KiB a request; certificates live at most 24 h (names) or 1 h (SVIDs); tokens 1 h, with 16
// audiences of 256 bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/time.h"
#include "codec/json.h"
#include "crypto/seal.h"
#include "crypto/sign.h"
#include "identity/authority.h"
#include "io/files.h"
#include "keystore/key_store.h"

namespace wary::identity {

enum class Role { kControl, kEdge };

// Below spiffe://TRUST-DOMAIN: what an edge is to applications. Nobody but an edge may have such an identity.
constexpr std::string_view kEdgePath = "/wary/edge/";

struct SignerOptions {
  std::string trust_domain = "local";
  AuthorityOptions authority = {};  // its trust domain is the one above
  Log* log = nullptr;               // none: nothing is said
  // Stores beside the sealed files, which outlive the signer, and the names of those in which new keys are made.
  std::vector<keystore::KeyStore*> stores = {};
  std::string root_store = "file";
  std::string intermediate_store = "file";
  std::string token_store = "file";
};

class Signer {
 public:
  static Result<std::unique_ptr<Signer>> open(io::Files& files, const std::string& directory, Clock& clock,
                                              Random& random, const SignerOptions& options);
  // An error of code signer_forbidden ends the caller's connection; any other is its answer.
  Result<codec::Json> handle(Role role, const codec::Json& request);

  // A certificate, for whom the table allows it: names and its own SPIFFE ID for the edge, any other SPIFFE ID for the
  // control plane. `leaf`: its names or its SPIFFE ID, without times.
  Result<Authority::Issued> issue(Role role, ByteView csr, crypto::LeafOptions leaf, std::int64_t ttl_seconds);

  // What is due by age; to be called every minute or so, for days on which nobody asks for anything.
  Status advance() { return authority_->advance(); }

  std::string origin() const { return origin_; }

 private:
  Signer(Clock& clock, SignerOptions options, crypto::SealKey seal, crypto::PrivateKey ledger,
         crypto::PrivateKey snapshot);
  Status open_authority(io::Files& files, const std::string& directory, Random& random, bool may_begin);
  bool is_edge_id(std::string_view spiffe_id) const;
  Result<codec::Json> public_keys() const;
  Result<codec::Json> trusted() const;
  Result<codec::Json> sign_checkpoint(const codec::Json& request);
  Result<codec::Json> sign_snapshot(const codec::Json& request);
  Result<codec::Json> issue_certificate(Role role, const codec::Json& request);
  Result<codec::Json> sign_token(const codec::Json& request);
  Result<codec::Json> rotate(const codec::Json& request);

  Clock& clock_;
  SignerOptions options_;
  std::string origin_;
  crypto::SealKey seal_;
  crypto::PrivateKey ledger_key_;
  crypto::PrivateKey snapshot_key_;
  std::unique_ptr<keystore::FileStore> file_store_;
  std::unique_ptr<Authority> authority_;
  std::uint64_t largest_tree_ = 0;
};

}  // namespace wary::identity
