#include "gateway/handover_side.h"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "io/system.h"

using namespace wary;
using namespace wary::gateway;

namespace {

// Both ends in one process, over a real socket: descriptors are the kernel's to pass.
struct HandoverWorld {
  std::string folder = (std::filesystem::temp_directory_path() / "wary-handover-XXXXXX").string();
  std::unique_ptr<Clock> clock = io::make_system_clock();
  std::unique_ptr<io::Loop> loop = io::make_epoll_loop(*clock);
  std::unique_ptr<io::Listener> listener;
  std::unique_ptr<HandoverGiver> giver;
  std::vector<std::string> events;  // what either did, in order
  std::vector<std::pair<std::string, io::Descriptor>> sockets;
  std::optional<Error> busy, failure;
  bool cannot_take = false;

  explicit HandoverWorld(uid_t own = getuid()) {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    auto listening = loop->listen(io::Address::tcp("127.0.0.1", 0), {}, [](std::unique_ptr<io::Stream>) {});
    REQUIRE(listening.ok());
    listener = std::move(listening).value();
    GiverHooks hooks;
    hooks.busy = [this] { return busy; };
    hooks.sockets = [this] { return std::vector<std::pair<std::string, int>>{{"listen.0", listener->descriptor()}}; };
    hooks.let_go = [this](const std::function<void()>& done) {
      events.push_back("let go");
      loop->post(done);
    };
    hooks.take_back = [this] { events.push_back("take back"); };
    hooks.drain = [this](std::uint32_t seconds) { say("drain " + std::to_string(seconds)); };
    hooks.partner = [](pid_t) {};
    giver = std::make_unique<HandoverGiver>(*loop, null_log(), options("here", own), std::move(hooks));
    REQUIRE(giver->listen().ok());
  }
  ~HandoverWorld() { std::filesystem::remove_all(folder); }

  HandoverOptions options(const std::string& listen, uid_t own = getuid()) const {
    return {folder + "/upgrade.sock", listen, own, 30};
  }
  void say(std::string event) {
    events.push_back(std::move(event));
    loop->stop();
  }
  std::unique_ptr<HandoverTaker> taker(const std::string& listen = "here") {
    TakerHooks hooks;
    hooks.prepare = [this](std::vector<std::pair<std::string, io::Descriptor>> given) {
      sockets = std::move(given);
      say("prepare");
    };
    hooks.take = [this]() -> Status {
      events.push_back("take");
      if (cannot_take) return fail(ErrorKind::kConflict, "listen_inherited", "it does not listen");
      return {};
    };
    hooks.inherit = [this] { say("inherit"); };
    hooks.fail = [this](const Error& why) {
      failure = why;
      say("fail " + why.code);
    };
    hooks.partner = [](pid_t) {};
    auto made = std::make_unique<HandoverTaker>(*loop, options(listen), std::move(hooks));
    made->call();
    return made;
  }
  // Until one of the two says something, or for so long.
  void run(std::int64_t millis = 2000) {
    const io::TimerId late = loop->after(millis * kNanosPerMilli, [this] { loop->stop(); });
    loop->run();
    loop->cancel(late);
  }
};

using Events = std::vector<std::string>;

}  // namespace

TEST_CASE("one edge takes over from another, with its very sockets") {
  HandoverWorld world;
  const auto taker = world.taker();
  world.run();
  REQUIRE(world.sockets.size() == 1);
  CHECK(world.sockets[0].first == "listen.0");
  auto inherited = world.loop->listen(world.listener->address(), {.inherited = world.sockets[0].second.release()},
                                      [](std::unique_ptr<io::Stream>) {});
  CHECK(inherited.ok());
  CHECK_FALSE(taker->is_serving());
  taker->prepared();
  world.run();
  CHECK(world.events == Events{"prepare", "let go", "take", "drain 30"});
  CHECK(taker->is_serving());
  CHECK(taker->has_giver());
  world.giver.reset();
  world.run();
  CHECK(world.events.back() == "inherit");
  CHECK_FALSE(taker->has_giver());
}

TEST_CASE("a taker that goes before it has taken changes nothing, and the next one may come") {
  HandoverWorld world;
  {
    const auto taker = world.taker();
    world.run();
    CHECK(world.events == Events{"prepare"});
  }
  world.run(50);
  const auto next = world.taker();
  world.run();
  next->prepared();
  world.run();
  CHECK(world.events == Events{"prepare", "prepare", "let go", "take", "drain 30"});
}

TEST_CASE("a taker that goes when it was told to take makes the giver's workers begin again") {
  HandoverWorld world;
  std::unique_ptr<HandoverLine> line;
  std::vector<HandoverMessage::Kind> heard;
  const auto say = [&](HandoverMessage::Kind kind) {
    HandoverMessage message;
    message.kind = kind;
    message.listen = "here";
    line->say(message);
  };
  world.loop->connect(io::Address::unix_socket(world.folder + "/upgrade.sock"), kNanosPerSecond,
                      [&](Result<std::unique_ptr<io::Stream>> stream) {
                        REQUIRE(stream.ok());
                        line = std::make_unique<HandoverLine>(std::move(*stream), [&](HandoverLine::Heard what) {
                          heard.push_back(what.message.kind);
                          if (what.message.kind == HandoverMessage::Kind::kSockets) say(HandoverMessage::Kind::kReady);
                          if (what.message.kind == HandoverMessage::Kind::kYours) line->hang_up();
                        });
                        say(HandoverMessage::Kind::kHello);
                      });
  world.run(300);
  CHECK(heard == std::vector{HandoverMessage::Kind::kSockets, HandoverMessage::Kind::kYours});
  CHECK(world.events == Events{"let go", "take back"});
  // And it can be taken over from as before.
  const auto next = world.taker();
  world.run();
  next->prepared();
  world.run();
  CHECK(world.events.back() == "drain 30");
}

