#include "pdp/forward.h"

#include <algorithm>

#include "cedar/extension.h"
#include "codec/text.h"
#include "codec/uri.h"

namespace wary::pdp {

using codec::Json;

namespace {

constexpr std::string_view kSessionCookie = "__Host-wary_session";
constexpr std::size_t kTargetMax = 8192;
constexpr std::size_t kMethodMax = 32;

std::optional<Target> target_of(const http::Request& request) {
  const auto header = [&](std::string_view name) { return std::string(request.header(name)); };
  const std::string cookies = header("Cookie");
  constexpr std::string_view kEnvoy = "/envoy";
  if (request.path == "/nginx") {
    return Target{header("X-Original-Method"), request.host, header("X-Original-URI"),
                  header("X-Real-IP"),         cookies,      {}};
  }
  if (request.path == "/forward-auth") {
    return Target{header("X-Forwarded-Method"),
                  header("X-Forwarded-Host"),
                  header("X-Forwarded-Uri"),
                  header("X-Forwarded-For"),
                  cookies,
                  {}};
  }
  if (!request.path.starts_with("/envoy/")) return std::nullopt;
  return Target{
      request.method, request.host, request.path.substr(kEnvoy.size()), header("X-Forwarded-For"), cookies, {}};
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= kMethodMax && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
  });
}

// One address and nothing more, or nothing: it becomes an `ip` in context. An IPv4 client of a socket for both families
// is the IPv4 address that policies speak of, however the proxy writes it.
std::string address_of(std::string_view text) {
  constexpr std::string_view kMapped = "::ffff:";
  const bool is_mixed =
      text.find('.') != std::string_view::npos && codec::equals_ignoring_case(text.substr(0, kMapped.size()), kMapped);
  if (is_mixed) text.remove_prefix(kMapped.size());
  const auto address = cedar::parse_ip(text);
  if (!address.ok() || text.find('/') != std::string_view::npos) return {};
  if (!address->is_v6) return std::string(text);
  cedar::IpAddress mapped;
  mapped.bytes[10] = mapped.bytes[11] = 0xff;
  if (!std::equal(address->bytes.begin(), address->bytes.begin() + 12, mapped.bytes.begin())) return std::string(text);
  cedar::IpAddress inner;
  inner.prefix = 32;
  std::copy(address->bytes.begin() + 12, address->bytes.end(), inner.bytes.begin());
  return cedar::format_ip(inner);
}

// The proxy passes on what came, where the gateway writes the one normal spelling: what is judged must be what an
// application reads. Only the case of hex digits may differ.
bool is_same_spelling(std::string_view sent, std::string_view normal) {
  if (sent.size() != normal.size()) return false;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const bool in_escape = (i >= 1 && normal[i - 1] == '%') || (i >= 2 && normal[i - 2] == '%');
    const bool same = in_escape ? codec::to_lower(sent[i]) == codec::to_lower(normal[i]) : sent[i] == normal[i];
    if (!same) return false;
  }
  return true;
}

Json entity_reference(const contract::EntityId& id) {
  Json target = Json::object();
  target.set("type", std::string_view(id.type)).set("id", std::string_view(id.id));
  return Json::object({{"__entity", std::move(target)}});
}

Question question_of(const Target& target, const std::string& path, const enforce::Point::Subject& subject,
                     contract::EntityId resource, const std::string& pep) {
  Question out;
  out.request.tenant = std::string(contract::kDefaultTenant);
  out.request.principal = subject.principal;
  out.request.action = {"Wary::Action", target.method};
  out.request.resource = std::move(resource);
  Json& context = out.request.context;
  context.set("host", codec::host_name(target.host)).set("method", std::string_view(target.method));
  context.set("path", std::string_view(path));
  // A list of proxies says nothing that could be relied on; the last one only is who connected to the asker.
  const std::string_view told(target.client);
  const std::string client =
      address_of(codec::trim(told.substr(told.rfind(',') == std::string_view::npos ? 0 : told.rfind(',') + 1)));
  if (!client.empty()) {
    Json address = Json::object();
    address.set("fn", "ip").set("arg", std::string_view(client));
    context.set("client", Json::object({{"__extn", std::move(address)}}));
  }
  if (subject.session) context.set("session", entity_reference(*subject.session));
  out.pep = pep;
  out.method = target.method;
  out.host = target.host;
  out.path = path;
  out.client = client;
  return out;
}

}  // namespace

Verdict judge(Authority& authority, const Target& target, const std::string& pep) {
  const std::size_t query = std::min(target.uri.find('?'), target.uri.size());
  const bool complete =
      is_token(target.method) && !target.host.empty() && target.uri.size() <= kTargetMax && target.uri.starts_with('/');
  if (!complete) return {400, "pdp_forward", "the proxy must say method, host and target of the request", {}, {}, {}};
  const auto path = codec::normalise_path(std::string_view(target.uri).substr(0, query));
  if (!path) return {403, path.error().code, path.error().message, {}, {}, {}};
  if (!is_same_spelling(std::string_view(target.uri).substr(0, query), *path)) {
    return {403, "path_ambiguous", "the path has a simpler spelling, and programs read this one differently", {}, {},
            {}};
  }
  std::optional<contract::EntityId> resource;
  if (codec::is_authority(target.host)) resource = authority.resource_of(target.host, *path);
  if (!resource) return {403, "host_unknown", "nothing is served here under this name", {}, {}, {}};
  const auto token = codec::find_cookie(target.cookies, kSessionCookie).value_or(std::string_view{});
  const auto subject = authority.identify(token, target.host, target.spiffe_id);
  const contract::Decision decision = authority.decide(question_of(target, *path, subject, std::move(*resource), pep));
  Verdict out{403, "denied", "you may not do this", decision.id, {}, {}};
  if (decision.is_allowed()) {
    out = {200, {}, {}, decision.id, subject.principal.to_string(), subject.session ? subject.session->id : ""};
  } else if (decision.reason_code == "ledger_unavailable" || decision.reason_code.starts_with("snapshot_")) {
    out.code = "undecided";
    out.message = "no access is given while it cannot be decided and recorded";
  } else if (subject.is_anonymous) {
    out.status = 401;
    out.code = "unauthenticated";
    out.message = "nobody is signed in here";
  }
  return out;
}

bool is_forward(const http::Request& request) { return target_of(request).has_value(); }

std::optional<Answer> answer_forward(Authority& authority, const http::Request& request, const std::string& pep) {
  const auto target = target_of(request);
  if (!target) return std::nullopt;
  const Verdict verdict = judge(authority, *target, pep);
  Answer out;
  if (verdict.status != 200) out = refusal(verdict.status, verdict.code, verdict.message);
  if (verdict.status == 401) out.headers.emplace_back("WWW-Authenticate", "Wary realm=\"session\"");
  if (!verdict.principal.empty()) out.headers.emplace_back("Wary-Principal", verdict.principal);
  if (!verdict.session.empty()) out.headers.emplace_back("Wary-Session", verdict.session);
  if (!verdict.decision.empty()) out.headers.emplace_back("Wary-Decision", verdict.decision);
  out.headers.emplace_back("Cache-Control", "no-store");
  return out;
}

}  // namespace wary::pdp
