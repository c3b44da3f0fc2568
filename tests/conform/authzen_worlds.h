// The policies and people of the published AuthZEN scenarios; the scenarios say what shall be allowed, the Cedar is
// ours.
#pragma once

#include "tests/support/pdp_world.h"

namespace wary::test {

constexpr std::string_view kCertificationPolicies = R"(
@id("read") permit (principal is Wary::User, action == Wary::Action::"read", resource is record);
@id("alice-writes") permit (principal == Wary::User::"alice", action == Wary::Action::"write", resource is record)
  unless { (resource has status && resource.status == "archived") ||
           (context.resource has status && context.resource.status == "archived") };
@id("admins-write-archived") permit (principal is Wary::User, action == Wary::Action::"write", resource is record)
  when { (principal has role && principal.role == "admin") ||
         (context.subject has role && context.subject.role == "admin") }
  when { (resource has status && resource.status == "archived") ||
         (context.resource has status && context.resource.status == "archived") };
@id("soft-delete") permit (principal == Wary::User::"alice", action == Wary::Action::"delete", resource is record)
  when { context.action has soft && context.action.soft };
)";

constexpr std::string_view kTodoPolicies = R"(
@id("see") permit (principal is Wary::User, action in [Wary::Action::"can_read_user", Wary::Action::"can_read_todos"],
  resource);
@id("create") permit (principal is Wary::User, action == Wary::Action::"can_create_todo", resource)
  when { principal.roles.containsAny(["admin", "editor"]) };
@id("own") permit (principal is Wary::User,
  action in [Wary::Action::"can_update_todo", Wary::Action::"can_delete_todo"], resource)
  when { principal.roles.contains("editor") && context.resource has ownerID &&
         context.resource.ownerID == principal.mail };
@id("meddle") permit (principal is Wary::User, action == Wary::Action::"can_update_todo", resource)
  when { principal.roles.contains("evil_genius") };
@id("clear") permit (principal is Wary::User, action == Wary::Action::"can_delete_todo", resource)
  when { principal.roles.contains("admin") };
)";

constexpr std::string_view kRecordPolicies = R"(
@id("own") permit (principal is Wary::User, action, resource is record) when { resource.owner == principal };
@id("department") permit (principal is Wary::User, action == Wary::Action::"view", resource is record)
  when { resource.department == principal.department };
@id("manager-views") permit (principal is Wary::User, action == Wary::Action::"view", resource is record)
  when { principal.role == "manager" };
@id("manager-edits") permit (principal is Wary::User, action == Wary::Action::"edit", resource is record)
  when { principal.role == "manager" && resource.department == principal.department };
)";

inline Result<policy::SnapshotPtr> certification_world() {
  return snapshot_of(kCertificationPolicies,
                     {entity_of("Wary::User", "alice"), entity_of("Wary::User", "bob", {{"role", "admin"}}),
                      entity_of("record", "record-1", {{"status", "active"}}),
                      entity_of("record", "record-2", {{"status", "archived"}})});
}

// Drafts name a person by mail, the specification by the token's subject: the same facts under both ids.
inline Result<policy::SnapshotPtr> todo_world() {
  struct Person {
    const char* letter;
    const char* mail;
    std::vector<const char*> roles;
  };
  std::vector<contract::Entity> entities;
  for (const Person& person :
       {Person{"A", "rick@the-citadel.com", {"admin", "evil_genius"}}, Person{"E", "morty@the-citadel.com", {"editor"}},
        Person{"I", "summer@the-smiths.com", {"editor"}}, Person{"M", "beth@the-smiths.com", {"viewer"}},
        Person{"Q", "jerry@the-smiths.com", {"viewer"}}}) {
    codec::Json roles = codec::Json::array();
    for (const char* role : person.roles) roles.push(role);
    const std::string subject =
        "CiRmZD" + std::string(person.letter) + "2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs";
    for (const std::string& id : {subject, std::string(person.mail)}) {
      entities.push_back(entity_of("Wary::User", id, {{"mail", person.mail}, {"roles", roles}}));
    }
  }
  return snapshot_of(kTodoPolicies, std::move(entities));
}

inline Result<policy::SnapshotPtr> record_world(const codec::Json& users, const codec::Json& records) {
  std::vector<contract::Entity> entities;
  for (const codec::Json& user : users.items()) {
    entities.push_back(
        entity_of("Wary::User", user.string_or("id", ""),
                  {{"role", user.string_or("role", "")}, {"department", user.string_or("department", "")}}));
  }
  for (const codec::Json& record : records.items()) {
    codec::Json owner = codec::Json::object();
    owner.set("type", "Wary::User").set("id", record.string_or("owner", ""));
    entities.push_back(entity_of("record", std::to_string(record.integer_or("id", 0)),
                                 {{"owner", codec::Json::object({{"__entity", std::move(owner)}})},
                                  {"department", record.string_or("department", "")}}));
  }
  return snapshot_of(kRecordPolicies, std::move(entities));
}

}  // namespace wary::test
