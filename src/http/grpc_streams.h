// GrpcStreams: gRPC's bidirectional calls over one Http2: each message is handled as it comes. Pure.
//
//   Http2 session(...);
//   GrpcStreams calls(session, {.is_stream = [](std::string_view path) { return path == "/a.B/Talk"; },
//                               .open = [](const Http2Request& head) { return GrpcResult{GrpcCode::kOk, {}, {}}; },
//                               .on_message = [&](std::int32_t stream, std::string_view message) {
//                                 calls.write(stream, message);
//                               }});
//   if (calls.is_stream(request.path)) return calls.answer(request);   // in the session's handler
//   calls.closed(stream);                                               // in its on_closed
//   calls.pass(now);                                                    // now and then
//
// A call that is cut off within a message ends with INVALID_ARGUMENT, one whose client's time (grpc-timeout) has passed
// by pass() with DEADLINE_EXCEEDED, one of a client that ends its side with kOk, unless on_half_closed is there to say.
// Thread rule: the session's; the functions of the parts may call write() and finish(). Limits: a message 1 MiB, unread
// what Http2Limits say; 100 messages that nothing was written for (RESOURCE_EXHAUSTED beyond), forgiven two a second.
#pragma once

#include <map>

#include "base/time.h"
#include "http/grpc.h"

namespace wary::http {

struct GrpcStreamParts {
  std::function<bool(std::string_view path)> is_stream;
  GrpcOpener open;
  std::function<void(std::int32_t stream, std::string_view message)> on_message;
  std::function<void(std::int32_t stream)> on_half_closed;  // no message comes any more
  std::function<void(std::int32_t stream)> on_finished;     // it was ended here, by finish() or by itself
};

class GrpcStreams {
 public:
  // Takes the session's goes_on and on_body.
  GrpcStreams(Http2& session, GrpcStreamParts parts);
  bool is_stream(std::string_view path) const { return parts_.is_stream(path); }
  Http2Response answer(const Http2Request& head);
  // False when the stream is gone, or its client takes too little.
  bool write(std::int32_t stream, std::string_view message);
  void finish(std::int32_t stream, GrpcCode code, std::string_view why);
  void closed(std::int32_t stream) { calls_.erase(stream); }
  void pass(Monotonic now);
  bool has(std::int32_t stream) const { return calls_.contains(stream); }
  std::size_t size() const { return calls_.size(); }

 private:
  struct Call {
    std::int64_t timeout = 0;   // of its client; 0: none
    std::int64_t deadline = 0;  // monotonic, once its time has begun
    double messages = 0;        // that nothing was written for
  };
  std::size_t heard(std::int32_t stream, std::string_view unread, bool has_ended);
  Http2& session_;
  GrpcStreamParts parts_;
  std::map<std::int32_t, Call> calls_;
  std::int64_t passed_ = 0;
};

}  // namespace wary::http
