#include "policy/policies.h"

#include <algorithm>
#include <map>
#include <set>

#include "cedar/parser.h"

namespace wary::policy {

namespace {

constexpr std::size_t kPolicyIdBytesMax = 256;

cedar::SyntaxError error_at(const cedar::PolicyBody& body, std::string_view code, std::string_view message,
                            std::string_view next) {
  cedar::SyntaxError out;
  out.span = body.span;
  out.error = fail(ErrorKind::kInvalid, code, message).at(body.source->place(body.span.begin)).next(next);
  out.from = body.source->position(body.span.begin);
  out.line = body.source->line_text(body.span.begin);
  out.caret = body.source->caret(body.span);
  return out;
}

// Letters, digits and -_. : what a person can type behind `wary explain`.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= limits::kNameBytes && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

void check_body(const cedar::PolicyBody& body, std::vector<cedar::SyntaxError>& errors) {
  if (body.is_template()) {
    errors.push_back(error_at(body, "policy_template", "a template, and nothing fills its slots",
                              "write the entity in place of ?principal or ?resource"));
  }
  const std::string* obligation = body.annotation("obligation");
  const std::string* value = body.annotation("obligation_value");
  if (obligation != nullptr && (body.effect == cedar::Effect::kForbid || obligation->empty())) {
    errors.push_back(error_at(body, "policy_obligation", "an obligation belongs to a permit and has a name",
                              "write @obligation(\"name\") before a permit"));
  }
  if (value != nullptr && obligation == nullptr) {
    errors.push_back(
        error_at(body, "policy_obligation", "@obligation_value without @obligation", "name the obligation"));
  }
}

std::vector<std::string> name_policies(const PolicyText& text, const PolicyCheck& check,
                                       std::vector<cedar::SyntaxError>& errors) {
  std::vector<std::string> ids;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < check.policies.size(); ++i) {
    const cedar::PolicyBody& body = *check.policies[i];
    const std::string* annotated = body.annotation("id");
    if (annotated != nullptr && !is_name(*annotated)) {
      errors.push_back(error_at(body, "policy_id", "an @id that is no name", "use at most 63 letters, digits, - _ ."));
    }
    const std::string name = annotated != nullptr ? *annotated : "policy" + std::to_string(i);
    if (!seen.insert(name).second) {
      errors.push_back(error_at(body, "policy_id", "two policies of the text have this @id", "give each its own @id"));
    }
    ids.push_back(check.policies.size() == 1 ? text.id : text.id + "/" + name);
  }
  return ids;
}

}  // namespace

PolicyCheck check_policies(const PolicyText& text) {
  Limits limits = cedar::kParseLimits;
  limits.bytes = limits::kPolicyBytes;
  const auto source = cedar::Source::make(text.file.empty() ? text.id : text.file, text.text, text.first_line);
  auto parsed = cedar::parse_policies(source, limits);
  PolicyCheck check;
  check.errors = std::move(parsed.errors);
  check.policies = std::move(parsed.policies);
  for (const auto& body : check.policies) check_body(*body, check.errors);
  check.ids = name_policies(text, check, check.errors);
  if (!check.errors.empty()) {
    check.policies.clear();
    check.ids.clear();
  }
  return check;
}

