// The upstream's side of a connection: connect, stream both bodies with backpressure, and the tunnel after an upgrade.
#include <charconv>
#include <utility>

#include "gateway/connection.h"
#include "gateway/headers.h"
#include "gateway/pages.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::int64_t kConnectTime = 5 * kNanosPerSecond;
constexpr std::int64_t kAnswerTime = 60 * kNanosPerSecond;  // to the first byte of an answer
constexpr std::int64_t kBodyIdleTime = 300 * kNanosPerSecond;
constexpr std::int64_t kTunnelIdleTime = 3600 * kNanosPerSecond;
constexpr std::size_t kClientHeld = 256 * 1024;
constexpr std::size_t kInterimsMax = 100;
constexpr std::size_t kAnswerHeadHeld = 128 * 1024;

bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" || method == "DELETE";
}

}  // namespace

void Connection::connect_upstream(bool may_reuse) {
  state_ = State::kConnecting;
  if (std::exchange(expects_continue_, false) && !request_body_->is_done()) plain_ += "HTTP/1.1 100 Continue\r\n\r\n";
  upstream_out_ = upstream_head_;
  upstream_out_at_ = 0;
  upstream_in_.clear();
  upstream_scan_ = {};
  upstream_ended_ = false;
  response_body_.reset();
  interims_ = 0;
  set_deadline(kConnectTime);
  // A connection that was used before may be closing while we write: a request that cannot be repeated gets a fresh
  // one.
  const bool repeatable = is_idempotent(method_) && request_framing_.kind == http1::BodyKind::kNone && !wants_upgrade_;
  if (repeatable && may_reuse) {
    if (auto idle = worker_.take_idle(app_->upstream)) {
      upstream_reused_ = true;
      return adopt_upstream(std::move(idle));
    }
  }
  upstream_reused_ = false;
  Worker& worker = worker_;
  const auto connected = [&worker, id = id_, wait = ++waits_](Result<std::unique_ptr<io::Stream>> stream) {
    if (Connection* connection = worker.find(id)) connection->upstream_connected(wait, std::move(stream));
  };
  worker.loop().connect(app_->upstream, kConnectTime, connected);
}

void Connection::upstream_connected(std::uint64_t wait, Result<std::unique_ptr<io::Stream>> stream) {
  if (state_ != State::kConnecting || wait != waits_) return;
  if (!stream) {
    worker_.log().warn("gateway.upstream_unreachable", {{"app", app_->id.id}, {"code", stream.error().code}});
    upstream_failed(502, "upstream_unreachable", "the application cannot be reached");
  } else {
    adopt_upstream(std::move(stream).value());
  }
  drive();
}

void Connection::adopt_upstream(std::unique_ptr<io::Stream> stream) {
  upstream_ = std::move(stream);
  upstream_->on_ready([this](bool, bool) { upstream_ready(); });
  state_ = State::kExchange;
  set_deadline(kAnswerTime);
  pump_request();
}

void Connection::upstream_ready() {
  worker_.settle(*this);
  if (state_ != State::kExchange && state_ != State::kTunnel) return;
  const std::span<std::uint8_t> buffer = worker_.socket_buffer();
  while (tls_.output().size() + plain_.size() < kClientHeld && upstream_in_.size() < kAnswerHeadHeld) {
    const io::IoCount got = upstream_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      upstream_ended_ = true;
      break;
    }
    upstream_in_ += as_text(buffer.first(got.count));
    if (got.count < buffer.size()) break;
  }
  drive();
}

bool Connection::may_retry() const {
  return upstream_reused_ && upstream_in_.empty() && !response_body_ && !any_body_sent_ && is_idempotent(method_);
}

void Connection::flush_upstream() {
  if (!upstream_ || (state_ != State::kExchange && state_ != State::kTunnel)) return;
  while (upstream_out_at_ < upstream_out_.size()) {
    const io::IoCount put = upstream_->write(as_bytes(std::string_view(upstream_out_).substr(upstream_out_at_)));
    if (put.state == io::IoCount::State::kWouldBlock) return;
    if (put.state != io::IoCount::State::kSome) {
      // The answer may be there already (an early refusal of a large body): reading decides.
      upstream_out_at_ = upstream_out_.size();
      return;
    }
    upstream_out_at_ += put.count;
  }
  upstream_out_.clear();
  upstream_out_at_ = 0;
}

