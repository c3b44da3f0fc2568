// Api: the control plane's HTTP interface, the same for the CLI (admin socket) and the console (behind the edge). Every
// call is decided by Cedar and recorded.
//
//   Api api(plane, sign_in, parts);
//   http::Server admin(loop, [&](auto exchange) { api.handle_admin(exchange); });
//
// On the admin socket the caller is the owner, known by the kernel; behind the edge, whom the edge names. Paths:
// /v1/...; the console's own are /api/..., /continue and its files. Errors are {"error": {code, message, ...}} with the
// status of their kind. Without a decision, since they say nothing of anybody: /livez and /metrics (Prometheus text) on
// the admin socket. Thread rule: the plane's. Limits: 900 objects an apply; 64 streams.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "control/plane.h"
#include "control/sign_in.h"
#include "http/server.h"

namespace wary::control {

struct Caller {
  contract::EntityId principal;
  std::string session;        // id, or empty
  std::string edge_decision;  // when the edge brought it
};

struct ApiParts {
  io::Loop& loop;
  Clock& clock;
  Random& random;
  Log& log;
  Metrics& metrics;
  std::string vkey;            // the log's public key
  Bytes ca;                    // DER
  std::string console_origin;  // "https://console.localhost:7443"
  std::function<Result<codec::Json>(const std::string& csr, const std::string& spiffe_id)> issue_workload;
  // {kind, atOnce, graceSeconds}; how many roots and token keys are trusted afterwards.
  std::function<Result<codec::Json>(const codec::Json& request)> rotate_authority = nullptr;
  // What is known of an object beside what was applied; empty of most.
  std::function<codec::Json(const store::Key& key)> status_of = nullptr;
};

class Nodes;

class Api {
 public:
  using ExchangePtr = std::shared_ptr<http::Exchange>;  // shared: some answers come after the handler returned
  Api(Plane& plane, SignIn& sign_in, ApiParts parts);
  ~Api();
  // The admin socket, once its peer is known to be the owner: /livez, /metrics, and /v1/... as the owner.
  void handle_admin(const ExchangePtr& exchange);
  // /v1/... as this caller.
  void handle(const Caller& caller, const ExchangePtr& exchange);
  // Behind the edge: the console's files, sign-in, and /api/v1/... as whom the edge names.
  void handle_console(const ExchangePtr& exchange);
  // Who lets machines in; without, none can join.
  void set_nodes(Nodes* nodes) { nodes_ = nodes; }

 private:
  using Handler = void (Api::*)(const Caller&, const ExchangePtr&, const std::string& rest);
  struct Entry {
    std::string_view method;
    std::string_view prefix;  // ends with '/' when a rest follows
    std::string_view action;
    Handler handler;
  };
  static std::span<const Entry> table();
  Status authorise(const Caller& caller, std::string_view action, const http::Request& request, std::string& decision);

  // api_resources.cc
  void apply(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void get_objects(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  codec::Json shown(const store::Key& key, const Value& value) const;
  void delete_object(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void history(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void watch(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  // api_access.cc
  void try_access(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void explain(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void revoke(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void restore(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void create_session(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void list_sessions(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);  // api_sessions.cc
  void issue_workload(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void rotate_authority(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void create_node_token(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void health(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  // api_keys.cc
  void create_api_key(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  // api_ledger.cc
  void ledger_events(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void ledger_proof(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void ledger_checkpoint(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void ledger_consistency(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void ledger_key(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void ledger_check(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  // api_review.cc
  void ledger_decisions(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  void live_snapshot(const Caller& caller, const ExchangePtr& exchange, const std::string& rest);
  // console.cc
  void sign_in_page(const ExchangePtr& exchange);
  // Once every connected enforcement point decides by this revision, or the time `until` has come.
  void when_acknowledged(std::uint64_t revision, std::int64_t until, std::function<void()> then);
  void sign_out_page(const Caller& caller, const ExchangePtr& exchange);
  void continue_to(const ExchangePtr& exchange);
  void serve_file(const ExchangePtr& exchange);
  void serve_bundle(const ExchangePtr& exchange);

  // `work(ledger::Ledger&)` gives a Result on the ledger's thread; `answer` gets its value on ours. Errors are
  // answered.
  template <typename Work, typename Answer>
  void ask_ledger(const ExchangePtr& exchange, Work work, Answer answer);
  void begin_follow(const ExchangePtr& exchange, const std::string& actor, bool is_sse, std::uint64_t after,
                    std::size_t last);

  Plane& plane_;
  SignIn& sign_in_;
  ApiParts parts_;
  Nodes* nodes_ = nullptr;
  std::size_t streams_ = 0;
  policy::SnapshotPtr listed_;  // what listing_ is of, while somebody reads it page by page
  std::vector<const contract::Entity*> listing_;
  std::uint64_t last_call_ = 0;
  std::string call_prefix_;
};

// Helpers of the handlers.
void send_json(const Api::ExchangePtr& exchange, int status, const codec::Json& body);
void send_error(const Api::ExchangePtr& exchange, const Error& error);
Result<codec::Json> body_of(const Api::ExchangePtr& exchange);
// A parameter of the query that is a whole number; `fallback` where it is not given. Error: api_number.
Result<std::uint64_t> number_parameter(const http::Request& request, std::string_view name, std::uint64_t fallback);
codec::Json event_row(std::uint64_t index, const contract::Event& event);

template <typename Work, typename Answer>
void Api::ask_ledger(const ExchangePtr& exchange, Work work, Answer answer) {
  const Status queued =
      plane_.ledger().run([this, exchange, work = std::move(work), answer = std::move(answer)](ledger::Ledger& ledger) {
        parts_.loop.post([exchange, answer, got = work(ledger)] {
          if (!got) return send_error(exchange, got.error());
          answer(*got);
        });
      });
  if (!queued) send_error(exchange, queued.error());
}

}  // namespace wary::control
