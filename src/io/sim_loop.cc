#include "io/sim_loop.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace wary::io {

namespace {

constexpr std::size_t kPipeBytes = 64 * 1024;
constexpr std::int64_t kLatencyMin = 20'000;  // nanoseconds
constexpr std::int64_t kLatencySpread = 80'000;

// One direction of a connection.
struct Pipe {
  Bytes arrived;  // readable now
  std::size_t in_flight = 0;
  std::int64_t last_arrival = 0;  // keeps the order
  bool ended = false;             // the writer is done, and its last byte has arrived
  bool broken = false;
};

class SimLoop;

struct Task {
  std::int64_t at;
  std::uint64_t order;
  SimLoop* loop;
  TimerId timer;
  Loop::Task run;
};

}  // namespace

struct SimWorld::Impl final : Clock {
  explicit Impl(std::uint64_t seed) : state(seed * 2 + 1) {}
  UnixTime unix_time() override { return {wall_offset + now}; }
  Monotonic monotonic() override { return {now}; }

  std::uint64_t random() {  // splitmix64
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  TimerId schedule(SimLoop* loop, std::int64_t at, Loop::Task task) {
    const TimerId id = ++last_task;
    tasks.emplace(std::pair(at, id), Task{at, id, loop, id, std::move(task)});
    times.emplace(id, at);
    return id;
  }
  void cancel(TimerId id) {
    const auto found = times.find(id);
    if (found == times.end()) return;
    tasks.erase({found->second, id});
    times.erase(found);
  }

  std::int64_t now = 1'000'000'000;
  std::int64_t wall_offset = 1'790'000'000LL * kNanosPerSecond;
  std::uint64_t state;
  TimerId last_task = 0;
  std::map<std::pair<std::int64_t, TimerId>, Task> tasks;
  std::map<TimerId, std::int64_t> times;
  struct Bound {
    SimLoop* loop;
    Loop::Accept accept;
  };
  std::map<std::string, Bound> listeners;
  struct Held {
    SimLoop* loop;
    TimerId timer;  // 0: they wait for as long as it takes
    Loop::Task go_on;
  };
  bool holds_connects = false;
  std::string from = "127.0.0.1";      // who connects
  std::map<std::uint64_t, Held> held;  // in the order in which they came
  std::uint64_t last_held = 0;
  std::uint16_t next_port = 40'000;
  std::optional<std::uint64_t> break_after;
  bool resets_overtake = true;
};

namespace {

// Both ends hold the connection; it goes with the last of them.
struct Connection {
  Pipe pipes[2];  // [i] is read by end i
  class SimStream* ends[2] = {nullptr, nullptr};
};

class SimLoop final : public Loop {
 public:
  explicit SimLoop(SimWorld::Impl& world) : world_(world) {}
  ~SimLoop() override {
    for (auto at = world_.tasks.begin(); at != world_.tasks.end();) {
      if (at->second.loop != this) {
        ++at;
        continue;
      }
      world_.times.erase(at->second.timer);
      at = world_.tasks.erase(at);
    }
    std::erase_if(world_.held, [this](const auto& held) { return held.second.loop == this; });
  }
  Monotonic now() override { return world_.monotonic(); }
  TimerId after(std::int64_t nanos, Task task) override {
    return world_.schedule(this, world_.now + std::max<std::int64_t>(nanos, 0), std::move(task));
  }
  void cancel(TimerId timer) override { world_.cancel(timer); }
  void post(Task task) override { world_.schedule(this, world_.now, std::move(task)); }
  Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions&, Accept accept) override;
  void connect(const Address& address, std::int64_t timeout_nanos, Connected connected) override;
  Status watch(int, std::function<void()>) override {
    return fail(ErrorKind::kUnsupported, "sim_watch", "a simulated loop has no descriptors");
  }
  void unwatch(int) override {}
  void run() override {}
  void stop() override {}
  void hold(std::int64_t timeout_nanos, const std::shared_ptr<Connected>& connected, Task go_on);
  void finish_connect(const Address& address, const Connected& connected);

  SimWorld::Impl& world_;
};

class SimStream final : public Stream {
 public:
  SimStream(SimLoop& loop, std::shared_ptr<Connection> connection, int end, std::string peer)
      : loop_(loop), connection_(std::move(connection)), end_(end), peer_(std::move(peer)) {
    connection_->ends[end_] = this;
  }
  ~SimStream() override {
    connection_->ends[end_] = nullptr;
    if (pending_ != 0) loop_.cancel(pending_);
    reset_ ? break_both() : shutdown_write();
  }

  IoCount read(std::span<std::uint8_t> out) override {
    Pipe& pipe = incoming();
    const bool is_lost = loop_.world_.resets_overtake || pipe.arrived.empty();
    if (pipe.broken && is_lost) return {IoCount::State::kFailed, 0, ECONNRESET};
    if (pipe.arrived.empty()) return {pipe.ended ? IoCount::State::kEnd : IoCount::State::kWouldBlock, 0, 0};
    const std::size_t count = std::min(out.size(), pipe.arrived.size());
    std::copy_n(pipe.arrived.begin(), count, out.begin());
    pipe.arrived.erase(pipe.arrived.begin(), pipe.arrived.begin() + static_cast<std::ptrdiff_t>(count));
    wake_peer();  // there is room again
    return {IoCount::State::kSome, count, 0};
  }

