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
//     {"challenge", "signature"}
//   {"method": "tpm", "csr", "nonce", "endorsement_key", "endorsement_certificates", "attestation_key"}
//                                                                 -> the same, "credential", "secret"
//     {"challenge", "activated", "attested", "signature"}
//   {"method": "key", "node", "csr"}: the key that joined, again
// -> {"node", "spiffe_id", "trust_domain", "chain", "roots", "snapshot_key"}
//
// A token is good once. With a node's key its name is kept: who has the key is the node, until it is revoked or
// disabled; the key alone is never enough to become another node. Answered once it is durable. Thread rule: the loop's.
// Limits: 1,024 challenges at once and 16 of one address, 30 s each; 10 joins a second of one address, 50 at once.
// Errors: node_* (nodes.cc), those of node/x509pop.h and node/tpm_evidence.h, of csr.h, and the signer's.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/rate.h"
#include "base/seldom_log.h"
#include "control/api.h"
#include "control/plane.h"
#include "crypto/csr.h"
#include "node/statement.h"
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

 private:
  // Who it is, once that is shown.
  struct Shown {
    std::string name;
    std::string method;
    std::string authority;  // the NodeAuthority that vouched
    std::vector<std::string> groups;
    std::optional<store::Key> token;  // used up with this
  };
  struct Challenge {
    node::Method method = node::Method::kX509Pop;
    std::string client;
    std::int64_t until = 0;  // monotonic
    Bytes csr;
    Bytes spki;
    node::Nonce server_nonce{}, node_nonce{};
    std::vector<Bytes> chain;  // x509pop; of tpm: of the endorsement key
    std::optional<node::EndorsementKey> endorsement;
    std::optional<node::AttestationKey> attestation;
    Secret secret;
  };
  void answer_join(const codec::Json& body, const std::string& client, const Reply& reply);
  Result<codec::Json> challenge(const codec::Json& body, const std::string& client, Bytes csr, Bytes spki);
  Result<Shown> answered(const Challenge& challenge, const codec::Json& body);
  Result<Shown> shown_by_certificate(const Challenge& challenge, ByteView statement, const codec::Json& body);
  Result<Shown> shown_by_tpm(const Challenge& challenge, ByteView statement, const codec::Json& body);
  Result<Shown> shown_by_token(const codec::Json& body);
  Result<Shown> shown_by_key(const codec::Json& body, ByteView spki);
  void admit(const Shown& shown, ByteView csr, ByteView spki, const Reply& reply);
  Result<codec::Json> identity(const std::string& name, ByteView csr);
  Status check_standing(const std::string& name) const;
  void refused(const std::string& client, const Error& error);
  void sweep();

  Plane& plane_;
  NodesParts parts_;
  SeldomLog refusals_;
  crypto::CsrChecker checker_;
  RateByKey<std::string> joins_;
  std::map<std::string, Challenge> challenges_;
};

}  // namespace wary::control