// Written so that what is not known forbids: a fact of another type is an error, and an error of a forbid denies; a
// session is good only while it says so itself.
const std::vector<PolicyText>& guardrails() {
  static const std::vector<PolicyText> kGuardrails = {
      {"guardrail/revoked-principal",
       "// A person, workload or pipeline that was revoked or disabled may do nothing.\n"
       "forbid (principal, action, resource)\n"
       "when { (principal has revoked && principal.revoked) || (principal has disabled && principal.disabled) };\n",
       "guardrails.cedar", 1},
      {"guardrail/revoked-device",
       "// Nothing is done from a device that was revoked or disabled.\n"
       "forbid (principal, action, resource)\n"
       "when { context has device }\n"
       "when { (context.device has revoked && context.device.revoked) ||\n"
       "       (context.device has disabled && context.device.disabled) };\n",
       "guardrails.cedar", 4},
      {"guardrail/revoked-session",
       "// A revoked session ends.\n"
       "forbid (principal, action, resource)\n"
       "when { context has session }\n"
       "when { context.session has revoked && context.session.revoked };\n",
       "guardrails.cedar", 9},
      {"guardrail/inactive-session",
       "// A session is good while its fact `active` says so; the fact expires with the session and becomes false.\n"
       "forbid (principal, action, resource)\n"
       "when { context has session }\n"
       "unless { context.session has active && context.session.active };\n",
       "guardrails.cedar", 13},
      {"guardrail/api-key",
       "// An API key is good until it is revoked, disabled or ends; what is not known of it is no good.\n"
       "forbid (principal, action, resource)\n"
       "when { context has api_key }\n"
       "unless { context.api_key has active && context.api_key.active &&\n"
       "         context.api_key has revoked && !context.api_key.revoked &&\n"
       "         context.api_key has disabled && !context.api_key.disabled &&\n"
       "         context has api_key_hash && context.api_key_hash has key &&\n"
       "         context.api_key_hash.key == context.api_key };\n",
       "guardrails.cedar", 17},
      {"guardrail/api-key-scope",
       "// An API key is for its methods and its applications and routes, where it names any.\n"
       "forbid (principal, action, resource)\n"
       "when { context has api_key }\n"
       "unless { (if context.api_key has methods then context.api_key.methods.contains(context.method) else true) &&\n"
       "         (!(context.api_key has apps || context.api_key has routes) ||\n"
       "          (context.api_key has apps && resource in context.api_key.apps) ||\n"
       "          (context.api_key has routes && resource in context.api_key.routes)) };\n",
       "guardrails.cedar", 25},
      {"guardrail/token-issuer",
       "// A token is good while its issuer is, and has the key that signed it.\n"
       "forbid (principal, action, resource)\n"
       "when { context has token }\n"
       "unless { context.token.issuer has keys && context.token.issuer.keys.contains(context.token.key) &&\n"
       "         context.token.issuer has revoked && !context.token.issuer.revoked &&\n"
       "         context.token.issuer has disabled && !context.token.issuer.disabled };\n",
       "guardrails.cedar", 33},
      {"guardrail/revoked-token",
       "// A token that was revoked by its id is no good any more.\n"
       "forbid (principal, action, resource)\n"
       "when { context has token }\n"
       "when { context.token.jwt has revoked && context.token.jwt.revoked };\n",
       "guardrails.cedar", 39},
  };
  return kGuardrails;
}

namespace {

crypto::Digest digest_of(const PolicyText& text) {
  crypto::Sha256 hash;
  hash_text(hash, text.id);
  hash_text(hash, text.text);
  hash_text(hash, text.file);
  hash_text(hash, std::to_string(text.first_line));
  return hash.finish();
}

Result<std::shared_ptr<const CompiledText>> compile_text(PolicyText text) {
  PolicyCheck check = check_policies(text);
  if (!check.errors.empty()) return check.errors.front().error;
  auto out = std::make_shared<CompiledText>();
  for (std::size_t i = 0; i < check.policies.size(); ++i) {
    out->reads.push_back(context_reads(*check.policies[i]));
    out->policies.push_back({std::move(check.ids[i]), std::move(check.policies[i]), {}, {}});
  }
  out->text = std::move(text);
  return std::shared_ptr<const CompiledText>(std::move(out));
}

Error taken(std::string_view message, std::string_view id) {
  return fail(ErrorKind::kConflict, "policy_duplicate_id", message).found(id);
}

}  // namespace

