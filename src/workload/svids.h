// Svids: the X509-SVIDs of a node's workloads. Keys are made here and stay in memory; certificates are asked for,
// renewed at half their life and dropped ten seconds after the last use.
//
//   Svids svids(loop, clock, random, issue, [&](const std::string& id) { ... it is there, or it failed ... });
//   svids.hold(entry);                          // a user of the identity; release() when it is gone
//   if (const Svid* svid = svids.find(id)) ...  // valid now
//
// A renewal that fails is tried again, after 1 s, doubling to 30 s, until the certificate ends; then the identity has
// failed. When the clock jumped so that a certificate is due, ended or not yet valid, it is renewed at the next look
// (every second). Renewals are spread over a tenth of their time; revocations are not. Thread rule: the loop's.
// Limits: 4,096 identities at once, 16 on their way to the signer; the others wait their turn.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/secret.h"
#include "crypto/x509.h"
#include "io/loop.h"
#include "workload/entries.h"

namespace wary::workload {

struct Svid {
  std::vector<Bytes> chain;  // leaf first
  Secret key;                // PKCS#8
  UnixTime not_before, not_after, renew;
  std::uint64_t number = 0;  // another one has another
};

struct IssuedSvid {
  std::vector<Bytes> chain;
};
struct IssueRequest {
  Bytes csr;
  std::string spiffe_id;
  std::int64_t ttl_seconds = 0;
};
using Issue = std::function<void(const IssueRequest&, std::function<void(Result<IssuedSvid>)>)>;

class Svids {
 public:
  Svids(io::Loop& loop, Clock& clock, Random& random, Issue issue,
        std::function<void(const std::string& spiffe_id)> changed);
  ~Svids();
  void hold(const Entry& entry);
  void release(const std::string& spiffe_id);
  // Another certificate for all of them now: the one who signed is not trusted any more.
  void renew_all();
  // Drops the others at once, whoever uses them.
  void keep_only(const std::function<bool(const std::string& spiffe_id)>& is_kept);
  bool knows(const std::string& spiffe_id) const { return identities_.contains(spiffe_id); }
  const Svid* find(const std::string& spiffe_id) const;
  // Why there is none; nothing while it is on its way.
  const Error* failure(const std::string& spiffe_id) const;
  std::size_t size() const { return identities_.size(); }

 private:
  struct Identity {
    std::int64_t ttl_seconds = 0;
    std::size_t users = 0;
    std::optional<Svid> svid;
    std::optional<Error> failed;
    std::uint64_t asked = 0;                  // number of the request on its way; 0: none
    std::unique_ptr<crypto::PrivateKey> key;  // of the request on its way
    std::int64_t backoff = 0;
    std::int64_t due = 0;           // monotonic: when to ask next; 0: not planned
    std::int64_t unused_since = 0;  // monotonic, while there are no users
  };
  void ask(const std::string& id, Identity& identity);
  void issued(const std::string& id, std::uint64_t asked, Result<IssuedSvid> result);
  Status take(const std::string& id, Identity& identity, const IssuedSvid& issued);
  void refused(Identity& identity, Error error);
  void look();
  void start_waiting();

  io::Loop& loop_;
  Clock& clock_;
  Random& random_;
  Issue issue_;
  std::function<void(const std::string&)> changed_;
  std::map<std::string, Identity> identities_;
  std::deque<std::string> waiting_;
  std::size_t on_the_way_ = 0;
  std::uint64_t last_ = 0;
  io::TimerId timer_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // an answer on its way holds a weak reference
};

}  // namespace wary::workload
