#include "control/plane.h"

#include "control/views.h"
#include "http/websocket_stream.h"

#include <algorithm>
#include <future>

#include "codec/text.h"
#include "control/policy_check.h"
#include "crypto/random_id.h"
#include "policy/serialize.h"

namespace wary::control {

using contract::Entity;
using contract::EntityId;

namespace {

constexpr std::size_t kRememberedMax = 4096;
constexpr std::size_t kListPage = 1000;
constexpr std::size_t kBootsMax = 4096;        // enforcement points' processes whose order is known
constexpr std::size_t kBatchWritesMax = 1000;  // the store's
constexpr std::int64_t kProbeEvery = 200 * kNanosPerMilli;
constexpr std::string_view kSource = "waryd";
constexpr std::string_view kOutboxKind = "Outbox";

std::int64_t decided_revision(const contract::Event& event) {
  const auto detail = codec::parse_json(event.detail);
  return detail ? detail->integer_or("revision", 0) : 0;
}

store::Key outbox_key(std::uint64_t number) { return key_of(kTenantWide, kOutboxKind, "e" + std::to_string(number)); }

}  // namespace

Result<std::int64_t> newest_revision(ledger::Ledger& ledger, std::int64_t enough) {
  std::int64_t newest = 0;
  for (std::uint64_t end = ledger.head().size; end != 0 && newest < enough;) {
    const std::uint64_t count = std::min<std::uint64_t>(end, kListPage);
    end -= count;
    WARY_ASSIGN_OR_RETURN(const std::vector<ledger::StoredEvent> events, ledger.read_range(end, count));
    for (const ledger::StoredEvent& stored : events) newest = std::max(newest, decided_revision(stored.event));
  }
  return newest;
}

Plane::Plane(PlaneParts parts, Settings settings, std::string directory, Kinds kinds)
    : parts_(parts),
      settings_(std::move(settings)),
      directory_(std::move(directory)),
      kinds_(std::move(kinds)),
      boot_(parts_.random.number()),
      gauges_(parts_.metrics) {
  gauges_.ledger_available.set(1);
}

Plane::Gauges::Gauges(Metrics& metrics)
    : ledger_entries(metrics.gauge("wary_ledger_entries", "Entries known to be in the ledger")),
      ledger_available(metrics.gauge("wary_ledger_available", "1 while the ledger takes events")),
      unavailable_millis(
          metrics.counter("wary_ledger_unavailable_milliseconds_total", "Time during which it took none")),
      events(metrics.counter("wary_control_events_total", "Events made durable")),
      changes(metrics.counter("wary_control_changes_total", "Changes committed")),
      outbox(metrics.gauge("wary_control_outbox_events", "Events waiting for the ledger")),
      revision(metrics.gauge("wary_control_revision", "The decided revision")) {}

Plane::~Plane() = default;

Result<std::unique_ptr<Plane>> Plane::open(PlaneParts parts, Settings settings, std::string directory) {
  WARY_ASSIGN_OR_RETURN(Kinds kinds, Kinds::load(embedded::kinds()));
  auto plane = std::unique_ptr<Plane>(  // NOLINT: private constructor
      new Plane(parts, std::move(settings), std::move(directory), std::move(kinds)));
  WARY_RETURN_IF_ERROR(plane->load());
  WARY_RETURN_IF_ERROR(plane->make_publisher());
  return plane;
}

Status Plane::load() {
  WARY_RETURN_IF_ERROR(open_store());
  WARY_ASSIGN_OR_RETURN(history_, make_history());
  std::optional<store::Key> after;
  for (;;) {
    WARY_ASSIGN_OR_RETURN(const std::vector<store::Object> page, store_->list({}, kListPage, after));
    for (const store::Object& object : page) {
      auto json = codec::parse_json(object.value);
      if (!json) return std::move(json).error().at(object.key.to_string());
      if (object.key.kind != kOutboxKind) {
        objects_.put(object.key, std::move(json).value(), object.revision + 1);
        continue;
      }
      WARY_ASSIGN_OR_RETURN(const Bytes bytes, codec::decode_base64(json->string_or("event", "")));
      const auto number = static_cast<std::uint64_t>(json->integer_or("number", 0));
      WARY_ASSIGN_OR_RETURN(outbox_[number], contract::decode_event(bytes));
      stored_outbox_.insert(number);
    }
    if (page.size() < kListPage) break;
    after = page.back().key;
  }
  revision_ = store_->revision();
  // Revision 0 means "nothing known" on the link, so the decided revision is one ahead of the store's.
  const policy::SnapshotContent content = content_of_objects(objects_, revision_ + 1);
  WARY_ASSIGN_OR_RETURN(policy::SnapshotPtr snapshot,
                        policy::build_snapshot(content, parts_.clock.unix_time(), parts_.random.number()));
  remember(std::move(snapshot));
  rebuild_site();
  log_invalid_policies(objects_, parts_.log);
  if (!outbox_.empty()) last_outbox_ = outbox_.rbegin()->first;
  WARY_RETURN_IF_ERROR(check_ledger());
  for (const auto& [number, event] : outbox_) send(event, number);
  return {};
}

// What left the outbox was in the ledger. One that lost it, or all it had, would begin anew in silence.
Status Plane::check_ledger() {
  if (outbox_.empty() || outbox_.begin()->first <= 1) return {};  // no change has left it yet
  const std::int64_t expected = decided_revision(outbox_.begin()->second) - 1;
  std::promise<Result<std::int64_t>> answer;  // of the ledger's thread; nothing else runs here before the start
  WARY_RETURN_IF_ERROR(parts_.ledger.run([&](ledger::Ledger& ledger) {  //
    answer.set_value(newest_revision(ledger, expected));
  }));
  WARY_ASSIGN_OR_RETURN(const std::int64_t found, answer.get_future().get());
  if (found >= expected) return {};
  return fail(ErrorKind::kDataLoss, "ledger_behind_store", "the ledger lost events of changes that it had acknowledged")
      .at(directory_ + "/ledger")
      .expected("an event of revision " + std::to_string(expected) + " or later")
      .found(found == 0 ? "none" : "revision " + std::to_string(found))
      .next("restore that directory from its newest copy; nothing is appended to a log that lost entries");
}

// Names this store's life on the link: revisions of another one never mix with its own.
Result<std::string> Plane::make_history() {
  WARY_ASSIGN_OR_RETURN(const std::optional<std::string> stored, store_->meta("history"));
  if (stored) return *stored;
  std::string made = crypto::random_id(parts_.random);
  WARY_ASSIGN_OR_RETURN([[maybe_unused]] const std::uint64_t revision,
                        store_->commit({.actor = "waryd", .writes = {}, .meta = {{"history", made}}}));
  return made;
}

Status Plane::open_store() {
  WARY_ASSIGN_OR_RETURN(store_, store::Store::open(parts_.files, directory_ + "/objects", parts_.clock));
  return {};
}

Status Plane::check_owner(const Objects& next) const {
  const store::Key user = key_of(kTenantWide, "User", "owner"), group = key_of(kTenantWide, "Group", "owners");
  if (objects_.find(user) == nullptr) return {};  // the first start, which makes them
  const Value* value = next.find(user);
  const codec::Json* spec = value != nullptr ? value->json.find("spec") : nullptr;
  bool is_member = false;
  if (const codec::Json* groups = spec != nullptr ? spec->find("groups") : nullptr;
      groups != nullptr && groups->is_array()) {
    for (const codec::Json& name : groups->items()) is_member = is_member || name == codec::Json("owners");
  }
  const bool revoked = next.find(key_of(kTenantWide, "Revocation", "user.-.owner")) != nullptr;
  if (is_member && !spec->bool_or("disabled", false) && !revoked && next.find(group) != nullptr) return {};
  return fail(ErrorKind::kDenied, "owner_protected", "the machine's owner keeps access, or nobody could give it back")
      .at("User owner")
      .expected("a User owner in Group owners, neither disabled nor revoked");
}

// A store that failed once takes nothing until it is opened again: nothing may be assumed of unsynced bytes.
Error Plane::refuse_store(Error error) {
  parts_.log.error("control.store", {{"code", error.code}, {"where", error.where}});
  if (error.code == "store_failed") store_.reset();  // the next change opens it again
  return error;
}

Status Plane::make_publisher() {
  link::PublisherHooks hooks;
  hooks.history = history_;
  hooks.revision = [this] { return snapshot_->revision(); };
  hooks.now = [this] { return parts_.clock.unix_time(); };
  hooks.snapshot = [this] { return policy::serialize_snapshot(policy::content_of(*snapshot_)); };
  hooks.sign = parts_.sign_snapshot;
  hooks.is_allowed = parts_.is_node;
  hooks.on_events = [this](const std::string& node, link::EventBatch batch,
                           std::function<void(Result<link::Receipt>)> done) {
    on_edge_events(node, std::move(batch), std::move(done));
  };
  hooks.on_call = [this](const std::string& node, const codec::Json& call, std::function<void(codec::Json)> reply) {
    if (on_call) on_call(node, call, std::move(reply));
  };
  hooks.view_of = [](std::string_view node) { return control::view_of(node); };
  hooks.snapshot_of = [this](const std::string& view) {
    return control::snapshot_of(*snapshot_, settings_.trust_domain, view);
  };
  hooks.delta_of = [this](const std::string& view) {
    return control::delta_of(*before_, *snapshot_, *delta_, settings_.trust_domain, view);
  };
  publisher_ = std::make_unique<link::Publisher>(parts_.loop, std::move(hooks), parts_.log, parts_.metrics);
  return {};
}

void Plane::adopt(std::unique_ptr<io::Stream> stream, std::string_view rest, const std::string& node) {
  publisher_->adopt(std::make_unique<http::WebSocketStream>(parts_.loop, std::move(stream),
                                                            http::WebSocketStream::Side::kServer, rest, parts_.random),
                    node);
}

Status Plane::listen(const io::Address& link) { return publisher_->listen(link, {.mode = 0666}); }

Result<policy::SnapshotPtr> Plane::snapshot_at(std::uint64_t revision) {
  for (const policy::SnapshotPtr& snapshot : remembered_) {
    if (snapshot->revision() == revision) return snapshot;
  }
  const auto gone = [&] {
    return fail(ErrorKind::kGone, "revision_compacted", "what was decided by at that revision is no longer kept")
        .found(std::to_string(revision));
  };
  if (!store_) WARY_RETURN_IF_ERROR(open_store());
  // A decided revision is one ahead of the store's; older ones are made again from the store's history.
  if (revision == 0 || revision - 1 < store_->compacted() || revision > snapshot_->revision()) return gone();
  Objects objects;
  std::uint64_t at = store_->compacted();
  if (at != 0) return gone();
  while (at < revision - 1) {
    WARY_ASSIGN_OR_RETURN(const std::vector<store::Change> changes, store_->changes_since(at, kListPage));
    if (changes.empty()) break;
    for (const store::Change& change : changes) {
      at = change.revision;
      if (change.revision > revision - 1 || change.key.kind == kOutboxKind) continue;
      if (!change.value) {
        objects.remove(change.key);
        continue;
      }
      WARY_ASSIGN_OR_RETURN(codec::Json json, codec::parse_json(*change.value));
      objects.put(change.key, std::move(json), change.revision);
    }
  }
  return policy::build_snapshot(content_of_objects(objects, revision), parts_.clock.unix_time(),
                                parts_.random.number());
}

policy::SnapshotContent Plane::content_of_objects(const Objects& objects, std::uint64_t revision) const {
  policy::SnapshotContent content;
  content.revision = revision;
  content.policies = derive_policies(objects);
  content.entities = built_in_entities(settings_);
  for (const auto& [key, value] : objects.all()) {
    if (key.kind == "Revocation" || key.kind == "FetchedBundle") continue;  // a part of what it revokes, or is of
    for (const EntityId& id : entities_of(key, settings_)) {
      if (auto entity = derive_entity(objects, id, settings_)) content.entities.push_back(std::move(*entity));
    }
  }
  return content;
}

void Plane::remember(policy::SnapshotPtr snapshot) {
  snapshot_ = std::move(snapshot);
  gauges_.revision.set(static_cast<std::int64_t>(snapshot_->revision()));
  remembered_.push_back(snapshot_);
  if (remembered_.size() > kRememberedMax) remembered_.pop_front();
}

void Plane::rebuild_site() {
  std::vector<Error> problems;
  // Nothing is reached from here: this site says which hosts there are, those behind TLS among them.
  const auto reaches_none = [](const gateway::UpstreamIdentity&,
                               bool) -> Result<std::shared_ptr<const crypto::TlsClientContext>> {
    return std::shared_ptr<const crypto::TlsClientContext>();
  };
  site_ = gateway::Site::build(snapshot_->entities_of_type("Wary::App"), snapshot_->entities_of_type("Wary::Route"),
                               problems, reaches_none);
  for (const Error& problem : problems) {
    parts_.log.warn("control.site_entity", {{"entity", problem.where}, {"why", problem.message}});
  }
}

Objects Plane::overlay(const std::vector<Write>& writes, std::uint64_t revision) const {
  Objects next = Objects::over(objects_);
  for (const Write& write : writes) {
    if (write.json)
      next.put(write.key, *write.json, revision);
    else
      next.remove(write.key);
  }
  return next;
}

policy::SnapshotDelta Plane::delta_of(const Objects& next, const std::vector<Write>& writes) const {
  policy::SnapshotDelta delta;
  delta.from = snapshot_->revision();
  delta.to = delta.from + 1;
  std::map<EntityId, bool> seen;
  for (const Write& write : writes) {
    if (write.key.kind == "Policy") {
      const codec::Json* spec = write.json ? write.json->find("spec") : nullptr;
      if (spec != nullptr)
        delta.policy_upserts.push_back(derive_policy(write.key, *spec));
      else
        delta.policy_removals.push_back(policy_text_id(write.key));
    }
    for (const EntityId& id : entities_of(write.key, settings_)) {
      if (!seen.emplace(id, true).second) continue;
      if (auto entity = derive_entity(next, id, settings_))
        delta.upserts.push_back(std::move(*entity));
      else if (snapshot_->find_entity(id) != nullptr)
        delta.removals.push_back(id);
    }
  }
  return delta;
}

Result<policy::SnapshotDelta> Plane::preview(const std::vector<Write>& writes) const {
  const Objects next_objects = overlay(writes, revision_ + 1);
  WARY_RETURN_IF_ERROR(check_owner(next_objects));
  policy::SnapshotDelta delta = delta_of(next_objects, writes);
  WARY_RETURN_IF_ERROR(policy::check_delta(*snapshot_, delta));
  return delta;
}

contract::Event Plane::stamped(contract::Event event) {
  event.id = {std::string(kSource), boot_, ++last_sequence_};
  event.tenant = std::string(contract::kDefaultTenant);
  event.event_time = parts_.clock.unix_time();
  return event;
}

Error Plane::ledger_refusal(std::string_view message) const {
  Error error = fail(ErrorKind::kUnavailable, "ledger_unavailable", message);
  error.where = ledger_error_.where;
  error.found_text = ledger_error_.message;
  error.next_step = ledger_error_.next_step;
  return error;
}

// What ends access goes out before anything else is done with the change.
void Plane::publish(policy::SnapshotPtr next, const policy::SnapshotDelta& delta, const Committed& committed) {
  before_ = snapshot_;
  delta_ = &delta;
  remember(std::move(next));
  const Status published =
      publisher_->commit(delta.from, delta.to, {committed.monotonic}, policy::serialize_delta(delta));
  before_.reset();
  delta_ = nullptr;
  if (!published) parts_.log.error("control.not_published", {{"code", published.error().code}});
}

Result<Committed> Plane::commit(Change change) {
  if (!ledger_available_) {
    return ledger_refusal("nothing is changed while it cannot be recorded");
  }
  if (!store_) {
    WARY_RETURN_IF_ERROR(open_store());
    // A revision that became durable although its commit failed makes this process's state a lie: start again from
    // disk.
    WARY_CHECK(store_->revision() == revision_);
  }
  const Objects next_objects = overlay(change.writes, revision_ + 1);
  WARY_RETURN_IF_ERROR(check_owner(next_objects));
  const policy::SnapshotDelta delta = delta_of(next_objects, change.writes);
  WARY_ASSIGN_OR_RETURN(policy::SnapshotPtr next, policy::apply_delta(*snapshot_, delta, parts_.clock.unix_time()));

  // With the revision it gives: a store that is behind its ledger is known by it at the next start.
  auto detail = codec::parse_json(change.event.detail);
  WARY_CHECK(detail.ok() && detail->is_object());  // written by this process
  detail->set("revision", static_cast<std::int64_t>(delta.to));
  change.event.detail = detail->to_canonical_string();
  const contract::Event event = stamped(std::move(change.event));
  auto encoded = contract::encode(event);
  if (!encoded) {
    --last_sequence_;  // the event was never anywhere: its number is free
    return std::move(encoded).error();
  }
  const std::uint64_t number = ++last_outbox_;
  store::Batch batch;
  batch.actor = event.actor.substr(0, 200);
  for (const Write& write : change.writes) {
    batch.writes.push_back({write.key, write.json ? std::optional(write.json->to_canonical_string()) : std::nullopt});
  }
  codec::Json outbox = codec::Json::object();
  outbox.set("number", static_cast<std::int64_t>(number)).set("event", codec::encode_base64(*encoded));
  batch.writes.push_back({outbox_key(number), outbox.to_canonical_string()});
  std::vector<std::uint64_t> settled;
  while (!settled_outbox_.empty() && batch.writes.size() < kBatchWritesMax) {
    settled.push_back(settled_outbox_.back());
    settled_outbox_.pop_back();
    batch.writes.push_back({outbox_key(settled.back()), std::nullopt});
  }
  auto stored = store_->commit(std::move(batch));
  if (!stored) {
    --last_sequence_;  // the event was never anywhere: its number is free
    settled_outbox_.insert(settled_outbox_.end(), settled.begin(), settled.end());
    return refuse_store(std::move(stored).error());
  }
  const Committed committed{next->revision(), parts_.clock.monotonic().nanos};
  revision_ = *stored;
  for (Write& write : change.writes) {
    if (write.json)
      objects_.put(write.key, std::move(*write.json), committed.revision);
    else
      objects_.remove(write.key);
  }
  const bool site_changed = std::any_of(change.writes.begin(), change.writes.end(), [](const Write& write) {
    return write.key.kind == "App" || write.key.kind == "Route";
  });
  publish(std::move(next), delta, committed);
  if (site_changed) rebuild_site();
  outbox_[number] = event;
  stored_outbox_.insert(number);
  gauges_.changes.add();
  gauges_.outbox.set(static_cast<std::int64_t>(outbox_.size()));
  send(event, number);
  return committed;
}

void Plane::record(contract::Event event) { record(std::move(event), {}); }

void Plane::record(contract::Event event, std::function<void(const Status&)> done) {
  event = stamped(std::move(event));
  if (!contract::encode(event)) {
    // What no ledger can hold must not be tried for ever: that it happened is kept, and what fits of who did it.
    event.actor.resize(std::min<std::size_t>(event.actor.size(), 256));
    event.resource.resize(std::min<std::size_t>(event.resource.size(), 256));
    event.session.clear();
    event.device.clear();
    event.raw.clear();
    event.detail = "{\"activity_name\":\"event_too_large\"}";
  }
  if (recorded_.events.empty()) parts_.loop.post([this] { send_recorded(); });
  recorded_.events.push_back(std::move(event));
  recorded_.done.push_back(std::move(done));
}

void Plane::send_recorded() {
  if (recorded_.events.empty()) return;
  // Shared: it goes to the ledger's thread and comes back, and is copied nowhere.
  const auto batch = std::make_shared<Recorded>(std::exchange(recorded_, {}));
  const Status taken =
      parts_.ledger.submit(batch->events, [this, batch](const Result<std::vector<ledger::Receipt>>& receipts) {
        parts_.loop.post([this, batch, receipts] { recorded(*batch, receipts); });
      });
  if (!taken) recorded(*batch, taken.error());
}

void Plane::recorded(Recorded& batch, const Result<std::vector<ledger::Receipt>>& receipts) {
  if (receipts) {
    set_ledger_available(true);
    announce(*receipts, batch.events);
  } else {
    for (const contract::Event& event : batch.events) sent(event, 0, receipts.error());
  }
  const Status outcome = receipts ? Status() : Status(receipts.error());
  for (auto& done : batch.done) {
    if (done) done(outcome);
  }
}

void Plane::send(contract::Event event, std::uint64_t outbox) {
  send_recorded();  // in the order of their numbers
  const auto sending = std::make_shared<const contract::Event>(std::move(event));
  const auto written = [this, sending, outbox](const Result<std::vector<ledger::Receipt>>& receipts) {
    parts_.loop.post([this, sending, outbox, receipts] { sent(*sending, outbox, receipts); });
  };
  const Status taken = parts_.ledger.submit({sending.get(), 1}, written);
  if (!taken) sent(*sending, outbox, taken.error());
}

void Plane::sent(const contract::Event& event, std::uint64_t outbox,
                 const Result<std::vector<ledger::Receipt>>& receipts) {
  if (!receipts) {
    set_ledger_available(false, &receipts.error());
    // An event without a change waits in memory; a change's event in the outbox on disk too. Both are sent again.
    if (outbox == 0) outbox_[++last_outbox_] = event;
    gauges_.outbox.set(static_cast<std::int64_t>(outbox_.size()));
    return;
  }
  set_ledger_available(true);
  announce(*receipts, {&event, 1});
  if (outbox == 0) return;
  outbox_.erase(outbox);
  gauges_.outbox.set(static_cast<std::int64_t>(outbox_.size()));
  // Goes with the next change; a restart before that sends the event again, which stores it once.
  if (stored_outbox_.erase(outbox) != 0) settled_outbox_.push_back(outbox);
}

void Plane::set_ledger_available(bool available, const Error* why) {
  const std::int64_t now = parts_.clock.monotonic().nanos;
  if (!ledger_available_) {
    gauges_.unavailable_millis.add((now - unavailable_since_) / kNanosPerMilli);
    unavailable_since_ = now;
  }
  if (available == ledger_available_) return;
  ledger_available_ = available;
  unavailable_since_ = now;
  gauges_.ledger_available.set(available ? 1 : 0);
  if (available) {
    parts_.log.warn("ledger.available");
    // Whoever's events it took first, all that waited goes now: the record of the gap among it.
    const auto waiting = outbox_;
    for (const auto& [number, waited] : waiting) send(waited, number);
  } else {
    ledger_error_ = why != nullptr ? *why : Error{};
    parts_.log.error("ledger.unavailable", {{"code", ledger_error_.code},
                                            {"where", ledger_error_.where},
                                            {"found", ledger_error_.found_text},
                                            {"why", ledger_error_.message},
                                            {"next", ledger_error_.next_step}});
    begin_gap();
  }
  publisher_->set_ledger_available(available);
  if (!available) probe_ledger();
}

// The record of the gap itself waits first in line: its event time says when it began, its receive time when it ended.
void Plane::begin_gap() {
  contract::Event gap;
  gap.class_uid = contract::EventClass::kApplicationLifecycle;
  gap.action = "ledger.gap";
  codec::Json detail = codec::Json::object();
  detail.set("activity_name", "ledger.gap").set("reason", std::string_view(ledger_error_.message));
  detail.set("where", std::string_view(ledger_error_.where));
  gap.detail = detail.to_canonical_string();
  outbox_[++last_outbox_] = stamped(std::move(gap));
}

// Tries until it takes something again: all that waits, the record of the gap among it.
void Plane::probe_ledger() {
  if (probing_) return;
  probing_ = true;
  parts_.loop.after(kProbeEvery, [this] {
    probing_ = false;
    if (ledger_available_) return;
    const auto waiting = outbox_;
    for (const auto& [number, event] : waiting) send(event, number);
    probe_ledger();
  });
}

void Plane::on_edge_events(const std::string& node, link::EventBatch batch,
                           std::function<void(Result<link::Receipt>)> done) {
  std::vector<contract::Event> events;
  const bool is_edge = node.starts_with("edge/");  // other nodes have no accesses to tell of
  for (const Bytes& bytes : batch.events) {
    auto event = contract::decode_event(bytes);
    // Accesses through the edge, and decisions that other enforcement points asked it for.
    const bool is_access = event && (event->class_uid == contract::EventClass::kHttpActivity ||
                                     event->class_uid == contract::EventClass::kAuthorizeSession);
    const bool fits = is_edge && event && event->id.boot == batch.boot && event->id.source.starts_with(node + "/") &&
                      event->id.sequence == batch.first_sequence + events.size() &&
                      // When it was received is ours to say, and what is not an access is not an edge's to tell.
                      event->receive_time == UnixTime{} && is_access;
    if (!fits) {
      // A node that sends what it could not have made is broken or hostile; its ring must not be freed.
      parts_.log.error("control.event_refused", {{"node", node}});
      return done(fail(ErrorKind::kInvalid, "event_source", "an event is not its sender's"));
    }
    events.push_back(std::move(event).value());
  }
  if (events.empty()) return;
  const link::Receipt receipt{batch.boot, batch.first_sequence + events.size() - 1};
  // The first batch of a boot that this process sees begins where its ring does: what came before was acknowledged.
  // When one is refused and a later one is taken, the later one must not free the earlier: it comes again with it.
  const std::pair key(events.front().id.source, batch.boot);
  if (durable_to_.size() >= kBootsMax && !durable_to_.contains(key)) durable_to_.erase(durable_to_.begin());
  durable_to_.try_emplace(key, batch.first_sequence);
  const Status taken = parts_.ledger.submit(events, [this, key, first = batch.first_sequence, events, receipt,
                                                     done](const Result<std::vector<ledger::Receipt>>& receipts) {
    parts_.loop.post([this, key, first, events, receipt, done, receipts] {
      set_ledger_available(receipts.ok(), receipts.ok() ? nullptr : &receipts.error());
      if (!receipts) return done(receipts.error());
      announce(*receipts, events);
      std::uint64_t& next = durable_to_[key];
      if (first > next)
        return done(fail(ErrorKind::kUnavailable, "event_order", "an earlier batch is not durable yet"));
      next = std::max(next, receipt.sequence + 1);
      done(receipt);
    });
  });
  if (!taken) done(taken.error());
}

std::uint64_t Plane::on_event(OnEvent listener) {
  listeners_.emplace(++last_listener_, std::move(listener));
  return last_listener_;
}

// A cut is the end of something, not a sign of life.
void Plane::note_seen(const contract::Event& event) {
  if (event.session.empty() || event.action == "session.cut") return;
  UnixTime* seen = seen_.find(event.session);
  if (seen == nullptr) {
    seen_.put(event.session, event.event_time);
  } else if (*seen < event.event_time) {
    *seen = event.event_time;
  }
}

std::optional<UnixTime> Plane::last_seen(std::string_view session) {
  const UnixTime* seen = seen_.find(session);
  return seen != nullptr ? std::optional<UnixTime>(*seen) : std::nullopt;
}

void Plane::announce(const std::vector<ledger::Receipt>& receipts, std::span<const contract::Event> events) {
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (receipts[i].duplicate) continue;
    gauges_.events.add();
    gauges_.ledger_entries.set(static_cast<std::int64_t>(receipts[i].index) + 1);
    note_seen(events[i]);
    if (listeners_.empty()) continue;
    const auto listeners = listeners_;  // one may take itself out
    for (const auto& [id, listener] : listeners) listener(receipts[i].index, events[i]);
  }
}

}  // namespace wary::control
