// SubjectAccessReviews: answered or refused, never allowed when nothing permits; an answer is JSON.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/json.h"
#include "pdp/kubernetes.h"

namespace {

using namespace wary;

class FuzzAuthority final : public pdp::Authority {
 public:
  policy::SnapshotPtr snapshot() override { return nullptr; }
  UnixTime now() override { return {1}; }
  contract::Decision decide(const pdp::Question& question) override { return consider(question); }
  contract::Decision consider(const pdp::Question& question) override {
    if (question.request.principal.id != "alice") return contract::Decision::deny("no_permit");
    return {contract::Effect::kAllow, "permit"};
  }
  bool record_search(const pdp::Question&, std::string_view, std::size_t) override { return true; }
  enforce::Point::Subject identify(std::string_view, std::string_view, std::string_view) override {
    return {{"Wary::Anonymous", "anonymous"}, {}, true};
  }
  std::optional<contract::EntityId> resource_of(std::string_view, std::string_view) override { return std::nullopt; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static FuzzAuthority authority;
  pdp::Call call;
  call.method = "POST";
  call.path = "/kubernetes/authorize";
  call.host = "h";
  call.content_type = "application/json";
  call.body = {reinterpret_cast<const char*>(data), size};
  call.pep = "fuzz";
  const pdp::Answer answer = pdp::answer_kubernetes(authority, call);
  if (answer.status != 200 && answer.status != 400) std::abort();
  const auto body = codec::parse_json(answer.body);
  if (!body.ok()) std::abort();
  const codec::Json* status = body->find("status");
  if ((status != nullptr) != (answer.status == 200)) std::abort();
  if (status == nullptr) return 0;
  const codec::Json* allowed = status->find("allowed");
  if (allowed == nullptr || !allowed->is_bool()) std::abort();
  if (allowed->as_bool() && call.body.find("alice") == std::string_view::npos &&
      call.body.find("\\u") == std::string_view::npos) {
    std::abort();
  }
  return 0;
}
