#include "http/grpc.h"

#include <algorithm>
#include <optional>

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

// Whether there is time left; nothing when it cannot be told. An answer is made at once, so that any time is enough.
std::optional<bool> has_time(std::string_view timeout) {
  if (timeout.empty()) return true;
  const std::string_view digits = timeout.substr(0, timeout.size() - 1);
  const bool good = !digits.empty() && digits.size() <= kTimeoutDigitsMax &&
                    digits.find_first_not_of("0123456789") == std::string_view::npos &&
                    std::string_view("HMSmun").find(timeout.back()) != std::string_view::npos;
  if (!good) return std::nullopt;
  return digits.find_first_not_of('0') != std::string_view::npos;
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

Http2Response answer_grpc(const Http2Request& request, const GrpcHandler& handler) {
  const std::string_view type = request.header("content-type");
  if (request.method != "POST") return {405, {{"allow", "POST"}}, "", {}};
  if (type != "application/grpc" && !type.starts_with("application/grpc+") && !type.starts_with("application/grpc;")) {
    return {415, {}, "", {}};
  }
  const std::string_view coding = request.header("grpc-encoding");
  if (!coding.empty() && coding != "identity") {
    Http2Response out = failed(GrpcCode::kUnimplemented, "messages are taken uncompressed");
    out.headers.emplace_back("grpc-accept-encoding", "identity");
    return out;
  }
  const auto time = has_time(request.header("grpc-timeout"));
  if (!time) return failed(GrpcCode::kInvalidArgument, "grpc-timeout is none");
  if (!*time) return failed(GrpcCode::kDeadlineExceeded, "no time was left");
  const std::string_view body = request.body;
  if (body.size() < kPrefixBytes) return failed(GrpcCode::kInvalidArgument, "there is no message");
  if (body[0] != 0) return failed(GrpcCode::kUnimplemented, "messages are taken uncompressed");
  std::size_t size = 0;
  for (std::size_t i = 1; i < kPrefixBytes; ++i) size = size << 8 | static_cast<std::uint8_t>(body[i]);
  if (size > kMessageMax) return failed(GrpcCode::kResourceExhausted, "the message is too large");
  if (size != body.size() - kPrefixBytes) return failed(GrpcCode::kInvalidArgument, "one whole message is expected");
  GrpcResult result = handler(request, body.substr(kPrefixBytes));
  if (result.code != GrpcCode::kOk) return failed(result.code, result.message);
  Http2Response out{200, {{"content-type", "application/grpc"}}, "", {}, result.stays_open};
  if (result.has_reply) out.body = frame_grpc(result.reply);
  if (!result.stays_open) out.trailers = grpc_trailers(GrpcCode::kOk, "");
  return out;
}

}  // namespace wary::http
