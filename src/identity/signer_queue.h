// SignerQueue: the control plane's way to many certificates: nobody waits for one. What is asked for in one turn of the
// loop goes to the signer together (issue_batch.h), and while it signs the next are gathered.
//
//   SignerQueue queue(loop, "run/signer/control.sock");
//   queue.issue(csr, "spiffe://local/orders", 3600, [](Result<Authority::Issued> issued) { ... });
//
// `done` is called once, in a later turn, in the order of asking (what is refused here comes first). The signer is
// dialled when there is something to ask; what it had not answered when it ended is asked again once. Errors:
// signer_unavailable, signer_busy (4,096 wait), signer_request_size, and what the signer answered. Thread
// rule: the loop's. Limits: two messages on their way, so that others' calls of the signer wait for 32 signatures at
// most; 5 s for an answer.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "identity/issue_batch.h"
#include "io/loop.h"
#include "link/frames.h"

namespace wary::identity {

class SignerQueue {
 public:
  using Done = std::function<void(Result<Authority::Issued>)>;
  SignerQueue(io::Loop& loop, std::string path);
  ~SignerQueue();
  SignerQueue(const SignerQueue&) = delete;
  SignerQueue& operator=(const SignerQueue&) = delete;
  void issue(Bytes csr, std::string spiffe_id, std::uint32_t ttl_seconds, Done done);

 private:
  struct Waiting {
    IssueRequest request;
    Done done;
    bool was_sent = false;
  };
  void plan();
  void send();
  void send_batch();
  void dial();
  void dialled(Result<std::unique_ptr<io::Stream>> stream);
  void answered(std::uint8_t type, ByteView payload);
  void expect_answer();
  void lost();
  void fail_all(std::deque<Waiting> these, const Error& why);
  Error unavailable() const;

  io::Loop& loop_;
  std::string path_;
  std::deque<Waiting> waiting_;
  std::deque<std::vector<Waiting>> sent_;
  std::unique_ptr<link::FrameStream> frames_;
  io::TimerId timer_ = 0;
  bool planned_ = false, dialling_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace wary::identity
