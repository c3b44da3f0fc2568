// ContextReads: which members of a request's context policies can look at at all; what none of them can, no answer
// depends on.
//
//   ContextReads reads = context_reads(body);                 // of one policy
//   ContextReadCounts all; all.add(reads); all.may_read("path")
//
// `context.a.b` and `context has a.b` read `a`; whatever uses the context as a whole reads everything. Told from the
// text alone: a member that only a branch names which is never reached counts as read. Values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cedar/ast.h"

namespace wary::policy {

struct ContextReads {
  bool everything = false;
  std::vector<std::string> names;  // sorted, each once
};
ContextReads context_reads(const cedar::PolicyBody& policy);

// Of policies that come and go.
class ContextReadCounts {
 public:
  void add(const ContextReads& reads);
  void remove(const ContextReads& reads);
  bool may_read(std::string_view name) const { return everything_ > 0 || names_.find(name) != names_.end(); }

 private:
  std::size_t everything_ = 0;
  std::map<std::string, std::size_t, std::less<>> names_;  // how many policies read it
};

}  // namespace wary::policy
