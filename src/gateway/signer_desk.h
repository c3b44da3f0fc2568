// SignerDesk: asks the signer from a thread of its own, one thing after the other, so that one that hangs delays nobody
// who serves or hears of revocations. Private to gateway/.
//
//   SignerDesk desk(loop, clock, {issue, trusted, issue_own});
//   if (!desk.is_asking()) desk.ask({.roots = true, .names = {"a.example"}}, [](SignerDesk::Told told) { ... });
//
// Thread rule: `home`'s thread, where what is told is told, too; the three functions are called on the desk's. Limits:
// one question at a time. Whoever destroys it interrupts what is being asked, and hears nothing of it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "crypto/tls.h"
#include "io/loop.h"

namespace wary::gateway {

// A certificate for these names, or of this identity: leaf and intermediates in DER, and when it ends. Blocking; the
// desk's thread.
struct IssuedCertificate {
  std::vector<Bytes> chain;
  UnixTime not_after;
};
// Who vouches for workloads now, in DER; the number grows with every change. Blocking; the desk's thread.
struct TrustedRoots {
  std::vector<Bytes> roots;
  std::uint64_t sequence = 0;
};
using ReadTrusted = std::function<Result<TrustedRoots>()>;
using IssueCertificate = std::function<Result<IssuedCertificate>(ByteView csr, const std::vector<std::string>& names)>;
using IssueIdentity = std::function<Result<IssuedCertificate>(ByteView csr, const std::string& spiffe_id)>;

class SignerDesk {
 public:
  struct Signer {
    IssueCertificate issue;
    ReadTrusted trusted;
    IssueIdentity issue_own;
    std::function<void()> interrupt = {};  // from any thread: what is being asked is given up; may be none
  };
  // What is wanted of it. The key of a certificate is made here and never leaves.
  struct Ask {
    bool roots = false;
    std::vector<std::string> names = {};   // one certificate for all of them
    std::vector<std::string> others = {};  // or for these, where the signer refuses the first
    std::string own = {};                  // a SPIFFE ID
    std::string subject = {};              // of the requests
  };
  struct Made {
    crypto::TlsIdentity identity;
    std::vector<std::string> names;
    UnixTime not_after, renew_at;  // after a third of its life, and a second at least: it may have ended as it came
  };
  // What came of it; the first failure, after which a signer that is away is asked for nothing more.
  struct Told {
    std::optional<TrustedRoots> roots;
    std::optional<Made> certificate, own;
    std::optional<Error> failure;
  };

  SignerDesk(io::Loop& home, Clock& clock, Signer signer);
  ~SignerDesk();
  bool is_asking() const { return asking_; }
  void ask(Ask ask, std::function<void(Told)> told);

 private:
  Told answer(const Ask& ask) const;
  Result<Made> issue(const Ask& ask, const std::vector<std::string>& names) const;

  io::Loop& home_;
  Clock& clock_;
  const Signer signer_;
  std::unique_ptr<io::Loop> loop_;
  bool asking_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // shared: what is told may come when nobody is here
  std::thread thread_;
};

}  // namespace wary::gateway
