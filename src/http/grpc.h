// gRPC's unary calls over HTTP/2: one length-prefixed message in, one out, the status in trailers. Pure.
//
//   Http2Response answer = answer_grpc(request, [](std::string_view method, std::string_view message) {
//     return GrpcResult{GrpcCode::kOk, "", reply};
//   });
//
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
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
};

struct GrpcResult {
  GrpcCode code = GrpcCode::kInternal;
  std::string message;  // for people, when it is no kOk
  std::string reply;    // when it is
};
// `method`: "/package.Service/Method".
using GrpcHandler = std::function<GrpcResult(std::string_view method, std::string_view message)>;

Http2Response answer_grpc(const Http2Request& request, const GrpcHandler& handler);

}  // namespace wary::http
