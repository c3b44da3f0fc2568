#include "enforce/event_ring.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "io/mapped_file.h"

using namespace wary;
using namespace wary::enforce;

namespace {

constexpr std::size_t kBytes = 64 * 1024;

std::vector<std::pair<std::uint64_t, std::string>> all_of(const EventRing& ring) {
  std::vector<std::pair<std::uint64_t, std::string>> entries;
  std::uint64_t cursor = ring.begin();
  ring.read(cursor, [&](const EventRing::Entry& entry) {
    entries.emplace_back(entry.sequence, std::string(as_text(entry.event)));
    return true;
  });
  return entries;
}

}  // namespace

TEST_CASE("events come out in order, and once released they are gone") {
  const auto memory = io::MappedFile::anonymous(kBytes);
  auto ring = EventRing::open(memory->memory(), 7).value();
  CHECK(ring.append(as_bytes("one")) == 1);
  CHECK(ring.append(as_bytes("two")) == 2);
  CHECK(ring.append({}) == 3);
  CHECK(all_of(ring).size() == 3);
  ring.release(7, 2);
  CHECK(all_of(ring) == std::vector<std::pair<std::uint64_t, std::string>>{{3, ""}});
  ring.release(7, 2);
  CHECK(all_of(ring).size() == 1);
  ring.release(7, 3);
  CHECK(all_of(ring).empty());
  CHECK(ring.used_bytes() == 0);
}

TEST_CASE("a full ring refuses, and takes again when there is room") {
  const auto memory = io::MappedFile::anonymous(kBytes);
  auto ring = EventRing::open(memory->memory(), 1).value();
  const std::string event(1000, 'x');
  std::uint64_t taken = 0;
  while (ring.append(as_bytes(event))) ++taken;
  CHECK(taken == (kBytes - 4096) / 1024);
  CHECK(!ring.append(as_bytes(event)));
  ring.release(1, 1);
  CHECK(ring.append(as_bytes(event)));
  CHECK(!ring.append(as_bytes(event)));
  CHECK(!ring.append(Bytes(70'000)));
}

TEST_CASE("many rounds of odd sizes come out as they went in") {
  const auto memory = io::MappedFile::anonymous(kBytes);
  auto ring = EventRing::open(memory->memory(), 1).value();
  std::uint64_t cursor = ring.begin();
  std::uint64_t expected = 1;
  for (std::size_t i = 0; i < 20'000; ++i) {
    const std::string event(i * 37 % 3000, static_cast<char>('a' + i % 26));
    REQUIRE(ring.append(as_bytes(event)).has_value());
    ring.read(cursor, [&](const EventRing::Entry& entry) {
      CHECK(entry.sequence == expected);
      CHECK(as_text(entry.event) == event);
      return true;
    });
    ring.release(1, expected);
    ++expected;
  }
}

TEST_CASE("a consumer that stops gets the same record first the next time") {
  const auto memory = io::MappedFile::anonymous(kBytes);
  auto ring = EventRing::open(memory->memory(), 1).value();
  for (const char* event : {"a", "b", "c"}) REQUIRE(ring.append(as_bytes(event)));
  std::uint64_t cursor = ring.begin();
  std::string seen;
  const auto take_two = [&](const EventRing::Entry& entry) {
    if (seen.size() % 3 == 2) return seen += '|', false;
    seen += as_text(entry.event);
    return true;
  };
  ring.read(cursor, take_two);
  ring.read(cursor, take_two);
  CHECK(seen == "ab|c");
}

TEST_CASE("the next boot finds what the last one left, and a receipt frees only its own boot") {
  const auto memory = io::MappedFile::anonymous(kBytes);
  {
    auto ring = EventRing::open(memory->memory(), 1).value();
    REQUIRE(ring.append(as_bytes("old")));
  }
  auto ring = EventRing::open(memory->memory(), 2).value();
  CHECK(ring.append(as_bytes("new")) == 1);
  CHECK(all_of(ring).size() == 2);
  ring.release(9, 1);
  CHECK(all_of(ring).size() == 2);
  ring.release(2, 1);  // taken above before the old one was: the old one stays, and with it what lies behind
  CHECK(all_of(ring).size() == 2);
  ring.release(1, 1);
  CHECK(all_of(ring) == std::vector<std::pair<std::uint64_t, std::string>>{{1, "new"}});
}

TEST_CASE("a producer killed at any moment leaves whole records only") {
  const std::string path = "/tmp/wary-ring-test-" + std::to_string(getpid());
  std::uint64_t last_size = 0;
  for (int round = 0; round < 50; ++round) {
    unlink(path.c_str());
    {
      auto made = io::MappedFile::open(path, kBytes);
      REQUIRE(made.ok());
    }
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
      auto mapped = io::MappedFile::open(path, kBytes).value();
      auto ring = EventRing::open(mapped->memory(), 5).value();
      for (std::uint64_t i = 1; ring.append(as_bytes(std::to_string(i) + std::string(i % 50, '.'))); ++i) {
        [[maybe_unused]] const auto put = write(pipe_ends[1], &i, sizeof i);  // acknowledged
      }
      pause();
      _exit(0);
    }
    close(pipe_ends[1]);
    usleep(static_cast<useconds_t>(100 + round * 37));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    std::uint64_t acknowledged = 0, number = 0;
    while (read(pipe_ends[0], &number, sizeof number) == sizeof number) acknowledged = number;
    close(pipe_ends[0]);
    auto mapped = io::MappedFile::open(path, kBytes).value();
    const auto ring = EventRing::open(mapped->memory(), 6);
    REQUIRE(ring.ok());
    const auto entries = all_of(*ring);
    CHECK(entries.size() >= acknowledged);
    for (std::size_t i = 0; i < entries.size(); ++i) CHECK(entries[i].first == i + 1);
    last_size = std::max<std::uint64_t>(last_size, entries.size());
  }
  CHECK(last_size > 0);
  unlink(path.c_str());
}

TEST_CASE("what is no ring is refused, and left as it is") {
  const auto memory = io::MappedFile::anonymous(kBytes);
  {
    auto ring = EventRing::open(memory->memory(), 1).value();
    REQUIRE(ring.append(as_bytes("something")));
  }
  memory->memory()[4096 + 24] ^= 1;  // the first byte of the event
  CHECK(EventRing::open(memory->memory(), 1).error().code == "ring_corrupt");
  memory->memory()[4096 + 24] ^= 1;
  CHECK(EventRing::open(memory->memory(), 1).ok());
  const std::uint64_t impossible = 1 << 30;
  std::memcpy(memory->memory().data() + 16, &impossible, 8);
  CHECK(EventRing::open(memory->memory(), 1).error().code == "ring_corrupt");
  memory->memory()[0] = 'x';
  CHECK(EventRing::open(memory->memory(), 1).error().code == "ring_corrupt");
}

TEST_CASE("a mapped file of another size is refused") {
  const std::string path = "/tmp/wary-map-test-" + std::to_string(getpid());
  {
    auto made = io::MappedFile::open(path, kBytes);
    REQUIRE(made.ok());
  }
  CHECK(io::MappedFile::open(path, 2 * kBytes).error().code == "file_size_changed");
  CHECK(io::MappedFile::open("/nonexistent/ring", kBytes).error().code == "file_io");
  unlink(path.c_str());
}
