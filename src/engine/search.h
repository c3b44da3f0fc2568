// Search: who may, and on what. Exact: every id that the search gives is allowed, and every known id that is allowed is
// given.
//
//   Directory directory(snapshot);                       // once a snapshot: reverse indexes, linear in its entities
//   SearchResult found = search(directory, worker, {.free = Variable::kResource, .type = "Doc", .request = request,
//                                                   .now = now, .limit = 100});
//   found.ids; found.next                                // "" when that was all
//
// Candidates come from the policies' scopes and from clauses that tie the searched one to what is known (`resource in
// principal.folders`, `resource.owner == principal`, `principal.docs.contains(resource)`); each is then decided, so a
// candidate too many costs time only. Where a policy says nothing that narrows, every entity of the type is decided.
// Known ids are entities, and ids that a scope names. A directory is immutable: any thread; search uses the caller's
// worker. Limits: kSearchLimitMax ids an answer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace wary::engine {

constexpr std::size_t kSearchLimitMax = 10'000;

class DirectoryIndex;

class Directory {
 public:
  explicit Directory(SnapshotPtr snapshot);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  const Snapshot& snapshot() const { return *snapshot_; }
  const DirectoryIndex& index() const { return *index_; }

 private:
  SnapshotPtr snapshot_;  // kept as long as it is searched
  std::unique_ptr<const DirectoryIndex> index_;
};

struct SearchQuery {
  cedar::Variable free = cedar::Variable::kResource;  // principal, action or resource
  std::string type;                                   // Cedar type of what is searched
  cedar::Request request;                             // what `free` holds in it is ignored
  UnixTime now;
  std::size_t limit = 100;
  std::string after;  // `next` of the page before, of the same question and snapshot
};

struct SearchResult {
  std::vector<std::string> ids;  // ascending
  std::string next;              // "" at the end
  std::size_t decided = 0;       // candidates that were decided for this page
};

// Errors: engine_search (the context is no free variable; a limit out of range).
Result<SearchResult> search(const Directory& directory, Worker& worker, const SearchQuery& query);

}  // namespace wary::engine
