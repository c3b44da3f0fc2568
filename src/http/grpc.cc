#include "http/grpc.h"

#include <algorithm>
#include <optional>

#include "base/time.h"
#include "codec/text.h"

namespace wary::http {

namespace {

constexpr std::size_t kPrefixBytes = 5;
constexpr std::size_t kMessageMax = std::size_t{1} << 20;
constexpr std::size_t kTimeoutDigitsMax = 8;

// In the headers alone, as a call that gives nothing ends.
Http2Response failed(GrpcCode code, std::string_view message) {
  Http2Response out;
  out.headers = grpc_trailers(code, message);
  out.headers.insert(out.headers.begin(), {"content-type", "application/grpc"});
  return out;
}

// Nanoseconds; nothing when it cannot be told.
std::optional<std::int64_t> timeout_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const std::string_view digits = text.substr(0, text.size() - 1);
  if (digits.empty() || digits.size() > kTimeoutDigitsMax) return std::nullopt;
  std::int64_t count = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    count = count * 10 + (digit - '0');
  }
  std::int64_t unit = 0;
  switch (text.back()) {
    case 'H': unit = 3600 * kNanosPerSecond; break;
    case 'M': unit = 60 * kNanosPerSecond; break;
    case 'S': unit = kNanosPerSecond; break;
    case 'm': unit = kNanosPerSecond / 1000; break;
    case 'u': unit = 1000; break;
    case 'n': unit = 1; break;
    default: return std::nullopt;
  }
  constexpr std::int64_t kTimeoutMost = std::int64_t{1} << 62;  // 146 years
  return count > kTimeoutMost / unit ? kTimeoutMost : count * unit;
}

// Why a call is not begun at all.
std::optional<Http2Response> refusal_of(const Http2Request& request) {
  const std::string_view type = request.header("content-type");
  if (request.method != "POST") return Http2Response{405, {{"allow", "POST"}}, "", {}};
  if (type != "application/grpc" && !type.starts_with("application/grpc+") && !type.starts_with("application/grpc;")) {
    return Http2Response{415, {}, "", {}};
  }
  const std::string_view coding = request.header("grpc-encoding");
  if (!coding.empty() && coding != "identity") {
    Http2Response out = failed(GrpcCode::kUnimplemented, "messages are taken uncompressed");
    out.headers.emplace_back("grpc-accept-encoding", "identity");
    return out;
  }
  const std::string_view timeout = request.header("grpc-timeout");
  if (timeout.empty()) return std::nullopt;
  const auto time = timeout_of(timeout);
  if (!time) return failed(GrpcCode::kInvalidArgument, "grpc-timeout is none");
  if (*time == 0) return failed(GrpcCode::kDeadlineExceeded, "no time was left");
  return std::nullopt;
}

}  // namespace

std::string frame_grpc(std::string_view message) {
  std::string out(kPrefixBytes, '\0');
  for (std::size_t i = 0; i < 4; ++i) out[i + 1] = static_cast<char>(message.size() >> (24 - 8 * i));
  return out += message;
}

std::vector<std::pair<std::string, std::string>> grpc_trailers(GrpcCode code, std::string_view message) {
  std::vector<std::pair<std::string, std::string>> out = {{"grpc-status", std::to_string(static_cast<int>(code))}};
  if (code != GrpcCode::kOk) out.emplace_back("grpc-message", codec::encode_percent(message));
  return out;
}

std::optional<std::int64_t> grpc_timeout(const Http2Request& head) { return timeout_of(head.header("grpc-timeout")); }

GrpcMessage next_grpc_message(std::string_view unread) {
  if (unread.empty()) return {};
  if (unread[0] != 0) return {GrpcCode::kUnimplemented, "messages are taken uncompressed", {}, 0};
  if (unread.size() < kPrefixBytes) return {};
  std::size_t size = 0;
  for (std::size_t i = 1; i < kPrefixBytes; ++i) size = size << 8 | static_cast<std::uint8_t>(unread[i]);
  if (size > kMessageMax) return {GrpcCode::kResourceExhausted, "the message is too large", {}, 0};
  if (size > unread.size() - kPrefixBytes) return {};
  return {GrpcCode::kOk, {}, unread.substr(kPrefixBytes, size), kPrefixBytes + size};
}

Http2Response open_grpc(const Http2Request& head, const GrpcOpener& opener) {
  if (auto refused = refusal_of(head)) return std::move(*refused);
  GrpcResult result = opener(head);
  if (result.code != GrpcCode::kOk) return failed(result.code, result.message);
  return {200, {{"content-type", "application/grpc"}}, "", {}, true};
}

Http2Response answer_grpc(const Http2Request& request, const GrpcHandler& handler) {
  if (auto refused = refusal_of(request)) return std::move(*refused);
  if (request.body.size() < kPrefixBytes) return failed(GrpcCode::kInvalidArgument, "there is no message");
  const GrpcMessage first = next_grpc_message(request.body);
  if (first.code != GrpcCode::kOk) return failed(first.code, first.why);
  if (first.taken != request.body.size()) return failed(GrpcCode::kInvalidArgument, "one whole message is expected");
  GrpcResult result = handler(request, first.message);
  if (result.code != GrpcCode::kOk) return failed(result.code, result.message);
  Http2Response out{200, {{"content-type", "application/grpc"}}, "", {}, result.stays_open};
  if (result.has_reply) out.body = frame_grpc(result.reply);
  if (!result.stays_open) out.trailers = grpc_trailers(GrpcCode::kOk, "");
  return out;
}

}  // namespace wary::http
