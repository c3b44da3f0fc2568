// The policies of a snapshot: texts as resources carry them, parsed once. The built-in guardrails
// are among them and cannot be left out.
//
//   PolicyCheck check = check_policies({.id = "photos", .text = text, .file = "photos.cedar"});   // `wary apply`
//   for (const cedar::SyntaxError& e : check.errors) print(e.error.to_string(), e.caret);
//
// A text may hold several policies. Their ids: the text's own id when it holds one policy; otherwise ID/NAME with NAME
// from the annotation @id, or policy0, policy1, ... in file order. Immutable once compiled; any thread. Limits: 64 KiB
// a text (limits::kPolicyBytes), nesting limits::kPolicyDepth.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cedar/evaluator.h"
#include "cedar/policy_set.h"
#include "engine/engine.h"
#include "policy/content_digest.h"
#include "policy/context_reads.h"

namespace wary::policy {

struct PolicyText {
  std::string id;
  std::string text;
  std::string file;              // where a person finds it
  std::uint32_t first_line = 1;  // of the text in that file
  bool operator==(const PolicyText&) const = default;
};

struct PolicyCheck {
  std::vector<std::shared_ptr<const cedar::PolicyBody>> policies;  // in file order; none when there are errors
  std::vector<std::string> ids;                                    // of each
  std::vector<cedar::SyntaxError> errors;
};

// Everything that is wrong with the text, by position. Beyond syntax (cedar_*): policy_template (a slot that nothing
// would fill), policy_obligation (@obligation on a forbid, or without a name), policy_id (an @id twice in one text, or
// no name).
PolicyCheck check_policies(const PolicyText& text);

// Facts and context members that the guardrails read.
constexpr std::string_view kGuardrailPrefix = "guardrail/";
// Ids and Cedar text of the guardrails, in order:
//   guardrail/revoked-principal   principal.revoked or principal.disabled
//   guardrail/revoked-device      context.device.revoked or .disabled
//   guardrail/revoked-session     context.session.revoked
//   guardrail/inactive-session    context.session without .active true (a missing session or fact forbids)
//   guardrail/api-key             context.api_key without .active true, or .revoked or .disabled, or whose it is by
//                                 context.api_key_hash no more (missing forbids)
//   guardrail/api-key-scope       context.method or the resource is none of context.api_key's
//   guardrail/token-issuer        context.token's issuer is revoked, disabled or has not the key that signed
//   guardrail/revoked-token       context.token.jwt.revoked
const std::vector<PolicyText>& guardrails();

// The policies of one text, parsed.
struct CompiledText {
  PolicyText text;
  std::vector<cedar::Policy> policies;  // in file order
  std::vector<ContextReads> reads;      // of each
};

// A value that the next one shares all but the changed texts with. Every policy has a number, the one that the engine
// knows it by: it stays as long as the text does, and is not used again in the line of those that follow each other.
class CompiledPolicies {
 public:
  using Ptr = std::shared_ptr<const CompiledPolicies>;  // shared between revisions with the same policies

  // Errors: those of check_policies (the first, with the place), policy_duplicate_id, policy_reserved_id.
  static Result<Ptr> compile(std::vector<PolicyText> texts);
  // Removals first; one of a text that is not there is none. Errors as compile's.
  Result<Ptr> with(std::vector<PolicyText> upserts, const std::vector<std::string>& removals) const;
  // The same policies, numbered anew: the beginning of another line.
  Ptr renumbered() const;

  std::size_t size() const { return size_; }  // policies, guardrails among them
  std::vector<PolicyText> texts() const;      // without the guardrails, by id
  // Of the texts; the same for the same texts however they were reached.
  crypto::Digest digest() const { return digest_.digest(); }
  const cedar::Policy* find(std::string_view id) const;
  // Whether any of them can look at this member of a request's context.
  bool may_read_context(std::string_view member) const { return reads_.may_read(member); }
  // The guardrails first, then by the id of the text and the place in it.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Entry& entry : entries_) {
      for (const cedar::Policy& policy : entry.text->policies) visit(policy);
    }
  }

  const cedar::Policy& by_number(std::uint32_t number) const { return *numbers_[number].policy; }
  // The order of for_each, of two numbers.
  bool is_before(std::uint32_t a, std::uint32_t b) const;
  std::vector<engine::PolicyInput> numbered() const;
  // What the engine has to take in and out to come from `base`, of whose line this one is.
  void changes_since(const CompiledPolicies& base, engine::Changes& out) const;

 private:
  struct Entry {
    std::shared_ptr<const CompiledText> text;
    std::uint32_t first = 0;  // number of its first policy; the others follow
  };
  struct Numbered {
    const cedar::Policy* policy = nullptr;
    const CompiledText* text = nullptr;
  };
  static const Ptr& only_guardrails();
  const Entry* find_text(std::string_view id) const;
  Status check_ids(const CompiledText& text) const;
  void set_numbers(const Entry& entry, bool are_there);

  std::vector<Entry> entries_;  // the guardrails, then by id
  std::size_t guardrails_ = 0;  // how many of them, each a text of one policy; they have the first numbers
  std::size_t size_ = 0;
  std::vector<Numbered> numbers_;  // every number that was given
  ContentDigest digest_;
  ContextReadCounts reads_;
};

}  // namespace wary::policy