  IoCount write(ByteView bytes) override {
    Pipe& pipe = outgoing();
    if (pipe.broken || connection_->ends[1 - end_] == nullptr) return {IoCount::State::kFailed, 0, EPIPE};
    const std::size_t held = pipe.arrived.size() + pipe.in_flight;
    if (held >= kPipeBytes) return {IoCount::State::kWouldBlock, 0, 0};
    const std::size_t count = std::min(bytes.size(), kPipeBytes - held);
    if (count == 0) return {IoCount::State::kSome, 0, 0};
    carry(bytes.first(count));
    return {IoCount::State::kSome, count, 0};
  }

  IoCount write_two(ByteView first, ByteView second) override {
    const IoCount one = write(first);
    if (one.state != IoCount::State::kSome || one.count < first.size() || second.empty()) return one;
    const IoCount two = write(second);
    return {IoCount::State::kSome, one.count + (two.state == IoCount::State::kSome ? two.count : 0), 0};
  }

  void on_ready(Ready ready) override { ready_ = std::make_shared<Ready>(std::move(ready)); }
  void want(bool readable, bool writable) override {
    want_read_ = readable;
    want_write_ = writable;
    wake();
  }
  void shutdown_write() override {
    if (shut_) return;
    shut_ = true;
    const auto connection = connection_;
    const int reader = 1 - end_;
    loop_.world_.schedule(nullptr, std::max(loop_.world_.now, outgoing().last_arrival), [connection, reader] {
      connection->pipes[reader].ended = true;
      if (connection->ends[reader] != nullptr) connection->ends[reader]->wake();
    });
  }
  void reset_on_close() override { reset_ = true; }
  void reset_now() override {
    is_over_ = reset_ = true;
    break_both();
  }
  void finish(ByteView last) override {
    (void)write(last);
    shutdown_write();
    is_over_ = true;
  }
  PeerCredentials peer_credentials() const override { return {}; }
  std::string peer_address() const override { return peer_; }

  // Level-triggered: tells the handler what is true now, and again as long as it stays true and wanted.
  void wake() {
    if (pending_ != 0 || !is_ready()) return;
    pending_ = loop_.after(0, [this] {
      pending_ = 0;
      if (!is_ready() || !ready_) return;
      const bool readable = want_read_ && can_read();
      const bool writable = want_write_ && can_write();
      const std::shared_ptr<Ready> ready = ready_;  // the handler may destroy this stream
      const std::weak_ptr<int> alive = alive_;
      (*ready)(readable, writable);
      if (!alive.expired()) wake();
    });
  }

 private:
  Pipe& incoming() { return connection_->pipes[end_]; }
  Pipe& outgoing() { return connection_->pipes[1 - end_]; }
  bool can_read() { return incoming().broken || incoming().ended || !incoming().arrived.empty(); }
  bool can_write() { return outgoing().broken || outgoing().arrived.size() + outgoing().in_flight < kPipeBytes; }
  void break_both() {
    incoming().broken = true;
    const auto connection = connection_;
    const int reader = 1 - end_;
    const auto arrives = [connection, reader] {
      connection->pipes[reader].broken = true;
      if (connection->ends[reader] != nullptr) connection->ends[reader]->wake();
    };
    if (loop_.world_.resets_overtake) return arrives();
    loop_.world_.schedule(nullptr, std::max(loop_.world_.now, outgoing().last_arrival), arrives);
  }
  bool is_ready() { return !is_over_ && ((want_read_ && can_read()) || (want_write_ && can_write())); }
  void wake_peer() {
    if (connection_->ends[1 - end_] != nullptr) connection_->ends[1 - end_]->wake();
  }

  // Sends in seeded pieces, each with its own latency, never overtaking.
  void carry(ByteView bytes) {
    SimWorld::Impl& world = loop_.world_;
    while (!bytes.empty()) {
      const std::size_t piece = 1 + world.random() % bytes.size();
      Pipe& pipe = outgoing();
      pipe.in_flight += piece;
      const auto latency = kLatencyMin + static_cast<std::int64_t>(world.random() % kLatencySpread);
      pipe.last_arrival = std::max(pipe.last_arrival, world.now + latency);
      const auto connection = connection_;
      const int reader = 1 - end_;
      Bytes data(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(piece));
      world.schedule(nullptr, pipe.last_arrival, [connection, reader, data = std::move(data), &world] {
        Pipe& target = connection->pipes[reader];
        target.in_flight -= data.size();
        append(target.arrived, data);
        if (world.break_after &&
            (*world.break_after -= std::min<std::uint64_t>(*world.break_after, data.size())) == 0) {
          world.break_after.reset();
          connection->pipes[0].broken = connection->pipes[1].broken = true;
          if (connection->ends[1 - reader] != nullptr) connection->ends[1 - reader]->wake();
        }
        if (connection->ends[reader] != nullptr) connection->ends[reader]->wake();
      });
      bytes = bytes.subspan(piece);
    }
  }

