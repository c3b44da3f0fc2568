// Succession: what a wary-edge does with the one before it and the one after it (gateway/handover.h): whose sockets are
// whose, and when.
//
//   Succession succession(runtime, metrics, {...});
//   WARY_RETURN_IF_ERROR(succession.call());         // of one that takes over, before anything else is made
//   succession.begin(edge, decisions);               // when those are made; of the first: listens
//   succession.prepare();                            // when the edge was started
//
// Thread rule: the loop's.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "apps/process.h"
#include "base/metrics.h"
#include "gateway/edge.h"
#include "gateway/handover_side.h"
#include "http/server.h"
#include "pdp/service.h"

namespace wary::apps {

struct SuccessionOptions {
  std::string directory;  // of the edge; its admin.sock lies there
  std::string run;        // where the edge's sockets are
  std::string listen;     // where: an edge that listens elsewhere takes nothing over
  io::Address secure;     // the same
  std::optional<io::Address> plain;
  bool takes_over = false;
  std::uint32_t drain_seconds = 0;  // that the one before has, for what is open there
};

class Succession {
 public:
  Succession(Runtime& runtime, Metrics& metrics, SuccessionOptions options);
  Status call();
  Status begin(gateway::Edge& edge, pdp::Service& decisions);
  void prepare();
  // Why the loop was stopped, beside a signal.
  const std::optional<Error>& failure() const { return failure_; }
  bool has_drained() const { return has_drained_; }

 private:
  gateway::HandoverOptions handover_options() const;
  void make_giver();
  void say_when_served(std::int64_t until);
  Status check_sockets() const;
  Status take_sockets();
  std::optional<Error> busy() const;
  std::vector<std::pair<std::string, int>> sockets() const;
  void drain(std::uint32_t seconds);
  void end_when_shipped(std::int64_t until);
  void set_partner(pid_t pid);
  void stop_with(const Error& why);

  Runtime& runtime_;
  Metrics& metrics_;
  SuccessionOptions options_;
  gateway::Edge* edge_ = nullptr;
  pdp::Service* decisions_ = nullptr;
  std::unique_ptr<http::Server> admin_;
  std::unique_ptr<gateway::HandoverTaker> taker_;
  std::unique_ptr<gateway::HandoverGiver> giver_;
  std::map<std::string, io::Descriptor> taken_;  // until they are listened on
  pid_t partner_ = 0;
  bool has_sockets_ = false;
  bool is_draining_ = false;
  bool has_drained_ = false;
  std::optional<Error> failure_;
};

}  // namespace wary::apps
