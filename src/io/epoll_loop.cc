#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "io/descriptor.h"
#include "io/loop.h"

namespace wary::io {

namespace {

constexpr int kBacklog = 4096;
constexpr std::size_t kEventsPerTurn = 256;
constexpr std::int64_t kAcceptRest = 50 * kNanosPerMilli;
constexpr int kAcceptsPerTurn = 64;  // one busy listener does not starve open connections

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Error system_error(std::string_view code, std::string_view what, const std::string& where, int error) {
  const ErrorKind kind = error == EACCES || error == EPERM ? ErrorKind::kDenied : ErrorKind::kUnavailable;
  return fail(kind, code, what).at(where).found(std::strerror(error));
}

Error nobody_listens(const std::string& where, int error) {
  return system_error("connect_refused", "cannot connect", where, error)
      .next(where.find(':') == std::string::npos ? "see whether the process that serves this socket runs"
                                                 : "see whether a server listens at this address and port");
}

Result<SocketAddress> to_system(const Address& address) {
  SocketAddress out;
  if (address.family == Address::Family::kUnix) {
    auto* target = reinterpret_cast<sockaddr_un*>(&out.storage);
    if (address.host.size() >= sizeof target->sun_path) {
      return fail(ErrorKind::kInvalid, "address_too_long", "a unix socket path is at most 107 bytes").at(address.host);
    }
    target->sun_family = AF_UNIX;
    std::memcpy(target->sun_path, address.host.data(), address.host.size());
    out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.host.size() + 1);
    return out;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    out.size = sizeof *v4;
    return out;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    out.size = sizeof *v6;
    return out;
  }
  return fail(ErrorKind::kInvalid, "address_syntax", "an address is a numeric IPv4 or IPv6 address or a unix socket")
      .found(address.host);
}

Address from_system(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    return Address::tcp(text, ntohs(v4->sin_port));
  }
  if (address.storage.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return Address::tcp(text, ntohs(v6->sin6_port));
  }
  const auto* local = reinterpret_cast<const sockaddr_un*>(&address.storage);
  return Address::unix_socket(address.size > offsetof(sockaddr_un, sun_path) ? local->sun_path : "");
}

IoCount counted(ssize_t result) {
  if (result > 0) return {IoCount::State::kSome, static_cast<std::size_t>(result), 0};
  if (result == 0) return {IoCount::State::kEnd, 0, 0};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {IoCount::State::kWouldBlock, 0, 0};
  return {IoCount::State::kFailed, 0, errno};
}

