#include "control/sign_in.h"

#include <algorithm>

#include "crypto/random_id.h"
#include "enforce/point.h"

namespace wary::control {

using codec::Json;

namespace {

constexpr std::int64_t kLinkLife = 10 * 60 * kNanosPerSecond;
constexpr std::int64_t kCodeLife = 30 * kNanosPerSecond;
constexpr std::int64_t kSessionLife = 8 * 3600 * kNanosPerSecond;
constexpr std::size_t kCodesMax = 10'000;
constexpr std::size_t kCodesOfSession = 16;    // that are not used yet: a browser with that many tabs on their way
constexpr std::size_t kCredentialsOfHost = 4;  // of one session: tabs that come back side by side keep what they got
constexpr std::size_t kSweepMax = 500;

Error refused() {
  return fail(ErrorKind::kDenied, "sign_in_refused", "this link was used already, is too old, or is not for here")
      .next("ask for a new one: wary session create NAME");
}

Json stored(Json spec) { return Json::object({{"spec", std::move(spec)}}); }

contract::Event event_of(std::string_view actor, std::string_view action, std::string_view resource) {
  contract::Event event;
  event.class_uid = contract::EventClass::kAuthentication;
  event.activity_id = 1;
  event.actor = actor;
  event.action = action;
  event.resource = resource;
  event.detail = "{\"activity_name\":\"" + std::string(action) + "\"}";
  return event;
}

std::string user_text(std::string_view user) { return contract::EntityId{"Wary::User", std::string(user)}.to_string(); }

}  // namespace

Status SignIn::check_user(const std::string& user) const {
  const contract::Entity* entity = plane_.snapshot()->find_entity({"Wary::User", user});
  if (entity == nullptr) {
    return fail(ErrorKind::kNotFound, "user_unknown", "there is no such user")
        .found(std::string_view(user))
        .next("wary get users lists them");
  }
  if (!is_barred(*entity)) return {};
  return fail(ErrorKind::kDenied, "user_disabled", "this user has no access now").found(std::string_view(user));
}

Write SignIn::credential(const std::string& token, const std::string& session, const std::string& host) const {
  Json spec = Json::object();
  spec.set("session", std::string_view(session)).set("host", std::string_view(host));
  return {key_of(kTenantWide, "Credential", enforce::credential_id(token)), stored(std::move(spec))};
}

Result<Issued> SignIn::create_link(const contract::EntityId& by, const std::string& user) {
  WARY_RETURN_IF_ERROR(check_user(user));
  Issued issued{crypto::random_id(random_), {}, {clock_.unix_time().nanos + kLinkLife}};
  Json spec = Json::object();
  spec.set("user", std::string_view(user)).set("expires", issued.expires.nanos);
  Change change;
  change.writes.push_back(
      {key_of(kTenantWide, "LoginCode", enforce::credential_id(issued.secret)), stored(std::move(spec))});
  change.event = event_of(by.to_string(), "session.create", user_text(user));
  WARY_ASSIGN_OR_RETURN([[maybe_unused]] const Committed committed, plane_.commit(std::move(change)));
  return issued;
}

Result<Issued> SignIn::redeem_link(const std::string& code) {
  const store::Key key = key_of(kTenantWide, "LoginCode", enforce::credential_id(code));
  const Value* value = plane_.objects().find(key);
  const Json* found = value != nullptr ? value->json.find("spec") : nullptr;
  const std::int64_t now = clock_.unix_time().nanos;
  if (found == nullptr || found->integer_or("expires", 0) <= now) return refused();
  const std::string user(found->string_or("user", ""));
  WARY_RETURN_IF_ERROR(check_user(user));
  Issued issued{crypto::random_id(random_), crypto::random_id(random_), {now + kSessionLife}};
  Json session = Json::object();
  session.set("user", std::string_view(user)).set("created", now).set("expires", issued.expires.nanos);
  Change change;
  change.writes.push_back({key, std::nullopt});
  change.writes.push_back({key_of(kTenantWide, "Session", issued.session), stored(std::move(session))});
  change.writes.push_back(credential(issued.secret, issued.session, plane_.settings().console_host));
  change.event = event_of(user_text(user), "session.begin", user_text(user));
  change.event.session = issued.session;
  WARY_ASSIGN_OR_RETURN(const Committed committed, plane_.commit(std::move(change)));
  issued.revision = committed.revision;
  return issued;
}

Result<Issued> SignIn::create_code(const std::string& session, const std::string& host, const std::string& state) {
  sweep();
  drop_oldest_code(session);
  if (codes_.size() >= kCodesMax) return fail(ErrorKind::kExhausted, "sign_in_busy", "too many sign-ins at once");
  const std::vector<std::string> hosts = plane_.site()->hosts();
  const bool known = std::binary_search(hosts.begin(), hosts.end(), host);
  if (!known || state.size() != 64) return refused();
  Issued issued{crypto::random_id(random_), session, {clock_.unix_time().nanos + kCodeLife}};
  codes_[enforce::credential_id(issued.secret)] = {session, host, state, clock_.monotonic().nanos + kCodeLife};
  return issued;
}

// Whoever is signed in may ask for codes as often as they like, and takes the room of nobody else.
void SignIn::drop_oldest_code(const std::string& session) {
  std::size_t count = 0;
  auto oldest = codes_.end();
  for (auto entry = codes_.begin(); entry != codes_.end(); ++entry) {
    if (entry->second.session != session) continue;
    ++count;
    if (oldest == codes_.end() || entry->second.expires < oldest->second.expires) oldest = entry;
  }
  if (count >= kCodesOfSession) codes_.erase(oldest);
}

// A browser has one cookie of a host: what came before the newest few is used by nobody.
void SignIn::retire_credentials(const std::string& session, const std::string& host, Change& change) const {
  std::vector<std::pair<std::uint64_t, store::Key>> held;
  for (const auto& [key, value] : plane_.objects().of_kind("Credential")) {
    const Json* spec = value->json.find("spec");
    if (spec == nullptr || spec->string_or("session", "") != session || spec->string_or("host", "") != host) continue;
    held.emplace_back(value->revision, *key);
  }
  if (held.size() < kCredentialsOfHost) return;
  std::sort(held.begin(), held.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  held.resize(std::min(held.size() - kCredentialsOfHost + 1, kSweepMax));
  for (auto& [revision, key] : held) change.writes.push_back({std::move(key), std::nullopt});
}

Result<Issued> SignIn::redeem_code(const std::string& code, const std::string& host, const std::string& state) {
  const auto found = codes_.find(enforce::credential_id(code));
  if (found == codes_.end()) return refused();
  const Code kept = found->second;
  codes_.erase(found);  // whatever comes of it, it was used
  if (kept.expires <= clock_.monotonic().nanos || kept.host != host || kept.state != state) return refused();
  const Value* session = plane_.objects().find(key_of(kTenantWide, "Session", kept.session));
  const Json* spec = session != nullptr ? session->json.find("spec") : nullptr;
  if (spec == nullptr || spec->integer_or("expires", 0) <= clock_.unix_time().nanos) return refused();
  WARY_RETURN_IF_ERROR(check_user(std::string(spec->string_or("user", ""))));
  Issued issued{crypto::random_id(random_), kept.session, {spec->integer_or("expires", 0)}};
  Change change;
  change.writes.push_back(credential(issued.secret, kept.session, host));
  retire_credentials(kept.session, host, change);
  change.event = event_of(user_text(spec->string_or("user", "")), "session.extend", host);
  change.event.session = kept.session;
  WARY_ASSIGN_OR_RETURN([[maybe_unused]] const Committed committed, plane_.commit(std::move(change)));
  return issued;
}

void SignIn::sweep() {
  const std::int64_t monotonic = clock_.monotonic().nanos;
  std::erase_if(codes_, [&](const auto& entry) { return entry.second.expires <= monotonic; });
  const std::int64_t now = clock_.unix_time().nanos;
  Change change;
  for (const std::string_view kind : {"LoginCode", "Session"}) {
    for (const auto& [key, value] : plane_.objects().of_kind(kind)) {
      const Json* spec = value->json.find("spec");
      // A day of grace keeps an ended session's explanation readable.
      const std::int64_t grace = kind == "Session" ? 24 * 3600 * kNanosPerSecond : 0;
      if (spec == nullptr || spec->integer_or("expires", 0) + grace > now || change.writes.size() >= kSweepMax)
        continue;
      change.writes.push_back({*key, std::nullopt});
    }
  }
  for (const auto& [key, value] : plane_.objects().of_kind("Credential")) {
    const Json* spec = value->json.find("spec");
    const std::string session(spec != nullptr ? spec->string_or("session", "") : "");
    const store::Key owner = key_of(kTenantWide, "Session", session);
    const bool orphan = plane_.objects().find(owner) == nullptr;
    if (orphan && change.writes.size() < kSweepMax) change.writes.push_back({*key, std::nullopt});
  }
  if (change.writes.empty()) return;
  change.event = event_of("", "session.sweep", "");
  // What could not be removed now is tried at the next sweep; expiry itself is in the decision.
  (void)plane_.commit(std::move(change));
}

}  // namespace wary::control
