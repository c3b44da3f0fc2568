#include "enforce/access.h"

#include <utility>

#include "codec/json.h"

namespace wary::enforce {

std::string_view to_string(ContextMember member) {
  constexpr std::array<std::string_view, kContextMembers> kNames = {
      "api_key", "api_key_hash", "client", "device", "host", "method", "path", "session", "token", "transport"};
  return kNames[static_cast<std::size_t>(member)];
}

Recognised recognised(Subject subject) {
  Recognised out;
  out.subject = std::move(subject);
  out.subject.principal.append_to(out.principal);
  if (out.subject.token) out.token = token_facts(*out.subject.token).to_canonical_string();
  return out;
}

void AccessContext::begin_member(ContextMember member) {
  if (text_.size() > 1) text_ += ',';
  places_[static_cast<std::size_t>(member)].at = static_cast<std::uint32_t>(text_.size());
  text_.append("\"").append(to_string(member)).append("\":");
}

void AccessContext::end_member(ContextMember member) {
  Place& place = places_[static_cast<std::size_t>(member)];
  place.size = static_cast<std::uint32_t>(text_.size()) - place.at;
}

void AccessContext::string_member(ContextMember member, std::string_view value) {
  begin_member(member);
  codec::append_json_string(text_, value);
  end_member(member);
}

void AccessContext::entity_member(ContextMember member, std::string_view type, std::string_view id) {
  begin_member(member);
  text_ += R"({"__entity":{"id":)";
  codec::append_json_string(text_, id);
  text_ += R"(,"type":)";
  codec::append_json_string(text_, type);
  text_ += "}}";
  end_member(member);
}

void AccessContext::write(const Recognised& who, const AccessFacts& facts) {
  const Subject& subject = who.subject;
  constexpr std::size_t kUsualBytes = 384;
  if (text_.capacity() < kUsualBytes) text_.reserve(kUsualBytes);
  text_ = "{";
  places_ = {};
  if (subject.api_key) entity_member(ContextMember::kApiKey, subject.api_key->type, subject.api_key->id);
  if (subject.api_key_hash) entity_member(ContextMember::kApiKeyHash, "Wary::ApiKeyHash", subject.api_key_hash->id);
  begin_member(ContextMember::kClient);
  text_ += R"({"__extn":{"arg":)";
  codec::append_json_string(text_, facts.client);
  text_ += R"(,"fn":"ip"}})";
  end_member(ContextMember::kClient);
  if (subject.device) entity_member(ContextMember::kDevice, subject.device->type, subject.device->id);
  string_member(ContextMember::kHost, facts.host);
  string_member(ContextMember::kMethod, facts.method);
  string_member(ContextMember::kPath, facts.path);
  if (subject.session) entity_member(ContextMember::kSession, subject.session->type, subject.session->id);
  if (!who.token.empty()) {
    begin_member(ContextMember::kToken);
    text_ += who.token;
    end_member(ContextMember::kToken);
  }
  if (!facts.transport.empty()) string_member(ContextMember::kTransport, facts.transport);
  text_ += '}';
}

std::string_view AccessContext::member(ContextMember member) const {
  const Place& place = places_[static_cast<std::size_t>(member)];
  return std::string_view(text_).substr(place.at, place.size);
}

contract::Request Access::request() const {
  auto json = codec::parse_json(context.text());
  return {tenant, principal, action, resource, json ? std::move(json).value() : codec::Json()};
}

}  // namespace wary::enforce
