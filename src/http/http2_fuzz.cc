// An HTTP/2 client's bytes, whole and byte by byte: the same requests and the same messages of calls that go on reach
// the handlers, and nothing after the end. What bytes that came with it take back is nobody's work, so requests that
// are reset are left out of the comparison.
#include <cstdlib>
#include <string>

#include "http/grpc_streams.h"
#include "http/http2_resets.h"

namespace {

struct Run {
  std::string seen;  // of streams that the client does not reset
  bool cut = false;  // a call was ended here while its client may go on: how much more is heard is a matter of timing
};

Run run(std::string_view bytes, std::size_t step) {
  using namespace wary::http;
  Run out;
  Http2Resets resets(24);
  resets.look(bytes);
  const auto saw = [&](std::int32_t stream, const std::string& what) {
    if (!resets.has(stream)) out.seen += std::to_string(stream) + ":" + what + "\n";
  };
  bool half_closed = false;
  GrpcStreams* streams = nullptr;
  Http2 connection([&](const Http2Request& request) {
    saw(request.stream, request.method + " " + request.path + " " + std::to_string(request.body.size()));
    if (streams->is_stream(request.path)) {
      Http2Response answer = streams->answer(request);
      out.cut = out.cut || !answer.stays_open;
      return answer;
    }
    return answer_grpc(request, [](const Http2Request&, std::string_view message) {
      return GrpcResult{GrpcCode::kOk, "", std::string(message)};
    });
  });
  GrpcStreamParts parts;
  parts.is_stream = [](std::string_view path) { return path == "/a.B/D"; };
  parts.open = [&](const Http2Request& head) {
    return GrpcResult{head.header("x").empty() ? GrpcCode::kOk : GrpcCode::kUnavailable, "", ""};
  };
  parts.on_message = [&](std::int32_t stream, std::string_view message) {
    saw(stream, std::string(message));
    streams->write(stream, message);
  };
  parts.on_half_closed = [&](std::int32_t stream) {
    saw(stream, "ends");
    half_closed = true;
    streams->finish(stream, GrpcCode::kOk, "");
    half_closed = false;
  };
  parts.on_finished = [&](std::int32_t) { out.cut = out.cut || !half_closed; };
  GrpcStreams calls(connection, parts);
  streams = &calls;
  connection.on_closed = [&](std::int32_t stream) { calls.closed(stream); };
  for (std::size_t at = 0; at < bytes.size(); at += step) (void)connection.receive(bytes.substr(at, step));
  // What libnghttp2 says of a stream's error ends a connection or not by whether the client has been told of it before.
  out.cut = out.cut || connection.is_over();
  if (connection.is_over() && !connection.receive(bytes).empty()) std::abort();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size == 0) return 0;
  const Run whole = run(bytes, size), pieces = run(bytes, 1);
  const bool is_same = whole.cut || pieces.cut
                           ? whole.seen.starts_with(pieces.seen) || pieces.seen.starts_with(whole.seen)
                           : whole.seen == pieces.seen;
  if (!is_same) std::abort();
  return 0;
}
