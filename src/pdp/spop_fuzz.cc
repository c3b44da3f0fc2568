// HAProxy's side of a connection, whole and byte by byte: the same answer, and nothing after the end.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "pdp/spop.h"

namespace {

using namespace wary;

// Allows whatever is asked with a session: the protocol is what is tried.
class FuzzAuthority final : public pdp::Authority {
 public:
  policy::SnapshotPtr snapshot() override { return nullptr; }
  UnixTime now() override { return {1}; }
  contract::Decision decide(const pdp::Question& question) override { return consider(question); }
  contract::Decision consider(const pdp::Question& question) override {
    if (question.request.context.find("session") == nullptr) return contract::Decision::deny("no_permit");
    return {contract::Effect::kAllow, "permit"};
  }
  bool record_search(const pdp::Question&, std::string_view, std::size_t) override { return true; }
  enforce::Point::Subject identify(std::string_view token, std::string_view, std::string_view) override {
    if (token.empty()) return {{"Wary::Anonymous", "anonymous"}, std::nullopt, true};
    return {{"Wary::User", "a"}, contract::EntityId{"Wary::Session", "s"}, false};
  }
  std::optional<contract::EntityId> resource_of(std::string_view, std::string_view) override {
    return contract::EntityId{"Wary::App", "a"};
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static FuzzAuthority authority;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  pdp::Spop whole(authority, "fuzz"), single(authority, "fuzz");
  const std::string at_once = whole.receive(bytes);
  std::string one_by_one;
  for (std::size_t i = 0; i < bytes.size(); ++i) one_by_one += single.receive(bytes.substr(i, 1));
  if (at_once != one_by_one || whole.is_over() != single.is_over()) std::abort();
  if (whole.is_over() && !whole.receive(bytes).empty()) std::abort();
  return 0;
}
