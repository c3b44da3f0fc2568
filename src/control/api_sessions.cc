// Who is signed in.
#include <algorithm>

#include "control/api.h"
#include "control/names.h"

namespace wary::control {

using codec::Json;

namespace {

constexpr std::size_t kListedSessionsMax = 10'000;

struct SignedIn {
  std::string id;
  std::string user;
  std::int64_t since = 0;
  std::int64_t until = 0;
};

bool is_fact(const contract::Entity& entity, std::string_view name, bool value) {
  return std::any_of(entity.attributes.begin(), entity.attributes.end(), [&](const contract::Fact& fact) {
    return fact.name == name && fact.value.is_bool() && fact.value.as_bool() == value;
  });
}

// What is let in nowhere is no sign-in any more: ended, revoked, or of somebody who is.
std::vector<SignedIn> signed_in(const Plane& plane, UnixTime now, std::string_view user) {
  std::vector<SignedIn> out;
  for (const auto& [key, value] : plane.objects().of_kind("Session")) {
    const Json* spec = value->json.find("spec");
    if (spec == nullptr || spec->integer_or("expires", 0) <= now.nanos) continue;
    SignedIn one{key->name, std::string(spec->string_or("user", "")), spec->integer_or("created", 0),
                 spec->integer_or("expires", 0)};
    if (!user.empty() && one.user != user) continue;
    const contract::Entity* session = plane.snapshot()->find_entity({"Wary::Session", one.id});
    const contract::Entity* whose = plane.snapshot()->find_entity({"Wary::User", one.user});
    if (session == nullptr || !is_fact(*session, "revoked", false) || whose == nullptr || is_barred(*whose)) continue;
    out.push_back(std::move(one));
  }
  std::sort(out.begin(), out.end(), [](const SignedIn& a, const SignedIn& b) { return a.since > b.since; });
  return out;
}

// Of each session, the hosts that it has a cookie for.
std::map<std::string, std::set<std::string>> hosts_of_sessions(const Objects& objects) {
  std::map<std::string, std::set<std::string>> out;
  for (const auto& [key, value] : objects.of_kind("Credential")) {
    const Json* spec = value->json.find("spec");
    if (spec == nullptr) continue;
    out[std::string(spec->string_or("session", ""))].emplace(spec->string_or("host", ""));
  }
  return out;
}

Json session_json(const SignedIn& one, const std::set<std::string>& hosts, std::optional<UnixTime> last_seen) {
  Json out = Json::object();
  out.set("session", std::string_view(one.id)).set("user", std::string_view(one.user));
  out.set("since", to_rfc3339({one.since})).set("until", to_rfc3339({one.until}));
  if (last_seen) out.set("lastSeen", to_rfc3339(*last_seen));
  Json list = Json::array();
  for (const std::string& host : hosts) list.push(Json(std::string_view(host)));
  return out.set("hosts", std::move(list));
}

}  // namespace

void Api::list_sessions(const Caller&, const ExchangePtr& exchange, const std::string&) {
  const std::string whose = exchange->request().parameter("principal");
  std::string user;
  if (!whose.empty()) {
    const auto who = principal_named(plane_.settings(), whose);
    if (!who) return send_error(exchange, Error(who.error()).at("principal"));
    if (plane_.snapshot()->find_entity({"Wary::User", who->id}) == nullptr || who->type != "Wary::User") {
      const std::string near = nearest_object(plane_.objects(), key_of(kTenantWide, "User", who->id));
      return send_error(exchange, fail(ErrorKind::kNotFound, "user_unknown", "there is no such user")
                                      .found(whose)
                                      .next(did_you_mean(near) + "only people sign in; wary get users lists them"));
    }
    user = who->id;
  }
  const std::vector<SignedIn> found = signed_in(plane_, parts_.clock.unix_time(), user);
  const auto hosts = hosts_of_sessions(plane_.objects());
  Json list = Json::array();
  for (std::size_t i = 0; i < std::min(found.size(), kListedSessionsMax); ++i) {
    const auto known = hosts.find(found[i].id);
    list.push(session_json(found[i], known != hosts.end() ? known->second : std::set<std::string>{},
                           plane_.last_seen(found[i].id)));
  }
  Json answer = Json::object({{"sessions", std::move(list)}});
  answer.set("leftOut", static_cast<std::int64_t>(found.size() - std::min(found.size(), kListedSessionsMax)));
  send_json(exchange, 200, answer);
}

}  // namespace wary::control
