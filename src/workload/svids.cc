#include "workload/svids.h"

#include <algorithm>

namespace wary::workload {

namespace {

constexpr std::int64_t kLookEvery = kNanosPerSecond;
constexpr std::int64_t kUnusedFor = 10 * kNanosPerSecond;
constexpr std::int64_t kBackoffFirst = kNanosPerSecond;
constexpr std::int64_t kBackoffMost = 30 * kNanosPerSecond;
constexpr std::size_t kIdentitiesMax = 4096;
constexpr std::size_t kOnTheWayMax = 16;

}  // namespace

Svids::Svids(io::Loop& loop, Clock& clock, Random& random, Issue issue,
             std::function<void(const std::string& spiffe_id)> changed)
    : loop_(loop), clock_(clock), random_(random), issue_(std::move(issue)), changed_(std::move(changed)) {
  timer_ = loop_.after(kLookEvery, [this] { look(); });
}

Svids::~Svids() { loop_.cancel(timer_); }

void Svids::hold(const Entry& entry) {
  const auto found = identities_.find(entry.spiffe_id);
  if (found == identities_.end() && identities_.size() >= kIdentitiesMax) return;  // find() and failure() say so
  Identity& identity = found != identities_.end() ? found->second : identities_[entry.spiffe_id];
  ++identity.users;
  identity.unused_since = 0;
  const bool other_life = identity.ttl_seconds != entry.ttl_seconds;
  identity.ttl_seconds = entry.ttl_seconds;
  if ((!identity.svid || other_life) && identity.asked == 0) ask(entry.spiffe_id, identity);
}

void Svids::release(const std::string& spiffe_id) {
  const auto found = identities_.find(spiffe_id);
  if (found == identities_.end() || found->second.users == 0) return;
  if (--found->second.users == 0) found->second.unused_since = clock_.monotonic().nanos;
}

void Svids::renew_all() {
  for (auto& [id, identity] : identities_) {
    if (identity.asked == 0) ask(id, identity);
  }
}

void Svids::keep_only(const std::function<bool(const std::string& spiffe_id)>& is_kept) {
  std::erase_if(identities_, [&](const auto& one) { return !is_kept(one.first); });
}

const Svid* Svids::find(const std::string& spiffe_id) const {
  const auto found = identities_.find(spiffe_id);
  if (found == identities_.end() || !found->second.svid) return nullptr;
  return clock_.unix_time() < found->second.svid->not_after ? &*found->second.svid : nullptr;
}

const Error* Svids::failure(const std::string& spiffe_id) const {
  static const Error kFull =
      fail(ErrorKind::kUnavailable, "svid_too_many", "this node has too many identities at once");
  const auto found = identities_.find(spiffe_id);
  if (found == identities_.end()) return &kFull;
  return found->second.failed ? &*found->second.failed : nullptr;
}

void Svids::ask(const std::string& id, Identity& identity) {
  identity.due = 0;
  identity.asked = ++last_;
  waiting_.push_back(id);
  start_waiting();
}

void Svids::start_waiting() {
  while (on_the_way_ < kOnTheWayMax && !waiting_.empty()) {
    const std::string id = std::move(waiting_.front());
    waiting_.pop_front();
    const auto found = identities_.find(id);
    if (found == identities_.end() || found->second.asked == 0) continue;  // dropped meanwhile
    Identity& identity = found->second;
    // Another key each time: a stolen one ends with its certificate.
    auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
    auto csr = key ? crypto::make_csr(*key, "") : Result<Bytes>(key.error());
    if (!csr) {
      refused(identity, csr.error());
      continue;
    }
    identity.key = std::make_unique<crypto::PrivateKey>(std::move(key).value());
    ++on_the_way_;
    const std::weak_ptr<int> alive = alive_;
    issue_({std::move(csr).value(), id, identity.ttl_seconds},
           [this, alive, id, asked = identity.asked](Result<IssuedSvid> result) {
             if (alive.expired()) return;
             // Never from inside the question: who asked is in the middle of something.
             loop_.post([this, alive, id, asked, result = std::make_shared<Result<IssuedSvid>>(std::move(result))] {
               if (alive.expired()) return;
               --on_the_way_;
               issued(id, asked, std::move(*result));
               start_waiting();
             });
           });
  }
}

void Svids::issued(const std::string& id, std::uint64_t asked, Result<IssuedSvid> result) {
  const auto found = identities_.find(id);
  if (found == identities_.end() || found->second.asked != asked) return;  // dropped meanwhile
  Identity& identity = found->second;
  identity.asked = 0;
  Status taken = result ? take(id, identity, *result) : Status(std::move(result).error());
  identity.key.reset();
  if (!taken) refused(identity, std::move(taken).error());
  changed_(id);
}

Status Svids::take(const std::string& id, Identity& identity, const IssuedSvid& issued) {
  if (issued.chain.empty()) return fail(ErrorKind::kInternal, "svid_answer", "there is no certificate in the answer");
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate leaf, crypto::parse_certificate(issued.chain.front()));
  WARY_ASSIGN_OR_RETURN(const crypto::SpiffeId named, crypto::check_svid(leaf));
  if (named.to_string() != id || leaf.public_key != identity.key->public_key().to_spki()) {
    return fail(ErrorKind::kInternal, "svid_answer", "the certificate is of another identity or key")
        .found(named.to_string());
  }
  WARY_ASSIGN_OR_RETURN(Secret key, identity.key->to_pkcs8());
  Svid svid{issued.chain, std::move(key), leaf.not_before, leaf.not_after, {}, ++last_};
  const std::int64_t now = clock_.unix_time().nanos;
  const std::int64_t life = std::max<std::int64_t>(leaf.not_after.nanos - now, 0);
  // At half its life, a tenth of that spread.
  const std::int64_t spread =
      life / 20 == 0 ? 0 : static_cast<std::int64_t>(random_.number() % static_cast<std::uint64_t>(life / 20));
  svid.renew = {now + life / 2 - spread};
  identity.due = clock_.monotonic().nanos + life / 2 - spread;
  identity.svid = std::move(svid);
  identity.failed.reset();
  identity.backoff = 0;
  return {};
}

