// AuthZEN Authorization API 1.0 as a function: a call and what it is answered. No I/O.
//
//   Authzen authzen(authority);
//   Answer answer = authzen.answer(call);      // 404 for what is none of its paths
//
//   POST /access/v1/evaluation                        one decision
//   POST /access/v1/evaluations                       a batch: defaults at the top, whole objects replace them
//   POST /access/v1/search/{subject,resource,action}  which; pages with tokens bound to revision and question
//   GET  /.well-known/authzen-configuration           what there is (also .../TENANT)
//
// A deny is 200. `context` of an answer: decision_id (what `wary explain` takes), reason, revision, obligations
// [{id, type, properties: {value}}]. An obligation is only given with an allow when the asker said that it can keep it:
// `options.obligations: ["step-up"]`; otherwise the answer is a deny that names it. A wrong item of a batch is a deny.
// Refused: 400 (body, media type), 401 (asker unknown), 404, 405, 413, 415 (a content coding). Thread rule: one
// thread's. Limits: body 1 MiB, batch 1,000, page 1,000, authority.h.
#pragma once

#include "pdp/authority.h"
#include "pdp/call.h"
#include "pdp/search.h"

namespace wary::pdp {

constexpr std::size_t kBodyBytesMax = std::size_t{1} << 20;
constexpr std::size_t kBatchMax = 1000;

// What every plug with a JSON body refuses before it reads it; nothing when there is nothing to refuse.
std::optional<Answer> refuse_json_call(const Call& call, std::string_view method);

class Authzen {
 public:
  explicit Authzen(Authority& authority) : authority_(authority), searcher_(authority) {}
  Answer answer(const Call& call);

 private:
  Answer route(const Call& call);
  Answer evaluation(codec::Json& body, const Call& call);
  Answer evaluations(codec::Json& body, const Call& call);
  Answer search(codec::Json& body, const Call& call, cedar::Variable free);

  Authority& authority_;
  Searcher searcher_;
};

}  // namespace wary::pdp
