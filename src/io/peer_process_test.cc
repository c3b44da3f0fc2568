#include "io/peer_process.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "io/loop.h"
#include "io/process.h"
#include "io/system.h"

using namespace wary;
using namespace wary::io;

namespace {

// A listener, and one connection to it that `program` made.
struct PeerWorld {
  std::string directory = std::filesystem::temp_directory_path() / ("wary-peer-" + std::to_string(getpid()));
  std::unique_ptr<Clock> clock = make_system_clock();
  std::unique_ptr<Loop> loop = make_epoll_loop(*clock);
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> stream;
  PeerWorld() {
    std::filesystem::create_directory(directory);
    auto made = loop->listen(Address::unix_socket(path()), {}, [this](std::unique_ptr<Stream> accepted) {
      stream = std::move(accepted);
      loop->stop();
    });
    REQUIRE(made.ok());
    listener = std::move(made).value();
  }
  ~PeerWorld() {
    stream.reset();
    listener.reset();
    std::filesystem::remove_all(directory);
  }
  std::string path() const { return directory + "/s"; }
  void accept() {
    loop->after(10 * kNanosPerSecond, [this] { loop->stop(); });
    loop->run();
    REQUIRE(stream != nullptr);
  }
};

}  // namespace

TEST_CASE("who connected is known by a pidfd, and its end is seen") {
  PeerWorld world;
  auto child = Process::start({"/usr/bin/perl", "-MIO::Socket::UNIX", "-e",
                               "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; sleep 60", world.path()},
                              {});
  REQUIRE(child.ok());
  world.accept();
  auto peer = world.stream->peer_process();
  REQUIRE(peer.ok());
  CHECK((*peer)->pid() == (*child)->pid());
  CHECK((*peer)->is_running());
  const auto facts = read_process((*peer)->pid());
  REQUIRE(facts.ok());
  CHECK(facts->uid == geteuid());
  CHECK(facts->gid == getegid());
  CHECK(facts->path.starts_with("/usr/bin/perl"));
  std::int64_t bytes = 0;
  const auto read =
      read_program((*peer)->pid(), 1 << 30, [&](ByteView part) { bytes += static_cast<std::int64_t>(part.size()); });
  REQUIRE(read.ok());
  CHECK(*read == facts->program);
  CHECK(bytes == facts->program.size);
  CHECK(read_program((*peer)->pid(), 10, [](ByteView) {}).error().code == "process_program_size");
  bool ended = false;
  REQUIRE(world.loop->watch((*peer)->descriptor(), [&] {
    ended = true;
    world.loop->unwatch((*peer)->descriptor());
    world.loop->stop();
  }));
  REQUIRE((*child)->signal(SIGKILL));
  world.loop->run();
  CHECK(ended);
  CHECK(!(*peer)->is_running());
  // Reaped: its number is free, and the pidfd still says that it is gone.
  REQUIRE((*child)->wait(10'000));
  CHECK(!(*peer)->is_running());
  CHECK(read_process((*peer)->pid()).error().code == "process_gone");
  CHECK(!read_process((*peer)->pid()).error().next_step.empty());
}

TEST_CASE("a connection over TCP has no process") {
  PeerWorld world;
  auto listener = world.loop->listen(Address::tcp("127.0.0.1", 0), {}, [&](std::unique_ptr<Stream> accepted) {
    world.stream = std::move(accepted);
    world.loop->stop();
  });
  REQUIRE(listener.ok());
  std::unique_ptr<Stream> client;
  world.loop->connect((*listener)->address(), kNanosPerSecond, [&](Result<std::unique_ptr<Stream>> made) {
    if (made) client = std::move(made).value();
  });
  world.accept();
  const auto peer = world.stream->peer_process();
  REQUIRE(!peer.ok());
  CHECK(peer.error().code == "peer_process");
}

TEST_CASE("what /proc says of a process is read strictly") {
  const auto status = parse_process_status("Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n");
  REQUIRE(status.ok());
  CHECK(status->uid == 2);
  CHECK(status->gid == 6);
  CHECK(status->groups == std::vector<gid_t>{9, 10});
  CHECK(parse_process_status("Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t\n")->groups.empty());
  for (const char* bad : {"", "Uid:\t1\t2\t3\nGid:\t5\t6\t7\t8\n", "Uid:\t1\tx\t3\t4\nGid:\t5\t6\t7\t8\n",
                          "Uid:\t1\t99999999999\t3\t4\nGid:\t5\t6\t7\t8\n", "Name:\tUid:\t1\t2\t3\t4\n"}) {
    CAPTURE(bad);
    CHECK(!parse_process_status(bad).ok());
  }
  CHECK(parse_process_cgroup("0::/system.slice/a.service\n") == "/system.slice/a.service");
  CHECK(parse_process_cgroup("12:pids:/x\n1:name=systemd:/user.slice\n") == "/user.slice");
  CHECK(parse_process_cgroup("1:name=systemd:/a\n0::/b:c\n") == "/b:c");
  CHECK(parse_process_cgroup("0::/\n") == "");
  CHECK(parse_process_cgroup("nothing") == "");
  constexpr std::string_view kUsers = "root:x:0:0::/:\nbad line\nalice:x:1000:1000::/home/alice:\n";
  CHECK(name_of_id(kUsers, 0) == "root");
  CHECK(name_of_id(kUsers, 1000) == "alice");
  CHECK(name_of_id(kUsers, 100) == "");
}
