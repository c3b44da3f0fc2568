// Requests of the Secret Discovery Service: read or refused; what is read is written again as it was understood. A
// stream of them: an answer is never due twice for one content without being asked for.
#include "workload/sds.h"

#include <cstdlib>

#include "codec/protobuf.h"
#include "workload/api_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::workload;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)api_files().reply(bytes);
  (void)pem_of_certificates(bytes);
  SdsSubscription stream;
  wary::codec::ProtoReader reader(bytes);
  const auto hear = [&](std::string_view message) {
    const auto request = decode_sds_request(message);
    if (!request) return;
    const auto again = decode_sds_request(encode_sds_request(*request));
    if (!again || !(*again == *request)) std::abort();
    const auto wanted = wanted_secrets(request->names, {{"spiffe://a/b"}, {"a", "c"}, "a"});
    if (wanted && wanted->svids.size() > 2) std::abort();  // its own and `default`
    const auto heard = stream.hear(*request);
    if (heard == SdsSubscription::Heard::kAsks && !stream.is_due("x")) std::abort();
    if (!stream.is_due("x")) return;
    stream.answered("x");
    if (stream.is_due("x") || !stream.is_due("y")) std::abort();
  };
  hear(bytes);
  // The input's fields are messages too, one after another.
  while (const auto field = reader.next()) hear(field->bytes);
  return 0;
}
