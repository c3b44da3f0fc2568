#include "pdp/search.h"

#include "policy/decide.h"

namespace wary::pdp {

namespace {

using cedar::Variable;

contract::EntityId& part(contract::Request& request, Variable free) {
  if (free == Variable::kPrincipal) return request.principal;
  return free == Variable::kAction ? request.action : request.resource;
}

}  // namespace

Result<SearchPage> Searcher::search(const Question& question, Variable free, std::size_t limit, std::string after) {
  SearchPage page;
  const policy::SnapshotPtr snapshot = authority_.snapshot();
  if (!snapshot) return page;
  if (of_ != snapshot) {
    directory_.reset();
    of_ = snapshot;
    // The compiled half lives as long as the whole, which this pointer keeps.
    directory_ = std::make_unique<engine::Directory>(engine::SnapshotPtr(snapshot, &snapshot->compiled()));
  }
  Question one = question;
  contract::EntityId& searched = part(one.request, free);
  auto request = policy::to_cedar(*snapshot, one.request);
  // No Cedar type, a context that is none: nothing is allowed by it.
  if (!request) return page;
  engine::SearchQuery query{free, searched.type, std::move(*request), authority_.now(), limit, std::move(after)};
  for (;;) {
    WARY_ASSIGN_OR_RETURN(engine::SearchResult found, engine::search(*directory_, worker_, query));
    for (std::size_t i = 0; i < found.ids.size(); ++i) {
      searched.id = found.ids[i];
      if (authority_.consider(one).is_allowed()) page.ids.push_back(std::move(found.ids[i]));
    }
    page.next = found.next;
    if (page.next.empty() || page.ids.size() == limit) return page;
    query.after = found.next;
    query.limit = limit - page.ids.size();
  }
}

}  // namespace wary::pdp
