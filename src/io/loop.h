// Loop: one thread's events. Real (epoll) in production; simulated with virtual time and in-memory streams in tests.
// Streams report readiness; the state machines above read and write until kWouldBlock (level-triggered: an interest
// that stays set reports again).
//
//   auto loop = make_epoll_loop(clock);
//   auto listener = loop->listen(Address::tcp("127.0.0.1", 7443), {}, [&](std::unique_ptr<Stream> s) { ... });
//   loop->run();
//
// Thread rule: everything of a loop belongs to its thread, except post() and stop(), which any thread may call. A
// handler may destroy its own stream. Limits: accept backlog 4096; the caller bounds connections.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "io/descriptor.h"
#include "io/peer_process.h"

namespace wary::io {

struct Address {
  enum class Family { kTcp, kUnix };
  Family family = Family::kTcp;
  std::string host;  // numeric IPv4 or IPv6, or the path of a unix socket
  std::uint16_t port = 0;
  static Address tcp(std::string_view host, std::uint16_t port) { return {Family::kTcp, std::string(host), port}; }
  static Address unix_socket(std::string_view path) { return {Family::kUnix, std::string(path), 0}; }
  std::string to_string() const;  // "127.0.0.1:7443", "[::1]:7443", "unix:/path"
  bool operator==(const Address&) const = default;
};

struct PeerCredentials {
  pid_t pid = -1;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

struct IoCount {
  enum class State { kSome, kWouldBlock, kEnd, kFailed };
  State state = State::kFailed;
  std::size_t count = 0;  // with kSome
  int error = 0;          // errno, with kFailed
};

class Stream {
 public:
  using Ready = std::function<void(bool readable, bool writable)>;  // also called on hang-up, as both
  virtual ~Stream() = default;                                      // closes
  virtual IoCount read(std::span<std::uint8_t> out) = 0;
  virtual IoCount write(ByteView bytes) = 0;
  virtual IoCount write_two(ByteView first, ByteView second) = 0;  // one system call
  virtual void on_ready(Ready ready) = 0;
  virtual void want(bool readable, bool writable) = 0;
  virtual void shutdown_write() = 0;
  // The next destruction resets the connection (linger 0) instead of closing it in order.
  virtual void reset_on_close() = 0;
  // Both end it at once for the peer, and leave the descriptor to the destruction: what the kernel does for a close
  // then is half of it, and can wait where thousands are to end. Nothing is read, written or told any more. reset_now:
  // the peer sees a reset, and none of what is queued. finish: it gets these bytes, as many as go, and the end, in one
  // segment.
  virtual void reset_now() { reset_on_close(); }
  virtual void finish(ByteView last) {
    (void)write(last);
    shutdown_write();
  }
  virtual PeerCredentials peer_credentials() const = 0;  // unix sockets; all -1 elsewhere
  // Who connected, to be asked for right after accepting. Error: peer_process.
  virtual Result<std::unique_ptr<PeerProcess>> peer_process() const {
    return fail(ErrorKind::kUnavailable, "peer_process", "this stream has no process at its other end");
  }
  virtual std::string peer_address() const = 0;
  // Descriptors to the process at the other end of a unix socket, which gets copies: with these bytes (a few hundred,
  // at least one) or not at all. At most kDescriptorsMost. Error: pass_descriptors.
  static constexpr std::size_t kDescriptorsMost = 128;
  virtual Status write_with(ByteView, std::span<const int>) {
    return fail(ErrorKind::kUnavailable, "pass_descriptors", "this stream carries bytes alone");
  }
  // As read(); what came with the bytes is appended. A plain read() drops descriptors.
  virtual IoCount read_with(std::span<std::uint8_t> out, std::vector<Descriptor>&) { return read(out); }
};

class Listener {
 public:
  virtual ~Listener() = default;        // closes
  virtual Address address() const = 0;  // with the port the kernel chose
  // Its socket, for another process that will accept on it; -1 where there is none.
  virtual int descriptor() const { return -1; }
  // What connects waits in the backlog.
  virtual void pause() {}
  virtual void resume() {}
  // Another process goes on with the socket: its name in the file system stays when this closes.
  virtual void leave_name() {}
};

struct ListenOptions {
  bool reuse_port = false;  // several loops accept on one port
  unsigned mode = 0600;     // of a unix socket
  // A socket that listens at this address already, by another process's doing; the loop closes it, whatever comes.
  int inherited = -1;
};

using TimerId = std::uint64_t;

class Loop {
 public:
  using Task = std::function<void()>;
  using Accept = std::function<void(std::unique_ptr<Stream>)>;
  using Connected = std::function<void(Result<std::unique_ptr<Stream>>)>;
  virtual ~Loop() = default;

  virtual Monotonic now() = 0;  // of this turn; cheap
  virtual TimerId after(std::int64_t nanos, Task task) = 0;
  virtual void cancel(TimerId timer) = 0;  // of a fired or unknown timer: nothing happens
  virtual void post(Task task) = 0;        // from any thread; runs on the loop's
  // Errors: listen_in_use (names the address), listen_failed, listen_inherited (it is no such socket).
  virtual Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions& options,
                                                   Accept accept) = 0;
  // Errors (through the callback): connect_refused, connect_failed, connect_timeout.
  virtual void connect(const Address& address, std::int64_t timeout_nanos, Connected connected) = 0;
  // Watches a descriptor the caller owns (signals, child processes); real loops only.
  virtual Status watch(int descriptor, std::function<void()> readable) = 0;
  virtual void unwatch(int descriptor) = 0;
  virtual void run() = 0;   // until stop()
  virtual void stop() = 0;  // from any thread
};

std::unique_ptr<Loop> make_epoll_loop(Clock& clock);

}  // namespace wary::io
