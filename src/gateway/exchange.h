// Exchange: one request and its answer: identified, decided, recorded, and only then written anew for the application.
// Private to gateway/.
//
// States: idle to (waiting for a receipt | for a redeemed code) to connecting to running to idle, or tunnel after a
// WebSocket's opening; back from connecting, or running where nothing has left, to waiting when a change demands so.
// Every state has a deadline. A revoked exchange is cut in whatever state it is; an idle one too, as long as it stands
// for a connection that is open under its decision. Thread rule: its worker's. Limits: 64 KiB of a request held on its
// way; an answer is taken as the client's side has room.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "codec/http1.h"
#include "contract/decision.h"
#include "enforce/access.h"
#include "enforce/concurrency_table.h"
#include "enforce/live_sessions.h"
#include "enforce/point.h"
#include "gateway/client_side.h"
#include "gateway/frame_tracker.h"
#include "gateway/request_span.h"
#include "gateway/site.h"
#include "gateway/upstream.h"
#include "gateway/worker.h"

namespace wary::gateway {

// The obligations that the gateway keeps: the event is durable before the request goes on; a field of this name does
// not come back.
constexpr std::string_view kRecordBefore = "record_before", kRedactHeader = "redact_header";
constexpr std::size_t kRequestQueued = 64 * 1024;  // of a request, on its way to the application

class Exchange final : public enforce::LiveSession, private UpstreamEvents {
 public:
  enum class State { kIdle, kWaiting, kConnecting, kRunning, kTunnel };
  // `stream` says which of the connection's requests it is, for answers that come later.
  Exchange(Worker& worker, ClientSide& client, std::uint64_t connection, std::int32_t stream);
  ~Exchange() override;

  // For another request of the connection, once this one is over: what grew for it stays.
  void recycle(std::int32_t stream);
  // From the client's side. The head's views need to hold for the call alone.
  void begin(const codec::http1::RequestHead& head);
  // The request is refused before it could be one; `head` has what is known of it.
  void refuse(const codec::http1::Refusal& refusal);
  // The same where not even its method is known: the answer has its body, whatever was asked before.
  void refuse_unread(const codec::http1::Refusal& refusal);
  std::size_t body_room() const;
  void body(std::string_view bytes);
  void body_end();
  void body_refused(const codec::http1::Refusal& refusal);
  // The client takes more again. True when something moved.
  bool client_has_room();
  // The client has gone, or its stream: nothing is answered any more.
  void give_up(bool reset);

  State state() const { return state_; }
  bool is_idle() const { return state_ == State::kIdle; }
  bool is_tunnel() const { return state_ == State::kTunnel; }
  bool may_speak() const { return state_ == State::kTunnel && frames_down_.is_between_frames(); }
  bool has_answered() const { return answered_; }
  std::int64_t deadline() const { return deadline_; }
  void on_deadline();
  std::size_t held_bytes() const;
  void rest();  // idle: what the last request left gives its memory back

  // From the worker.
  void on_durable(std::uint64_t sequence);
  void redeemed(std::uint64_t wait, Result<Redeemed> result, const std::string& path);
  void connected(std::uint64_t wait, Result<std::unique_ptr<UpstreamCall>> call);
  // When the decision that it is open under changes by itself.
  const std::optional<UnixTime>& valid_until() const { return valid_until_; }
  // A fact changed that its decision depended on: ask again, and cut if the answer is no.
  void reconsider(std::int64_t committed);
  // A change is decided in slices, and whatever happens to an exchange meanwhile finds it decided: this comes first. It
  // may have ended then.
  void settle() override;
  const std::string& decision_id() const { return decision_id_; }
  bool is_grpc() const { return is_grpc_; }

