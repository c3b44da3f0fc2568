// Plane: the control plane's state and the one way to change it. A change is derived, compiled and stored as one
// revision; then every enforcement point gets its delta, and the ledger its event.
//
//   WARY_ASSIGN_OR_RETURN(auto plane, Plane::open(parts, settings));
//   auto committed = plane->commit({.writes = {...}, .event = event});
//   const policy::SnapshotPtr& now = plane->snapshot();
//
// A change whose policies do not compile, or whose entities do not fit, is refused whole and the old state goes on
// deciding. A change's event is stored with it (outbox) and leaves the outbox when the ledger has it, so that no change
// is without its event, whenever the process ends. While the ledger takes nothing, nothing changes
// (ledger_unavailable). Thread rule: the loop's. Limits: 900 objects a change, 4,096 remembered revisions.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/recent_table.h"
#include "contract/event.h"
#include "control/derive.h"
#include "control/kinds.h"
#include "gateway/site.h"
#include "io/loop.h"
#include "ledger/writer.h"
#include "link/publisher.h"
#include "policy/snapshot.h"

namespace wary::control {

struct PlaneParts {
  io::Loop& loop;
  Clock& clock;
  Random& random;
  io::Files& files;
  Log& log;
  Metrics& metrics;
  ledger::LedgerWriter& ledger;
  std::function<Result<Bytes>(ByteView message)> sign_snapshot;
  // Whose process may connect; then, whose may say it is that node ("edge/...", "agent/...").
  std::function<bool(const io::PeerCredentials&, std::string_view node)> is_node;
};

struct Write {
  store::Key key;
  std::optional<codec::Json> json;  // nothing removes
};

struct Change {
  std::vector<Write> writes;
  contract::Event event;  // id, tenant and time are set here
};

struct Committed {
  std::uint64_t revision = 0;
  std::int64_t monotonic = 0;  // when it was durable
};

// A durable event, as streams and waiting commands see it.
using OnEvent = std::function<void(std::uint64_t index, const contract::Event& event)>;

// The newest revision that an event of the ledger was decided or changed at; what lies before one of `enough` is not
// read. The ledger's thread.
Result<std::int64_t> newest_revision(ledger::Ledger& ledger, std::int64_t enough);

class Plane {
 public:
  static Result<std::unique_ptr<Plane>> open(PlaneParts parts, Settings settings, std::string directory);
  ~Plane();
  Status listen(const io::Address& link);

  const Settings& settings() const { return settings_; }
  const Kinds& kinds() const { return kinds_; }
  const Objects& objects() const { return objects_; }
  std::uint64_t revision() const { return revision_; }
  const policy::SnapshotPtr& snapshot() const { return snapshot_; }
  // As it was; revision_compacted when its history is gone.
  Result<policy::SnapshotPtr> snapshot_at(std::uint64_t revision);
  const std::shared_ptr<const gateway::Site>& site() const { return site_; }

  // Nothing is changed: what the change would give, or why it is refused. Policy errors name file, line and column.
  Result<policy::SnapshotDelta> preview(const std::vector<Write>& writes) const;
  Result<Committed> commit(Change change);
  // An event of this process without a change.
  void record(contract::Event event);
  // The same; `done` is told when it is durable, or why it is not (it is tried again then). What is recorded in one
  // turn of the loop goes to the ledger together, at its end.
  void record(contract::Event event, std::function<void(const Status&)> done);
  // To the ledger now: at the end of the process.
  void send_recorded();

  bool is_ledger_available() const { return ledger_available_; }
  // Of "agent/NAME": whether its link is open, and when it last was (link/publisher.h).
  bool is_linked(std::string_view node) const { return publisher_->is_connected(node); }
  std::optional<UnixTime> last_linked(std::string_view node) const { return publisher_->last_connected(node); }
  // Why not, with the file and the next step, for who is refused meanwhile.
  Error ledger_refusal(std::string_view message) const;
  // The link of a node that came over the network, as a WebSocket; `rest` came behind its request.
  void adopt(std::unique_ptr<io::Stream> stream, std::string_view rest, const std::string& node);
  std::size_t enforcement_points() const { return publisher_->enforcement_points(); }
  std::optional<std::uint64_t> acknowledged() const { return publisher_->acknowledged(); }
  std::uint64_t on_event(OnEvent listener);
  // When the newest event of this session happened, of those since the start; of the last 16,384 sessions or so.
  std::optional<UnixTime> last_seen(std::string_view session);
  void remove_listener(std::uint64_t id) { listeners_.erase(id); }
  ledger::LedgerWriter& ledger() { return parts_.ledger; }
  std::function<void(const std::string& node, const codec::Json& call, std::function<void(codec::Json)> reply)> on_call;
  store::Store* store() { return store_.get(); }  // null after it failed, until the next change

