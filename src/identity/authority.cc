#include "identity/authority.h"

#include <algorithm>

#include "crypto/x509.h"

namespace wary::identity {

namespace {

constexpr std::int64_t kLookEvery = 60 * kNanosPerSecond;

Error gone_authority(const std::string& path) {
  return fail(ErrorKind::kDataLoss, "authority_missing", "what the authority remembers is gone")
      .at(path)
      .next("restore this file from a backup; to begin a new trust domain, begin a new data directory");
}

}  // namespace

Result<std::unique_ptr<Authority>> Authority::open(const AuthorityParts& parts, const AuthorityOptions& options,
                                                   bool may_begin) {
  auto authority = std::unique_ptr<Authority>(new Authority(parts, options));  // NOLINT: private constructor
  const auto found = parts.files.status(authority->path());
  if (!found && found.error().kind != ErrorKind::kNotFound) return found.error();
  if (!found && !may_begin) return gone_authority(authority->path());
  WARY_RETURN_IF_ERROR(found ? authority->load() : authority->begin());
  WARY_RETURN_IF_ERROR(authority->use_intermediate());
  return authority;
}

keystore::KeyStore* Authority::store_named(std::string_view name) const {
  const auto at = std::ranges::find_if(parts_.stores, [&](const auto* store) { return store->name() == name; });
  return at == parts_.stores.end() ? nullptr : *at;
}

// What is stored must be what was made: a certificate of another key would be trusted and sign nothing.
Status Authority::load_key(const KeyRecord& record, bool is_certificate) {
  keystore::KeyStore* store = store_named(record.store);
  if (store == nullptr) {
    return fail(ErrorKind::kUnavailable, "key_store_absent", "a key lies in a store that is not configured")
        .at(record.key)
        .found(record.store)
        .next("configure that store too; keys stay where they were made until they are replaced");
  }
  WARY_ASSIGN_OR_RETURN(std::unique_ptr<keystore::Key> key, store->load(record.key));
  Bytes expected = record.shown;
  if (is_certificate) {
    const auto certificate = crypto::parse_certificate(record.shown);
    expected = certificate ? certificate->public_key : Bytes();
  }
  if (key->spki() != expected) {
    return fail(ErrorKind::kDataLoss, "authority_key", "a stored key is another one than its certificate's")
        .at(record.key)
        .next("restore the signer's directory whole from a backup");
  }
  keys_[record.key] = std::move(key);
  return {};
}

Status Authority::load() {
  WARY_ASSIGN_OR_RETURN(state_, read_state(parts_.files, path(), parts_.seal));
  if (state_.trust_domain != options_.trust_domain) {
    return fail(ErrorKind::kInvalid, "authority_trust_domain", "the stored authority is another trust domain's")
        .at(path())
        .expected(options_.trust_domain)
        .found(state_.trust_domain);
  }
  for (const KeyKind kind : kKeyKinds) {
    for (const KeyRecord& record : records_of(state_, kind)) {
      if (record.stage != KeyStage::kActive && record.stage != KeyStage::kNext) continue;
      WARY_RETURN_IF_ERROR(load_key(record, kind != KeyKind::kToken));
    }
  }
  remove_retired();
  return {};
}

Status Authority::begin() {
  Draft draft;
  draft.state.trust_domain = options_.trust_domain;
  if (parts_.first_root) {
    WARY_RETURN_IF_ERROR(load_key(*parts_.first_root, true));
    draft.state.roots.push_back(*parts_.first_root);
  } else {
    WARY_RETURN_IF_ERROR(make_next(draft, KeyKind::kRoot));
    draft.state.roots.front().stage = KeyStage::kActive;
  }
  for (const KeyKind kind : {KeyKind::kIntermediate, KeyKind::kToken}) {
    WARY_RETURN_IF_ERROR(make_next(draft, kind));
    records_of(draft.state, kind).front().stage = KeyStage::kActive;
  }
  draft.state.sequence = 1;
  return commit(std::move(draft));
}

Status Authority::mark_complete() {
  if (state_.complete) return {};
  Draft draft;
  draft.state = state_;
  draft.state.complete = true;
  return commit(std::move(draft));
}

Status Authority::use_intermediate() {
  const KeyRecord* active = find_stage(state_.intermediates, KeyStage::kActive);
  WARY_ASSIGN_OR_RETURN(issuer_, crypto::LeafIssuer::of(active->shown));
  intermediate_ = active->shown;
  intermediate_key_ = keys_.at(active->key).get();
  return {};
}

// First it is on disk, then it is used. What could not be written is kept and written later: its keys are made, and
// the disk may have it although it said otherwise.
Status Authority::commit(Draft draft) {
  if (Status written = write_state(parts_.files, path(), parts_.seal, parts_.random, draft.state); !written) {
    if (!state_.roots.empty()) pending_ = std::move(draft);
    return written;
  }
  state_ = std::move(draft.state);
  for (auto& [name, key] : draft.made) keys_[name] = std::move(key);
  for (const Draft::Line& line : draft.lines) {
    parts_.log.info(line.event, {{"kind", to_string(line.kind)}, {"key", line.key}, {"sequence", state_.sequence}});
  }
  Status used = use_intermediate();
  remove_retired();
  return used;
}

Status Authority::finish_pending() {
  if (!pending_) return {};
  Draft draft = std::move(*pending_);
  pending_.reset();
  return commit(std::move(draft));
}

// What has gone stays written down as such until the next change is written: removing twice is nothing.
void Authority::remove_retired() {
  std::vector<KeyRecord> left;
  for (const KeyRecord& record : state_.retired) {
    keys_.erase(record.key);
    keystore::KeyStore* store = store_named(record.store);
    const Status removed = store != nullptr ? store->remove(record.key) : Status();
    if (store != nullptr && removed) continue;
    left.push_back(record);
    parts_.log.warn("authority.key_not_removed",
                    {{"key", record.key}, {"code", store == nullptr ? "key_store_absent" : removed.error().code}});
  }
  state_.retired = std::move(left);
}

Result<Authority::Issued> Authority::issue(ByteView csr, const crypto::LeafOptions& options) {
  if (const Status advanced = advance(); !advanced) {
    parts_.log.error("authority.not_advanced", {{"code", advanced.error().code}, {"where", advanced.error().where}});
  }
  if (issuer_->not_after() <= now()) {
    return fail(ErrorKind::kUnavailable, "authority_ended", "the intermediate has ended and no new one could be made")
        .at(path());
  }
  WARY_ASSIGN_OR_RETURN(const Bytes spki, checker_.check(csr));
  Issued issued;
  WARY_ASSIGN_OR_RETURN(Bytes leaf, issuer_->issue(spki, options, parts_.random, [this](ByteView message) {
    return intermediate_key_->sign(message);
  }));
  issued.chain.push_back(std::move(leaf));
  issued.chain.push_back(intermediate_);
  issued.not_after = std::min(options.not_after, issuer_->not_after());
  return issued;
}

Authority::TokenKey Authority::token_key() {
  if (const Status advanced = advance(); !advanced) {
    parts_.log.error("authority.not_advanced", {{"code", advanced.error().code}, {"where", advanced.error().where}});
  }
  const KeyRecord* active = find_stage(state_.tokens, KeyStage::kActive);
  return {active->key, keys_.at(active->key).get()};
}

// Every minute is often enough for what is decided in hours and days.
Status Authority::advance() {
  const UnixTime at = now();
  if (at.nanos < looked_.nanos + kLookEvery && at >= looked_) return {};
  looked_ = at;
  Status outcome = finish_pending();
  // Each kind by itself: a token key follows even while the root's HSM is away.
  for (const KeyKind kind : kKeyKinds) {
    if (pending_) return outcome;
    Draft draft;
    draft.state = state_;
    Status stepped = step(draft, kind);
    if (!stepped) {
      discard(draft);
    } else if (draft.changed) {
      stepped = commit(std::move(draft));
    }
    if (outcome && !stepped) outcome = std::move(stepped);
  }
  return outcome;
}

// Keys of a state that will never be: nobody knows them yet.
void Authority::discard(Draft& draft) {
  for (const KeyKind kind : kKeyKinds) {
    for (const KeyRecord& record : records_of(draft.state, kind)) {
      if (draft.made.erase(record.key) != 0) (void)store_named(record.store)->remove(record.key);
    }
  }
}

Authorities Authority::authorities() const {
  Authorities out;
  out.sequence = state_.sequence;
  // The active one first: who takes one only, takes that.
  for (const KeyStage stage : {KeyStage::kActive, KeyStage::kNext, KeyStage::kOld, KeyStage::kTainted}) {
    for (const KeyRecord& record : state_.roots) {
      if (record.stage == stage) out.x509_roots.push_back(record.shown);
    }
    for (const KeyRecord& record : state_.tokens) {
      if (record.stage != stage) continue;
      const Schedule& plan = options_.token;
      const std::int64_t life = plan.ahead + plan.renew_after + plan.ahead + plan.overlap;
      const bool signs = stage == KeyStage::kActive || stage == KeyStage::kNext;
      const UnixTime end = signs ? UnixTime{record.made.nanos + life * kNanosPerSecond} : record.until;
      out.jwt.push_back({record.key, record.shown, end});
    }
  }
  return out;
}

const Bytes& Authority::active_root() const { return find_stage(state_.roots, KeyStage::kActive)->shown; }

}  // namespace wary::identity
