// The signer's sockets, and what the other processes call it with.
//
// SignerService listens on one socket a role; the kernel tells the peer's user, which must be the role's. A request is
// a frame (link/frames.h) of type 1 with JSON, its answer one of type 2, in order; types 3 and 4 are issue_batch.h's,
// which signer_queue.h asks with. SignerClient asks and waits: its own
// thread or a start-up path, never a request's path. It connects anew when the signer was restarted. Errors:
// signer_unavailable, signer_syntax, and what the signer answered. Thread rules: the service belongs to its loop; a
// client to one thread at a time, but for interrupt().
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/log.h"
#include "identity/signer.h"
#include "io/loop.h"
#include "link/frames.h"

namespace wary::identity {

// Frames of the signer's sockets: requests and their answers as JSON, and many certificates at once (issue_batch.h).
inline constexpr std::uint8_t kRequest = 1, kAnswer = 2, kIssueRequest = 3, kIssueAnswer = 4;
inline constexpr link::FrameLimits kSignerFrames{
    .frame_bytes = 64 * 1024, .taken_bytes = 64 * 1024, .queued_bytes = 1024 * 1024};

class SignerService {
 public:
  SignerService(io::Loop& loop, Signer& signer, Log& log);
  ~SignerService();
  // `uid` is the only user that may connect there (and root may not stand in for it).
  Status listen(Role role, const std::string& path, uid_t uid);

 private:
  struct Caller;
  void accepted(Role role, uid_t uid, std::unique_ptr<io::Stream> stream);
  void on_request(Caller& caller, std::uint8_t type, ByteView payload);
  void on_batch(Caller& caller, ByteView payload);
  void forbidden(Caller& caller);

  io::Loop& loop_;
  Signer& signer_;
  Log& log_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
  std::map<Caller*, std::unique_ptr<Caller>> callers_;
};

class SignerClient {
 public:
  SignerClient(Clock& clock, std::string path);
  ~SignerClient();
  Result<codec::Json> call(const codec::Json& request);
  // From any thread: what is being asked, and all that is asked from now on, has no answer.
  void interrupt();

  struct PublicKeys {
    std::string origin;
    std::string trust_domain;
    Bytes ledger;    // Ed25519, 32 bytes
    Bytes snapshot;  // Ed25519, 32 bytes
    Bytes ca;        // DER
  };
  // `patience` nanoseconds of a start-up path are waited for a signer that is being started itself.
  Result<PublicKeys> public_keys(std::int64_t patience = 0);
  Result<Bytes> sign(std::string_view operation, ByteView message);
  struct Issued {
    std::vector<Bytes> chain;  // DER, leaf first, then intermediates, without the root
    UnixTime not_after;
  };
  Result<Issued> issue_names(ByteView csr, const std::vector<std::string>& names);
  Result<Issued> issue_workload(ByteView csr, const std::string& spiffe_id, std::int64_t ttl_seconds = 3600);
  Result<Authorities> authorities();
  // A JWT-SVID, as compact JWS signed by ES256.
  Result<std::string> sign_jwt(const std::string& spiffe_id, const std::vector<std::string>& audiences,
                               std::int64_t ttl_seconds);
  // What is trusted afterwards.
  Result<Authorities> rotate(const Authority::Rotation& rotation);

 private:
  Result<Issued> issue(codec::Json request);
  Result<codec::Json> call_once(const codec::Json& request);
  void pause();
  std::unique_ptr<io::Loop> loop_;
  std::string path_;
  std::unique_ptr<link::FrameStream> frames_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace wary::identity
