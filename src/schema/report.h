// Findings of one policy as they are made: each once, however many environments show it. Private to schema/.
#pragma once

#include <set>
#include <tuple>

#include "schema/validator.h"

namespace wary::schema {

class Report {
 public:
  Report(std::string_view policy_id, const cedar::Source* source, const ValidationOptions& options,
         std::vector<Finding>& out)
      : policy_id_(policy_id), source_(source), options_(options), out_(out) {}

  void add(FindingKind kind, cedar::Span span, std::string message, std::string_view expected = {},
           std::string_view found = {}, std::string_view hint = {});
  // Hints cost a search: none once there are many findings.
  bool wants_hint() const { return out_.size() < 200; }

 private:
  std::string_view policy_id_;
  const cedar::Source* source_;
  const ValidationOptions& options_;
  std::vector<Finding>& out_;
  std::set<std::tuple<FindingKind, std::uint32_t, std::uint32_t, std::string>> seen_;
};

}  // namespace wary::schema
