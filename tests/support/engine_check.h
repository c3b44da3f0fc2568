// The compiled engine against the tree walker: same decision, reasons, errors by policy and kind, and nothing read that
// the engine does not own up to.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "cedar/authorizer.h"
#include "engine/engine.h"

namespace wary::test {

class EngineCheck {
 public:
  EngineCheck(const cedar::PolicySet& policies, const cedar::EntityStore& store) {
    std::vector<cedar::EntityHandle> handles;
    store.for_each([&](const cedar::EntityHandle& entity) { handles.push_back(entity); });
    std::vector<engine::EntityInput> inputs;
    for (const auto& handle : handles) inputs.push_back({handle.get(), {}});
    auto made = engine::Snapshot::make(policies.policies(), inputs, {.seed = 7});
    if (made.ok()) {
      snapshot_ = *made;
    } else {
      refusal_ = "the engine refuses: " + made.error().to_string();
    }
  }

  // What differs, or nothing.
  std::string difference(const cedar::Request& request, const cedar::Response& expected) {
    return snapshot_ == nullptr ? refusal_ : compare(*snapshot_, request, expected);
  }

  std::string compare(const engine::Snapshot& snapshot, const cedar::Request& request,
                      const cedar::Response& expected) {
    const engine::Answer& answer = worker_.decide(snapshot, request, {});
    if (answer.is_allowed != expected.is_allowed) return "the engine decides otherwise";
    std::vector<std::string> reasons;
    for (const std::uint32_t policy : answer.reasons()) reasons.emplace_back(snapshot.policy_id(policy));
    std::vector<std::string> wanted = expected.reasons;
    std::sort(reasons.begin(), reasons.end());
    std::sort(wanted.begin(), wanted.end());
    if (reasons != wanted) return "the engine has other reasons";
    std::vector<std::string> errors;
    std::vector<std::string> wanted_errors;
    for (const auto& failure : answer.errors) {
      errors.push_back(std::string(snapshot.policy_id(failure.policy)) + " " +
                       std::string(cedar::to_string(failure.kind)));
    }
    for (const auto& failure : expected.errors) {
      wanted_errors.push_back(failure.policy_id + " " + std::string(cedar::to_string(failure.error.kind)));
    }
    std::sort(errors.begin(), errors.end());
    std::sort(wanted_errors.begin(), wanted_errors.end());
    if (errors != wanted_errors) {
      return "the engine has other errors: " + (errors.empty() ? "none" : errors.front()) + ", not " +
             (wanted_errors.empty() ? "none" : wanted_errors.front());
    }
    return {};
  }

 private:
  std::string refusal_;
  engine::SnapshotPtr snapshot_;
  engine::Worker worker_;
};

}  // namespace wary::test
