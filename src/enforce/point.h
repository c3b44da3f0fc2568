// Point: one enforcement point's thread: who is asking, may they, and the record of it. Every kind of enforcement point
// (gateway, tunnel, mesh, ...) asks through this, so that they all fail the same way: closed.
//
//   Subject who = point.identify({.session_token = cookie, .host = host, .authorization = header, ...});
//   describe(who, request);                                      // who asks, and what their credential says
//   Point::Answer answer = point.decide(request, detail);        // the event is in the ring before this returns
//   if (!answer.decision.is_allowed()) ... point.challenge(who, request, answer.decision)
//
// The same for who asks again and again: what was recognised and decided under the newest snapshot is remembered
// (identify.h, policy/decision_cache.h), and neither a question's tree nor an answer is made anew:
//
//   const auto who = point.recognise(presented);
//   Access access{...};                                          // access.h
//   Point::Ruling ruling = point.decide(*who, access, detail);
//
// What all points of a process share (snapshot, ledger and link state) is in Shared, written by the link's thread.
// Thread rule: a Point belongs to its worker's thread. Limits: the ring's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/random.h"
#include "base/seen_set.h"
#include "base/time.h"
#include "contract/decision.h"
#include "contract/event.h"
#include "enforce/access.h"
#include "enforce/concurrency_table.h"
#include "enforce/event_ring.h"
#include "enforce/identify.h"
#include "enforce/rate_table.h"
#include "enforce/subject.h"
#include "policy/decide.h"
#include "policy/decision_cache.h"
#include "policy/snapshot_cell.h"

namespace wary::enforce {

// The cookie or token of a session is known by its hash alone: id of the Wary::Credential that holds it.
std::string credential_id(std::string_view token);

struct Shared {
  policy::SnapshotCell snapshot;
  std::atomic<bool> ledger_available{true};
  // Monotonic nanoseconds when the control plane was last heard; staleness counts from here.
  std::atomic<std::int64_t> control_heard{0};
  RateTable rates;                          // how often each principal may ask, over all threads
  ConcurrencyTable at_work;                 // and how much of it is at work at once
  SeenSet proofs{kProofsKept, kProofsMax};  // DPoP proofs that were shown to any thread
};

struct PointOptions {
  std::string source;  // of its events: "edge/NAME/0"
  std::string tenant;
  std::int64_t stale_after_nanos = 3600 * kNanosPerSecond;
  std::vector<std::string> obligations;                                    // those this kind of point can keep
  contract::EventClass event_class = contract::EventClass::kHttpActivity;  // of its accesses
};

// What an access event says beside the decision.
struct AccessDetail {
  std::string_view method;
  std::string_view host;
  std::string_view path;
  std::string_view client;
  std::string_view trace_id;
  std::string_view pep = {};                              // who asked and will enforce, when that is another program
  const std::vector<std::string>* obligations = nullptr;  // those that program can keep, instead of the point's own
  std::string_view context = {};  // the request's context as canonical JSON, where that is at hand; it is recorded then
  bool lists_dependencies = true;      // false: the decision is not kept for an open connection
  const Challenge* refusal = nullptr;  // of the subject: then the answer is a deny, credential_refused
  std::string_view deny_allowed = {};  // why what the policies allow is denied all the same; empty: it is not
};

class Point {
 public:
  using Subject = enforce::Subject;
  struct Answer {
    contract::Decision decision;
    std::uint64_t sequence = 0;  // of its event; 0 when the ring had no room (then the decision is a deny)
  };

  struct Ruling {
    policy::SharedDecision decision;  // without an id: it may be others' as well
    std::string_view id;              // of this one; holds until the point decides again
    std::uint64_t sequence = 0;       // as an Answer's
  };

  Point(Shared& shared, EventRing& ring, Clock& clock, Random& random, PointOptions options, Metrics& metrics);

