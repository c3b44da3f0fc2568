#include "codec/http1_conformance.h"

namespace wary::codec::http1 {

namespace {

// One connection: feeds the unconsumed bytes until it wants more, is at its end, or refuses.
class Connection {
 public:
  explicit Connection(FramingOutcome& outcome) : outcome_(outcome) {}

  bool feed(std::string_view bytes) {  // false: refused or closed
    buffer_ += bytes;
    while (true) {
      const bool moved = in_body_ ? feed_body() : feed_head();
      if (outcome_.refusal.status != 0 || closed_) return false;
      if (!moved) return true;
    }
  }
  bool is_idle() const { return closed_ || (!in_body_ && (buffer_.empty() || buffer_ == "\r\n")); }

 private:
  bool feed_head() {
    if (buffer_.empty()) return false;
    const HeadResult result = parse_request_head(buffer_, scan_, head_);
    if (result.progress == Progress::kRefused) outcome_.refusal = result.refusal;
    if (result.progress != Progress::kDone) return false;
    request_ = {std::string(head_.method), std::string(head_.path), std::string(head_.host), ""};
    keep_alive_ = head_.keep_alive && head_.upgrade == Upgrade::kNone;
    body_ = BodyReader(head_.framing);
    buffer_.erase(0, result.consumed);
    scan_ = {};
    in_body_ = true;
    return true;
  }

  bool feed_body() {
    while (!body_.is_done()) {
      const BodyStep step = body_.step(buffer_);
      if (step.progress == Progress::kRefused) return outcome_.refusal = step.refusal, false;
      request_.body += step.data;
      if (step.consumed == 0) return false;
      buffer_.erase(0, step.consumed);
    }
    in_body_ = false;
    closed_ = !keep_alive_;
    outcome_.requests.push_back(std::move(request_));
    return true;
  }

  FramingOutcome& outcome_;
  std::string buffer_;
  RequestHead head_;
  HeadScan scan_;
  FramingRequest request_;
  BodyReader body_{Framing{}};
  bool in_body_ = false;
  bool keep_alive_ = true;
  bool closed_ = false;
};

}  // namespace

FramingOutcome run_connection(std::string_view raw, std::size_t piece) {
  FramingOutcome outcome;
  Connection connection(outcome);
  if (piece == 0) piece = raw.size();
  for (std::size_t at = 0; at < raw.size(); at += piece) {
    if (!connection.feed(raw.substr(at, piece))) break;
  }
  outcome.incomplete = outcome.refusal.status == 0 && !connection.is_idle();
  return outcome;
}

FramingVerdict check_framing_case(const FramingCase& framing_case) {
  FramingVerdict verdict;
  verdict.outcome = run_connection(framing_case.raw, 0);
  const FramingOutcome bytewise = run_connection(framing_case.raw, 1);
  const FramingOutcome& whole = verdict.outcome;
  if (whole.requests != bytewise.requests || whole.refusal.status != bytewise.refusal.status ||
      whole.refusal.code != bytewise.refusal.code || whole.incomplete != bytewise.incomplete) {
    verdict.reason = "whole and byte by byte differ";
  } else if (framing_case.expect == "forward") {
    if (whole.refusal.status != 0) {
      verdict.reason = "refused: " + std::string(whole.refusal.code);
    } else if (whole.incomplete) {
      verdict.reason = "incomplete";
    } else if (whole.requests.size() != framing_case.upstream_requests) {
      verdict.reason = "forwarded " + std::to_string(whole.requests.size());
    }
  } else if (framing_case.expect == "reject-or-normalise") {
    // Refused, or exactly one request of the model: both are safe; what is written upstream comes from the model.
    if (whole.requests.size() > 1) verdict.reason = "more than one request";
  } else if (whole.requests.size() > framing_case.upstream_requests) {
    verdict.reason = "accepted";
  } else if (whole.refusal.status == 0) {
    verdict.reason = "not refused";
  } else if (framing_case.expect.find(std::to_string(whole.refusal.status)) == std::string_view::npos) {
    verdict.reason = "refused with " + std::to_string(whole.refusal.status);
  }
  verdict.passed = verdict.reason.empty();
  return verdict;
}

}  // namespace wary::codec::http1
