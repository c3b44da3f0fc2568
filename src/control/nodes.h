// Nodes: how machines other than this one join, are known again, and get their link.
//
//   Nodes nodes(plane, {clock, random, log, issue, roots, snapshot_key});
//   auto token = nodes.create_token(caller, session, "web-1", 600);          // its secret is shown once
//   nodes.join(exchange);                                                     // POST /nodes/join, from anybody
//   nodes.link(exchange);                                                     // GET /nodes/link, from a Node
//
// A join names its method and brings a certificate request (base64, as all bytes) by the node's own key:
//   {"method": "join_token", "token", "csr"}
//   {"method": "x509pop", "csr", "nonce", "chain"}                -> {"challenge", "nonce", "trust_domain"}
//     the same again, with "challenge", "signature"
//   {"method": "tpm", "csr", "nonce", "endorsement_key", "endorsement_certificates", "attestation_key"}
//                                                                 -> the same, "credential", "secret"
//     the same again, with "challenge", "activated", "attested", "signature"
//   {"method": "key", "csr", "nonce", "node"}: the key that joined, again -> {"challenge", "nonce", "trust_domain"}
//     the same again, with "challenge", "signature"
// -> {"node", "spiffe_id", "trust_domain", "chain", "roots", "snapshot_key"}
//
// The link is a WebSocket with the header Node-Proof: base64 of a signature by the node's key over link_statement_of
// (node/statement.h). A certificate of an earlier key is good until it ends; the link is not.
//
// A token is good once. With a node's key its name is kept: who has the key is the node, until it is revoked or
// disabled; the key alone is never enough to become another node. Answered once it is durable. Thread rule: the loop's.
// Limits: 10 joins a second of one address, 50 at once; a challenge holds nothing (node_challenges.h).
// Errors: node_* (nodes.cc), those of node/x509pop.h and node/tpm_evidence.h, of csr.h, and the signer's.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/rate.h"
#include "base/seldom_log.h"
#include "control/api.h"
#include "control/node_challenges.h"
#include "control/plane.h"
#include "crypto/csr.h"
#include "node/tpm_evidence.h"

namespace wary::control {

struct NodesParts {
  Clock& clock;
  Random& random;
  Log& log;
  std::function<Result<std::vector<Bytes>>(ByteView csr, const std::string& spiffe_id, std::int64_t ttl_seconds)> issue;
  std::function<Result<std::vector<Bytes>>()> roots;  // what the trust domain's certificates lead to
  Bytes snapshot_key;                                 // what the link's updates are signed by
};

// Whether a NodeAuthority can vouch for anybody: where it cannot, and why. Errors: node_authority_empty, pem_syntax,
// node_authority_certificate, those of x509.h.
std::optional<std::pair<std::string, Error>> check_node_authority(const codec::Json& spec);

// What goes with a Node that is deleted: the key by which its machine was known, which is nobody's from then on.
std::vector<Write> node_writes(const Objects& objects, const store::Key& deleted);

class Nodes {
 public:
  using Reply = std::function<void(Result<codec::Json>)>;
  Nodes(Plane& plane, NodesParts parts);
  // {"node", "token", "expires"}.
  Result<codec::Json> create_token(const Caller& by, const std::string& node, std::int64_t ttl_seconds);
  void join(const Api::ExchangePtr& exchange);
  void link(const Api::ExchangePtr& exchange);
  // As `status` of a Node: state (linked, away, new: never joined, disabled, revoked), joinedBy, joined, lastSeen,
  // certificateEnds, summary. The last two times are known since this process began.
  codec::Json status_of(const std::string& name) const;

 private:
  // Who it is, once that is shown.
  struct Shown {
    std::string name;
    std::string method;
    std::string authority;  // the NodeAuthority that vouched
    std::string subject;    // of a device certificate
    std::vector<std::string> groups;
    std::optional<store::Key> token;  // used up with this
  };
  // What a machine brings that is asked for a challenge and answers it.
  struct Evidence {
    NodeChallenges::Purpose purpose;
    Bytes csr, spki;
    std::vector<Bytes> chain;  // x509pop; of tpm: of the endorsement key
    std::optional<node::EndorsementKey> endorsement;
    std::optional<node::AttestationKey> attestation;
  };
  void answer_join(const codec::Json& body, const std::string& client, const Reply& reply);
  void answer_challenged(const codec::Json& body, Evidence evidence, const Reply& reply);
  Result<codec::Json> challenge(const Evidence& evidence);
  // What the TPM that has both keys alone can read.
  Secret credential_of(const Evidence& evidence, const node::Nonce& server_nonce) const;
  Result<Shown> answered(const Evidence& evidence, const node::Nonce& server_nonce, const codec::Json& body);
  Result<Shown> shown_by_certificate(const Evidence& evidence, ByteView statement, const codec::Json& body);
  Result<Shown> shown_by_tpm(const Evidence& evidence, const node::Nonce& server_nonce, ByteView statement,
                             const codec::Json& body);
  Result<Shown> shown_by_token(const codec::Json& body);
  Result<Shown> known_by_key(const codec::Json& body, ByteView spki) const;
  Result<Shown> shown_by_key(const Evidence& evidence, ByteView statement, const codec::Json& body) const;
  void admit(const Shown& shown, ByteView csr, ByteView spki, const Reply& reply);
  Result<codec::Json> identity(const std::string& name, ByteView csr);
  Status check_standing(const std::string& name) const;
  void refused(const std::string& client, const Error& error);
  void saw(const std::string& name, const std::vector<Bytes>& chain);
  Status check_link_key(const std::string& name, const http::Request& request) const;

  Plane& plane_;
  NodesParts parts_;
  SeldomLog refusals_;
  crypto::CsrChecker checker_;
  RateByKey<std::string> joins_;
  NodeChallenges challenges_;
  struct Seen {
    UnixTime last, certificate_ends;
  };
  std::map<std::string, Seen> seen_;  // of nodes that are there: as many as Nodes
};

}  // namespace wary::control