  // A SPIFFE ID (already verified) wins over a session token. Whoever cannot be told is anonymous: what they may do is
  // the policy's to say. Who shows a credential of wary's that is wrong is refused (identify.h).
  Subject identify(const Presented& presented);
  Subject identify(std::string_view session_token, std::string_view host, std::string_view spiffe_id);
  // Beside the policies: a refused credential (credential_refused), a token that has ended since (credential_expired)
  // and a Route's step-up that is not met (step_up_required) deny, also when an open connection is decided again.
  Answer decide(const contract::Request& request, const AccessDetail& detail);
  // The same for the gateway. Of the detail, `obligations`, `context`, `lists_dependencies` and `refusal` are not
  // asked; `deny_allowed` is by this one alone.
  std::shared_ptr<const Recognised> recognise(const Presented& presented);
  Ruling decide(const Recognised& who, const Access& access, const AccessDetail& detail);
  policy::SharedDecision reconsider(const Access& access);
  // What to answer a deny with where another credential would help; nothing where none would.
  std::optional<Challenge> challenge(const Subject& subject, const contract::Request& request,
                                     const contract::Decision& decision);
  // The same question again, without a new event.
  contract::Decision reconsider(const contract::Request& request,
                                const std::vector<std::string>* obligations = nullptr);
  // Of the newest snapshot; nothing where it has none of this name. Holds until this point is asked again.
  const contract::Entity* find_entity(const contract::EntityId& id);
  bool knows(const contract::EntityId& id) { return find_entity(id) != nullptr; }
  // What a search told another program: the question and how many ids it was given. False when no event fitted: then
  // nothing may be told.
  bool record_search(const contract::Request& request, std::string_view searched, std::size_t found,
                     std::string_view pep);
  // An open session was cut: says when the change was committed and when the last byte was handed over.
  void record_cut(const contract::EntityId& principal, const contract::EntityId& resource,
                  const contract::Decision& decision, std::string_view first_decision, std::int64_t committed,
                  std::int64_t cut);

  // Another process decided until now: what was shown to it once (DPoP proofs) is not taken here.
  void begin_now() { identifier_.begin_now(); }

  std::uint64_t boot() const { return ring_.boot(); }
  // Called after each recorded event, so that the shipper wakes.
  std::function<void()> on_recorded;
  // identify.h: a token names a key that its issuer's set lacks.
  void on_key_missing(std::function<void(const std::string& issuer)> told) {
    identifier_.on_key_missing = std::move(told);
  }
  // Called when an answer waits for the receipt of what was just recorded.
  std::function<void()> on_awaited;

 private:
  // What denies whatever the policies say; nothing when they are to be asked.
  std::optional<contract::Decision> deny_beside(const policy::SnapshotPtr& snapshot, const Challenge* refusal);
  contract::Decision evaluate(const contract::Request& request, const std::vector<std::string>* obligations,
                              bool lists_dependencies, const Challenge* refusal = nullptr);
  contract::Decision ask_policies(const policy::Snapshot& snapshot, const contract::Request& request, UnixTime now,
                                  const std::vector<std::string>& obligations, bool lists_dependencies);
  policy::SharedDecision rule(const Access& access, const Challenge* refusal);
  void follow_reads(const policy::SnapshotPtr& snapshot);
  void keep_to_sign_in(const policy::Snapshot& snapshot, const contract::Request& request, UnixTime now,
                       contract::Decision& decision);
  struct Recorded;  // what an access event says
  std::optional<std::uint64_t> record_access(const Recorded& what);
  std::optional<std::uint64_t> record(contract::Event event);
  std::optional<std::uint64_t> append_to_ring(ByteView event);
  const std::string& next_decision_id();

  Shared& shared_;
  policy::SnapshotReader snapshot_;
  policy::Decider decider_;
  policy::DecisionCache decisions_;
  std::array<bool, kContextMembers> is_read_{};  // by the policies of reads_of_, which is held for its address
  policy::SnapshotPtr reads_of_;
  std::string question_;  // and room for an event: kept from one decision to the next
  std::string event_;
  Identifier identifier_;
  EventRing& ring_;
  Clock& clock_;
  PointOptions options_;
  std::size_t decision_prefix_ = 0;  // of decision_id_
  std::string decision_id_;
  std::uint64_t last_decision_ = 0;
  Metric& allowed_;
  Metric& denied_;
  Metric& ring_full_;
};

}  // namespace wary::enforce
