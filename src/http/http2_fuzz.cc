// An HTTP/2 client's bytes, whole and byte by byte: the same requests reach the handler, and nothing after the end.
#include <cstdlib>
#include <string>

#include "http/grpc.h"

namespace {

std::string run(std::string_view bytes, std::size_t step) {
  using namespace wary::http;
  std::string seen;
  Http2 connection([&](const Http2Request& request) {
    seen += request.method + " " + request.path + " " + std::to_string(request.body.size()) + "\n";
    return answer_grpc(request, [](const Http2Request&, std::string_view message) {
      return GrpcResult{GrpcCode::kOk, "", std::string(message)};
    });
  });
  for (std::size_t at = 0; at < bytes.size(); at += step) (void)connection.receive(bytes.substr(at, step));
  if (connection.is_over() && !connection.receive(bytes).empty()) std::abort();
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0 && run(bytes, size) != run(bytes, 1)) std::abort();
  return 0;
}
