#include "io/loop.h"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "io/sim_loop.h"
#include "io/system.h"

using namespace wary;
using namespace wary::io;

namespace {

// Reads all, writes it back, ends when the client ends: enough of a server to see order, backpressure and the end.
struct Echo {
  std::unique_ptr<Stream> stream;
  Bytes held;
  bool ended = false;

  explicit Echo(std::unique_ptr<Stream> accepted) : stream(std::move(accepted)) {
    stream->on_ready([this](bool, bool) { step(); });
    stream->want(true, false);
  }
  void step() {
    std::uint8_t buffer[4096];
    while (held.size() < 32768 && !ended) {
      const IoCount got = stream->read(buffer);
      if (got.state != IoCount::State::kSome) {
        ended = got.state != IoCount::State::kWouldBlock;
        break;
      }
      append(held, {buffer, got.count});
    }
    while (!held.empty()) {
      const IoCount put = stream->write(held);
      if (put.state != IoCount::State::kSome) break;
      held.erase(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(put.count));
    }
    if (ended && held.empty()) stream->shutdown_write();
    stream->want(!ended && held.size() < 32768, !held.empty());
  }
};

struct Sender {
  std::unique_ptr<Stream> stream;
  Bytes to_send;
  Bytes received;
  std::size_t sent = 0;
  bool ended = false;
  bool failed = false;

  void start(std::unique_ptr<Stream> connected) {
    stream = std::move(connected);
    stream->on_ready([this](bool, bool) { step(); });
    stream->want(true, true);
  }
  void step() {
    while (sent < to_send.size()) {
      const IoCount put = stream->write(ByteView(to_send).subspan(sent));
      if (put.state != IoCount::State::kSome) break;
      sent += put.count;
      if (sent == to_send.size()) stream->shutdown_write();
    }
    std::uint8_t buffer[4096];
    for (;;) {
      const IoCount got = stream->read(buffer);
      if (got.state == IoCount::State::kSome) {
        append(received, {buffer, got.count});
        continue;
      }
      failed = failed || got.state == IoCount::State::kFailed;
      ended = got.state != IoCount::State::kWouldBlock;
      break;
    }
    stream->want(!ended, !ended && sent < to_send.size());
  }
};

// What this process has computed.
std::int64_t process_cpu_nanos() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto nanos = [](const timeval& time) { return time.tv_sec * kNanosPerSecond + time.tv_usec * 1000; };
  return nanos(used.ru_utime) + nanos(used.ru_stime);
}

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  return bytes;
}

// The same exchange on either twin: `run` turns the loop until the exchange is over.
void exchange_half_a_megabyte(Loop& server, Loop& client, const std::function<void(const bool&)>& run) {
  std::vector<std::unique_ptr<Echo>> echoes;
  auto listener = server.listen(Address::tcp("127.0.0.1", 0), {}, [&](std::unique_ptr<Stream> s) {
    echoes.push_back(std::make_unique<Echo>(std::move(s)));
  });
  REQUIRE(listener.ok());
  Sender sender;
  sender.to_send = pattern(500'000);
  client.connect((*listener)->address(), kNanosPerSecond, [&](Result<std::unique_ptr<Stream>> stream) {
    REQUIRE(stream.ok());
    sender.start(std::move(stream).value());
  });
  run(sender.ended);
  CHECK(sender.received == sender.to_send);
}

// Two connections of which one end is ended at once and kept: with a reset, and with last words. The other end learns
// it though the descriptor is still open, and the end that is over is told of nothing more.
void end_now_and_keep(Loop& loop, const std::function<void()>& run) {
  struct Held {
    std::unique_ptr<Stream> stream;
    std::string received;
    IoCount::State last = IoCount::State::kWouldBlock;
    int told = 0;
  };
  std::vector<std::unique_ptr<Stream>> ours;
  std::vector<int> told(2);
  Held peers[2];
  auto listener = loop.listen(Address::tcp("127.0.0.1", 0), {}, [&](std::unique_ptr<Stream> stream) {
    const std::size_t index = ours.size();
    ours.push_back(std::move(stream));
    ours.back()->on_ready([&told, index](bool, bool) { ++told[index]; });
    ours.back()->want(true, false);
    if (ours.size() < 2) return;
    loop.after(20 * kNanosPerMilli, [&ours] {
      (void)ours[0]->write(as_bytes("held back by nobody"));
      ours[0]->reset_now();
      ours[1]->finish(as_bytes("bye"));
      for (const auto& one : ours) one->want(true, true);
    });
  });
  REQUIRE(listener.ok());
  for (Held& held : peers) {
    loop.connect((*listener)->address(), kNanosPerSecond, [&held](Result<std::unique_ptr<Stream>> stream) {
      REQUIRE(stream.ok());
      held.stream = std::move(*stream);
      held.stream->on_ready([&held](bool, bool) {
        std::uint8_t buffer[64];
        IoCount got = held.stream->read(buffer);
        for (; got.state == IoCount::State::kSome; got = held.stream->read(buffer))
          held.received += as_text({buffer, got.count});
        if (held.last == IoCount::State::kWouldBlock) held.last = got.state;  // the first end that it hears of
        held.stream->want(got.state == IoCount::State::kWouldBlock, false);
      });
      held.stream->want(true, false);
    });
  }
  run();
  REQUIRE(ours.size() == 2);
  std::vector<IoCount::State> ends = {peers[0].last, peers[1].last};
  std::sort(ends.begin(), ends.end());
  CHECK(ends == std::vector<IoCount::State>{IoCount::State::kEnd, IoCount::State::kFailed});
  for (const Held& held : peers) CHECK((held.last == IoCount::State::kEnd) == (held.received == "bye"));
  CHECK(told == std::vector<int>{0, 0});
  std::uint8_t byte[1];
  CHECK(ours[0]->read(byte).state != IoCount::State::kSome);
  CHECK(ours[0]->write(as_bytes("x")).state == IoCount::State::kFailed);
}

}  // namespace

