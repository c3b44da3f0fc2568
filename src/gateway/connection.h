// Connection: one client of the gateway: TLS, then requests one after the other: parse to a model, decide, record, and
// only then write the upstream's request from the model. Private to gateway/.
//
// States: handshake to head to (waiting for a receipt | for a redeemed code) to connecting to exchange to head ..., or
// tunnel after a WebSocket upgrade; at the end ending (what is queued goes out) and draining (the client hangs up
// first, or its last bytes would reset what it has not read yet). Every state has a deadline. A revoked connection is
// cut in whatever state it is. Thread rule: its worker's. Limits: 64 KiB of a request and 256 KiB of an answer held
// here; backpressure beyond.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "codec/http1.h"
#include "contract/decision.h"
#include "crypto/tls.h"
#include "enforce/live_sessions.h"
#include "enforce/point.h"
#include "gateway/frame_tracker.h"
#include "gateway/site.h"
#include "gateway/worker.h"

namespace wary::gateway {

constexpr std::int64_t kKeepAliveTime = 75 * kNanosPerSecond;  // between two requests
constexpr std::size_t kUpstreamHeld = 64 * 1024;               // of a request, on its way to the upstream

class Connection final : public enforce::LiveSession {
 public:
  Connection(Worker& worker, std::uint64_t id, std::unique_ptr<io::Stream> stream,
             const crypto::TlsServerContext& context);
  ~Connection() override;
  void begin();

  std::int64_t deadline() const { return deadline_; }
  std::size_t held_bytes() const;
  void on_deadline();
  // The event of this sequence is durable.
  void on_durable(std::uint64_t sequence);
  // When the decision that the connection is open under changes by itself.
  const std::optional<UnixTime>& valid_until() const { return valid_until_; }
  // A fact changed that the decision of this connection depended on: ask again, and cut if the answer is no.
  void reconsider(std::int64_t committed);

 private:
  enum class State { kHandshake, kHead, kWaiting, kConnecting, kExchange, kTunnel, kEnding, kDraining, kEnded };

  // connection.cc: the client's side and the turns of the state machine
  void ready();
  bool read_client();
  void drive();
  bool drive_once();
  void trim_queues();
  void drain_client();
  void flush_client();
  void interest();
  void end_gracefully();  // send what is queued, close_notify, then close
  void end_now(bool reset);
  void set_deadline(std::int64_t nanos);
  bool client_may_read() const;
  bool certificate_has_expired() const;
  // Open under this decision, until it ends or the client's certificate does.
  void live_under(const contract::Decision& decision);
  bool is_over() const { return state_ == State::kEnding || state_ == State::kDraining || state_ == State::kEnded; }

  // request.cc: from a head to a decision to an answer or an upstream
  bool take_head();
  void handle(const codec::http1::RequestHead& head);
  void decide(const codec::http1::RequestHead& head, const App& app, const std::string& path);
  // False when the request cannot be written; it is refused then.
  bool prepare_upstream(const codec::http1::RequestHead& head, const std::string& path,
                        const enforce::Point::Subject& subject, const std::string& client,
                        const std::string& traceparent);
  void deny(const codec::http1::RequestHead& head, const App& app, const std::string& path,
            const enforce::Point::Subject& subject, const contract::Decision& decision);
  void continue_sign_in(const codec::http1::RequestHead& head, const App& app);
  void redeemed(std::uint64_t wait, Result<Redeemed> result, const std::string& path);
  void answer(int status, std::vector<codec::http1::Field> fields, std::string_view body);
  void refuse(const codec::http1::Refusal& refusal);

  // upstream.cc: the upstream's side
  void connect_upstream(bool may_reuse);
  void upstream_connected(std::uint64_t wait, Result<std::unique_ptr<io::Stream>> stream);
  void adopt_upstream(std::unique_ptr<io::Stream> stream);
  void upstream_ready();
  void pump_request();
  void pump_response();
  bool take_response_head();
  codec::http1::Framing framing_for_client(const codec::http1::ResponseHead& head);
  void pump_tunnel();
  void flush_upstream();
  void finish_exchange();
  void upstream_failed(int status, std::string_view code, std::string_view message);
  bool may_retry() const;

  Worker& worker_;
  const std::uint64_t id_;
  std::unique_ptr<io::Stream> client_;
  crypto::TlsSession tls_;
  State state_ = State::kHandshake;
  std::int64_t deadline_ = 0;
  bool client_ended_ = false;

  std::string in_;  // plaintext of the client, from in_at_ on not yet used
  std::size_t in_at_ = 0;
  std::string plain_;  // plaintext for the client, written to TLS once a turn
  codec::http1::HeadScan scan_;
  codec::http1::RequestHead head_;

  // The request at hand.
  contract::Request request_;  // kept for as long as the connection is live under its decision
  std::string decision_id_;
  std::optional<UnixTime> valid_until_;
  std::uint64_t waits_ = 0;              // numbers what is waited for: a late answer to an earlier wait is dropped
  std::uint64_t waits_for_receipt_ = 0;  // the event's sequence; 0: for none
  std::string method_;
  bool client_is_1_1_ = true;
  bool keep_alive_ = true;
  bool wants_upgrade_ = false;
  std::optional<codec::http1::BodyReader> request_body_;
  bool request_body_ended_ = false;  // its last byte is in upstream_out_
  codec::http1::Framing request_framing_;
  bool any_body_sent_ = false;
  bool expects_continue_ = false;

  // Its upstream.
  std::shared_ptr<const Site> site_;  // keeps app_ valid while this exchange runs
  const App* app_ = nullptr;
  std::unique_ptr<io::Stream> upstream_;
  bool upstream_reused_ = false;
  bool upstream_ended_ = false;
  std::string upstream_head_;  // kept until the first byte of an answer, for one retry
  std::string upstream_out_;
  std::size_t upstream_out_at_ = 0;
  std::string upstream_in_;
  codec::http1::HeadScan upstream_scan_;
  std::size_t interims_ = 0;  // answers of 1xx before the one that counts
  std::optional<codec::http1::BodyReader> response_body_;
  bool response_chunked_ = false;  // towards the client
  bool upstream_keep_alive_ = false;
  FrameTracker frames_down_;  // of a WebSocket, towards the client
};

}  // namespace wary::gateway