void Connection::pump_request() {
  while (state_ == State::kExchange && !request_body_ended_ &&
         upstream_out_.size() - upstream_out_at_ < kUpstreamHeld) {
    if (request_body_->is_done()) {
      if (request_framing_.kind == http1::BodyKind::kChunked) upstream_out_ += http1::kLastChunk;
      request_body_ended_ = true;
      break;
    }
    const http1::BodyStep step = request_body_->step(std::string_view(in_).substr(in_at_));
    if (step.progress == http1::Progress::kRefused) {
      // Half a request is with the upstream: it must never look whole there.
      upstream_->reset_on_close();
      upstream_.reset();
      if (response_body_) return end_now(true);
      return refuse(step.refusal);
    }
    in_at_ += step.consumed;
    if (!step.data.empty()) {
      any_body_sent_ = true;
      const bool chunked = request_framing_.kind == http1::BodyKind::kChunked;
      if (chunked) http1::append_chunk_header(upstream_out_, step.data.size());
      upstream_out_ += step.data;
      if (chunked) upstream_out_ += http1::kChunkEnd;
      set_deadline(kAnswerTime);
    }
    if (step.consumed == 0) break;
  }
  flush_upstream();
}

void Connection::pump_response() {
  if (state_ != State::kExchange) return;
  while (!response_body_) {
    if (!take_response_head() || state_ != State::kExchange) return;
  }
  std::size_t used = 0;
  while (!response_body_->is_done() && plain_.size() + tls_.output().size() < kClientHeld) {
    const http1::BodyStep step = response_body_->step(std::string_view(upstream_in_).substr(used));
    if (step.progress == http1::Progress::kRefused) return end_now(true);
    used += step.consumed;
    if (!step.data.empty()) {
      if (response_chunked_) http1::append_chunk_header(plain_, step.data.size());
      plain_ += step.data;
      if (response_chunked_) plain_ += http1::kChunkEnd;
      set_deadline(kBodyIdleTime);
    }
    if (step.consumed == 0) break;
  }
  upstream_in_.erase(0, used);
  if (!response_body_->is_done() && upstream_ended_ && upstream_in_.empty()) {
    // Cut in the middle: the client must see that too, never a shorter answer that looks whole.
    if (!response_body_->finish()) return end_now(true);
  }
  if (response_body_->is_done()) finish_exchange();
}

// How the client learns where the answer ends. A length nobody knows: chunks for HTTP/1.1, the end of the connection
// for 1.0. The answer to HEAD says what the one to GET would, and has no body (RFC 9110 section 9.3.2).
http1::Framing Connection::framing_for_client(const http1::ResponseHead& head) {
  http1::Framing framing = head.framing;
  const bool has_no_body = head.status < 200 || head.status == 204 || head.status == 304;
  if (method_ == "HEAD" && !has_no_body) {
    const auto length = http1::find_field(head.fields, "content-length");
    framing = {http1::BodyKind::kUntilClose, 0};
    if (length) {
      const auto parsed = std::from_chars(length->data(), length->data() + length->size(), framing.length);
      if (parsed.ec == std::errc() && parsed.ptr == length->data() + length->size())
        framing.kind = http1::BodyKind::kLength;
    }
  }
  if (framing.kind == http1::BodyKind::kUntilClose || framing.kind == http1::BodyKind::kChunked) {
    framing.kind = client_is_1_1_ ? http1::BodyKind::kChunked : http1::BodyKind::kUntilClose;
    if (!client_is_1_1_) keep_alive_ = false;
  }
  response_chunked_ = framing.kind == http1::BodyKind::kChunked && method_ != "HEAD";
  return framing;
}