TEST_CASE("the real loop carries bytes in order both ways with backpressure") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  exchange_half_a_megabyte(*loop, *loop, [&](const bool& ended) {
    std::function<void()> poll = [&] {
      if (ended)
        loop->stop();
      else
        loop->after(kNanosPerMilli, poll);
    };
    loop->after(0, poll);
    loop->after(20 * kNanosPerSecond, [&] { loop->stop(); });
    loop->run();
  });
}

TEST_CASE("the simulated loop carries bytes in order both ways with backpressure") {
  SimWorld world(7);
  const auto server = world.make_loop();
  const auto client = world.make_loop();
  exchange_half_a_megabyte(*server, *client, [&](const bool&) { world.run_for(60 * kNanosPerSecond); });
}

TEST_CASE("the simulation gives the same history from the same seed") {
  const auto history = [](std::uint64_t seed) {
    SimWorld world(seed);
    const auto loop = world.make_loop();
    std::vector<std::pair<std::int64_t, std::size_t>> arrivals;
    std::unique_ptr<Stream> server, client;
    auto listener = loop->listen(Address::tcp("127.0.0.1", 80), {}, [&](std::unique_ptr<Stream> s) {
      server = std::move(s);
      server->on_ready([&](bool, bool) {
        std::uint8_t buffer[512];
        const IoCount got = server->read(buffer);
        arrivals.emplace_back(loop->now().nanos, got.count);
      });
      server->want(true, false);
    });
    loop->connect(Address::tcp("127.0.0.1", 80), kNanosPerSecond, [&](Result<std::unique_ptr<Stream>> s) {
      client = std::move(s).value();
      client->write(pattern(10'000));
    });
    world.run_for(kNanosPerSecond);
    return arrivals;
  };
  CHECK(history(3) == history(3));
  CHECK(history(3) != history(4));
}

TEST_CASE("a simulated connection can break in the middle, and both ends learn it") {
  SimWorld world(11);
  const auto loop = world.make_loop();
  std::vector<std::unique_ptr<Echo>> echoes;
  auto listener = loop->listen(Address::tcp("127.0.0.1", 80), {}, [&](std::unique_ptr<Stream> s) {
    echoes.push_back(std::make_unique<Echo>(std::move(s)));
  });
  Sender sender;
  sender.to_send = pattern(100'000);
  loop->connect(Address::tcp("127.0.0.1", 80), kNanosPerSecond,
                [&](Result<std::unique_ptr<Stream>> s) { sender.start(std::move(s).value()); });
  world.break_streams_after(50'000);
  world.run_for(kNanosPerSecond);
  CHECK(sender.failed);
  CHECK(echoes.at(0)->ended);
}

TEST_CASE("what is ended at once is ended for the other side, before its descriptor closes") {
  SUBCASE("simulated") {
    SimWorld world(5);
    const auto loop = world.make_loop();
    end_now_and_keep(*loop, [&] { world.run_for(kNanosPerSecond); });
  }
  SUBCASE("real") {
    const auto clock = make_system_clock();
    const auto loop = make_epoll_loop(*clock);
    end_now_and_keep(*loop, [&] {
      loop->after(200 * kNanosPerMilli, [&] { loop->stop(); });
      loop->run();
    });
  }
}

TEST_CASE("a simulated reset takes back what was not read, or comes behind it") {
  for (const bool overtakes : {true, false}) {
    SimWorld world(5);
    world.let_resets_overtake(overtakes);
    const auto loop = world.make_loop();
    const Address address = Address::tcp("127.0.0.1", 80);
    std::unique_ptr<Stream> ours, theirs;
    auto listener = loop->listen(address, {}, [&](std::unique_ptr<Stream> stream) { ours = std::move(stream); });
    loop->connect(address, 0, [&](Result<std::unique_ptr<Stream>> stream) { theirs = std::move(*stream); });
    world.run_for(kNanosPerSecond);
    (void)ours->write(as_bytes("last words"));
    ours->reset_now();
    world.run_for(kNanosPerSecond);
    std::uint8_t buffer[64];
    const IoCount got = theirs->read(buffer);
    CHECK((got.state == IoCount::State::kSome ? as_text({buffer, got.count}) : "") == (overtakes ? "" : "last words"));
    CHECK(theirs->read(buffer).state == IoCount::State::kFailed);
  }
}

TEST_CASE("whoever connects can be kept waiting: until it is over, or their time is") {
  SimWorld world(5);
  const auto loop = world.make_loop();
  const Address address = Address::tcp("127.0.0.1", 80);
  std::vector<std::unique_ptr<Stream>> accepted;
  auto listener = loop->listen(address, {}, [&](std::unique_ptr<Stream> s) { accepted.push_back(std::move(s)); });
  std::vector<std::string> heard;
  const auto connect = [&](std::int64_t timeout) {
    loop->connect(address, timeout,
                  [&](Result<std::unique_ptr<Stream>> s) { heard.push_back(s.ok() ? "connected" : s.error().code); });
  };
  world.hold_connects(true);
  connect(2 * kNanosPerSecond);
  connect(0);
  connect(10 * kNanosPerSecond);
  world.run_for(kNanosPerSecond);
  CHECK(world.held_connects() == 3);
  CHECK(heard.empty());
  world.run_for(2 * kNanosPerSecond);
  CHECK(heard == std::vector<std::string>{"connect_timeout"});
  CHECK(accepted.empty());
  world.hold_connects(false);
  world.run_for(20 * kNanosPerSecond);
  CHECK(heard == std::vector<std::string>{"connect_timeout", "connected", "connected"});
  CHECK(accepted.size() == 2);
}

TEST_CASE("timers fire in order, a cancelled one does not, and virtual time jumps to them") {
  SimWorld world(1);
  const auto loop = world.make_loop();
  std::vector<int> fired;
  loop->after(2 * kNanosPerSecond, [&] { fired.push_back(2); });
  const TimerId cancelled = loop->after(kNanosPerSecond, [&] { fired.push_back(9); });
  loop->after(kNanosPerSecond, [&] { fired.push_back(1); });
  loop->cancel(cancelled);
  world.run_for(3600 * kNanosPerSecond);
  CHECK(fired == std::vector<int>{1, 2});
}

TEST_CASE("a port that is taken is named") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  auto first = loop->listen(Address::tcp("127.0.0.1", 0), {}, [](std::unique_ptr<Stream>) {});
  REQUIRE(first.ok());
  const auto second = loop->listen((*first)->address(), {}, [](std::unique_ptr<Stream>) {});
  REQUIRE(!second.ok());
  CHECK(second.error().code == "listen_in_use");
  CHECK(second.error().where == (*first)->address().to_string());
}

TEST_CASE("nobody listens: the connection is refused, not late") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  Address address;
  {
    auto listener = loop->listen(Address::tcp("127.0.0.1", 0), {}, [](std::unique_ptr<Stream>) {});
    address = (*listener)->address();
  }
  std::string code, next;
  loop->connect(address, kNanosPerSecond, [&](Result<std::unique_ptr<Stream>> s) {
    code = s.error().code;
    next = s.error().next_step;
    loop->stop();
  });
  loop->run();
  CHECK(code == "connect_refused");
  CHECK(next == "see whether a server listens at this address and port");
}

TEST_CASE("a name is not an address") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  CHECK(loop->listen(Address::tcp("localhost", 80), {}, [](std::unique_ptr<Stream>) {}).error().code ==
        "address_syntax");
  CHECK(loop->listen(Address::unix_socket(std::string(200, 'x')), {}, [](std::unique_ptr<Stream>) {}).error().code ==
        "address_too_long");
}

TEST_CASE("tasks posted from another thread run on the loop's") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  std::thread::id ran_on;
  std::thread other([&] {
    loop->post([&] {
      ran_on = std::this_thread::get_id();
      loop->stop();
    });
  });
  loop->run();
  other.join();
  CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("tasks posted by handlers, timers and tasks of the loop run without anything else happening") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  std::string order;
  // Nothing else would end the wait: a task that was not told of would be run when somebody happened to wake the loop.
  loop->after(kNanosPerMilli, [&] {
    order += "timer ";
    loop->post([&] {
      order += "task ";
      loop->post([&] {
        order += "last";
        loop->stop();
      });
    });
  });
  loop->run();
  CHECK(order == "timer task last");
  loop->post([&] { loop->stop(); });
  loop->run();
}

