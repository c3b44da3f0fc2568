#include "pdp/authority.h"

namespace wary::pdp {

contract::Decision PointAuthority::decide(const Question& question) {
  enforce::AccessDetail detail{question.method, question.host,        question.path, question.client, {},
                               question.pep,    &question.obligations};
  detail.lists_dependencies = false;  // who asked holds the connection, if there is one
  const std::string context = question.request.context.to_canonical_string();
  if (context.size() <= kContextBytesMax) {
    detail.context = context;
    return point_.decide(question.request, detail).decision;
  }
  // Recorded without the context, which would not fit, by a request that nothing can allow.
  contract::Request without = question.request;
  without.context = codec::Json::object({{"context_too_large", true}});
  without.tenant.clear();
  contract::Decision decision = contract::Decision::deny("context_too_large");
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
  return point_.record_search(question.request, searched, found, question.pep);
}

}  // namespace wary::pdp