// True when a final response head was taken (or the connection is done for).
bool Connection::take_response_head() {
  http1::ResponseHead head;
  const http1::HeadResult result = http1::parse_response_head(upstream_in_, upstream_scan_, method_, head);
  if (result.progress == http1::Progress::kNeedMore) {
    if (!upstream_ended_) return false;
    if (may_retry()) {
      upstream_.reset();
      connect_upstream(false);
    } else {
      upstream_failed(502, "upstream_closed", "the application closed the connection without an answer");
    }
    return false;
  }
  const bool switches = head.status == 101;
  if (result.progress == http1::Progress::kRefused || (switches && !wants_upgrade_)) {
    worker_.log().warn("gateway.upstream_refused", {{"app", app_->id.id}, {"code", result.refusal.code}});
    upstream_failed(502, "upstream_answer_invalid", "the application's answer cannot be understood in one way only");
    return false;
  }
  if (head.is_interim()) {
    if (++interims_ > kInterimsMax) {
      upstream_failed(502, "upstream_answer_invalid", "the application promises answers and gives none");
      return false;
    }
    upstream_in_.erase(0, result.consumed);
    upstream_scan_ = {};
    return true;
  }
  std::vector<http1::Field> fields;
  forward_response_fields(head, app_->is_console, fields);
  fields.push_back({"Wary-Decision", decision_id_});
  http1::ResponseParts parts;
  parts.status = head.status;
  parts.framing = framing_for_client(head);
  parts.upgrade = switches ? http1::Upgrade::kWebSocket : http1::Upgrade::kNone;
  parts.keep_alive = keep_alive_;
  const Status written = http1::append_response_head(plain_, parts, fields);
  if (!written) {
    upstream_failed(502, "upstream_answer_invalid", "the application's answer cannot be written as one message");
    return false;
  }
  upstream_keep_alive_ = head.keep_alive;
  response_body_.emplace(head.framing);
  upstream_in_.erase(0, result.consumed);
  upstream_scan_ = {};
  set_deadline(kBodyIdleTime);
  if (switches) {
    state_ = State::kTunnel;
    set_deadline(kTunnelIdleTime);
    pump_tunnel();
  }
  return true;
}

void Connection::pump_tunnel() {
  if (in_at_ < in_.size() && upstream_out_.size() - upstream_out_at_ < kUpstreamHeld) {
    upstream_out_.append(in_, in_at_);
    in_at_ = in_.size();
    set_deadline(kTunnelIdleTime);
  }
  if (!upstream_in_.empty()) {
    frames_down_.take(upstream_in_);
    plain_ += upstream_in_;
    upstream_in_.clear();
    set_deadline(kTunnelIdleTime);
  }
  flush_upstream();
  if (upstream_ended_) return end_gracefully();
  // The client's last bytes are with the application before it sees the end.
  if (client_ended_ && in_at_ == in_.size() && upstream_out_at_ == upstream_out_.size()) end_now(false);
}

void Connection::finish_exchange() {
  if (response_chunked_) plain_ += http1::kLastChunk;
  const bool whole = request_body_ended_ || request_body_->is_done();
  const bool reusable = whole && upstream_keep_alive_ && !upstream_ended_ && upstream_in_.empty() &&
                        upstream_out_at_ == upstream_out_.size();
  if (reusable) worker_.give_idle(app_->upstream, std::move(upstream_));
  upstream_.reset();
  app_ = nullptr;
  site_.reset();
  response_body_.reset();
  // The answer came before the whole request: what is left of its body is not worth reading.
  if (!keep_alive_ || !whole) return end_gracefully();
  state_ = State::kHead;
  set_deadline(kKeepAliveTime);
}

void Connection::upstream_failed(int status, std::string_view code, std::string_view message) {
  if (is_over()) return;
  upstream_.reset();
  if (response_body_) return end_now(true);
  const Notice notice{status, code, message, "Try again; if it stays like this, tell the application's owner.",
                      decision_id_};
  answer(status, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}}, render_json(notice));
}

}  // namespace wary::gateway