TEST_CASE("a unix socket tells who connected") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  const std::string path = "/tmp/wary-loop-test-" + std::to_string(getpid());
  PeerCredentials seen;
  auto listener = loop->listen(Address::unix_socket(path), {}, [&](std::unique_ptr<Stream> s) {
    seen = s->peer_credentials();
    loop->stop();
  });
  REQUIRE(listener.ok());
  std::unique_ptr<Stream> client;
  loop->connect(Address::unix_socket(path), kNanosPerSecond,
                [&](Result<std::unique_ptr<Stream>> s) { client = std::move(s).value(); });
  loop->run();
  CHECK(seen.pid == getpid());
  CHECK(seen.uid == getuid());
}

TEST_CASE("a peer's hang-up is told once to who wants nothing, and again when it wants") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  std::unique_ptr<Stream> accepted, client;
  std::size_t told = 0;
  bool wanted = false;
  auto listener = loop->listen(Address::tcp("127.0.0.1", 0), {}, [&](std::unique_ptr<Stream> stream) {
    accepted = std::move(stream);
    accepted->on_ready([&](bool, bool) {
      ++told;
      accepted->want(wanted, false);  // as connections say at the end of each turn
    });
    accepted->want(true, false);
    accepted->want(false, false);
  });
  REQUIRE(listener.ok());
  loop->connect((*listener)->address(), kNanosPerSecond, [&](Result<std::unique_ptr<Stream>> stream) {
    REQUIRE(stream.ok());
    client = std::move(*stream);
  });
  loop->after(50 * kNanosPerMilli, [&] {
    client->reset_on_close();
    client.reset();
  });
  loop->after(100 * kNanosPerMilli, [&] { loop->stop(); });
  loop->run();
  REQUIRE(accepted);
  CHECK(told == 1);
  std::uint8_t byte[1];
  wanted = true;
  accepted->want(wanted, false);
  loop->after(20 * kNanosPerMilli, [&] { loop->stop(); });
  loop->run();
  CHECK(told > 1);
  CHECK(accepted->read(byte).state == IoCount::State::kFailed);
}