TEST_CASE("a taker that cannot use what it was given does not say that it took it, and the giver begins again") {
  HandoverWorld world;
  world.cannot_take = true;
  {
    const auto taker = world.taker();
    world.run();
    taker->prepared();
    world.run();
    world.run(50);
    CHECK(world.events == Events{"prepare", "let go", "take", "fail listen_inherited", "take back"});
    CHECK_FALSE(taker->is_serving());
  }
  world.events.clear();
  world.cannot_take = false;
  const auto next = world.taker();
  world.run();
  next->prepared();
  world.run();
  CHECK(world.events == Events{"prepare", "let go", "take", "drain 30"});
}

TEST_CASE("a socket that was given is looked at before it is used, and its name is left alone") {
  HandoverWorld world;
  const auto check = [&](int socket, const io::Address& address) {
    const Status good = check_given(*world.loop, io::Descriptor(dup(socket)), address);
    return good ? std::string("good") : good.error().code;
  };
  const io::Address here = world.listener->address();
  CHECK(check(world.listener->descriptor(), here) == "good");
  CHECK(check(world.listener->descriptor(), io::Address::tcp("127.0.0.1", 1)) == "listen_inherited");
  CHECK(check(STDERR_FILENO, here) == "listen_inherited");
  int ends[2];  // NOLINT: the kernel's interface wants an array
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const io::Descriptor one(ends[0]), other(ends[1]);
  CHECK(check(one.get(), here) == "listen_inherited");  // it is no listener
  const io::Address named = io::Address::unix_socket(world.folder + "/upgrade.sock");
  CHECK(check(world.giver->descriptor(), named) == "good");
  CHECK(std::filesystem::exists(named.host));
  // And it still accepts.
  const auto taker = world.taker();
  world.run();
  CHECK(world.events == Events{"prepare"});
}

TEST_CASE("who says ready before it has the sockets, or sends what is no message, is refused") {
  for (const int kind : {4, 6, 9}) {
    HandoverWorld world;
    std::unique_ptr<HandoverLine> line;
    std::string refused;
    world.loop->connect(io::Address::unix_socket(world.folder + "/upgrade.sock"), kNanosPerSecond,
                        [&](Result<std::unique_ptr<io::Stream>> stream) {
                          REQUIRE(stream.ok());
                          line = std::make_unique<HandoverLine>(std::move(*stream), [&](HandoverLine::Heard what) {
                            if (!what.message.code.empty()) refused = what.message.code;
                          });
                          HandoverMessage message;
                          message.kind = static_cast<HandoverMessage::Kind>(kind);
                          line->say(message);
                        });
    world.run(100);
    CHECK(refused == "handover_message");
    CHECK(world.events.empty());
  }
}

TEST_CASE("a second taker, another address, another version and a busy giver are refused with a word") {
  HandoverWorld world;
  const auto first = world.taker();
  world.run();
  const auto second = world.taker();
  world.run();
  CHECK(world.events.back() == "fail upgrade_in_progress");
  CHECK_FALSE(first->is_serving());
  first->prepared();
  world.run();
  CHECK(first->is_serving());

  HandoverWorld other;
  const auto moved = other.taker("elsewhere");
  other.run();
  CHECK(other.events == Events{"fail handover_address"});
  other.busy = fail(ErrorKind::kConflict, "upgrade_in_progress", "the one before drains");
  const auto early = other.taker();
  other.run();
  CHECK(other.events.back() == "fail upgrade_in_progress");
}

TEST_CASE("nobody takes over from another user's edge, nor from none") {
  HandoverWorld world(getuid() + 1);
  const auto stranger = world.taker();
  world.run();
  CHECK(world.events == Events{"fail handover_peer"});
  world.giver.reset();
  const auto late = world.taker();
  world.run();
  CHECK(world.events.back() == "fail connect_refused");
}

TEST_CASE("when the giver dies, who has the sockets goes on alone, and who has none fails") {
  HandoverWorld world;
  const auto taker = world.taker();
  world.run();
  world.giver.reset();
  world.run(50);
  CHECK(world.events == Events{"prepare"});
  taker->prepared();
  CHECK(world.events == Events{"prepare", "take", "inherit"});

  HandoverWorld other;
  const auto early = other.taker();
  other.loop->post([&] { other.giver.reset(); });
  other.run();
  CHECK(other.events.back().starts_with(other.sockets.empty() ? "fail" : "prepare"));
}

TEST_CASE("who sends descriptors that no message asks for keeps none of them open") {
  HandoverWorld world;
  const auto open_now = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  std::unique_ptr<io::Stream> caller;
  world.loop->connect(io::Address::unix_socket(world.folder + "/upgrade.sock"), kNanosPerSecond,
                      [&](Result<std::unique_ptr<io::Stream>> stream) { caller = std::move(stream).value(); });
  world.run(50);
  REQUIRE(caller != nullptr);
  const auto before = open_now();
  const std::vector<int> many(100, world.listener->descriptor());
  // A message of 200 bytes that never becomes whole.
  const Bytes begun = {0, 0, 0, 200, 1};
  for (const std::uint8_t byte : begun) {
    if (!caller->write_with(ByteView(&byte, 1), many).ok()) break;  // it may have hung up already
    world.run(20);
  }
  CHECK(open_now() <= before);
  CHECK(world.events.empty());
}
