// gRPC's calls over HTTP/2: one length-prefixed message in, one out, or streams of them; the status in trailers. Pure.
// Calls that begin with one message:
//
//   Http2Response answer = answer_grpc(request, [](const Http2Request& request, std::string_view message) {
//     return GrpcResult{GrpcCode::kOk, "", reply};
//   });
//
// A stream goes on with Http2::write(stream, frame_grpc(message)) and Http2::end(stream, grpc_trailers(code, why)).
// Calls whose messages go on in both directions (grpc_streams.h) begin with open_grpc instead, without a message.
// A call without a message, with two, a compressed one, or one cut off is refused, as are other content codings and a
// grpc-timeout that is no such or has passed. Limits: message 1 MiB.
#pragma once

#include <functional>
#include <optional>

#include "http/http2.h"

namespace wary::http {

enum class GrpcCode {
  kOk = 0,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
};

struct GrpcResult {
  GrpcCode code = GrpcCode::kInternal;
  std::string message;  // for people, when it is no kOk
  std::string reply;    // when it is
  // With kOk: the answer is a stream that goes on; `reply` is its first message, where there is one.
  bool stays_open = false;
  bool has_reply = true;
};
// The request's path is "/package.Service/Method", its headers the call's metadata.
using GrpcHandler = std::function<GrpcResult(const Http2Request& request, std::string_view message)>;

using GrpcOpener = std::function<GrpcResult(const Http2Request& head)>;

Http2Response answer_grpc(const Http2Request& request, const GrpcHandler& handler);
// Of a call whose request goes on: checked and refused alike; the answer of a kOk stays open.
Http2Response open_grpc(const Http2Request& head, const GrpcOpener& opener);
// How long its client waits for all of a call, in nanoseconds; nothing when it does not say, or not well.
std::optional<std::int64_t> grpc_timeout(const Http2Request& head);

// The next message of a body that goes on: `taken` bytes with its prefix; none of them while it is not whole. Another
// code than kOk: there is none, and the call is over.
struct GrpcMessage {
  GrpcCode code = GrpcCode::kOk;
  std::string_view why;  // for people, when it is no kOk
  std::string_view message;
  std::size_t taken = 0;
};
GrpcMessage next_grpc_message(std::string_view unread);
// A message with its prefix.
std::string frame_grpc(std::string_view message);
std::vector<std::pair<std::string, std::string>> grpc_trailers(GrpcCode code, std::string_view message);

}  // namespace wary::http
