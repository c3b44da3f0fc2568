// Searcher: who may, what they may, on what: exactly the ids that a decision would allow, page by page.
//
//   Searcher searcher(authority);
//   Result<SearchPage> page = searcher.search(question, cedar::Variable::kResource, 100, "");
//
// The compiled engine finds candidates that Cedar allows; each is then decided as an evaluation would be, so that what
// wary denies beyond Cedar (an unknown principal, a failed forbid, an obligation the asker cannot keep) is never in a
// result. A reverse index is built once a revision, at the first search. Thread rule: one thread's. Limits: 1,000 ids a
// page.
#pragma once

#include <memory>

#include "engine/search.h"
#include "pdp/authority.h"

namespace wary::pdp {

constexpr std::size_t kPageMax = 1000;

struct SearchPage {
  std::vector<std::string> ids;  // ascending
  std::string next;              // where the next page starts; "" at the end
};

class Searcher {
 public:
  explicit Searcher(Authority& authority) : authority_(authority) {}
  // What `free` names in the question's request has the type that is searched. Errors: engine_search.
  Result<SearchPage> search(const Question& question, cedar::Variable free, std::size_t limit, std::string after);

 private:
  Authority& authority_;
  policy::SnapshotPtr of_;  // what the directory is of; kept, as the directory borrows from it
  std::unique_ptr<engine::Directory> directory_;
  engine::Worker worker_;
};

}  // namespace wary::pdp
