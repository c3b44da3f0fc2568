// Questions of gRPC reflection: answered or refused, and what is answered is a message again.
#include <cstdlib>

#include "codec/protobuf.h"
#include "http/grpc_reflection.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  static const http::GrpcReflection kReflection({{.name = "w.proto",
                                                  .package = "a",
                                                  .messages = {{"W", {{"text", 1, "string"}}}},
                                                  .services = {{"T", {{"Say", "W", "W"}}}}}});
  const auto reply = kReflection.reply({reinterpret_cast<const char*>(data), size});
  if (!reply) return 0;
  codec::ProtoReader reader(*reply);
  while (reader.next()) continue;
  if (!reader.ok()) std::abort();
  return 0;
}