 private:
  // exchange.cc
  void connect(bool may_reuse);
  void wait_for_receipt();
  bool is_on_its_way() const;
  bool records_before() const;
  void hold_back();
  void adopt(std::unique_ptr<UpstreamCall> call);
  void finish();
  void release_upstream(bool reset);
  void set_deadline(std::int64_t nanos);
  std::string counted_as(const enforce::Point::Subject& subject) const;
  bool is_over_rate(const enforce::Point::Subject& subject);
  bool take_place(const enforce::Point::Subject& subject);
  void too_many(std::string_view code, std::string_view title, std::string_view next, std::int64_t seconds);
  void live_under(const policy::SharedDecision& decision);
  void leave_live();
  void upstream_failed(int status, std::string_view code, std::string_view message);
  bool certificate_has_expired() const;
  policy::SharedDecision decide_again();
  void redact(std::vector<codec::http1::Field>& fields) const;
  void add_hsts(std::vector<codec::http1::Field>& fields) const;

  // UpstreamEvents
  void on_answer(const codec::http1::ResponseHead& head, bool has_body) override;
  void on_answer_data(std::string_view bytes) override;
  void on_answer_end(const std::vector<codec::http1::Field>& trailers) override;
  void on_upstream_failed(std::string_view code, std::string_view message, bool is_repeatable) override;
  void on_upstream_sent() override;
  std::size_t answer_room() const override;

  // request.cc: from a head to a decision to an answer or an application's request
  void decide(const codec::http1::RequestHead& head, const App& app, std::string_view path);
  // False when the request cannot be written; it is refused then.
  bool prepare(const codec::http1::RequestHead& head, std::string_view path, const enforce::Recognised& who);
  void deny(const codec::http1::RequestHead& head, const App& app, std::string_view path,
            const enforce::Point::Subject& subject, const contract::Decision& decision);
  bool keep_obligations(const contract::Decision& decision);
  void continue_sign_in(const codec::http1::RequestHead& head);
  void send_to_tls(const codec::http1::RequestHead& head);
  void respond(int status, std::vector<codec::http1::Field> fields, std::string_view body, bool closes = false);
  void respond_grpc(int status, std::string_view message);

  Worker& worker_;
  ClientSide& client_;
  const std::uint64_t connection_;
  std::int32_t stream_;
  State state_ = State::kIdle;
  std::int64_t deadline_ = 0;

  enforce::Access access_;  // kept for as long as it is live under its decision
  std::string decision_id_;
  std::optional<UnixTime> valid_until_;
  std::uint64_t waits_ = 0;              // numbers what is waited for: a late answer to an earlier wait is dropped
  std::uint64_t waits_for_receipt_ = 0;  // the event's sequence; 0: for none
  std::uint64_t sequence_ = 0;           // of the decision's event
  bool needs_receipt_ = false;           // nothing goes on before that event is durable
  std::string method_;
  bool is_grpc_ = false;
  bool wants_upgrade_ = false;
  bool has_body_ = false;
  bool expects_continue_ = false;
  bool is_sign_out_ = false;  // of the console
  bool body_ended_ = false;
  bool any_body_sent_ = false;
  bool has_left_ = false;         // something of it, for the application
  std::int64_t call_ends_ = 0;    // by the deadline that a gRPC client gave; 0: none
  std::uint64_t body_bytes_ = 0;  // of the request, so far
  int attempts_ = 0;
  std::vector<const UpstreamLane*> tried_;  // places that could not be connected to
  bool answered_ = false;                   // the answer's head is with the client's side

  std::shared_ptr<const Site> site_;  // keeps app_ valid while this exchange runs
  const App* app_ = nullptr;
  enforce::ConcurrencyTable::Place place_;  // of app_'s for this principal, for as long as it is at work
  std::string_view hsts_;                   // what its answers tell browsers, of app_; empty: nothing
  OutgoingRequest outgoing_;
  std::vector<std::string> redacted_;  // fields of the answer that do not go on
  std::unique_ptr<UpstreamCall> upstream_;
  FrameTracker frames_down_;  // of a WebSocket, towards the client
  RequestSpan span_;
};

}  // namespace wary::gateway
