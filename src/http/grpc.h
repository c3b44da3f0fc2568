// gRPC's calls over HTTP/2 that begin with one message: one length-prefixed message in, one out, or a stream of them;
// the status in trailers. Pure.
//
//   Http2Response answer = answer_grpc(request, [](const Http2Request& request, std::string_view message) {
//     return GrpcResult{GrpcCode::kOk, "", reply};
//   });
//
// A stream goes on with Http2::write(stream, frame_grpc(message)) and Http2::end(stream, grpc_trailers(code, why)).
// A call without a message, with two, a compressed one, or one cut off is refused, as are other content codings and a
// grpc-timeout that is no such or has passed. Limits: message 1 MiB.
#pragma once

#include <functional>

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

Http2Response answer_grpc(const Http2Request& request, const GrpcHandler& handler);
// A message with its prefix.
std::string frame_grpc(std::string_view message);
std::vector<std::pair<std::string, std::string>> grpc_trailers(GrpcCode code, std::string_view message);

}  // namespace wary::http
