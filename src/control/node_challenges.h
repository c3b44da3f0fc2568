// NodeChallenges: nonces for machines that join, which cost nothing until they are answered: what a challenge was made
// for stands in it, under a MAC by a key of this process, so that no number of askers leaves no room for the others.
//
//   NodeChallenges challenges(clock, random);
//   const NodeChallenges::Purpose purpose{method, client, node_nonce, crypto::sha256(csr)};
//   const NodeChallenges::Made made = challenges.make(purpose);                     // {text, server_nonce}
//   WARY_ASSIGN_OR_RETURN(node::Nonce server_nonce, challenges.open(text, purpose));   // of the answer
//   WARY_RETURN_IF_ERROR(challenges.use(server_nonce));                             // good once
//
// Good for 30 s, for the same method, address, node's nonce and request, until somebody used it: only then is it
// remembered. A restart of the process ends all of them. Thread rule: the loop's. Limit: 4,096 used ones at a time.
// Errors: node_challenge (none of ours, another's, ended, used), node_challenges (too many were used just now).
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/hash.h"
#include "node/statement.h"

namespace wary::control {

class NodeChallenges {
 public:
  struct Purpose {
    node::Method method = node::Method::kX509Pop;
    std::string client;  // the address it came from
    node::Nonce node_nonce{};
    crypto::Digest csr_sha256{};
  };
  struct Made {
    std::string text;
    node::Nonce server_nonce{};
  };
  NodeChallenges(Clock& clock, Random& random);
  Made make(const Purpose& purpose);
  Result<node::Nonce> open(std::string_view text, const Purpose& purpose) const;
  Status use(const node::Nonce& server_nonce);
  // 32 bytes that belong to that challenge and to `of`, and that nobody else can know.
  Secret secret_of(const node::Nonce& server_nonce, ByteView of) const;
  std::size_t remembered() const { return used_.size(); }

 private:
  crypto::Digest seal(std::int64_t until, const node::Nonce& server_nonce, const Purpose& purpose) const;

  Clock& clock_;
  Random& random_;
  Secret key_;
  std::map<node::Nonce, std::int64_t> used_;  // until when they would be good
};

}  // namespace wary::control
