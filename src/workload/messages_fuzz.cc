// The Workload API's requests: read or refused; what is read is written again as it was understood.
#include <cstdlib>

#include "codec/protobuf.h"
#include "workload/containers.h"
#include "workload/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto request = workload::decode_jwt_request(bytes)) {
    std::string again;
    for (const std::string& audience : request->audiences) codec::append_proto_bytes(again, 1, audience);
    if (!request->spiffe_id.empty()) codec::append_proto_bytes(again, 2, request->spiffe_id);
    const auto twice = workload::decode_jwt_request(again);
    if (!twice || twice->audiences != request->audiences || twice->spiffe_id != request->spiffe_id) std::abort();
  }
  (void)workload::decode_validate_request(bytes);
  (void)workload::check_empty_request(bytes);
  std::vector<std::string> selectors;
  workload::add_cgroup_selectors(bytes, selectors);
  if (const auto json = codec::parse_json(bytes)) {
    (void)workload::kubernetes_selectors(*json, std::string(64, 'a'));
    if (json->is_object()) (void)workload::encode_validated("spiffe://a/b", *json);
  }
  return 0;
}
