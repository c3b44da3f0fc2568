#include "apps/supervisor.h"

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

using namespace wary;
using namespace wary::apps;

namespace {

// Real processes under a real loop: a shell that says it is ready and waits.
struct SupervisedWorld {
  std::string folder = (std::filesystem::temp_directory_path() / "wary-supervisor-XXXXXX").string();
  Runtime runtime = make_runtime("test");
  std::vector<std::string> lines;  // what the supervisor logged
  std::unique_ptr<Supervisor> supervisor;

  SupervisedWorld() {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    runtime.log = std::make_unique<Log>(
        *runtime.system_clock, "test", [this](std::string_view line) { lines.emplace_back(line); }, 1, 2);
    supervisor = std::make_unique<Supervisor>(runtime, folder);
    Program program;
    program.name = "sleeper";
    program.arguments = {"/bin/sh", "-c", R"(echo '{"event":"process.ready"}'; exec sleep 60)"};
    REQUIRE(supervisor->start(program).ok());
  }
  ~SupervisedWorld() {
    supervisor.reset();
    std::filesystem::remove_all(folder);
  }
  std::size_t count(std::string_view event) const {
    return static_cast<std::size_t>(std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find("\"" + std::string(event) + "\"") != std::string::npos;
    }));
  }
  // True when it came to be in the time.
  bool run_until(const std::function<bool()>& is_done, std::int64_t millis) {
    for (std::int64_t at = 0; at < millis && !is_done(); at += 10) {
      runtime.loop->after(10 * kNanosPerMilli, [this] { runtime.loop->stop(); });
      runtime.loop->run();
    }
    return is_done();
  }
};

// No descriptor more for this process, until it is gone.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    rlimit none = before_;
    none.rlim_cur = 3;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("what died is started again") {
  SupervisedWorld world;
  const pid_t first = world.supervisor->pid_of("sleeper");
  REQUIRE(kill(first, SIGKILL) == 0);
  CHECK(world.run_until([&] { return world.count("process.restarted") == 1; }, 5000));
  CHECK(world.supervisor->pid_of("sleeper") != first);
  CHECK(world.count("process.died") == 1);
  CHECK(world.count("process.not_started") == 0);
}

TEST_CASE("a start that fails is tried again, more seldom each time, until it succeeds") {
  SupervisedWorld world;
  const pid_t first = world.supervisor->pid_of("sleeper");
  {
    const NoDescriptors none;
    const std::int64_t died = world.runtime.system_clock->monotonic().nanos;
    REQUIRE(kill(first, SIGKILL) == 0);
    CHECK(world.run_until([&] { return world.count("process.not_started") == 3; }, 5000));
    CHECK(world.count("process.restarted") == 0);
    // After 50, 100 and 200 ms.
    CHECK(world.runtime.system_clock->monotonic().nanos - died >= 350 * kNanosPerMilli);
  }
  CHECK(world.run_until([&] { return world.count("process.restarted") == 1; }, 5000));
  CHECK(kill(world.supervisor->pid_of("sleeper"), 0) == 0);
}
