#include "enforce/step_up.h"

#include <algorithm>

#include "enforce/facts.h"

namespace wary::enforce {

namespace {

constexpr std::int64_t kAgeMax = std::int64_t{10} * 365 * 86'400;  // seconds

// When and how whoever asks signed in, as far as the request says.
struct SignedIn {
  std::optional<UnixTime> at;
  std::string acr;
};

SignedIn signed_in(const contract::Request& request, const policy::Snapshot& snapshot) {
  SignedIn out;
  if (const codec::Json* token = request.context.find("token"); token != nullptr) {
    out.acr = token->string_or("acr", "");
    const codec::Json* time = token->find("auth_time");
    if (time != nullptr && time->is_integer()) {
      out.at = UnixTime{std::clamp<std::int64_t>(time->as_integer(), 0, INT64_MAX / kNanosPerSecond) * kNanosPerSecond};
    }
    return out;
  }
  const auto session = reference_in(request.context.find("session"));
  const contract::Entity* entity = session ? snapshot.find_entity(*session) : nullptr;
  const contract::Fact* active = entity != nullptr ? whole_fact_of(*entity, "active") : nullptr;
  if (active != nullptr && active->since.nanos > 0) out.at = active->since;
  return out;
}

}  // namespace

std::optional<StepUp> step_up_of(const contract::Entity& resource) {
  const codec::Json* acr = fact_of(resource, "step_up_acr");
  const codec::Json* age = fact_of(resource, "step_up_max_age");
  if (acr == nullptr && age == nullptr) return std::nullopt;
  StepUp out;
  if (acr != nullptr && acr->is_array()) {
    for (const codec::Json& item : acr->items()) {
      if (item.is_string()) out.acr.push_back(item.as_string());
    }
  }
  // What cannot be read asks for what nobody has.
  if (acr != nullptr && out.acr.empty()) out.acr.emplace_back();
  if (age != nullptr) out.max_age_s = age->is_integer() ? std::clamp<std::int64_t>(age->as_integer(), 0, kAgeMax) : 0;
  return out;
}

StepUpAnswer check_step_up(const StepUp& step_up, const contract::Request& request, const policy::Snapshot& snapshot,
                           UnixTime now) {
  const auto has = [&](std::string_view member) { return request.context.find(member) != nullptr; };
  const bool is_program = request.principal.type == "Wary::Workload" || request.principal.type == "Wary::Node";
  if (is_program && !has("token") && !has("session") && !has("api_key")) return {true, std::nullopt};
  if (has("api_key")) return {};
  const SignedIn known = signed_in(request, snapshot);
  const bool is_good_enough =
      step_up.acr.empty() || (!known.acr.empty() && std::ranges::find(step_up.acr, known.acr) != step_up.acr.end());
  if (!is_good_enough) return {};
  if (!step_up.max_age_s) return {true, std::nullopt};
  if (!known.at) return {};
  const UnixTime until{known.at->nanos + *step_up.max_age_s * kNanosPerSecond};
  return {until > now, until};
}

Challenge challenge_of(const StepUp& step_up, std::string_view scheme) {
  std::string more;
  for (const std::string& acr : step_up.acr) more += (more.empty() ? "acr_values=\"" : " ") + acr;
  if (!more.empty()) more += '"';
  if (step_up.max_age_s) more += (more.empty() ? "max_age=" : ", max_age=") + std::to_string(*step_up.max_age_s);
  constexpr std::string_view kMessage = "a newer or stronger sign-in is needed";
  return {401, "insufficient_user_authentication", std::string(kMessage),
          authenticate_value(scheme, "insufficient_user_authentication", kMessage, more)};
}

}  // namespace wary::enforce