 private:
  Plane(PlaneParts parts, Settings settings, std::string directory, Kinds kinds);
  Status load();
  Status check_ledger();
  Status make_publisher();
  Result<std::string> make_history();
  Error refuse_store(Error error);
  Status open_store();
  // Whom the machine belongs to keeps access: nobody could undo it otherwise.
  Status check_owner(const Objects& next) const;
  policy::SnapshotContent content_of_objects(const Objects& objects, std::uint64_t revision) const;
  Objects overlay(const std::vector<Write>& writes, std::uint64_t revision) const;
  policy::SnapshotDelta delta_of(const Objects& next, const std::vector<Write>& writes) const;
  void remember(policy::SnapshotPtr snapshot);
  void publish(policy::SnapshotPtr next, const policy::SnapshotDelta& delta, const Committed& committed);
  void rebuild_site();
  void send(contract::Event event, std::uint64_t outbox);
  void sent(const contract::Event& event, std::uint64_t outbox, const Result<std::vector<ledger::Receipt>>& receipts);
  void on_edge_events(const std::string& node, link::EventBatch batch, std::function<void(Result<link::Receipt>)> done);
  // `why` names the file where there is one.
  void set_ledger_available(bool available, const Error* why = nullptr);
  void begin_gap();
  void probe_ledger();
  void announce(const std::vector<ledger::Receipt>& receipts, std::span<const contract::Event> events);
  void note_seen(const contract::Event& event);
  contract::Event stamped(contract::Event event);

  PlaneParts parts_;
  Settings settings_;
  std::string directory_;
  Kinds kinds_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<link::Publisher> publisher_;
  Objects objects_;
  std::uint64_t revision_ = 0;
  policy::SnapshotPtr snapshot_;
  std::shared_ptr<const gateway::Site> site_;
  std::deque<policy::SnapshotPtr> remembered_;
  std::uint64_t boot_ = 0;
  std::uint64_t last_sequence_ = 0;
  struct Recorded {
    std::vector<contract::Event> events;
    std::vector<std::function<void(const Status&)>> done;  // one each
  };
  void recorded(Recorded& batch, const Result<std::vector<ledger::Receipt>>& receipts);
  Recorded recorded_;                                // in this turn
  std::map<std::uint64_t, contract::Event> outbox_;  // by number: what is not yet in the ledger
  std::set<std::uint64_t> stored_outbox_;            // those that came with a change, and lie in the store too
  std::vector<std::uint64_t> settled_outbox_;        // in the ledger by now; leave the store with the next change
  std::string history_;
  // While a commit is sent: what it leads from, and how.
  policy::SnapshotPtr before_;
  const policy::SnapshotDelta* delta_ = nullptr;
  std::uint64_t last_outbox_ = 0;
  bool ledger_available_ = true;
  Error ledger_error_;  // while it is not
  bool probing_ = false;
  // By node and boot: up to where an enforcement point's events are in the ledger without a hole. A receipt frees all
  // that came before it.
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> durable_to_;
  std::map<std::uint64_t, OnEvent> listeners_;
  RecentTable<UnixTime> seen_{16'384};  // by session
  std::uint64_t last_listener_ = 0;
  std::int64_t unavailable_since_ = 0;  // monotonic; while the ledger takes nothing
  struct Gauges {
    explicit Gauges(Metrics& metrics);
    Metric& ledger_entries;
    Metric& ledger_available;
    Metric& unavailable_millis;
    Metric& events;
    Metric& changes;
    Metric& outbox;
    Metric& revision;
  };
  Gauges gauges_;
};

}  // namespace wary::control