class EpollLoop final : public Loop {
 public:
  explicit EpollLoop(Clock& clock)
      : clock_(clock), epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    WARY_CHECK(epoll_.is_open() && wake_.is_open());
    now_ = clock_.monotonic();
    wake_token_ = add(wake_.get(), EPOLLIN, [this](std::uint32_t) { drain_wake(); });
  }

  ~EpollLoop() override {
    // Tasks may own streams of this loop, so they go before the loop's tables do.
    timers_.clear();
    posted_.clear();
  }

  using Handler = std::function<void(std::uint32_t events)>;

  std::uint64_t add(int descriptor, std::uint32_t events, Handler handler) {
    std::uint32_t index;
    if (free_.empty()) {
      index = static_cast<std::uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.descriptor = descriptor;
    slot.handler = std::make_unique<Handler>(std::move(handler));
    const std::uint64_t token = std::uint64_t{slot.generation} << 32 | index;
    epoll_event event{};
    event.events = events;
    event.data.u64 = token;
    WARY_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0);
    return token;
  }

  void modify(std::uint64_t token, std::uint32_t events) {
    Slot& slot = slots_[static_cast<std::uint32_t>(token)];
    epoll_event event{};
    event.events = events;
    event.data.u64 = token;
    WARY_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, slot.descriptor, &event) == 0);
  }

  // The handler may be the one that is running: it is kept until the turn ends.
  void remove(std::uint64_t token) {
    const auto index = static_cast<std::uint32_t>(token);
    Slot& slot = slots_[index];
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, slot.descriptor, nullptr);
    graveyard_.push_back(std::move(slot.handler));
    ++slot.generation;
    slot.descriptor = -1;
    free_.push_back(index);
  }

  Monotonic now() override { return now_; }

  TimerId after(std::int64_t nanos, Task task) override {
    const TimerId id = ++last_timer_;
    const std::int64_t deadline = clock_.monotonic().nanos + (nanos > 0 ? nanos : 0);
    timers_.emplace(std::pair(deadline, id), std::move(task));
    deadlines_.emplace(id, deadline);
    return id;
  }

  void cancel(TimerId timer) override {
    const auto found = deadlines_.find(timer);
    if (found == deadlines_.end()) return;
    timers_.erase({found->second, timer});
    deadlines_.erase(found);
  }

  void post(Task task) override {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      wake = posted_.empty();
      posted_.push_back(std::move(task));
    }
    // From a handler of this turn there is nobody to wake: the turn ends with what was posted.
    if (wake && !(owner_.load(std::memory_order_relaxed) == std::this_thread::get_id() && dispatching_)) signal_wake();
  }

  Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions& options,
                                           Accept accept) override;
  void connect(const Address& address, std::int64_t timeout_nanos, Connected connected) override;

  Status watch(int descriptor, std::function<void()> readable) override {
    watched_[descriptor] = add(descriptor, EPOLLIN, [readable = std::move(readable)](std::uint32_t) { readable(); });
    return {};
  }

  void unwatch(int descriptor) override {
    const auto found = watched_.find(descriptor);
    if (found == watched_.end()) return;
    remove(found->second);
    watched_.erase(found);
  }

  void run() override {
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    while (!stopping_.load(std::memory_order_acquire)) turn();
    stopping_.store(false, std::memory_order_release);
    owner_.store(std::thread::id(), std::memory_order_relaxed);
  }

  void stop() override {
    stopping_.store(true, std::memory_order_release);
    signal_wake();
  }

 private:
  struct Slot {
    int descriptor = -1;
    std::uint32_t generation = 0;
    std::unique_ptr<Handler> handler;
  };

  void signal_wake() {
    const std::uint64_t one = 1;
    // A full counter means a wake is pending already.
    [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  }

  void drain_wake() {
    std::uint64_t count;
    [[maybe_unused]] const ssize_t taken = read(wake_.get(), &count, sizeof count);
  }

  int wait_millis() {
    if (timers_.empty()) return -1;
    const std::int64_t left = timers_.begin()->first.first - clock_.monotonic().nanos;
    if (left <= 0) return 0;
    return static_cast<int>(std::min<std::int64_t>((left + kNanosPerMilli - 1) / kNanosPerMilli, 60'000));
  }

  void turn() {
    const int count = epoll_wait(epoll_.get(), events_.data(), kEventsPerTurn, wait_millis());
    WARY_CHECK(count >= 0 || errno == EINTR);
    now_ = clock_.monotonic();
    dispatching_ = true;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events_[static_cast<std::size_t>(i)];
      const std::uint64_t token = event.data.u64;
      Slot& slot = slots_[static_cast<std::uint32_t>(token)];
      // A token of an earlier generation belongs to a descriptor that a handler of this turn closed.
      if (slot.generation != static_cast<std::uint32_t>(token >> 32) || !slot.handler) continue;
      (*slot.handler)(event.events);
    }
    run_timers();
    dispatching_ = false;
    run_posted();
    graveyard_.clear();
  }

  void run_timers() {
    while (!timers_.empty() && timers_.begin()->first.first <= now_.nanos) {
      const auto first = timers_.begin();
      Task task = std::move(first->second);
      deadlines_.erase(first->first.second);
      timers_.erase(first);
      task();
    }
  }

  void run_posted() {
    {
      const std::lock_guard lock(mutex_);
      running_.swap(posted_);
    }
    for (Task& task : running_) task();
    running_.clear();
    constexpr std::size_t kKeptTasks = 64;
    if (running_.capacity() > kKeptTasks) running_.shrink_to_fit();
  }

  Clock& clock_;
  Descriptor epoll_;
  Descriptor wake_;
  std::uint64_t wake_token_ = 0;
  Monotonic now_;
  std::array<epoll_event, kEventsPerTurn> events_{};  // not on the stack, where the compiler would clear it each turn
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::unique_ptr<Handler>> graveyard_;
  TimerId last_timer_ = 0;
  std::map<std::pair<std::int64_t, TimerId>, Task> timers_;
  std::unordered_map<TimerId, std::int64_t> deadlines_;
  std::unordered_map<int, std::uint64_t> watched_;
  std::mutex mutex_;
  std::vector<Task> posted_;
  std::vector<Task> running_;  // empty between turns; its room stays
  std::atomic<bool> stopping_{false};
  std::atomic<std::thread::id> owner_{};  // of the thread that runs the loop
  bool dispatching_ = false;              // before this turn runs what was posted; the owner's
};

constexpr int kPeerPidfd = 77;  // SO_PEERPIDFD, which Debian 12's headers lack

class HeldProcess final : public PeerProcess {
 public:
  HeldProcess(pid_t pid, Descriptor pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid() const override { return pid_; }
  bool is_running() const override {
    pollfd ended{pidfd_.get(), POLLIN, 0};
    return poll(&ended, 1, 0) == 0;
  }
  int descriptor() const override { return pidfd_.get(); }

 private:
  pid_t pid_;
  Descriptor pidfd_;
};

class SocketStream final : public Stream {
 public:
  SocketStream(EpollLoop& loop, Descriptor descriptor, std::string peer)
      : loop_(loop), descriptor_(std::move(descriptor)), peer_(std::move(peer)) {}

  ~SocketStream() override {
    unwatch();
    if (reset_) {
      const linger now{1, 0};
      setsockopt(descriptor_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
  }

  IoCount read(std::span<std::uint8_t> out) override {
    return counted(recv(descriptor_.get(), out.data(), out.size(), 0));
  }

  IoCount write(ByteView bytes) override {
    if (bytes.empty()) return {IoCount::State::kSome, 0, 0};
    return counted(send(descriptor_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  IoCount write_two(ByteView first, ByteView second) override {
    iovec parts[2] = {{const_cast<std::uint8_t*>(first.data()), first.size()},
                      {const_cast<std::uint8_t*>(second.data()), second.size()}};
    if (first.size() + second.size() == 0) return {IoCount::State::kSome, 0, 0};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    return counted(sendmsg(descriptor_.get(), &message, MSG_NOSIGNAL));
  }

  void on_ready(Ready ready) override { ready_ = std::make_shared<Ready>(std::move(ready)); }

  void want(bool readable, bool writable) override {
    const std::uint32_t events = (readable ? EPOLLIN | EPOLLRDHUP : 0U) | (writable ? EPOLLOUT : 0U);
    if (is_over_) return;
    // Not watched and nothing wanted: it stays so, or a hang-up that was told would be told in every turn.
    if (events == events_ && (token_ || events == 0)) return;
    events_ = events;
    if (token_) {
      loop_.modify(*token_, events);
      return;
    }
    token_ = loop_.add(descriptor_.get(), events, [this](std::uint32_t reported) {
      const bool broken = (reported & (EPOLLHUP | EPOLLERR)) != 0;
      // The kernel reports a hang-up for ever, wanted or not. Who wants nothing now is told once, and again when it
      // wants.
      if (broken && events_ == 0) unwatch();
      // Held here: the handler may replace itself or destroy this stream.
      const std::shared_ptr<Ready> ready = ready_;
      if (ready) (*ready)(broken || (reported & (EPOLLIN | EPOLLRDHUP)) != 0, broken || (reported & EPOLLOUT) != 0);
    });
  }

  Status write_with(ByteView bytes, std::span<const int> descriptors) override;
  IoCount read_with(std::span<std::uint8_t> out, std::vector<Descriptor>& taken) override;

  void shutdown_write() override { shutdown(descriptor_.get(), SHUT_WR); }
  void reset_on_close() override { reset_ = true; }

  void reset_now() override {
    unwatch();
    is_over_ = true;
    // Undoing the connection sends the reset, and drops both queues (TCP alone can do it).
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    if (::connect(descriptor_.get(), &nobody, sizeof nobody) != 0) reset_ = true;
  }

  void finish(ByteView last) override {
    unwatch();
    is_over_ = true;
    if (!last.empty()) (void)send(descriptor_.get(), last.data(), last.size(), MSG_NOSIGNAL | MSG_MORE);
    shutdown(descriptor_.get(), SHUT_WR);
  }

  PeerCredentials peer_credentials() const override {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt(descriptor_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 || credentials.pid == 0)
      return {};
    return {credentials.pid, credentials.uid, credentials.gid};
  }

  Result<std::unique_ptr<PeerProcess>> peer_process() const override {
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    const pid_t pid = peer_credentials().pid;
    if (pid <= 0 || getsockopt(descriptor_.get(), SOL_SOCKET, kPeerPidfd, &pidfd, &size) != 0) {
      return fail(ErrorKind::kUnavailable, "peer_process", "the kernel does not say which process connected")
          .found(pid <= 0 ? "no process" : std::strerror(errno))
          .expected("a unix socket, and Linux 6.5 or later");
    }
    return std::unique_ptr<PeerProcess>(std::make_unique<HeldProcess>(pid, Descriptor(pidfd)));
  }

  std::string peer_address() const override { return peer_; }

 private:
  void unwatch() {
    if (token_) loop_.remove(*token_);
    token_.reset();
  }

  EpollLoop& loop_;
  Descriptor descriptor_;
  std::string peer_;
  // Shared with a running dispatch only (see want()).
  std::shared_ptr<Ready> ready_;
  std::optional<std::uint64_t> token_;
  std::uint32_t events_ = 0;
  bool reset_ = false;
  bool is_over_ = false;
};

// Room for the most descriptors that one message carries, aligned as the kernel wants it.
union ControlRoom {
  char bytes[CMSG_SPACE(sizeof(int) * Stream::kDescriptorsMost)];  // NOLINT: the kernel's interface
  cmsghdr aligned;
};

Status SocketStream::write_with(ByteView bytes, std::span<const int> descriptors) {
  WARY_CHECK(!bytes.empty() && descriptors.size() <= kDescriptorsMost);
  ControlRoom room{};
  iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = &room;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  const ssize_t sent = sendmsg(descriptor_.get(), &message, MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return {};
  return fail(ErrorKind::kUnavailable, "pass_descriptors", "descriptors could not be passed to another process")
      .found(sent < 0 ? std::strerror(errno) : "a part was sent");
}

IoCount SocketStream::read_with(std::span<std::uint8_t> out, std::vector<Descriptor>& taken) {
  ControlRoom room{};
  iovec part{out.data(), out.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &room;
  message.msg_controllen = sizeof room;
  const IoCount got = counted(recvmsg(descriptor_.get(), &message, MSG_CMSG_CLOEXEC));
  if (got.state != IoCount::State::kSome) return got;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int one = -1;
      std::memcpy(&one, CMSG_DATA(header) + i * sizeof one, sizeof one);
      taken.emplace_back(one);
    }
  }
  // More than there was room for: the kernel closed what did not fit.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return {IoCount::State::kFailed, 0, EMSGSIZE};
  return got;
}

class SocketListener final : public Listener {
 public:
  SocketListener(EpollLoop& loop, Descriptor descriptor, Address address, Loop::Accept accept)
      : loop_(loop), descriptor_(std::move(descriptor)), address_(std::move(address)), accept_(std::move(accept)) {
    token_ = loop_.add(descriptor_.get(), EPOLLIN, [this](std::uint32_t) { accept_some(); });
  }
  ~SocketListener() override {
    loop_.cancel(rest_);
    loop_.remove(token_);
    if (address_.family == Address::Family::kUnix && owns_name_) unlink(address_.host.c_str());
  }
  Address address() const override { return address_; }
  int descriptor() const override { return descriptor_.get(); }
  void pause() override {
    paused_ = true;
    loop_.modify(token_, 0);
  }
  void resume() override {
    paused_ = false;
    loop_.modify(token_, EPOLLIN);
  }
  void leave_name() override { owns_name_ = false; }

 private:
  void accept_some() {
    for (int i = 0; i < kAcceptsPerTurn && !paused_; ++i) {
      SocketAddress peer;
      peer.size = sizeof peer.storage;
      Descriptor descriptor(accept4(descriptor_.get(), peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!descriptor.is_open()) return take_rest(errno);
      if (address_.family == Address::Family::kTcp) {
        const int on = 1;
        setsockopt(descriptor.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      }
      accept_(std::make_unique<SocketStream>(loop_, std::move(descriptor), from_system(peer).to_string()));
    }
  }

  // Out of descriptors or memory: what waits stays in the backlog, and the loop does not spin on it.
  void take_rest(int error) {
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) return;
    loop_.modify(token_, 0);
    rest_ = loop_.after(kAcceptRest, [this] {
      if (!paused_) loop_.modify(token_, EPOLLIN);
    });
  }

  EpollLoop& loop_;
  Descriptor descriptor_;
  Address address_;
  Loop::Accept accept_;
  std::uint64_t token_ = 0;
  TimerId rest_ = 0;
  bool paused_ = false;
  bool owns_name_ = true;
};

// Whatever was passed: a socket that listens, and where it is meant to.
Status check_inherited(const Descriptor& descriptor, const Address& address) {
  int listens = 0;
  socklen_t size = sizeof listens;
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  const bool is_listening =
      getsockopt(descriptor.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
  const bool is_there = is_listening && getsockname(descriptor.get(), bound.get(), &bound.size) == 0;
  if (!is_there || from_system(bound).to_string() != address.to_string()) {
    return fail(ErrorKind::kConflict, "listen_inherited", "the socket that was passed does not listen at this address")
        .at(address.to_string())
        .found(is_there ? from_system(bound).to_string() : "no listening socket");
  }
  fcntl(descriptor.get(), F_SETFL, O_NONBLOCK);
  return {};
}

Result<std::unique_ptr<Listener>> EpollLoop::listen(const Address& address, const ListenOptions& options,
                                                    Accept accept) {
  if (options.inherited >= 0) {
    Descriptor inherited(options.inherited);
    WARY_RETURN_IF_ERROR(check_inherited(inherited, address));
    return std::unique_ptr<Listener>(
        std::make_unique<SocketListener>(*this, std::move(inherited), address, std::move(accept)));
  }
  WARY_ASSIGN_OR_RETURN(SocketAddress system, to_system(address));
  Descriptor descriptor(socket(system.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!descriptor.is_open()) return system_error("listen_failed", "no socket", address.to_string(), errno);
  const int on = 1;
  if (address.family == Address::Family::kTcp) {
    setsockopt(descriptor.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (options.reuse_port) setsockopt(descriptor.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  } else {
    // Only this process's own directory holds the path, and its lock says no other instance runs: a socket that lies
    // there is left over from a killed one.
    unlink(address.host.c_str());
  }
  if (bind(descriptor.get(), system.get(), system.size) != 0) {
    if (errno == EADDRINUSE) {
      return fail(ErrorKind::kConflict, "listen_in_use", "another program listens on this address")
          .at(address.to_string())
          .next("stop that program, or choose another port");
    }
    return system_error("listen_failed", "cannot listen", address.to_string(), errno);
  }
  if (address.family == Address::Family::kUnix && chmod(address.host.c_str(), options.mode) != 0) {
    return system_error("listen_failed", "cannot set the socket's mode", address.to_string(), errno);
  }
  if (::listen(descriptor.get(), kBacklog) != 0) {
    if (errno == EADDRINUSE) {
      return fail(ErrorKind::kConflict, "listen_in_use", "another program listens on this address")
          .at(address.to_string())
          .next("stop that program, or choose another port");
    }
    return system_error("listen_failed", "cannot listen", address.to_string(), errno);
  }
  Address bound = address;
  if (address.family == Address::Family::kTcp && address.port == 0) {
    SocketAddress chosen;
    chosen.size = sizeof chosen.storage;
    if (getsockname(descriptor.get(), chosen.get(), &chosen.size) == 0) bound = from_system(chosen);
  }
  return std::unique_ptr<Listener>(
      std::make_unique<SocketListener>(*this, std::move(descriptor), std::move(bound), std::move(accept)));
}

// A connection on its way: lives in the loop until it is connected, refused or late.
struct Attempt {
  Descriptor descriptor;
  std::uint64_t token = 0;
  TimerId timer = 0;
  Loop::Connected connected;
  bool finished = false;
};

void EpollLoop::connect(const Address& address, std::int64_t timeout_nanos, Connected connected) {
  auto system = to_system(address);
  if (!system) {
    post([connected = std::move(connected), error = std::move(system).error()] { connected(error); });
    return;
  }
  // Shared by the readiness handler and the timer, whichever comes first ends it.
  auto attempt = std::make_shared<Attempt>();
  attempt->connected = std::move(connected);
  attempt->descriptor = Descriptor(socket(system->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const std::string name = address.to_string();
  int error = attempt->descriptor.is_open() ? 0 : errno;
  if (error == 0 && ::connect(attempt->descriptor.get(), system->get(), system->size) != 0 && errno != EINPROGRESS) {
    error = errno;
  }
  if (error != 0) {
    const bool refused = error == ECONNREFUSED || error == ENOENT;
    post([attempt, name, error, refused] {
      attempt->connected(refused ? nobody_listens(name, error)
                                 : system_error("connect_failed", "cannot connect", name, error));
    });
    return;
  }
  if (address.family == Address::Family::kTcp) {
    const int on = 1;
    setsockopt(attempt->descriptor.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  const auto finish = [this, attempt, name](bool late) {
    if (attempt->finished) return;
    attempt->finished = true;
    remove(attempt->token);
    cancel(attempt->timer);
    int outcome = 0;
    socklen_t size = sizeof outcome;
    getsockopt(attempt->descriptor.get(), SOL_SOCKET, SO_ERROR, &outcome, &size);
    const Connected done = std::move(attempt->connected);
    if (late) {
      done(fail(ErrorKind::kTimeout, "connect_timeout", "no connection in time").at(name));
    } else if (outcome != 0) {
      done(outcome == ECONNREFUSED ? nobody_listens(name, outcome)
                                   : system_error("connect_failed", "cannot connect", name, outcome));
    } else {
      done(std::unique_ptr<Stream>(std::make_unique<SocketStream>(*this, std::move(attempt->descriptor), name)));
    }
  };
  attempt->token = add(attempt->descriptor.get(), EPOLLOUT, [finish](std::uint32_t) { finish(false); });
  attempt->timer = after(timeout_nanos, [finish] { finish(true); });
}

}  // namespace

std::unique_ptr<Loop> make_epoll_loop(Clock& clock) { return std::make_unique<EpollLoop>(clock); }

}  // namespace wary::io