const CompiledPolicies::Ptr& CompiledPolicies::only_guardrails() {
  static const Ptr kOnly = [] {
    auto out = std::make_shared<CompiledPolicies>();
    for (const PolicyText& guardrail : guardrails()) {
      auto text = compile_text(guardrail);
      WARY_CHECK(text.ok());
      out->entries_.push_back({std::move(*text), 0});
    }
    out->guardrails_ = out->entries_.size();
    return out->renumbered();
  }();
  return kOnly;
}

Result<CompiledPolicies::Ptr> CompiledPolicies::compile(std::vector<PolicyText> texts) {
  return only_guardrails()->with(std::move(texts), {});
}

CompiledPolicies::Ptr CompiledPolicies::renumbered() const {
  auto out = std::make_shared<CompiledPolicies>(*this);
  out->numbers_.clear();
  out->size_ = 0;
  out->reads_ = {};
  for (Entry& entry : out->entries_) {
    entry.first = static_cast<std::uint32_t>(out->numbers_.size());
    out->set_numbers(entry, true);
  }
  return out;
}

void CompiledPolicies::set_numbers(const Entry& entry, bool are_there) {
  const auto& policies = entry.text->policies;
  if (numbers_.size() < entry.first + policies.size()) numbers_.resize(entry.first + policies.size());
  for (std::size_t i = 0; i < policies.size(); ++i) {
    numbers_[entry.first + i] = are_there ? Numbered{&policies[i], entry.text.get()} : Numbered{};
  }
  size_ = are_there ? size_ + policies.size() : size_ - policies.size();
  for (const ContextReads& reads : entry.text->reads) are_there ? reads_.add(reads) : reads_.remove(reads);
}

Result<CompiledPolicies::Ptr> CompiledPolicies::with(std::vector<PolicyText> upserts,
                                                     const std::vector<std::string>& removals) const {
  std::map<std::string_view, Entry> changed;  // named by `removals`, or by the text itself; no text: gone
  for (const std::string& id : removals) changed[id] = {};
  auto next = std::make_shared<CompiledPolicies>();
  next->numbers_ = numbers_;
  next->size_ = size_;
  next->reads_ = reads_;
  for (PolicyText& upsert : upserts) {
    if (upsert.id.empty() || upsert.id.size() > kPolicyIdBytesMax || upsert.id.starts_with(kGuardrailPrefix)) {
      return fail(ErrorKind::kInvalid, "policy_reserved_id", "not an id for a policy text")
          .expected("1 to 256 bytes, not starting with guardrail/")
          .found(upsert.id);
    }
    WARY_ASSIGN_OR_RETURN(auto text, compile_text(std::move(upsert)));
    const Entry entry{std::move(text), static_cast<std::uint32_t>(next->numbers_.size())};
    Entry& slot = changed[entry.text->text.id];
    if (slot.text != nullptr) return taken("two policy texts have one id", entry.text->text.id);
    slot = entry;
    next->set_numbers(entry, true);
  }
  next->guardrails_ = guardrails_;
  next->entries_.reserve(entries_.size() + changed.size());
  const auto first_text = entries_.begin() + static_cast<std::ptrdiff_t>(guardrails_);
  next->entries_.assign(entries_.begin(), first_text);
  auto change = changed.begin();
  const auto take = [&] {
    if (change->second.text != nullptr) next->entries_.push_back(change->second);
    ++change;
  };
  for (auto entry = first_text; entry != entries_.end(); ++entry) {
    const std::string& id = entry->text->text.id;
    while (change != changed.end() && change->first < id) take();
    if (change == changed.end() || change->first != id) {
      next->entries_.push_back(*entry);
      continue;
    }
    next->set_numbers(*entry, false);
    take();
  }
  while (change != changed.end()) take();

  std::vector<crypto::Digest> digests;
  digests.reserve(changed.size());
  std::vector<ContentDigest::Change> changes;
  for (const auto& [id, entry] : changed) {
    if (entry.text != nullptr) {
      WARY_RETURN_IF_ERROR(next->check_ids(*entry.text));
      digests.push_back(digest_of(entry.text->text));
    }
    changes.push_back({id, entry.text != nullptr ? &digests.back() : nullptr});
  }
  next->digest_ = digest_;
  next->digest_.apply(changes);
  return Ptr(std::move(next));
}