TEST_CASE("without a free descriptor a listener rests, and goes on when there is one") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  std::vector<std::unique_ptr<Stream>> accepted;
  auto listener = loop->listen(Address::tcp("127.0.0.1", 0), {}, [&](std::unique_ptr<Stream> s) {
    accepted.push_back(std::move(s));
    loop->stop();
  });
  REQUIRE(listener.ok());
  std::unique_ptr<Stream> client;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const auto allow = [&](rlim_t descriptors) {
    const rlimit limit{descriptors, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  };
  const std::int64_t began = process_cpu_nanos();
  loop->connect((*listener)->address(), kNanosPerSecond,
                [&](Result<std::unique_ptr<Stream>> s) { client = std::move(s).value(); });
  allow(3);  // what is open stays open
  loop->after(300 * kNanosPerMilli, [&] { loop->stop(); });
  loop->run();
  CHECK(accepted.empty());
  CHECK(process_cpu_nanos() - began < 100 * kNanosPerMilli);
  allow(before.rlim_cur);
  loop->run();
  CHECK(accepted.size() == 1);
}

namespace {

// Two ends of a unix socket in a folder of their own.
struct UnixPair {
  std::string folder = (std::filesystem::temp_directory_path() / "wary-loop-XXXXXX").string();
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> here, there;
  explicit UnixPair(Loop& loop) {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    auto listening = loop.listen(Address::unix_socket(folder + "/s"), {}, [&](std::unique_ptr<Stream> s) {
      there = std::move(s);
      loop.stop();
    });
    REQUIRE(listening.ok());
    listener = std::move(listening).value();
    loop.connect(listener->address(), kNanosPerSecond,
                 [&](Result<std::unique_ptr<Stream>> s) { here = std::move(s).value(); });
    loop.run();
    REQUIRE(here != nullptr);
  }
  ~UnixPair() { std::filesystem::remove_all(folder); }
};

}  // namespace

