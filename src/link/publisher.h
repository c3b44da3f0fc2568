// Publisher: the control plane's end of the link. It answers each enforcement point with the deltas it lacks, or a
// whole snapshot; sends every commit to all of them at once; and hands their events and calls on.
//
//   Publisher publisher(loop, hooks, metrics);
//   publisher.listen(Address::unix_socket("run/link.sock"));
//   publisher.commit(revision, delta_json);     // signed once, encoded once, sent to every subscriber now
//
// Not everybody gets everything: a node's view is named by hooks.view_of, "" is the whole. What a view's content is, is
// asked for when it changes; the steps of all views are signed by one signature, each named as whose it is. A view that
// nobody is connected with is forgotten.
//
// Thread rule: its loop's. Limits: 1,024 subscribers, 4,096 remembered ones that have left; 1,024 kept deltas or 64 MiB
// of them for the whole, 64 for a view; 1 MiB a frame of one that is adopted.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "base/seldom_log.h"
#include "codec/json.h"
#include "io/loop.h"
#include "link/frames.h"
#include "link/update.h"

namespace wary::link {

struct PublisherHooks {
  std::string history;  // names the store's life
  std::function<std::uint64_t()> revision;
  std::function<UnixTime()> now;
  std::function<std::string()> snapshot;  // the content at revision()
  std::function<Result<Bytes>(ByteView message)> sign;
  // At first without a node, then with the one it says it is.
  std::function<bool(const io::PeerCredentials&, std::string_view node)> is_allowed;
  // Must answer each batch once, in any order; an error closes the connection and the batch comes again.
  std::function<void(const std::string& node, EventBatch batch, std::function<void(Result<Receipt>)> done)> on_events;
  std::function<void(const std::string& node, const codec::Json& call, std::function<void(codec::Json)> reply)> on_call;
  // Views; everybody gets the whole where these are not given.
  std::function<std::string(std::string_view node)> view_of = nullptr;
  std::function<std::string(const std::string& view)> snapshot_of = nullptr;  // at revision()
  // Of the commit at hand; nothing: the view begins again with a snapshot.
  std::function<std::optional<std::string>(const std::string& view)> delta_of = nullptr;
};

class Publisher {
 public:
  Publisher(io::Loop& loop, PublisherHooks hooks, Log& log, Metrics& metrics);
  ~Publisher();
  Status listen(const io::Address& address, const io::ListenOptions& options);
  // A connection whose other side is known to be this node; an earlier one of that node is closed.
  void adopt(std::unique_ptr<io::Stream> stream, const std::string& node);
  Status commit(std::uint64_t from, std::uint64_t to, Monotonic committed, std::string content);
  void set_ledger_available(bool available);
  // The lowest revision that every connected subscriber to the whole has acknowledged; nothing while none is connected.
  // Others decide nothing by it, and one that hangs keeps nobody waiting.
  std::optional<std::uint64_t> acknowledged() const;
  std::size_t subscribers() const { return peers_.size(); }
  // When a node that is adopted was last connected: now, while it is; nothing: not since this process began.
  std::optional<UnixTime> last_connected(std::string_view node) const;
  bool is_connected(std::string_view node) const;
  // Of those, who decides by the whole.
  std::size_t enforcement_points() const;

 private:
  struct Peer;
  struct Kept {
    std::uint64_t from, to;
    Bytes wire;
  };
  struct View {
    std::deque<Kept> deltas;
    std::size_t kept_bytes = 0;
    Bytes snapshot_wire;
    std::uint64_t snapshot_revision = 0;
  };
  void begin(const std::shared_ptr<Peer>& peer);
  bool is_allowed(const Peer& peer, std::string_view node) const;
  Result<Bytes> snapshot_for(const std::string& name, View& view);
  void keep(View& view, std::size_t deltas_most, Kept kept);
  void send_to_view(const std::string& name, const Result<Bytes>& wire);
  void commit_views(std::uint64_t from, std::uint64_t to, Monotonic committed);
  void accepted(std::unique_ptr<io::Stream> stream);
  void on_frame(Peer& peer, std::uint8_t type, ByteView payload);
  void on_hello(Peer& peer, ByteView payload);
  void on_events(Peer& peer, ByteView payload);
  void on_call(Peer& peer, ByteView payload);
  void send_update(Peer& peer, const Bytes& wire);
  void drop(Peer& peer, const Error& why);
  Result<Bytes> signed_wire(Update update) const;

  io::Loop& loop_;
  PublisherHooks hooks_;
  Log& log_;
  SeldomLog refusals_;
  Metric& subscribers_metric_;
  Metric& snapshots_sent_;
  Metric& deltas_sent_;
  std::unique_ptr<io::Listener> listener_;
  // Shared with callbacks that answer later and must find out that the peer has gone.
  std::set<std::shared_ptr<Peer>> peers_;
  std::map<std::string, UnixTime, std::less<>> left_;  // adopted nodes that are gone
  View whole_;
  std::map<std::string, View> views_;  // by name: those that somebody is connected with
  bool ledger_available_ = true;
};

}  // namespace wary::link