  SimLoop& loop_;
  std::shared_ptr<Connection> connection_;  // with the other end
  int end_;
  std::string peer_;
  std::shared_ptr<Ready> ready_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // tells a running dispatch that this stream is gone
  TimerId pending_ = 0;
  bool want_read_ = false;
  bool want_write_ = false;
  bool shut_ = false;
  bool reset_ = false;
  bool is_over_ = false;
};

class SimListener final : public Listener {
 public:
  SimListener(SimWorld::Impl& world, Address address) : world_(world), address_(std::move(address)) {}
  ~SimListener() override { world_.listeners.erase(address_.to_string()); }
  Address address() const override { return address_; }

 private:
  SimWorld::Impl& world_;
  Address address_;
};

Result<std::unique_ptr<Listener>> SimLoop::listen(const Address& address, const ListenOptions&, Accept accept) {
  Address bound = address;
  if (bound.family == Address::Family::kTcp && bound.port == 0) bound.port = world_.next_port++;
  const auto [at, fresh] =
      world_.listeners.try_emplace(bound.to_string(), SimWorld::Impl::Bound{this, std::move(accept)});
  if (!fresh) {
    return fail(ErrorKind::kConflict, "listen_in_use", "another program listens on this address").at(bound.to_string());
  }
  return std::unique_ptr<Listener>(std::make_unique<SimListener>(world_, std::move(bound)));
}

void SimLoop::connect(const Address& address, std::int64_t timeout_nanos, Connected connected) {
  const auto shared = std::make_shared<Connected>(std::move(connected));  // shared: by whichever of two ends it
  after(kLatencyMin, [this, address, timeout_nanos, shared] {
    if (!world_.holds_connects) return finish_connect(address, *shared);
    hold(timeout_nanos, shared, [this, address, shared] { finish_connect(address, *shared); });
  });
}

void SimLoop::hold(std::int64_t timeout_nanos, const std::shared_ptr<Connected>& connected, Task go_on) {
  const std::uint64_t number = ++world_.last_held;
  TimerId timer = 0;
  if (timeout_nanos > 0) {
    timer = after(timeout_nanos - kLatencyMin, [this, number, connected] {
      world_.held.erase(number);
      (*connected)(fail(ErrorKind::kTimeout, "connect_timeout", "no connection in time"));
    });
  }
  world_.held.emplace(number, SimWorld::Impl::Held{this, timer, std::move(go_on)});
}

void SimLoop::finish_connect(const Address& address, const Connected& connected) {
  const auto found = world_.listeners.find(address.to_string());
  if (found == world_.listeners.end()) {
    connected(fail(ErrorKind::kUnavailable, "connect_refused", "cannot connect")
                  .at(address.to_string())
                  .next("see whether a server listens at this address and port"));
    return;
  }
  const auto connection = std::make_shared<Connection>();
  auto own = std::make_unique<SimStream>(*this, connection, 0, address.to_string());
  auto other = std::make_unique<SimStream>(*found->second.loop, connection, 1, world_.from + ":40000");
  found->second.accept(std::move(other));
  connected(std::unique_ptr<Stream>(std::move(own)));
}

}  // namespace

SimWorld::SimWorld(std::uint64_t seed) : impl_(std::make_unique<Impl>(seed)) {}
SimWorld::~SimWorld() = default;
Clock& SimWorld::clock() { return *impl_; }
void SimWorld::jump_wall_clock(std::int64_t nanos) { impl_->wall_offset += nanos; }
std::unique_ptr<Loop> SimWorld::make_loop() { return std::make_unique<SimLoop>(*impl_); }
void SimWorld::break_streams_after(std::uint64_t bytes) { impl_->break_after = bytes; }
void SimWorld::let_resets_overtake(bool overtake) { impl_->resets_overtake = overtake; }
std::size_t SimWorld::held_connects() const { return impl_->held.size(); }

void SimWorld::come_from(std::string host) { impl_->from = std::move(host); }

void SimWorld::hold_connects(bool holds) {
  impl_->holds_connects = holds;
  if (holds) return;
  for (auto& [number, held] : std::exchange(impl_->held, {})) {
    if (held.timer != 0) impl_->cancel(held.timer);
    held.loop->post(std::move(held.go_on));
  }
}

void SimWorld::run_for(std::int64_t nanos) {
  const std::int64_t until = impl_->now + nanos;
  while (!impl_->tasks.empty() && impl_->tasks.begin()->first.first <= until) {
    const auto first = impl_->tasks.begin();
    Task task = std::move(first->second);
    impl_->times.erase(first->first.second);
    impl_->tasks.erase(first);
    impl_->now = std::max(impl_->now, task.at);
    task.run();
  }
  impl_->now = until;
}

}  // namespace wary::io
