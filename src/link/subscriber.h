// Subscriber: an enforcement point's end of the link. It keeps the last good updates on disk and starts from them
// without the control plane; asks for what it lacks; hands verified updates on; ships events until they are durable
// above.
//
//   Subscriber subscriber(loop, files, {.node = "edge/a", ...}, hooks, log);
//   WARY_RETURN_IF_ERROR(subscriber.start());   // replays the last good state through on_update first
//
// An update whose signature, view, history or revision does not fit is refused (update_signature, update_view,
// update_order), and the
// connection starts over with a whole snapshot. Thread rule: its loop's. Limits: one connection; back-off 20 ms to 1 s.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/log.h"
#include "codec/json.h"
#include "io/files.h"
#include "io/loop.h"
#include "link/frames.h"
#include "link/update.h"

namespace wary::link {

// Opens the way to the control plane, where that is more than a socket's address; what it returns is held until the
// stream is there.
using Dial = std::function<std::shared_ptr<void>(std::function<void(Result<std::unique_ptr<io::Stream>>)> connected)>;

struct SubscriberOptions {
  std::string node;
  io::Address address;
  std::string directory;  // holds "updates": the last good snapshot and the deltas since
  std::size_t deltas_kept_max = 4096;
  Dial dial = nullptr;    // instead of the address
  std::string view = "";  // whose updates are taken; "": the whole
  bool keeps = true;      // false: another process keeps the updates until start_keeping()
};

struct SubscriberHooks {
  std::function<bool(ByteView message, ByteView signature)> verify;
  std::function<Status(const Update&)> on_update;
  std::function<void(const Receipt&)> on_receipt;
  std::function<void(bool available)> on_ledger_state;
  std::function<void(bool connected)> on_connection;
};

class Subscriber {
 public:
  Subscriber(io::Loop& loop, io::Files& files, SubscriberOptions options, SubscriberHooks hooks, Log& log);
  ~Subscriber();
  Status start();
  bool is_connected() const { return frames_ != nullptr && frames_->is_open(); }
  std::uint64_t revision() const { return revision_; }
  // Not connected or too slow: the events stay with the caller. Error: link_closed, link_queue_full.
  Status send_events(const EventBatch& batch);
  // Two processes that take turns at one directory: one writes at a time.
  void stop_keeping();
  void start_keeping();
  // The reply, or an error when the link closes first (link_closed) or 2 s pass (link_timeout).
  void call(const codec::Json& request, std::function<void(Result<codec::Json>)> done);

 private:
  void connect();
  void connected(Result<std::unique_ptr<io::Stream>> stream);
  void closed(const Error& why);
  void on_frame(std::uint8_t type, ByteView payload);
  void on_update(ByteView payload);
  Status apply(const Update& update);
  Status load();
  Status keep(const Update& update, ByteView wire);
  Status keep_whole(ByteView frames);
  void begin_again();
  void finish_call(std::uint64_t id, Result<codec::Json> reply);

  io::Loop& loop_;
  io::Files& files_;
  SubscriberOptions options_;
  SubscriberHooks hooks_;
  Log& log_;
  std::unique_ptr<FrameStream> frames_;
  std::string history_;
  std::uint64_t revision_ = 0;
  std::unique_ptr<io::File> kept_;
  Bytes held_;  // what would be kept, while another process keeps
  std::uint64_t kept_bytes_ = 0;
  std::size_t kept_deltas_ = 0;
  std::int64_t backoff_ = 0;
  io::TimerId retry_ = 0;
  std::shared_ptr<void> dialling_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // a connection on its way holds a weak reference
  struct Call {
    std::function<void(Result<codec::Json>)> done;
    io::TimerId timer;
  };
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t last_call_ = 0;
};

}  // namespace wary::link
