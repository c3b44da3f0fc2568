// What the table of an exchange's states and events stands on: one exchange of a simulated world, brought to a state,
// something that happens to it, and what is seen of it from all sides.
//
//   Stage stage({.http2_client = true}, false);
//   stage.reach(At::kBody);
//   stage.happen(Event::kDenies);
//   stage.seen();   // "403:access_ended / p! / ac / closed": the client, the application, the ledger, the exchange
//
// How to read it:
//   client       each answer's status, with the gateway's own code behind it, g7 gRPC's; + it is not whole; - none
//   came;
//                :N bytes of a WebSocket, ws1008 its close frame, e its stream's end; rst8 the stream was reset; goaway
//                was said; the connection's end: . in order, ~ without close_notify, ! by a reset
//   application  - no connection; of each: w a whole request, p a part of one, o nothing; :N bytes of a WebSocket, e
//                their end; x the gateway ended the connection, ! it reset that or the call
//   ledger       a allowed, d denied, c cut; - nothing
//   exchange     its state; closed: its stream is; ending, draining, gone: its connection is
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/connection_http2_test_client.h"

namespace wary::gateway::test {

// How far an exchange is when something happens.
enum class At {
  kFresh,           // idle: nothing was asked yet on its connection
  kKept,            // idle: one request was answered, and its connection stays open under the decision
  kQueued,          // idle: the answer is whole, and waits for a client that does not read
  kReceipt,         // waits for a receipt
  kCode,            // waits for a code to be redeemed
  kConnecting,      // to the application, with a request that has no body
  kConnectingBody,  // the same, with one whose body has begun to come
  kBody,            // runs: the body is going on
  kWaiting,         // runs: the request is whole with the application
  kUpgrading,       // the same, to open a WebSocket
  kAnswering,       // runs: half of the answer is there
  kBoth,            // runs: half of each
  kTunnel,
  kTunnelHalf,  // in the middle of one of the application's frames
  kCount
};

enum class Event {
  // The client.
  kNext,          // asks the next
  kHalfHead,      // begins to
  kBodyRest,      // sends what is left of its body, or such bytes where no body is open
  kTooMuch,       // sends more of it than the application takes, or says that it will
  kBodyTrailers,  // ends its body with trailers
  kGarbage,       // sends what is none of its protocol
  kHalfClose,     // sends no more, without a word
  kGoodbye,       // sends no more, and says so (close_notify)
  kLeaves,        // says so and is gone
  kReset,         // is gone with a reset
  kPauses,        // reads no more, while the application says far more than is held
  kResumes,       // the same, and then reads again
  kRst,           // takes the request back (RST_STREAM)
  kSocketEnds,    // ends its side of a WebSocket (END_STREAM)
  kGoaway,        // begins no more (GOAWAY)
  // The application.
  kConnects,         // takes the connection
  kRefuses,          // does not
  kLateConnect,      // does, when nobody waits for it any more
  kInterim,          // 103
  kHead,             // the answer's head and half of its body
  kSwitch,           // 101, over HTTP/2 the 200 that means it
  kData,             // more of the body, or a WebSocket's bytes
  kWhole,            // the whole answer, or what is left of it
  kTrailers,         // the same, with trailers
  kUntilClose,       // an answer that lasts until the connection ends, which it does
  kAppCloses,        // ends its connection
  kAppResets,        // resets it
  kAppGarbage,       // sends what is none of its protocol
  kAppRst,           // takes its answer back (RST_STREAM)
  kAppRefuses,       // has not begun to work on it (RST_STREAM, REFUSED_STREAM)
  kAppGoaway,        // takes no more calls (GOAWAY)
  kAppGoawayBefore,  // the same, and never saw this one
  // The ledger, and who signs in.
  kReceipt,      // what was recorded is durable
  kLateReceipt,  // when it is not waited for any more, but the next one's is
  kOtherBoot,    // what another process recorded is
  kCodeGood,
  kCodeBad,
  kCodeLate,  // redeemed when nobody waits for it any more
  // Time.
  kDeadline,         // nothing happens, for as long as is waited
  kSessionEnds,      // the decision's own end comes
  kCertificateEnds,  // of the client
  // A change.
  kAllows,         // of what was decided by, and it is allowed still
  kDenies,         // and it is not
  kRedacts,        // and a field of the answer may not come back
  kDemandsRecord,  // and it has to be recorded before
  kDrainLeave,
  kDrainNow,
  kDrainRestart,
  kAppRemoved,  // and where nothing was under way, the next is asked
  kAppMoved,    // the same
  kContext,     // another certificate of the gateway's
  kCount
};

struct Spoken {
  bool http2_client = false;
  bool http2_app = false;
  bool grpc = false;  // what is asked is a call
};

class Stage {
 public:
  Stage(Spoken spoken, bool as_workload);
  void reach(At at);
  // Whether it is possible at all where the exchange is.
  bool can(Event event) const;
  void happen(Event event);
  std::string seen() const;
  // What holds whatever happened: what the application has was allowed and recorded, and is whole where it looks so;
  // what is not idle has a deadline; and nothing more reaches whom access was taken from.
  void check_always();
  // Nobody says anything any more: all of it ends by itself, and everything is freed.
  void check_ends_alone();

  World world;

 private:
  void ask(const std::string& method, const std::string& path, bool opens_body = false);
  void open_socket();
  void ask_for_code();
  void run(std::int64_t millis = 30);
  void happen_client(Event event);
  void happen_app(Event event);
  void happen_around(Event event);
  void stop_sending(Event event);
  void send_more(Event event);
  void answer(Event event);
  void say_much();
  void pass_deadline();
  void serve(bool with_app, const std::string& place);
  std::string client_seen() const;
  std::string answers_seen() const;
  std::string streams_seen() const;
  std::string app_seen() const;
  std::string ledger_seen() const;
  std::string state_seen() const;
  void check_at_app() const;
  void check_after_cut();
  void check_redacted() const;
  AppStream* app_stream() const;
  Http2TestApp::Peer* peer() const;
  bool has_place() const;  // a connection of the application is open
  bool has_call() const;   // and a request is with it whose answer is not whole
  void app_sends(std::string_view text);
  void app_data(std::string_view text, bool ends);

  Spoken spoken_;
  bool as_workload_;
  At at_ = At::kFresh;
  std::unique_ptr<Http2TestApp> app2_;
  std::unique_ptr<Client> one_;
  std::unique_ptr<Http2TestClient> two_;
  std::vector<std::int32_t> streams_;  // in the order in which they were asked for
  std::int32_t subject_ = 0;           // the exchange's
  std::function<void(Result<Redeemed>)> redeem_;
  // Of the client's request.
  bool had_body_ = false, body_open_ = false, body_whole_ = false;
  bool headed_ = false, answered_ = false;     // by the application
  bool is_socket_ = false, switched_ = false;  // the request opens one; the application agreed
  bool app_left_ = false;                      // by itself
  bool is_cut_ = false, redacts_ = false, left_ = false;
  std::string waited_;  // for a deadline
};

}  // namespace wary::gateway::test
