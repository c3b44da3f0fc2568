#include "gateway/upstream_http2.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "gateway/upstream_lane.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kInterimAnswersMax = 100;
// Framed, not yet with the kernel; a frame of 16 KiB more may end it. What of it is a call's that is cut goes out all
// the same, so that it is little: a block of fields cannot be left out (both ends count on each other's table), nor
// DATA, for the window of the connection that it took would never come back to the calls that share it; padding of the
// same length, which would give it back, is what servers take for a flood of empty frames and end the connection for.
constexpr std::size_t kOutHeld = 16 * 1024;

http::Http2SessionLimits application_limits() {
  http::Http2SessionLimits limits;
  limits.connection_window = 4 << 20;
  return limits;
}

}  // namespace

Http2Upstream::Http2Upstream(Worker& worker, UpstreamLane& lane, std::unique_ptr<io::Stream> stream)
    : worker_(worker),
      lane_(lane),
      held_(worker.upstream_descriptors()),
      stream_(std::move(stream)),
      session_(http::Http2Role::kClient, *this, application_limits()) {}

void Http2Upstream::start() {
  stream_->on_ready([this](bool readable, bool) {
    const auto self = shared_from_this();
    ready(readable);
  });
  stream_->want(true, false);
  mark();
}

bool Http2Upstream::takes_calls() const {
  const std::size_t most = std::min<std::size_t>(session_.peer_max_streams(), 100);
  return stream_ && !ended_ && !refuses_ && !session_.is_over() && !session_.is_shutting_down() && calls_.size() < most;
}

bool Http2Upstream::has_way() const { return any_left_ || !lane_.tls; }

std::unique_ptr<UpstreamCall> Http2Upstream::make_call() { return std::make_unique<Http2Call>(shared_from_this()); }

Http2Call* Http2Upstream::find(std::int32_t stream) {
  const auto found = calls_.find(stream);
  return found == calls_.end() ? nullptr : found->second;
}

void Http2Upstream::on_block(std::int32_t stream, const http::Http2Block& block, bool ends) {
  if (Http2Call* call = find(stream)) call->take_block(block, ends);
}

void Http2Upstream::on_data(std::int32_t stream, std::string_view bytes) {
  if (Http2Call* call = find(stream)) {
    call->take_data(bytes);
  } else {
    session_.consume(stream, bytes.size());
  }
}

void Http2Upstream::on_end(std::int32_t stream) {
  if (Http2Call* call = find(stream)) call->take_end();
}

void Http2Upstream::on_closed(std::int32_t stream, std::uint32_t error) {
  if (Http2Call* call = find(stream)) call->take_closed(error);
}

void Http2Upstream::on_sent(std::int32_t stream) {
  Http2Call* call = find(stream);
  if (call != nullptr && call->events_ != nullptr) call->events_->on_upstream_sent();
}

void Http2Upstream::ready(bool readable) {
  if (!stream_) return;
  const std::span<std::uint8_t> buffer = worker_.socket_buffer();
  for (int i = 0; readable && i < 8 && stream_ && !ended_; ++i) {
    const io::IoCount got = stream_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      ended_ = true;
      break;
    }
    session_.receive(as_text(buffer.first(got.count)));
    if (got.count < buffer.size()) break;
  }
  if (ended_) return lose("upstream_closed", "the application closed the connection without an answer");
  mark();
}

void Http2Upstream::settle() {
  if (!worker_.live().has_marked()) return;
  std::vector<std::int32_t> open;
  for (const auto& [stream, call] : calls_) open.push_back(stream);
  for (const std::int32_t stream : open) {
    Http2Call* call = find(stream);
    if (call != nullptr && call->events_ != nullptr) call->events_->settle();
  }
}

void Http2Upstream::turn_end() {
  settle();
  while (stream_) {
    if (out_at_ == out_.size()) {
      out_.clear();
      out_at_ = 0;
      // While TLS shakes hands, no more than its first bytes: a request that is framed is not taken back.
      session_.flush(out_, has_way() ? kOutHeld : 1);
      if (out_.empty()) break;
    }
    const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(out_at_)));
    if (put.state == io::IoCount::State::kWouldBlock) break;
    if (put.state != io::IoCount::State::kSome) {
      ended_ = true;
      return lose("upstream_closed", "the application closed the connection without an answer");
    }
    out_at_ += put.count;
    any_left_ = true;
  }
  if (!stream_) return;
  stream_->want(true, out_at_ < out_.size());
  if (session_.is_over()) lose("upstream_http2", "the application does not speak HTTP/2 as it should");
}

// The connection ends: every call on it hears so.
void Http2Upstream::lose(std::string_view code, std::string_view message) {
  const auto self = shared_from_this();
  if (lane_.has_failed_identity(stream_.get())) {
    code = "upstream_identity";
    message = "who answers there is not who is expected";
  }
  close();
  const auto calls = std::move(calls_);
  calls_.clear();
  for (const auto& [stream, call] : calls) {
    call->stream_ = -1;
    if (call->events_ != nullptr) call->events_->on_upstream_failed(code, message, false);
  }
}

