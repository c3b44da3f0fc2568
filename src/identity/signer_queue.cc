#include "identity/signer_queue.h"

#include <iterator>
#include <utility>

#include "identity/signer_service.h"

namespace wary::identity {

namespace {

constexpr std::int64_t kAnswerTime = 5 * kNanosPerSecond;
constexpr std::size_t kWaitingMost = 4096;
constexpr std::size_t kOnTheWayMost = 2;

}  // namespace

SignerQueue::SignerQueue(io::Loop& loop, std::string path) : loop_(loop), path_(std::move(path)) {}
SignerQueue::~SignerQueue() { loop_.cancel(timer_); }

Error SignerQueue::unavailable() const {
  return fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer does not answer").at(path_);
}

void SignerQueue::issue(Bytes csr, std::string spiffe_id, std::uint32_t ttl_seconds, Done done) {
  IssueRequest request{std::move(csr), std::move(spiffe_id), ttl_seconds};
  std::optional<Error> refused;
  if (request.size() + 1 > kIssueBatchBytes) {
    refused = fail(ErrorKind::kInvalid, "signer_request_size", "the signer takes no request of this size");
  } else if (waiting_.size() >= kWaitingMost) {
    refused = fail(ErrorKind::kExhausted, "signer_busy", "the signer does not keep up; nothing was asked");
  }
  if (refused) return loop_.post([done = std::move(done), why = std::move(*refused)] { done(why); });
  waiting_.push_back({std::move(request), std::move(done)});
  plan();
}

void SignerQueue::plan() {
  if (std::exchange(planned_, true)) return;
  const std::weak_ptr<int> alive = alive_;
  loop_.post([this, alive] {
    if (alive.expired()) return;
    planned_ = false;
    send();
  });
}

void SignerQueue::send() {
  if (waiting_.empty() || dialling_) return;
  if (!frames_) return dial();
  while (!waiting_.empty() && sent_.size() < kOnTheWayMost && frames_->is_open()) send_batch();
}

void SignerQueue::send_batch() {
  std::vector<Waiting> batch;
  std::vector<IssueRequest> requests;
  std::size_t bytes = 1;
  while (!waiting_.empty() && batch.size() < kIssueBatchMost) {
    Waiting& next = waiting_.front();
    bytes += next.request.size();
    if (bytes > kIssueBatchBytes) break;
    requests.push_back(next.request);
    batch.push_back(std::move(next));
    waiting_.pop_front();
  }
  if (sent_.empty()) expect_answer();
  sent_.push_back(std::move(batch));
  if (!frames_->send(kIssueRequest, encode(requests))) frames_->close();
}

void SignerQueue::dial() {
  dialling_ = true;
  const std::weak_ptr<int> alive = alive_;
  loop_.connect(io::Address::unix_socket(path_), kAnswerTime,
                [this, alive](Result<std::unique_ptr<io::Stream>> stream) {
                  if (!alive.expired()) dialled(std::move(stream));
                });
}

void SignerQueue::dialled(Result<std::unique_ptr<io::Stream>> stream) {
  dialling_ = false;
  if (!stream) return fail_all(std::exchange(waiting_, {}), unavailable().found(stream.error().code));
  frames_ = std::make_unique<link::FrameStream>(std::move(stream).value(), kSignerFrames);
  frames_->start([this](std::uint8_t type, ByteView payload) { answered(type, payload); },
                 [this](const Error&) { lost(); });
  send();
}

void SignerQueue::answered(std::uint8_t type, ByteView payload) {
  auto answers = decode_issue_answers(payload);
  const bool fits = type == kIssueAnswer && answers && !sent_.empty() && answers->size() == sent_.front().size();
  if (!fits) {
    // Nothing of it is believed, nor asked of it again.
    for (auto& batch : sent_) {
      for (Waiting& one : batch) one.was_sent = true;
    }
    return frames_->close();
  }
  std::vector<Waiting> batch = std::move(sent_.front());
  sent_.pop_front();
  loop_.cancel(timer_);
  if (!sent_.empty()) expect_answer();
  send();
  const std::weak_ptr<int> alive = alive_;
  for (std::size_t i = 0; i < batch.size() && !alive.expired(); ++i) batch[i].done(std::move((*answers)[i]));
}

void SignerQueue::expect_answer() {
  timer_ = loop_.after(kAnswerTime, [this] {
    for (auto& batch : sent_) {
      for (Waiting& one : batch) one.was_sent = true;
    }
    if (frames_) frames_->close();
  });
}

// Its process may have been started anew: what was on its way is asked once more, before what came after it.
void SignerQueue::lost() {
  loop_.cancel(timer_);
  frames_.reset();
  std::deque<Waiting> again, over;
  for (auto& batch : std::exchange(sent_, {})) {
    for (Waiting& one : batch) {
      const bool was_sent = std::exchange(one.was_sent, true);
      (was_sent ? over : again).push_back(std::move(one));
    }
  }
  waiting_.insert(waiting_.begin(), std::make_move_iterator(again.begin()), std::make_move_iterator(again.end()));
  if (!waiting_.empty()) plan();
  fail_all(std::move(over), unavailable());
}

void SignerQueue::fail_all(std::deque<Waiting> these, const Error& why) {
  const std::weak_ptr<int> alive = alive_;
  for (Waiting& one : these) {
    if (alive.expired()) return;
    one.done(why);
  }
}

}  // namespace wary::identity
