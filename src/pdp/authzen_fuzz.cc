// AuthZEN bodies at every path: answered or refused, never more; an answer is JSON, and a token leads to a page.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/json.h"
#include "pdp/authzen.h"
#include "policy/decide.h"

namespace {

using namespace wary;

class FuzzAuthority final : public pdp::Authority {
 public:
  FuzzAuthority() {
    policy::SnapshotContent content;
    content.revision = 1;
    content.policies = {{"p", "permit (principal, action, resource) unless { context.action has no };", "p", 1}};
    for (const char* id : {"a", "b", "c"}) {
      contract::Entity entity;
      entity.tenant = "local";
      entity.id = {"Wary::User", id};
      content.entities.push_back(entity);
      entity.id.type = "D";
      content.entities.push_back(entity);
    }
    snapshot_ = *policy::build_snapshot(content, {}, 1);
  }
  policy::SnapshotPtr snapshot() override { return snapshot_; }
  UnixTime now() override { return {1}; }
  contract::Decision decide(const pdp::Question& question) override { return consider(question); }
  contract::Decision consider(const pdp::Question& question) override {
    return policy::decide(snapshot_, question.request, {1}, {"", question.obligations});
  }
  bool record_search(const pdp::Question&, std::string_view, std::size_t) override { return true; }
  enforce::Point::Subject identify(std::string_view, std::string_view, std::string_view) override {
    return {{"Wary::Anonymous", "anonymous"}, {}, true};
  }
  std::optional<contract::EntityId> resource_of(std::string_view, std::string_view) override { return std::nullopt; }

 private:
  policy::SnapshotPtr snapshot_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static FuzzAuthority authority;
  static pdp::Authzen authzen(authority);
  for (const std::string_view path : {"/access/v1/evaluation", "/access/v1/evaluations", "/access/v1/search/subject",
                                      "/access/v1/search/resource", "/access/v1/search/action"}) {
    pdp::Call call;
    call.method = "POST";
    call.path = path;
    call.host = "h";
    call.content_type = "application/json";
    call.body = {reinterpret_cast<const char*>(data), size};
    call.pep = "fuzz";
    const pdp::Answer answer = authzen.answer(call);
    if (answer.status != 200 && answer.status != 400) std::abort();
    if (!codec::parse_json(answer.body).ok()) std::abort();
  }
  return 0;
}
