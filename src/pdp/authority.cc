#include "pdp/authority.h"

#include "base/limits.h"

namespace wary::pdp {

namespace {

// What an event can hold of an id; a request with a larger one than 1,024 bytes is denied anyway.
bool fits(const contract::EntityId& id) { return id.to_string().size() <= limits::kFreeTextBytes; }

bool fits(const contract::Request& request) {
  return fits(request.principal) && request.action.id.size() <= limits::kFreeTextBytes && fits(request.resource);
}

// Its beginning, for the record of a request that is denied for its size.
contract::EntityId shortened(const contract::EntityId& id) {
  constexpr std::size_t kKept = 64;
  if (fits(id)) return id;
  return {id.type.substr(0, kKept), id.id.substr(0, kKept) + "..."};
}

contract::Request shortened(contract::Request request) {
  request.principal = shortened(request.principal);
  request.action = shortened(request.action);
  request.resource = shortened(request.resource);
  return request;
}

}  // namespace

contract::Decision PointAuthority::decide(const Question& question) {
  enforce::AccessDetail detail{question.method, question.host,        question.path, question.client, {},
                               question.pep,    &question.obligations};
  detail.lists_dependencies = false;  // who asked holds the connection, if there is one
  const std::string context = question.request.context.to_canonical_string();
  const bool has_large_context = context.size() > kContextBytesMax;
  if (!has_large_context && fits(question.request)) {
    detail.context = context;
    return point_.decide(question.request, detail).decision;
  }
  // Recorded without what would not fit, by a request that nothing can allow.
  contract::Request without = shortened(question.request);
  if (has_large_context) without.context = codec::Json::object({{"context_too_large", true}});
  without.tenant.clear();
  contract::Decision decision = contract::Decision::deny(has_large_context ? "context_too_large" : "request_invalid");
  decision.id = point_.decide(without, detail).decision.id;
  return decision;
}

contract::Decision PointAuthority::consider(const Question& question) {
  if (question.request.context.to_string().size() > kContextBytesMax) {
    return contract::Decision::deny("context_too_large");
  }
  return point_.reconsider(question.request, &question.obligations);
}

bool PointAuthority::record_search(const Question& question, std::string_view searched, std::size_t found) {
  return point_.record_search(shortened(question.request), searched, found, question.pep);
}

}  // namespace wary::pdp
