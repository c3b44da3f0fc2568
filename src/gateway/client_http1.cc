#include "gateway/client_http1.h"

#include <algorithm>

#include "codec/text.h"
#include "http/websocket_stream.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kRequestsHeld = 128 * 1024;                // one head at its limit, and a piece of body
constexpr std::size_t kKeptForNext = 2 * 1024;                   // of a buffer, between two requests
constexpr std::string_view kGoingAway{"\x88\x02\x03\xe9", 4};    // RFC 6455: close, code 1001
constexpr std::string_view kRestarting{"\x88\x02\x03\xf4", 4};   // close, code 1012
constexpr std::string_view kPolicyClose{"\x88\x02\x03\xf0", 4};  // RFC 6455: close, code 1008

}  // namespace

Http1Client::Http1Client(Connection& connection)
    : connection_(connection), exchange_(connection.worker(), *this, connection.id(), 0) {}

void Http1Client::receive(std::string_view bytes) { in_ += bytes; }

bool Http1Client::may_read() const { return in_.size() - in_at_ < kRequestsHeld; }

bool Http1Client::outlives_client_end() {
  client_ended_ = true;
  return exchange_.is_tunnel();
}

bool Http1Client::drive() {
  const std::size_t before = in_at_, unsent = connection_.unsent();
  const bool was_idle = exchange_.is_idle();
  if (draining_ && exchange_.may_speak() && !connection_.is_over()) say_going_away();
  if (was_idle) {
    if (draining_ && in_at_ == in_.size()) connection_.end_gracefully();
    // What waits of the answer before could no longer be held back under its own decision.
    if (connection_.is_over() || !connection_.is_flushed() || !take_head()) return false;
  }
  if (connection_.is_over()) return false;
  pump_body();
  if (connection_.is_over()) return false;
  bool moved = connection_.unsent() < kAnswerHeld && exchange_.client_has_room();
  moved = moved || in_at_ != before || connection_.unsent() != unsent || was_idle != exchange_.is_idle();
  // Nothing points into the bytes any more.
  if (in_at_ == in_.size()) {
    in_.clear();
    in_at_ = 0;
    if (in_.capacity() > kKeptForNext && exchange_.is_idle()) in_.shrink_to_fit();
  } else if (in_at_ >= kRequestsHeld / 4) {
    in_.erase(0, in_at_);
    in_at_ = 0;
  }
  return moved;
}

void Http1Client::rest() {
  if (!exchange_.is_idle() || !in_.empty()) return;
  std::string().swap(in_);
  head_ = {};
  exchange_.rest();
}

// True when a head was taken, or refused.
bool Http1Client::take_head() {
  if (in_at_ == in_.size()) return false;
  const http1::HeadResult result = http1::parse_request_head(std::string_view(in_).substr(in_at_), scan_, head_);
  if (result.progress == http1::Progress::kNeedMore) return false;
  scan_ = {};
  if (result.progress == http1::Progress::kRefused) {
    method_ = "GET";  // unknown: the answer has its body
    keep_alive_ = false;
    body_.emplace(http1::Framing{});
    exchange_.refuse_unread(result.refusal);
    return true;
  }
  in_at_ += result.consumed;
  method_ = head_.method;
  is_1_1_ = head_.minor_version >= 1;
  keep_alive_ = head_.keep_alive && !leaving_;
  body_.emplace(head_.framing);
  body_told_end_ = body_->is_done();
  websocket_accept_.clear();
  if (head_.upgrade == http1::Upgrade::kWebSocket) {
    websocket_accept_ = http::websocket_accept(http1::find_field(head_.fields, "sec-websocket-key").value_or(""));
  }
  exchange_.begin(head_);
  return true;
}

void Http1Client::pump_body() {
  if (exchange_.is_tunnel()) {
    const std::size_t size = std::min(exchange_.body_room(), in_.size() - in_at_);
    if (size > 0) {
      exchange_.body(std::string_view(in_).substr(in_at_, size));
      in_at_ += size;
    }
    if (client_ended_ && in_at_ == in_.size()) exchange_.body_end();
    return;
  }
  while (body_ && !body_told_end_ && !exchange_.is_idle() && exchange_.body_room() > 0) {
    if (body_->is_done()) {
      body_told_end_ = true;
      return exchange_.body_end();
    }
    const http1::BodyStep step = body_->step(std::string_view(in_).substr(in_at_));
    if (step.progress == http1::Progress::kRefused) {
      keep_alive_ = false;
      return exchange_.body_refused(step.refusal);
    }
    in_at_ += step.consumed;
    exchange_.body(step.data);
    if (step.consumed == 0) return;
  }
}

