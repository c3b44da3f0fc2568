// HandoverGiver and HandoverTaker: the two ends of a handover (handover.h) at a unix socket: who calls is checked by
// the kernel's word, each step has its time.
//
//   HandoverGiver giver(loop, log, {.path = "run/edge/upgrade.sock", .listen = "127.0.0.1:7443", .own = getuid()},
//   hooks); WARY_RETURN_IF_ERROR(giver.listen());
//
//   HandoverTaker taker(loop, {...the same..., .drain_seconds = 60}, hooks);
//   taker.call();                  // hooks.prepare brings the sockets
//   taker.prepared();              // hooks.take when they are ours
//
// Thread rule: the loop's. Limits: one taker at a time; 5 s for a hello, 60 s to prepare, 5 s for the workers to stop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "gateway/handover.h"
#include "io/loop.h"

namespace wary::gateway {

struct HandoverOptions {
  std::string path;
  std::string listen;  // where the edge listens; a handover keeps it
  uid_t own = 0;       // nobody else takes over, and from nobody else is taken
  std::uint32_t drain_seconds = 0;
};

// A stream of messages. Private to this folder.
class HandoverLine {
 public:
  struct Heard {
    enum class What { kMessage, kStrange, kGone };
    What what;
    HandoverMessage message;
    std::vector<io::Descriptor> descriptors;
  };
  HandoverLine(std::unique_ptr<io::Stream> stream, std::function<void(Heard)> on_heard);
  pid_t pid() const { return pid_; }
  void say(const HandoverMessage& message, std::span<const int> descriptors = {});
  void hang_up();

 private:
  void ready();

  std::unique_ptr<io::Stream> stream_;
  pid_t pid_;
  std::function<void(Heard)> on_heard_;
  Bytes come_;
  std::vector<io::Descriptor> descriptors_;
};

struct GiverHooks {
  std::function<std::optional<Error>()> busy;  // why nothing can be handed over now
  std::function<std::vector<std::pair<std::string, int>>()> sockets;
  std::function<void(std::function<void()> done)> let_go;  // stop accepting
  std::function<void()> take_back;
  std::function<void(std::uint32_t seconds)> drain;
  std::function<void(pid_t)> partner;  // who takes over; 0: nobody
};

class HandoverGiver {
 public:
  HandoverGiver(io::Loop& loop, Log& log, HandoverOptions options, GiverHooks hooks);
  ~HandoverGiver();
  Status listen(int inherited = -1);
  int descriptor() const { return listener_ ? listener_->descriptor() : -1; }
  // The socket's name is the other's now.
  void leave();

 private:
  void called(std::unique_ptr<io::Stream> stream);
  void heard(HandoverLine::Heard heard);
  void on_event(GiverEvent event);
  void act(GiverAction action);
  void turn_away(io::Stream& stream, const Error& why);
  void hang_up();

  io::Loop& loop_;
  Log& log_;
  HandoverOptions options_;
  GiverHooks hooks_;
  GiverState state_ = GiverState::kServing;
  std::unique_ptr<io::Listener> listener_;
  std::unique_ptr<io::Stream> caller_;  // until it is known that it is heard
  std::unique_ptr<HandoverLine> line_;
  Error refusal_;
  std::uint32_t drain_seconds_ = 0;
  std::uint64_t attempt_ = 0;
  io::TimerId timer_ = 0;
};

struct TakerHooks {
  std::function<void(std::vector<std::pair<std::string, io::Descriptor>>)> prepare;
  std::function<Status()> take;   // where it fails the giver takes everything back, and `fail` is called
  std::function<void()> inherit;  // the giver's process has gone
  std::function<void(const Error&)> fail;
  std::function<void(pid_t)> partner;
};

// Whether a socket that was given listens at this address. Looked at before any is used: once it was said that they are
// taken, nobody gives them back. Error: listen_inherited.
Status check_given(io::Loop& loop, const io::Descriptor& socket, const io::Address& address);

class HandoverTaker {
 public:
  HandoverTaker(io::Loop& loop, HandoverOptions options, TakerHooks hooks);
  ~HandoverTaker();
  void call();
  void prepared();
  bool is_serving() const { return state_ == TakerState::kServing; }
  bool has_giver() const { return has_giver_; }

 private:
  void connected(Result<std::unique_ptr<io::Stream>> stream);
  void heard(HandoverLine::Heard heard);
  void on_event(TakerEvent event);
  void act(TakerAction action);
  void take(TakerAction action);

  io::Loop& loop_;
  HandoverOptions options_;
  TakerHooks hooks_;
  TakerState state_ = TakerState::kAsking;
  std::unique_ptr<HandoverLine> line_;
  std::vector<std::pair<std::string, io::Descriptor>> sockets_;
  Error why_;  // it fails
  bool has_giver_ = false;
  io::TimerId timer_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // a connection on its way holds a weak reference
};

}  // namespace wary::gateway