void Http2Upstream::close() { stream_.reset(); }

Http2Call::Http2Call(std::shared_ptr<Http2Upstream> upstream) : upstream_(std::move(upstream)) {
  ++upstream_->lane_.active;
}

const io::Address& Http2Call::place() const { return upstream_->lane_.address; }

void Http2Call::begin(const OutgoingRequest& request, UpstreamEvents& events) {
  events_ = &events;
  method_ = request.method;
  upgrades_ = request.upgrades;
  std::vector<http1::Field> fields;
  fields.reserve(request.fields.size());
  for (const auto& [name, value] : request.fields) fields.push_back({name, value});
  stream_ = upstream_->session_.submit_request(fields, !request.has_body && !request.upgrades);
  request_ended_ = !request.has_body && !request.upgrades;
  if (stream_ < 0) {
    upstream_->refuses_ = true;
    return events_->on_upstream_failed("upstream_closed", "the application takes no more calls", true);
  }
  upstream_->calls_[stream_] = this;
  upstream_->mark();
}

void Http2Call::data(std::string_view bytes) {
  if (stream_ < 0) return;
  upstream_->session_.write(stream_, bytes);
  upstream_->mark();
}

void Http2Call::end() {
  if (stream_ < 0) return;
  request_ended_ = true;
  upstream_->session_.end(stream_, {});
  upstream_->mark();
}

void Http2Call::take_block(const http::Http2Block& block, bool ends) {
  if (events_ == nullptr) return;
  if (block.is_too_large) {
    return events_->on_upstream_failed("upstream_head", "the application's answer has too long a head", false);
  }
  if (block.is_trailer) {
    for (const http1::Field& field : block.fields) trailers_.emplace_back(field.name, field.value);
    if (ends) take_end();
    return;
  }
  if (block.status < 200) {
    if (++interims_ > kInterimAnswersMax) {
      events_->on_upstream_failed("upstream_interims", "the application promises answers and gives none", false);
    }
    return;
  }
  http1::ResponseHead head;
  head.status = block.status;
  head.fields = block.fields;
  head.framing = {http1::BodyKind::kUntilClose, 0};
  if (const auto length = http1::find_field(block.fields, "content-length")) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(length->data(), length->data() + length->size(), value);
    if (parsed.ec == std::errc()) head.framing = {http1::BodyKind::kLength, value};
  }
  const bool switches = upgrades_ && block.status == 200;
  if (switches) head.status = 101;
  if (ends) head.framing = {};
  events_->on_answer(head, !ends);
  if (ends && events_ != nullptr) take_end();
}

void Http2Call::take_data(std::string_view bytes) {
  if (events_ == nullptr || stream_ < 0) return;
  const std::int32_t stream = stream_;
  const auto upstream = upstream_;
  if (!held_.empty() || events_->answer_room() == 0) {
    held_ += bytes;  // bounded by the window, which is opened as it goes on
    return;
  }
  events_->on_answer_data(bytes);
  upstream->session_.consume(stream, bytes.size());
  upstream->mark();
}

bool Http2Call::resume() {
  if (held_.empty() || events_ == nullptr || events_->answer_room() == 0) return false;
  const std::string bytes = std::exchange(held_, {});
  const auto upstream = upstream_;
  const std::int32_t stream = stream_;
  events_->on_answer_data(bytes);
  if (stream >= 0) {
    upstream->session_.consume(stream, bytes.size());
    upstream->mark();
  }
  if (ended_) finish();
  return true;
}

void Http2Call::take_end() {
  ended_ = true;
  if (held_.empty()) finish();
}

void Http2Call::finish() {
  if (events_ == nullptr) return;
  std::vector<http1::Field> fields;
  const auto trailers = std::move(trailers_);
  for (const auto& [name, value] : trailers) fields.push_back({name, value});
  events_->on_answer_end(fields);
}

void Http2Call::take_closed(std::uint32_t error) {
  upstream_->calls_.erase(stream_);
  if (upstream_->calls_.empty()) upstream_->idle_since = upstream_->worker_.loop().now().nanos;
  stream_ = -1;
  if (ended_ || events_ == nullptr) return;
  // REFUSED_STREAM promises that nothing was done (RFC 9113 section 8.7).
  events_->on_upstream_failed("upstream_closed", "the application ended the call without an answer",
                              error == http::kHttp2RefusedStream);
}

bool Http2Call::release(bool) {
  events_ = nullptr;
  if (std::exchange(in_use_, false)) --upstream_->lane_.active;
  if (stream_ >= 0) {
    upstream_->calls_.erase(stream_);
    if (upstream_->calls_.empty()) upstream_->idle_since = upstream_->worker_.loop().now().nanos;
    const bool is_whole = ended_ && request_ended_ && upstream_->session_.queued(stream_) == 0;
    if (!is_whole) upstream_->session_.reset(stream_, http::kHttp2Cancel);
    upstream_->mark();
    stream_ = -1;
  }
  return false;
}

}  // namespace wary::gateway