// How the client learns where the answer ends. A length nobody knows: chunks for HTTP/1.1, the end of the connection
// for 1.0.
http1::Framing Http1Client::framing_of(const AnswerHead& head) const {
  if (head.status < 200 || head.status == 204 || head.status == 304) return {};
  if (head.length) return {http1::BodyKind::kLength, *head.length};
  return {is_1_1_ ? http1::BodyKind::kChunked : http1::BodyKind::kUntilClose, 0};
}

bool Http1Client::answer(const AnswerHead& head) {
  if (head.closes || (head.is_ours && !body_->is_done())) keep_alive_ = false;
  http1::ResponseParts parts;
  parts.framing = framing_of(head);
  if (parts.framing.kind == http1::BodyKind::kUntilClose) keep_alive_ = false;
  answer_chunked_ = parts.framing.kind == http1::BodyKind::kChunked && head.has_body && method_ != "HEAD";
  parts.status = head.status;
  parts.keep_alive = keep_alive_;
  if (!head.switches) return http1::append_response_head(connection_.out(), parts, head.fields).ok();
  switched_ = true;
  parts.upgrade = http1::Upgrade::kWebSocket;
  parts.status = 101;
  parts.framing = {};
  std::vector<http1::Field> fields = head.fields;
  std::erase_if(fields, [](const http1::Field& field) {
    return codec::equals_ignoring_case(field.name, "sec-websocket-accept");
  });
  fields.push_back({"Sec-WebSocket-Accept", websocket_accept_});
  return http1::append_response_head(connection_.out(), parts, fields).ok();
}

void Http1Client::data(std::string_view bytes) {
  if (bytes.empty()) return;
  if (answer_chunked_) http1::append_chunk_header(connection_.out(), bytes.size());
  connection_.put(bytes);
  if (answer_chunked_) connection_.out() += http1::kChunkEnd;
}

void Http1Client::end(const std::vector<http1::Field>&) {
  if (std::exchange(answer_chunked_, false)) connection_.out() += http1::kLastChunk;
  connection_.answer_ended();
  // The answer came before the whole request: what is left of its body is not worth reading.
  if (!keep_alive_ || !body_->is_done() || switched_) return connection_.end_gracefully();
  connection_.set_deadline(kKeepAliveTime);
  connection_.mark();
}

void Http1Client::abort() { connection_.end_now(!switched_); }

// A WebSocket whose queue is empty hears why (1008, policy violation); everything else is reset: bytes that wait in a
// queue must not reach a principal that may no longer read them.
void Http1Client::cut() {
  if (exchange_.may_speak() && connection_.is_flushed()) return connection_.end_saying(kPolicyClose);
  connection_.end_now(true);
}

std::size_t Http1Client::room() const {
  const std::size_t held = connection_.unsent();
  return held < kAnswerHeld ? kAnswerHeld - held : 0;
}

void Http1Client::ask_for_body() {
  if (!is_1_1_ || body_->is_done()) return;
  connection_.out() += "HTTP/1.1 100 Continue\r\n\r\n";
  connection_.mark();
}

void Http1Client::on_deadlines(std::int64_t now) {
  if (!exchange_.is_idle() && exchange_.deadline() <= now) exchange_.on_deadline();
}

void Http1Client::on_expired(UnixTime now) {
  if (exchange_.valid_until() && *exchange_.valid_until() <= now) exchange_.reconsider(0);
}

void Http1Client::on_idle() {
  if (!exchange_.is_idle()) return;
  // A connection that waits for its next request goes quietly; half a head is answered.
  if (in_at_ == in_.size()) return connection_.end_gracefully();
  method_ = "GET";
  keep_alive_ = false;
  body_.emplace(http1::Framing{});
  exchange_.refuse_unread({408, "http_head_timeout", "the request's head did not arrive in time"});
}

// A WebSocket hears that the server goes away, behind the frame that is under way; a request that runs is answered, and
// the connection closed after it. Leaving, an answer that was begun as one of several is not made the last: its client
// would send into the end.
void Http1Client::drain(Drain how) {
  leaving_ = true;
  if (how != Drain::kLeave || !exchange_.has_answered()) keep_alive_ = false;
  if (how == Drain::kLeave) return;
  draining_ = true;
  restarts_ = how == Drain::kRestart;
  connection_.mark();
}

void Http1Client::say_going_away() {
  connection_.out() += restarts_ ? kRestarting : kGoingAway;
  exchange_.give_up(false);
  connection_.end_gracefully();
}

}  // namespace wary::gateway
