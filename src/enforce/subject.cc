#include "enforce/subject.h"

namespace wary::enforce {

namespace {

using codec::Json;

Json entity_of(std::string_view type, std::string_view id) {
  Json target = Json::object();
  target.set("type", type).set("id", id);
  return Json::object({{"__entity", std::move(target)}});
}

// A quoted-string of RFC 9110 section 5.6.4 that needs no escapes.
void append_quoted(std::string& out, std::string_view name, std::string_view text) {
  out += out.ends_with(' ') ? "" : ", ";
  out += name;
  out += "=\"";
  for (const char c : text) out += c >= 0x20 && c < 0x7f && c != '"' && c != '\\' ? c : '?';
  out += '"';
}

}  // namespace

std::string_view to_string(How how) {
  constexpr std::string_view kNames[] = {"nobody", "svid", "session", "jwt", "api_key"};
  return kNames[static_cast<std::size_t>(how)];
}

Json token_facts(const VerifiedToken& token) {
  Json scopes = Json::array(), groups = Json::array();
  for (const std::string& scope : token.scopes) scopes.push(std::string_view(scope));
  for (const std::string& group : token.groups) groups.push(entity_of("Wary::Group", group));
  Json out = Json::object();
  out.set("issuer", entity_of("Wary::Issuer", token.issuer)).set("key", std::string_view(token.key));
  out.set("subject", std::string_view(token.subject));
  out.set("jwt", entity_of("Wary::Token", token_entity_id(token.issuer, token.id)));
  out.set("scopes", std::move(scopes)).set("groups", std::move(groups)).set("bound", token.is_bound());
  out.set("expires", token.expires.nanos / kNanosPerSecond);
  if (!token.client.empty()) out.set("client", std::string_view(token.client));
  if (!token.acr.empty()) out.set("acr", std::string_view(token.acr));
  if (token.auth_time) out.set("auth_time", token.auth_time->nanos / kNanosPerSecond);
  return out;
}

void describe(const Subject& subject, contract::Request& request) {
  request.principal = subject.principal;
  if (subject.session) request.context.set("session", entity_of(subject.session->type, subject.session->id));
  if (subject.device) request.context.set("device", entity_of(subject.device->type, subject.device->id));
  if (subject.token) request.context.set("token", token_facts(*subject.token));
  if (subject.api_key) request.context.set("api_key", entity_of(subject.api_key->type, subject.api_key->id));
  if (subject.api_key_hash)
    request.context.set("api_key_hash", entity_of("Wary::ApiKeyHash", subject.api_key_hash->id));
}

std::string authenticate_value(std::string_view scheme, std::string_view error, std::string_view description,
                               std::string_view more) {
  std::string out = std::string(scheme) + " ";
  append_quoted(out, "realm", "wary");
  if (!error.empty()) append_quoted(out, "error", error);
  if (!description.empty()) append_quoted(out, "error_description", description);
  if (!more.empty()) out += ", " + std::string(more);
  return out;
}

}  // namespace wary::enforce
