#include <algorithm>

#include "crypto/random_id.h"
#include "crypto/x509.h"
#include "identity/authority.h"

namespace wary::identity {

namespace {

constexpr std::int64_t kBackdateAuthority = 60 * kNanosPerSecond;  // for clocks a little behind
constexpr std::int64_t kGraceMax = 30LL * 86'400;

UnixTime later(UnixTime time, std::int64_t seconds) { return {time.nanos + seconds * kNanosPerSecond}; }

// Others hold roots and token keys; an intermediate comes with every chain.
bool is_trusted_by_others(KeyKind kind) { return kind != KeyKind::kIntermediate; }

}  // namespace

const Schedule& Authority::schedule_of(KeyKind kind) const {
  return kind == KeyKind::kRoot           ? options_.root
         : kind == KeyKind::kIntermediate ? options_.intermediate
                                          : options_.token;
}

keystore::Key& Authority::key_of(const Draft& draft, const KeyRecord& record) const {
  const auto made = draft.made.find(record.key);
  return made != draft.made.end() ? *made->second : *keys_.at(record.key);
}

Result<Bytes> Authority::make_certificate(Draft& draft, KeyKind kind, keystore::Key& key) {
  crypto::AuthorityOptions options;
  options.common_name = kind == KeyKind::kRoot ? "wary root CA" : "wary intermediate CA";
  options.trust_domain = options_.trust_domain;
  options.leaves_only = kind == KeyKind::kIntermediate;
  options.not_before = {now().nanos - kBackdateAuthority};
  options.not_after = later(now(), kind == KeyKind::kRoot ? options_.root_life : options_.intermediate_life);
  keystore::Key* signer = &key;
  Bytes issuer;
  if (kind == KeyKind::kIntermediate) {
    const KeyRecord* root = find_stage(draft.state.roots, KeyStage::kActive);
    issuer = root->shown;
    signer = &key_of(draft, *root);
  }
  return crypto::issue_authority(options, key.spki(), issuer, parts_.random,
                                 [signer](ByteView message) { return signer->sign(message); });
}

Status Authority::make_next(Draft& draft, KeyKind kind) {
  keystore::KeyStore& store = kind == KeyKind::kRoot           ? parts_.root_store
                              : kind == KeyKind::kIntermediate ? parts_.intermediate_store
                                                               : parts_.token_store;
  KeyRecord record;
  record.key = std::string(to_string(kind)) + "-" + crypto::random_id(parts_.random);
  record.store = store.name();
  record.made = now();
  WARY_ASSIGN_OR_RETURN(std::unique_ptr<keystore::Key> key, store.generate(record.key));
  if (kind == KeyKind::kToken) {
    record.shown = key->spki();
  } else {
    auto made = make_certificate(draft, kind, *key);
    if (!made) {
      (void)store.remove(record.key);  // nobody knows it yet
      return std::move(made).error();
    }
    record.shown = std::move(made).value();
    WARY_ASSIGN_OR_RETURN(const crypto::Certificate certificate, crypto::parse_certificate(record.shown));
    record.until = certificate.not_after;
  }
  if (is_trusted_by_others(kind)) ++draft.state.sequence;
  draft.lines.push_back({"authority.made", kind, record.key});
  draft.made[record.key] = std::move(key);
  draft.changed = true;
  records_of(draft.state, kind).push_back(std::move(record));
  return {};
}

// The key goes at once, what it signed stays good: nothing signs with it ever again.
void Authority::retire(Draft& draft, KeyKind kind, const KeyRecord& record) {
  KeyRecord gone = record;
  gone.shown.clear();
  draft.state.retired.push_back(std::move(gone));
  draft.lines.push_back({"authority.key_retired", kind, record.key});
  draft.changed = true;
}

// The next one signs from now on. A new root signs nothing before it has an intermediate.
Status Authority::activate(Draft& draft, KeyKind kind, KeyStage old_stage, std::int64_t known_seconds) {
  KeyRecords& records = records_of(draft.state, kind);
  KeyRecord* old = find_stage(records, KeyStage::kActive);
  KeyRecord* next = find_stage(records, KeyStage::kNext);
  old->stage = old_stage;
  old->until = later(now(), known_seconds);
  retire(draft, kind, *old);
  next->stage = KeyStage::kActive;
  draft.lines.push_back({old_stage == KeyStage::kTainted ? "authority.tainted" : "authority.replaced", kind, old->key});
  draft.lines.push_back({"authority.active", kind, next->key});
  drop_ended(draft, kind);
  if (kind != KeyKind::kRoot) return {};
  return replace_at_once(draft, KeyKind::kIntermediate, KeyStage::kOld, options_.intermediate.overlap);
}

Status Authority::replace_at_once(Draft& draft, KeyKind kind, KeyStage old_stage, std::int64_t known_seconds) {
  drop_next(draft, kind);
  WARY_RETURN_IF_ERROR(make_next(draft, kind));
  return activate(draft, kind, old_stage, known_seconds);
}

void Authority::drop_next(Draft& draft, KeyKind kind) {
  KeyRecords& records = records_of(draft.state, kind);
  const KeyRecord* next = find_stage(records, KeyStage::kNext);
  if (next == nullptr) return;
  retire(draft, kind, *next);
  if (is_trusted_by_others(kind)) ++draft.state.sequence;
  std::erase_if(records, [](const KeyRecord& record) { return record.stage == KeyStage::kNext; });
}

void Authority::drop_ended(Draft& draft, KeyKind kind) {
  KeyRecords& records = records_of(draft.state, kind);
  const auto ended = [&](const KeyRecord& record) {
    return (record.stage == KeyStage::kOld || record.stage == KeyStage::kTainted) && record.until <= now();
  };
  for (const KeyRecord& record : records) {
    if (ended(record)) draft.lines.push_back({"authority.forgotten", kind, record.key});
  }
  if (std::erase_if(records, ended) == 0) return;
  if (is_trusted_by_others(kind)) ++draft.state.sequence;
  draft.changed = true;
}

Status Authority::step(Draft& draft, KeyKind kind) {
  drop_ended(draft, kind);
  const Schedule& plan = schedule_of(kind);
  const KeyRecord* active = find_stage(records_of(draft.state, kind), KeyStage::kActive);
  // A signer that was off for long: nothing that the ended one signs would hold, known or not.
  const bool has_ended = kind != KeyKind::kToken && active->until <= now();
  const bool is_due = has_ended || now() >= later(active->made, plan.renew_after);
  if (find_stage(records_of(draft.state, kind), KeyStage::kNext) == nullptr) {
    if (!is_due) return {};
    WARY_RETURN_IF_ERROR(make_next(draft, kind));
  }
  const KeyRecord* next = find_stage(records_of(draft.state, kind), KeyStage::kNext);
  if (!has_ended && now() < later(next->made, plan.ahead)) return {};
  return activate(draft, kind, KeyStage::kOld, plan.overlap);
}

Status Authority::rotate(const Rotation& rotation) {
  if (rotation.grace_seconds < 0 || rotation.grace_seconds > kGraceMax) {
    return fail(ErrorKind::kInvalid, "rotation_grace", "the time of grace is out of range")
        .expected("0.." + std::to_string(kGraceMax) + " seconds");
  }
  WARY_RETURN_IF_ERROR(finish_pending());
  Draft draft;
  draft.state = state_;
  const KeyKind kind = rotation.kind;
  Status done;
  if (kind == KeyKind::kIntermediate) {
    done = replace_at_once(draft, kind, KeyStage::kOld, options_.intermediate.overlap);
  } else if (rotation.at_once) {
    done = replace_at_once(draft, kind, KeyStage::kTainted, rotation.grace_seconds);
  } else if (find_stage(records_of(draft.state, kind), KeyStage::kNext) != nullptr) {
    return fail(ErrorKind::kConflict, "rotation_under_way", "the next one is made and published already");
  } else {
    done = make_next(draft, kind);
  }
  if (!done) {
    discard(draft);
    return done;
  }
  return commit(std::move(draft));
}

}  // namespace wary::identity
