#include "http/call.h"

namespace wary::http {

namespace http1 = codec::http1;

Call::Call(ClientRequest request, CallLimits limits, Done done, OnData on_data)
    : request_(std::move(request)), limits_(limits), done_(std::move(done)), on_data_(std::move(on_data)) {}

Call::~Call() = default;

Status Call::prepare() {
  std::vector<http1::Field> fields;
  for (const auto& [name, value] : request_.headers) fields.push_back({name, value});
  http1::RequestParts parts;
  parts.method = request_.method;
  parts.path = request_.path;
  if (!request_.query.empty()) parts.query = request_.query;
  parts.host = request_.host;
  parts.upgrade = request_.asks_for_websocket ? http1::Upgrade::kWebSocket : http1::Upgrade::kNone;
  parts.keep_alive = request_.asks_for_websocket;
  if (!request_.body.empty() || request_.method == "POST" || request_.method == "PUT") {
    parts.framing = {http1::BodyKind::kLength, request_.body.size()};
  }
  WARY_RETURN_IF_ERROR(http1::append_request_head(out_, parts, fields));
  out_ += request_.body;
  return {};
}

void Call::begin(std::unique_ptr<io::Stream> stream) {
  stream_ = std::move(stream);
  stream_->on_ready([this](bool, bool) { ready(); });
  stream_->want(true, true);
}

std::unique_ptr<io::Stream> Call::take_stream(std::string& rest) {
  if (!finished_ || !stream_) return nullptr;
  stream_->on_ready([](bool, bool) {});
  rest = std::move(in_);
  return std::move(stream_);
}

void Call::ready() {
  if (finished_) return stream_->want(false, false);
  while (out_at_ < out_.size()) {
    const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(out_at_)));
    if (put.state != io::IoCount::State::kSome) break;
    out_at_ += put.count;
  }
  std::uint8_t buffer[16384];  // NOLINT: a read buffer
  for (;;) {
    const io::IoCount got = stream_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state == io::IoCount::State::kSome) {
      in_.append(reinterpret_cast<const char*>(buffer), got.count);
      if (!advance()) return;
      continue;
    }
    // A body that ends with its connection is whole only when that ended in order.
    const bool whole = body_ && (body_->is_done() || (got.state == io::IoCount::State::kEnd && body_->finish()));
    if (whole) return finish(std::nullopt);
    return finish(fail(ErrorKind::kUnavailable, "http_truncated", "the answer ended before it was whole"));
  }
  stream_->want(true, out_at_ < out_.size());
}

// False when the exchange is over.
bool Call::advance() {
  while (!body_) {
    http1::ResponseHead head;
    const http1::HeadResult result = http1::parse_response_head(in_, scan_, request_.method, head);
    if (result.progress == http1::Progress::kNeedMore) return true;
    if (result.progress == http1::Progress::kRefused || (head.status == 101 && !request_.asks_for_websocket)) {
      finish(result.progress == http1::Progress::kRefused
                 ? http1::to_error(result.refusal)
                 : fail(ErrorKind::kUnavailable, "http_upgrade", "the server changes to a protocol nobody asked for"));
      return false;
    }
    if (!head.is_interim()) {
      response_.status = head.status;
      for (const http1::Field& field : head.fields) response_.headers.emplace_back(field.name, field.value);
      // Behind 101 there is no body but another protocol.
      body_.emplace(head.status == 101 ? http1::Framing{} : head.framing);
    }
    in_.erase(0, result.consumed);
    scan_ = {};
  }
  while (!body_->is_done()) {
    const http1::BodyStep step = body_->step(in_);
    if (step.progress == http1::Progress::kRefused) {
      finish(http1::to_error(step.refusal));
      return false;
    }
    if (!step.data.empty() && !take(step.data)) return false;
    in_.erase(0, step.consumed);
    if (step.progress == http1::Progress::kNeedMore && step.consumed == 0) return true;
  }
  finish(std::nullopt);
  return false;
}

bool Call::take(std::string_view data) {
  if (on_data_) {
    if (on_data_(data)) return true;
    finish(std::nullopt);
    return false;
  }
  if (response_.body.size() + data.size() > limits_.body_bytes) {
    finish(fail(ErrorKind::kExhausted, "http_body_too_large", "the answer is larger than this client takes"));
    return false;
  }
  response_.body += data;
  return true;
}

void Call::finish(std::optional<Error> error) {
  if (finished_) return;
  finished_ = true;
  if (stream_) stream_->want(false, false);
  if (error) return done_(std::move(*error));
  done_(std::move(response_));
}

}  // namespace wary::http
