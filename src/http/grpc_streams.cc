#include "http/grpc_streams.h"

#include <algorithm>

#include "base/secret.h"

namespace wary::http {

namespace {

constexpr double kUnansweredMost = 100;
constexpr double kForgivenPerSecond = 2;

}  // namespace

GrpcStreams::GrpcStreams(Http2& session, GrpcStreamParts parts) : session_(session), parts_(std::move(parts)) {
  session_.goes_on = [this](const Http2Request& head) { return parts_.is_stream(head.path); };
  session_.on_body = [this](std::int32_t stream, std::string_view unread, bool has_ended) {
    return heard(stream, unread, has_ended);
  };
}

Http2Response GrpcStreams::answer(const Http2Request& head) {
  Http2Response out = open_grpc(head, parts_.open);
  if (out.stays_open) calls_[head.stream].timeout = grpc_timeout(head).value_or(0);
  return out;
}

std::size_t GrpcStreams::heard(std::int32_t stream, std::string_view unread, bool has_ended) {
  std::size_t taken = 0;
  for (;;) {
    const auto found = calls_.find(stream);
    if (found == calls_.end()) return unread.size();  // a handler has ended it
    const GrpcMessage next = next_grpc_message(unread.substr(taken));
    if (next.code != GrpcCode::kOk) {
      finish(stream, next.code, next.why);
      return unread.size();
    }
    if (next.taken == 0) break;
    taken += next.taken;
    if (++found->second.messages > kUnansweredMost) {
      finish(stream, GrpcCode::kResourceExhausted, "too many messages in too short a time");
      return unread.size();
    }
    parts_.on_message(stream, next.message);
  }
  if (!has_ended) return taken;
  if (taken < unread.size()) {
    finish(stream, GrpcCode::kInvalidArgument, "the last message is cut off");
  } else if (parts_.on_half_closed) {
    parts_.on_half_closed(stream);
  } else {
    finish(stream, GrpcCode::kOk, "");
  }
  return unread.size();
}

bool GrpcStreams::write(std::int32_t stream, std::string_view message) {
  const auto found = calls_.find(stream);
  if (found == calls_.end()) return false;
  found->second.messages = std::max(0.0, found->second.messages - 1);
  std::string framed = frame_grpc(message);
  const bool is_written = session_.write(stream, framed);
  wipe(framed.data(), framed.size());  // it may be a key's
  return is_written;
}

void GrpcStreams::finish(std::int32_t stream, GrpcCode code, std::string_view why) {
  if (calls_.erase(stream) == 0) return;
  session_.end(stream, grpc_trailers(code, why));
  if (parts_.on_finished) parts_.on_finished(stream);
}

void GrpcStreams::pass(Monotonic now) {
  const double seconds =
      passed_ == 0 ? 0 : static_cast<double>(now.nanos - passed_) / static_cast<double>(kNanosPerSecond);
  passed_ = now.nanos;
  std::vector<std::int32_t> late;
  for (auto& [stream, call] : calls_) {
    call.messages = std::max(0.0, call.messages - seconds * kForgivenPerSecond);
    if (call.timeout == 0) continue;
    if (call.deadline == 0) call.deadline = now.nanos + std::min(call.timeout, INT64_MAX - now.nanos);
    if (now.nanos >= call.deadline) late.push_back(stream);
  }
  for (const std::int32_t stream : late) finish(stream, GrpcCode::kDeadlineExceeded, "the call's time has passed");
}

}  // namespace wary::http