const CompiledPolicies::Entry* CompiledPolicies::find_text(std::string_view id) const {
  const auto first_text = entries_.begin() + static_cast<std::ptrdiff_t>(guardrails_);
  if (id.starts_with(kGuardrailPrefix)) {
    const auto at = std::find_if(entries_.begin(), first_text, [&](const Entry& e) { return e.text->text.id == id; });
    return at != first_text ? &*at : nullptr;
  }
  const auto is_less = [](const Entry& entry, std::string_view wanted) { return entry.text->text.id < wanted; };
  const auto at = std::lower_bound(first_text, entries_.end(), id, is_less);
  return at != entries_.end() && at->text->text.id == id ? &*at : nullptr;
}

// A policy alone has its text's id; one of several has it before its last slash.
const cedar::Policy* CompiledPolicies::find(std::string_view id) const {
  const Entry* alone = find_text(id);
  if (alone != nullptr && alone->text->policies.size() == 1) return &alone->text->policies.front();
  const std::size_t slash = id.rfind('/');
  const Entry* several = slash != std::string_view::npos ? find_text(id.substr(0, slash)) : nullptr;
  if (several == nullptr) return nullptr;
  const auto& policies = several->text->policies;
  const auto at =
      std::find_if(policies.begin(), policies.end(), [&](const cedar::Policy& one) { return one.id == id; });
  return at != policies.end() ? &*at : nullptr;
}

// No other text may hold a policy of the same id: the one alone that is named like one of several, or the other way.
Status CompiledPolicies::check_ids(const CompiledText& text) const {
  for (const cedar::Policy& policy : text.policies) {
    if (find(policy.id) != &policy) return taken("two policies have one id", policy.id);
    const std::size_t slash = policy.id.rfind('/');
    if (text.policies.size() != 1 || slash == std::string::npos) continue;
    const Entry* several = find_text(std::string_view(policy.id).substr(0, slash));
    if (several == nullptr || several->text.get() == &text) continue;
    const auto& others = several->text->policies;
    if (std::any_of(others.begin(), others.end(), [&](const cedar::Policy& one) { return one.id == policy.id; })) {
      return taken("two policies have one id", policy.id);
    }
  }
  return {};
}

std::vector<PolicyText> CompiledPolicies::texts() const {
  std::vector<PolicyText> out;
  for (std::size_t i = guardrails_; i < entries_.size(); ++i) out.push_back(entries_[i].text->text);
  return out;
}

bool CompiledPolicies::is_before(std::uint32_t a, std::uint32_t b) const {
  const CompiledText* x = numbers_[a].text;
  const CompiledText* y = numbers_[b].text;
  const bool by_number = x == y || a < guardrails_ || b < guardrails_;
  return by_number ? a < b : x->text.id < y->text.id;
}

std::vector<engine::PolicyInput> CompiledPolicies::numbered() const {
  std::vector<engine::PolicyInput> out;
  for (std::uint32_t number = 0; number < numbers_.size(); ++number) {
    if (numbers_[number].policy != nullptr) out.push_back({numbers_[number].policy, number});
  }
  return out;
}

void CompiledPolicies::changes_since(const CompiledPolicies& base, engine::Changes& out) const {
  for (std::uint32_t number = 0; number < base.numbers_.size(); ++number) {
    if (base.numbers_[number].policy != nullptr && numbers_[number].policy == nullptr)
      out.removed_policies.push_back(number);
  }
  for (std::uint32_t number = static_cast<std::uint32_t>(base.numbers_.size()); number < numbers_.size(); ++number) {
    if (numbers_[number].policy != nullptr) out.added_policies.push_back({numbers_[number].policy, number});
  }
}

}  // namespace wary::policy