void Svids::refused(Identity& identity, Error error) {
  identity.asked = 0;
  identity.backoff = identity.backoff == 0 ? kBackoffFirst : std::min(identity.backoff * 2, kBackoffMost);
  identity.due = clock_.monotonic().nanos + identity.backoff;
  // While the old one holds, its users need not know.
  if (!identity.svid) identity.failed = std::move(error);
}

void Svids::look() {
  timer_ = loop_.after(kLookEvery, [this] { look(); });
  const std::int64_t now = clock_.monotonic().nanos;
  const UnixTime wall = clock_.unix_time();
  std::vector<std::string> ended, due;
  for (auto at = identities_.begin(); at != identities_.end();) {
    Identity& identity = at->second;
    if (identity.users == 0 && now - identity.unused_since >= kUnusedFor) {
      at = identities_.erase(at);
      continue;
    }
    if (identity.svid && !(wall < identity.svid->not_after)) {
      identity.failed = fail(ErrorKind::kUnavailable, "svid_ended", "the certificate ended and could not be renewed");
      identity.svid.reset();
      if (identity.backoff == 0) identity.due = now;  // a clock that jumped past its end
      ended.push_back(at->first);
    }
    const bool jumped = identity.svid && (wall < identity.svid->not_before || !(wall < identity.svid->renew));
    const bool is_due = identity.due != 0 && now >= identity.due;
    // A failed attempt waits for its time, however the clock stands.
    if (identity.asked == 0 && (is_due || (jumped && identity.backoff == 0))) due.push_back(at->first);
    ++at;
  }
  for (const std::string& id : due) ask(id, identities_.at(id));
  for (const std::string& id : ended) changed_(id);
}

}  // namespace wary::workload
