// Membership: a machine's standing with a control plane elsewhere: it joins by what it can show, keeps its key and
// certificate on disk, renews the certificate at half its life, and opens the link.
//
//   Membership membership(parts, {.directory = "node", .server = {...}, .roots = {...}, .show = {.join_token = ...}});
//   membership.start([&](const Result<Identity>& identity) { ... joined, or why it cannot be ... });
//   link::SubscriberOptions options{.node = "agent/" + name, .dial = membership.dialler()};
//
// The key is made here and never leaves. It alone is enough to go on: evidence is shown once, and again only when the
// control plane does not know the key any more. What may pass (server away, busy) is tried again after 1 s, doubling to
// 30 s; a refusal is told, and tried again every 30 s, as the operator may change their mind. The server is verified by
// the roots it gave at the last renewal, at first by those named here.
//
// Thread rule: the loop's; a TPM's work (seconds) blocks it while it joins. Files: node.key (PKCS#8), node.json, both
// for their owner alone. Errors: node_state (unreadable files), node_answer, node_evidence (nothing to show), those of
// the server and of the connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "codec/json.h"
#include "crypto/sign.h"
#include "crypto/tls.h"
#include "http/tls_call.h"
#include "io/files.h"
#include "io/loop.h"
#include "node/statement.h"

namespace wary::node {

struct MembershipParts {
  io::Loop& loop;
  Clock& clock;
  Random& random;
  io::Files& files;
  Log& log;
};

struct Server {
  http::TlsServer tls;
  std::string host;  // "console.localhost:7443": of requests
};

// One of these; the names are files, read when they are needed.
struct Evidence {
  std::string join_token;
  std::string chain_file, key_file;  // x509pop, in PEM
  std::string tpm;                   // "device:/dev/tpmrm0"
  std::string endorsement_chain_file;
};

struct MembershipOptions {
  std::string directory;
  Server server;
  std::vector<Bytes> roots;  // DER
  Evidence show;
};

// What may pass by itself: the server is away, or busy. A refusal does not.
bool may_pass(const Error& error);

struct Identity {
  std::string name;
  std::string trust_domain;
  std::vector<Bytes> chain, roots;
  Bytes snapshot_key;
  UnixTime not_before, not_after;
};

using Dial = std::function<std::shared_ptr<void>(std::function<void(Result<std::unique_ptr<io::Stream>>)> connected)>;

class Membership {
 public:
  Membership(MembershipParts parts, MembershipOptions options);
  ~Membership();
  // The files read and the key made, before privileges are given up.
  Status open();
  // Told at the first identity, and at each refusal until there is one.
  void start(std::function<void(const Result<Identity>&)> joined);
  void on_joined(std::function<void(const Result<Identity>&)> joined) { joined_ = std::move(joined); }
  const Identity& identity() const { return identity_; }
  Dial dialler();
  // Who vouches for the server from now on.
  void trust(std::vector<Bytes> roots);

 private:
  using Answer = std::function<void(Result<codec::Json>)>;
  Status load();
  Status keep() const;
  void renew();
  void plan(std::int64_t nanos);
  void ask(codec::Json body, Answer answer);
  void show_key(const Answer& done);
  // Asks for a challenge, answers it: what `evidence` says both times, and what `prove` adds to the answer.
  using Prove = std::function<Status(const codec::Json& challenge, const Bytes& statement, codec::Json& answer)>;
  void exchange(Method method, codec::Json evidence, Prove prove, const Answer& done);
  void show_evidence();
  void show_certificate(const Answer& done);
  void show_tpm(const Answer& done);
  void answered(Result<codec::Json> answer);
  Status take(const codec::Json& answer);
  Result<Bytes> statement(Method method, const Nonce& own, const codec::Json& challenge) const;
  Result<crypto::TlsClientContext> context(bool shows_itself) const;

  MembershipParts parts_;
  MembershipOptions options_;
  std::shared_ptr<const crypto::PrivateKey> key_;
  Bytes csr_;
  Identity identity_;
  bool has_joined_ = false;
  bool shows_evidence_ = false;
  std::int64_t backoff_ = 0;
  std::function<void(const Result<Identity>&)> joined_;
  std::shared_ptr<void> step_;  // the request on its way
  io::TimerId timer_ = 0;
};

}  // namespace wary::node
