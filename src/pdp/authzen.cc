#include "pdp/authzen.h"

#include <algorithm>
#include <utility>

#include "codec/text.h"
#include "crypto/hash.h"
#include "pdp/entities.h"

namespace wary::pdp {

using codec::Json;

namespace {

constexpr std::string_view kMetadataPath = "/.well-known/authzen-configuration";
constexpr std::size_t kRequestIdMax = 256;
constexpr std::size_t kObligationsMax = 32;

Answer json_text(std::string body) { return {200, {{"Content-Type", "application/json"}}, std::move(body)}; }
Answer json(const Json& body) { return json_text(body.to_string()); }

Answer refusal_of(const Error& error) {
  std::string message = error.message;
  if (!error.expected_text.empty()) message += "; expected " + error.expected_text;
  return refusal(400, error.code, message, error.where);
}

// What the asker can keep; nothing when it is not a list of texts.
std::optional<std::vector<std::string>> obligations_of(const Json& body) {
  std::vector<std::string> out;
  const Json* options = body.find("options");
  const Json* list = options != nullptr ? options->find("obligations") : nullptr;
  if (list == nullptr) return out;
  if (!list->is_array() || list->items().size() > kObligationsMax) return std::nullopt;
  for (const Json& item : list->items()) {
    if (!item.is_string()) return std::nullopt;
    out.push_back(item.as_string());
  }
  return out;
}

void append_text(std::string& out, std::string_view name, std::string_view text) {
  out += name;
  codec::append_json_string(out, text);
}

// {"decision":true,"context":{"decision_id":...,"reason":...,"revision":...,"obligations"?:[...]}}, written by hand:
// one for each decision makes this part of its cost.
void append_decision(std::string& out, const contract::Decision& decision) {
  out += decision.is_allowed() ? "{\"decision\":true" : "{\"decision\":false";
  append_text(out, ",\"context\":{\"decision_id\":", decision.id);
  append_text(out, ",\"reason\":", decision.reason_code);
  out += ",\"revision\":" + std::to_string(decision.revision);
  for (std::size_t i = 0; i < decision.obligations.size(); ++i) {
    const contract::Obligation& obligation = decision.obligations[i];
    append_text(out, i == 0 ? ",\"obligations\":[{\"id\":" : ",{\"id\":", std::to_string(i + 1));
    append_text(out, ",\"type\":", obligation.name);
    append_text(out, ",\"properties\":{\"value\":", obligation.value);
    out += "}}";
  }
  out += decision.obligations.empty() ? "}}" : "]}}";
}

// A deny of what was no question: nothing was decided.
void append_bad_item(std::string& out, const Error& error) {
  append_text(out, "{\"decision\":false,\"context\":{\"reason\":", error.code);
  append_text(out, ",\"where\":", error.where);
  out += "}}";
}

Json metadata(std::string_view base) {
  Json out = Json::object();
  const std::string origin = "https://" + std::string(base);
  out.set("policy_decision_point", std::string_view(origin));
  out.set("access_evaluation_endpoint", origin + "/access/v1/evaluation");
  out.set("access_evaluations_endpoint", origin + "/access/v1/evaluations");
  out.set("search_subject_endpoint", origin + "/access/v1/search/subject");
  out.set("search_resource_endpoint", origin + "/access/v1/search/resource");
  out.set("search_action_endpoint", origin + "/access/v1/search/action");
  return out;
}

struct Page {
  std::string token;
  std::size_t limit = kPageMax;
  bool asked = false;
};

std::optional<Page> page_of(const Json& body) {
  Page out;
  const Json* page = body.find("page");
  if (page == nullptr || page->is_null()) return out;
  if (!page->is_object()) return std::nullopt;
  out.asked = true;
  if (const Json* token = page->find("token")) {
    if (!token->is_string() || token->as_string().size() > 8192) return std::nullopt;
    out.token = token->as_string();
  }
  if (const Json* limit = page->find("limit")) {
    if (!limit->is_integer() || limit->as_integer() < 1) return std::nullopt;
    out.limit = static_cast<std::size_t>(std::min<std::int64_t>(limit->as_integer(), kPageMax));
  }
  return out;
}

// What a token is bound to: the same question at the same path.
std::string fingerprint(const Json& body, const Call& call) {
  Json question = body;
  std::erase_if(question.members(), [](const auto& member) { return member.first == "page"; });
  const std::string text = std::string(call.path) + "\n" + call.pep + "\n" + question.to_canonical_string();
  return codec::encode_hex(crypto::sha256(as_bytes(text)));
}

// Names a place in a list that the asker may read anyway: it needs no secret, but must not lead astray.
std::string make_token(std::uint64_t revision, std::string_view question, std::string_view after) {
  return codec::encode_base64url(
      as_bytes(std::to_string(revision) + "\n" + std::string(question) + "\n" + std::string(after)));
}

Result<std::string> place_of(const std::string& token, std::uint64_t revision, std::string_view question) {
  const auto bytes = codec::decode_base64url(token);
  const std::string expected = std::to_string(revision) + "\n" + std::string(question) + "\n";
  if (bytes && as_text(*bytes).starts_with(expected)) return std::string(as_text(*bytes).substr(expected.size()));
  return fail(ErrorKind::kInvalid, "pdp_page_token",
              "this token is of another question, or of a revision that is no longer the current one")
      .at("page.token")
      .next("ask for the first page again");
}

}  // namespace

Answer refusal(int status, std::string_view code, std::string_view message, std::string_view where) {
  Json error = Json::object();
  error.set("code", code).set("message", message);
  if (!where.empty()) error.set("where", where);
  return {status, {{"Content-Type", "application/json"}}, Json::object({{"error", std::move(error)}}).to_string()};
}

std::optional<Answer> refuse_json_call(const Call& call, std::string_view method) {
  if (call.method != method) {
    Answer out = refusal(405, "pdp_method", "this path takes another method");
    out.headers.emplace_back("Allow", method);
    return out;
  }
  if (method == "GET") return std::nullopt;
  if (!call.content_encoding.empty() && !codec::equals_ignoring_case(call.content_encoding, "identity")) {
    return refusal(415, "pdp_content_encoding", "bodies are taken as they are, without a content coding");
  }
  const std::string_view type = codec::trim(call.content_type.substr(0, call.content_type.find(';')));
  if (!codec::equals_ignoring_case(type, "application/json")) {
    return refusal(400, "pdp_content_type", "the body must be application/json", "Content-Type");
  }
  if (call.body.size() > kBodyBytesMax) return refusal(413, "pdp_body_too_large", "a body has at most 1 MiB");
  return std::nullopt;
}

Answer Authzen::answer(const Call& call) {
  Answer out;
  if (call.pep.empty()) {
    out = refusal(401, "pdp_unauthenticated", "this decision point does not know who asks");
    out.headers.emplace_back("WWW-Authenticate", "Wary realm=\"decision point\"");
  } else {
    out = route(call);
  }
  out.headers.emplace_back("Cache-Control", "no-store");
  if (!call.request_id.empty() && call.request_id.size() <= kRequestIdMax) {
    out.headers.emplace_back("X-Request-ID", call.request_id);
  }
  return out;
}

Answer Authzen::route(const Call& call) {
  const std::string tenant = std::string(kMetadataPath) + "/" + std::string(contract::kDefaultTenant);
  if (call.path == kMetadataPath || call.path == tenant) {
    if (auto refused = refuse_json_call(call, "GET")) return std::move(*refused);
    return json(metadata(call.host));
  }
  constexpr std::string_view kBase = "/access/v1/";
  const std::string_view name = call.path.starts_with(kBase) ? call.path.substr(kBase.size()) : std::string_view{};
  const bool is_search = name == "search/subject" || name == "search/resource" || name == "search/action";
  if (name != "evaluation" && name != "evaluations" && !is_search) {
    return refusal(404, "pdp_path", "there is nothing at this path");
  }
  if (auto refused = refuse_json_call(call, "POST")) return std::move(*refused);
  auto body = codec::parse_json(call.body);
  if (!body) return refusal_of(body.error());
  if (!body->is_object()) return refusal(400, "pdp_request", "the body must be an object");
  if (!obligations_of(*body)) {
    return refusal(400, "pdp_request", "a list of at most 32 texts is expected", "options.obligations");
  }
  if (name == "evaluation") return evaluation(*body, call);
  if (name == "evaluations") return evaluations(*body, call);
  using cedar::Variable;
  if (name == "search/subject") return search(*body, call, Variable::kPrincipal);
  return search(*body, call, name == "search/action" ? Variable::kAction : Variable::kResource);
}

Answer Authzen::evaluation(Json& body, const Call& call) {
  std::vector<std::string> obligations = *obligations_of(body);
  Parts parts = parts_of(body);
  parts.may_take = true;
  auto request = to_request(parts, std::nullopt, authority_.snapshot(), authority_.now());
  if (!request) return refusal_of(request.error());
  std::string out;
  append_decision(
      out,
      authority_.decide({std::move(*request), call.pep, std::move(obligations), {}, std::string(call.host), {}, {}}));
  return json_text(std::move(out));
}

Answer Authzen::evaluations(Json& body, const Call& call) {
  const auto found = std::find_if(body.members().begin(), body.members().end(),
                                  [](const Json::Member& member) { return member.first == "evaluations"; });
  Json* list = found != body.members().end() ? &found->second : nullptr;
  if (list == nullptr || (list->is_array() && list->items().empty())) return evaluation(body, call);
  if (!list->is_array()) return refusal(400, "pdp_request", "a list is expected", "evaluations");
  if (list->items().size() > kBatchMax) {
    return refusal(400, "pdp_batch_too_large", "a batch has at most 1,000 evaluations", "evaluations");
  }
  const Json* options = body.find("options");
  if (options != nullptr && !options->is_object()) return refusal(400, "pdp_request", "not an object", "options");
  const Json* chosen = options != nullptr ? options->find("evaluations_semantic") : nullptr;
  const std::string semantic = chosen == nullptr ? "execute_all" : chosen->is_string() ? chosen->as_string() : "";
  if (semantic != "execute_all" && semantic != "deny_on_first_deny" && semantic != "permit_on_first_permit") {
    return refusal(400, "pdp_request", "execute_all, deny_on_first_deny or permit_on_first_permit is expected",
                   "options.evaluations_semantic");
  }
  const Parts defaults = parts_of(body);
  Question question;
  question.pep = call.pep;
  question.obligations = *obligations_of(body);
  question.host = std::string(call.host);
  std::string out = "{\"evaluations\":[";
  out.reserve(32 + 128 * list->items().size());
  bool is_first = true;
  const policy::SnapshotPtr snapshot = authority_.snapshot();
  const UnixTime now = authority_.now();
  for (Json& item : list->items()) {
    const Parts own = parts_of(item);
    // What stands at the top is every item's.
    const bool is_whole = own.subject != nullptr && own.action != nullptr && own.resource != nullptr &&
                          (own.context != nullptr || defaults.context == nullptr);
    const Parts parts{own.subject != nullptr ? own.subject : defaults.subject,
                      own.action != nullptr ? own.action : defaults.action,
                      own.resource != nullptr ? own.resource : defaults.resource,
                      own.context != nullptr ? own.context : defaults.context, is_whole};
    auto request = item.is_object()
                       ? to_request(parts, std::nullopt, snapshot, now)
                       : Result<contract::Request>(
                             fail(ErrorKind::kInvalid, "pdp_request", "an evaluation is no object").at("evaluations"));
    bool allowed = false;
    if (!std::exchange(is_first, false)) out += ',';
    if (request) {
      question.request = std::move(*request);
      const contract::Decision decision = authority_.decide(question);
      allowed = decision.is_allowed();
      append_decision(out, decision);
    } else {
      append_bad_item(out, request.error());
    }
    if (semantic == (allowed ? "permit_on_first_permit" : "deny_on_first_deny")) break;
  }
  return json_text(std::move(out) + "]}");
}

Answer Authzen::search(Json& body, const Call& call, cedar::Variable free) {
  const auto page = page_of(body);
  if (!page) return refusal(400, "pdp_request", "{\"token\": text, \"limit\": from 1} is expected", "page");
  const policy::SnapshotPtr snapshot = authority_.snapshot();
  auto request = to_request(parts_of(body), free, snapshot, authority_.now());
  if (!request) return refusal_of(request.error());
  const std::string question_id = fingerprint(body, call);
  const std::uint64_t revision = snapshot ? snapshot->revision() : 0;
  std::string after;
  if (!page->token.empty()) {
    auto place = place_of(page->token, revision, question_id);
    if (!place) return refusal_of(place.error());
    after = std::move(*place);
  }
  const Question question{std::move(*request), call.pep, *obligations_of(body), {}, std::string(call.host), {}, {}};
  auto found = searcher_.search(question, free, page->limit, std::move(after));
  if (!found) return refusal(500, found.error().code, found.error().message);
  const std::string_view searched = call.path.substr(call.path.rfind('/') + 1);
  if (!authority_.record_search(question, searched, found->ids.size())) {
    return refusal(503, "ledger_unavailable", "nothing is told while it cannot be recorded");
  }
  Json results = Json::array();
  const Json* asked = body.find(searched);
  for (std::string& id : found->ids) {
    Json one = Json::object();
    if (free != cedar::Variable::kAction) one.set("type", asked->string_or("type", ""));
    one.set(free == cedar::Variable::kAction ? "name" : "id", std::move(id));
    results.push(std::move(one));
  }
  Json out = Json::object();
  const auto count = static_cast<std::int64_t>(results.items().size());
  out.set("results", std::move(results));
  if (page->asked || !found->next.empty()) {
    Json about = Json::object();
    about.set("next_token", found->next.empty() ? "" : make_token(revision, question_id, found->next));
    out.set("page", std::move(about.set("count", count)));
  }
  return json(out);
}

}  // namespace wary::pdp
