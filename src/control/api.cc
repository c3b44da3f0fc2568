#include "control/api.h"

#include <charconv>

#include "codec/text.h"
#include "crypto/random_id.h"
#include "policy/decide.h"

namespace wary::control {

using codec::Json;

void send_json(const Api::ExchangePtr& exchange, int status, const Json& body) {
  exchange->respond(status, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}},
                    body.to_string() + "\n");
}

void send_error(const Api::ExchangePtr& exchange, const Error& error) {
  send_json(exchange, http_status(error.kind), Json::object({{"error", to_json(error)}}));
}

Result<Json> body_of(const Api::ExchangePtr& exchange) {
  Limits limits;
  limits.bytes = std::size_t{2} << 20;
  auto body = codec::parse_json(exchange->request().body, limits);
  if (!body) return body;
  if (!body->is_object()) return fail(ErrorKind::kInvalid, "api_body", "the body is a JSON object");
  return body;
}

Result<std::uint64_t> number_parameter(const http::Request& request, std::string_view name, std::uint64_t fallback) {
  const std::string text = request.parameter(std::string(name));
  if (text.empty()) return fallback;
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) return value;
  return fail(ErrorKind::kInvalid, "api_number", "this is no number")
      .at(std::string(name))
      .expected("a whole number, 0 or more")
      .found(text)
      .next("leave it out for the default");
}

Api::Api(Plane& plane, SignIn& sign_in, ApiParts parts)
    : plane_(plane),
      sign_in_(sign_in),
      parts_(std::move(parts)),
      call_prefix_("c" + crypto::random_id(parts_.random).substr(0, 9)) {}
Api::~Api() = default;

std::span<const Api::Entry> Api::table() {
  static constexpr Entry kTable[] = {
      // NOLINT: a table
      {"POST", "/v1/apply", "apply", &Api::apply},
      {"GET", "/v1/objects/", "get", &Api::get_objects},
      {"DELETE", "/v1/objects/", "delete", &Api::delete_object},
      {"GET", "/v1/history/", "get", &Api::history},
      {"GET", "/v1/watch", "watch", &Api::watch},
      {"POST", "/v1/try", "try", &Api::try_access},
      {"GET", "/v1/explain/", "explain", &Api::explain},
      {"POST", "/v1/revoke", "revoke", &Api::revoke},
      {"POST", "/v1/restore", "restore", &Api::restore},
      {"POST", "/v1/sessions", "session.create", &Api::create_session},
      {"GET", "/v1/sessions", "session.list", &Api::list_sessions},
      {"POST", "/v1/apikeys", "apikey.create", &Api::create_api_key},
      {"POST", "/v1/workloads/issue", "workload.issue", &Api::issue_workload},
      {"POST", "/v1/ca/rotate", "ca.rotate", &Api::rotate_authority},
      {"POST", "/v1/nodes/tokens", "node.token", &Api::create_node_token},
      {"GET", "/v1/health", "status", &Api::health},
      {"GET", "/v1/ledger/events", "ledger.read", &Api::ledger_events},
      {"GET", "/v1/ledger/decisions", "ledger.read", &Api::ledger_decisions},
      {"GET", "/v1/snapshot", "get", &Api::live_snapshot},
      {"GET", "/v1/ledger/proof/", "ledger.read", &Api::ledger_proof},
      {"GET", "/v1/ledger/checkpoint", "ledger.read", &Api::ledger_checkpoint},
      {"GET", "/v1/ledger/consistency", "ledger.read", &Api::ledger_consistency},
      {"GET", "/v1/ledger/key", "ledger.read", &Api::ledger_key},
      {"POST", "/v1/ledger/check", "ledger.check", &Api::ledger_check},
  };
  return kTable;
}

void Api::handle_admin(const ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  if (request.method == "GET" && request.path == "/livez") {
    // Alive is not able: health says what works.
    return exchange->respond(200, {{"Content-Type", "text/plain"}}, "ok\n");
  }
  if (request.method == "GET" && request.path == "/metrics") {
    return exchange->respond(200, {{"Content-Type", "text/plain; version=0.0.4"}}, parts_.metrics.to_prometheus());
  }
  handle({{"Wary::User", "owner"}, "", ""}, exchange);
}

void Api::handle(const Caller& caller, const ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  const std::string_view path = request.path;
  bool path_known = false;
  for (const Entry& entry : table()) {
    const bool takes_rest = entry.prefix.ends_with('/');
    if (takes_rest ? !path.starts_with(entry.prefix) : path != entry.prefix) continue;
    path_known = true;
    if (request.method != entry.method) continue;
    std::string decision;
    const Status allowed = authorise(caller, entry.action, request, decision);
    if (!allowed) return send_error(exchange, allowed.error());
    return (this->*entry.handler)(caller, exchange, std::string(path.substr(entry.prefix.size())));
  }
  send_error(exchange, path_known ? fail(ErrorKind::kUnsupported, "api_method", "this path does not take this method")
                                  : fail(ErrorKind::kNotFound, "api_path", "there is nothing at this path"));
}

// The control plane's own calls are accesses like any other: decided by the same policy, recorded in the same ledger.
Status Api::authorise(const Caller& caller, std::string_view action, const http::Request& request,
                      std::string& decision_id) {
  contract::Request question;
  question.tenant = std::string(contract::kDefaultTenant);
  question.principal = caller.principal;
  question.action = {"Wary::Action", std::string(action)};
  question.resource = {"Wary::Platform", "wary"};
  if (!caller.session.empty()) {
    Json target = Json::object();
    target.set("type", "Wary::Session").set("id", std::string_view(caller.session));
    question.context.set("session", Json::object({{"__entity", std::move(target)}}));
  }
  policy::DecideOptions options;
  options.decision_id = call_prefix_ + "-" + std::to_string(++last_call_);
  const contract::Decision decision = policy::decide(*plane_.snapshot(), question, parts_.clock.unix_time(), options);
  decision_id = options.decision_id;
  // Reading health and following the ledger while nothing can be recorded is how a person finds out; nothing else goes
  // on.
  const bool observes = action == "status" || action == "ledger.read";
  if (!plane_.is_ledger_available() && !observes) {
    return plane_.ledger_refusal("nothing is done while it cannot be recorded");
  }
  contract::Event event;
  event.class_uid = contract::EventClass::kApiActivity;
  event.actor = caller.principal.to_string();
  event.session = caller.session;
  event.resource = question.resource.to_string();
  event.action = action;
  event.decision_id = decision_id;
  Json detail = Json::object();
  Json policies = Json::array();
  for (const std::string& policy : decision.determining) policies.push(Json(policy));
  detail.set("context", question.context).set("decision", decision.is_allowed() ? "allow" : "deny");
  detail.set("method", std::string_view(request.method)).set("path", std::string_view(request.path));
  detail.set("policies", std::move(policies)).set("reason", std::string_view(decision.reason_code));
  detail.set("revision", static_cast<std::int64_t>(decision.revision));
  event.detail = detail.to_canonical_string();
  if (plane_.is_ledger_available()) plane_.record(std::move(event));
  if (decision.is_allowed()) return {};
  return fail(ErrorKind::kDenied, "denied", "you may not do this")
      .found(std::string(action))
      .next("reference " + decision_id + "; wary explain " + decision_id);
}

}  // namespace wary::control