TEST_CASE("a listener pauses, its socket is passed to another, and who waits is accepted there") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  UnixPair pair(*loop);
  int first = 0, second = 0;
  auto listener = loop->listen(Address::tcp("127.0.0.1", 0), {}, [&](std::unique_ptr<Stream>) {
    ++first;
    loop->stop();
  });
  REQUIRE(listener.ok());
  const Address address = (*listener)->address();
  const int passed[] = {(*listener)->descriptor()};  // NOLINT: a test's
  (*listener)->pause();
  std::unique_ptr<Stream> client;
  loop->connect(address, kNanosPerSecond, [&](Result<std::unique_ptr<Stream>> s) { client = std::move(s).value(); });
  loop->after(50 * kNanosPerMilli, [&] { loop->stop(); });
  loop->run();
  CHECK(client != nullptr);  // by the kernel
  CHECK(first == 0);
  REQUIRE(pair.here->write_with(as_bytes("sockets"), passed).ok());
  std::uint8_t buffer[64];  // NOLINT: a read buffer
  std::vector<Descriptor> taken;
  const IoCount got = pair.there->read_with(buffer, taken);
  CHECK(as_text(ByteView(buffer, got.count)) == "sockets");
  REQUIRE(taken.size() == 1);
  listener->reset();  // the socket lives on
  auto heir = loop->listen(address, {.inherited = taken[0].release()}, [&](std::unique_ptr<Stream>) {
    ++second;
    loop->stop();
  });
  REQUIRE(heir.ok());
  loop->run();
  CHECK(second == 1);
  (*heir)->pause();
  (*heir)->resume();
  loop->connect(address, kNanosPerSecond, [&](Result<std::unique_ptr<Stream>> s) { client = std::move(s).value(); });
  loop->run();
  CHECK(second == 2);
}

TEST_CASE("what is passed and is no socket that listens there is refused") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  auto listener = loop->listen(Address::tcp("127.0.0.1", 0), {}, [](std::unique_ptr<Stream>) {});
  REQUIRE(listener.ok());
  const Address elsewhere = Address::tcp("127.0.0.1", static_cast<std::uint16_t>((*listener)->address().port ^ 1));
  const auto refused = [&](const Address& address, int descriptor) {
    const auto made = loop->listen(address, {.inherited = descriptor}, [](std::unique_ptr<Stream>) {});
    return !made && made.error().code == "listen_inherited";
  };
  CHECK(refused(elsewhere, dup((*listener)->descriptor())));
  CHECK(refused((*listener)->address(), open("/dev/null", O_RDONLY | O_CLOEXEC)));
}

TEST_CASE("a unix socket's name stays when another goes on with it") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  UnixPair pair(*loop);
  const std::string path = pair.listener->address().host;
  pair.listener->leave_name();
  pair.listener.reset();
  CHECK(std::filesystem::exists(path));
}
