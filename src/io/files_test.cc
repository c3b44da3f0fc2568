#include "io/files.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "io/placed_memory.h"
#include "io/sim_files.h"
#include "io/system.h"

namespace wary::io {
namespace {

// A folder of this test alone, gone when it ends.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "wary-io-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Bytes filled(std::size_t size, std::uint8_t value) { return Bytes(size, value); }

// Two pages in parts, the second of three pages' room.
void check_placing(Files& files, const std::string& path) {
  constexpr std::uint64_t kPage = 4096;
  const Bytes last = filled(100, 'b');
  const std::array<FilePart, 2> parts = {FilePart{10, as_bytes("a")}, FilePart{kPage, last}};
  REQUIRE(write_file_atomically(files, path, 2 * kPage, parts).ok());
  const auto file = *files.open(path, OpenMode::kRead);
  CHECK(*file->size() == 2 * kPage);
  Placement where{.address = std::uint64_t{0x5670} << 32,
                  .bytes = 4 * kPage,
                  .pieces = {{.offset = 0, .bytes = kPage, .at = 0, .room = kPage},
                             {.offset = kPage, .bytes = 100, .at = kPage, .room = 3 * kPage, .is_writable = true}}};
  {
    const auto placed = file->place(where);
    REQUIRE(placed.ok());
    const auto memory = (*placed)->span();
    CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) == where.address);
    CHECK(memory.size() == 4 * kPage);
    CHECK(memory[9] == 0);
    CHECK(memory[10] == 'a');
    CHECK(memory[kPage + 99] == 'b');
    CHECK(memory[4 * kPage - 1] == 0);
    memory[kPage] = 'c';
    memory[4 * kPage - 1] = 'd';
    CHECK(file->place(where).error().code == "memory_address");
    CHECK(as_text(*read_file(files, path, 2 * kPage)).substr(kPage, 1) == "b");  // what is written stays in memory
  }
  const auto again = file->place(where);  // free again, and as it was
  REQUIRE(again.ok());
  CHECK((*again)->span()[kPage] == 'b');
  CHECK((*again)->span()[4 * kPage - 1] == 0);
  where.address += 1;
  CHECK(file->place(where).error().code == "memory_placement");
  where.address += 16 * kPage - 1;
  where.pieces[1].bytes = kPage + 1;
  CHECK(file->place(where).error().code == "memory_placement");
  where.pieces[1].bytes = 100;
  where.pieces[1].room = 4 * kPage;
  CHECK(file->place(where).error().code == "memory_placement");
  REQUIRE(files.remove(path).ok());
}

// What both file systems promise.
void check_contract(Files& files, const std::string& folder) {
  const std::string path = folder + "/a";
  CHECK(files.open(path, OpenMode::kRead).error().code == "file_not_found");
  CHECK(files.open(path, OpenMode::kReadWrite).error().code == "file_not_found");
  auto file = files.open(path, OpenMode::kCreateNew);
  REQUIRE(file.ok());
  CHECK(files.open(path, OpenMode::kCreateNew).error().code == "file_exists");
  REQUIRE((*file)->write_at(3, as_bytes("xyz")).ok());
  Bytes out(10);
  CHECK(*(*file)->read_at(0, out) == 6);
  CHECK(out[0] == 0);
  CHECK(out[5] == 'z');
  CHECK(*(*file)->read_at(100, out) == 0);
  REQUIRE((*file)->truncate(4).ok());
  CHECK(*(*file)->size() == 4);
  REQUIRE((*file)->reserve(8192).ok());
  CHECK(*(*file)->size() == 8192);
  REQUIRE((*file)->reserve(100).ok());
  CHECK(*(*file)->size() == 8192);
  REQUIRE((*file)->sync().ok());

  auto second = files.open(path, OpenMode::kReadWrite);
  REQUIRE((*file)->lock().ok());
  CHECK((*second)->lock().error().code == "file_locked");
  file->reset();
  CHECK((*second)->lock().ok());

  const FileIdentity before = (*second)->status()->identity;
  CHECK(files.status(path)->identity == before);
  REQUIRE(write_file_atomically(files, path, as_bytes("new")).ok());
  CHECK_FALSE(files.status(path)->identity == before);
  CHECK(as_text(*read_file(files, path, 3)) == "new");
  CHECK(read_file(files, path, 2).error().code == "file_too_large");

  REQUIRE(files.make_directory(folder + "/d").ok());
  CHECK(files.make_directory(folder + "/d").ok());
  CHECK(files.make_directory(path).error().code == "file_exists");
  CHECK(files.make_directory(folder + "/none/d").error().code == "file_not_found");
  CHECK(files.status(folder + "/d")->is_directory);
  CHECK(*files.list(folder) == std::vector<std::string>{"a", "d"});
  REQUIRE(files.rename(path, folder + "/d/b").ok());
  CHECK(files.status(path).error().code == "file_not_found");
  CHECK(*files.list(folder + "/d") == std::vector<std::string>{"b"});
  REQUIRE(files.remove(folder + "/d/b").ok());
  CHECK(files.remove(folder + "/d/b").error().code == "file_not_found");
  CHECK(files.list(folder + "/none").error().code == "file_not_found");
  CHECK(files.rename(folder + "/none", folder + "/x").error().code == "file_not_found");
  CHECK(files.sync_directory(folder).ok());
  check_placing(files, folder + "/p");
  auto read_only = files.open(folder + "/r", OpenMode::kCreate);
  read_only->reset();
  auto reader = files.open(folder + "/r", OpenMode::kRead);
  CHECK_FALSE((*reader)->write_at(0, as_bytes("x")).ok());
}

TEST_CASE("the real file system keeps the contract of files.h") {
  const Scratch scratch;
  check_contract(*make_real_files(), scratch.path());
}

TEST_CASE("the simulated file system keeps the contract of files.h") {
  SimFiles files(1);
  REQUIRE(files.make_directory("root").ok());
  check_contract(files, "root");
}

TEST_CASE("a real file is private, not inherited, and never opened through a symbolic link") {
  const Scratch scratch;
  const auto files = make_real_files();
  REQUIRE(files->open(scratch / "f", OpenMode::kCreate).ok());
  struct stat status{};
  REQUIRE(::stat((scratch / "f").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  REQUIRE(::symlink((scratch / "f").c_str(), (scratch / "link").c_str()) == 0);
  CHECK(files->open(scratch / "link", OpenMode::kRead).error().code == "file_permission");
  CHECK(files->open(std::string_view("a\0b", 3), OpenMode::kRead).error().code == "file_not_found");
  CHECK(files->open("", OpenMode::kCreate).error().code == "file_not_found");
  // A pipe in a file's place is answered at once.
  REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  CHECK(files->open(scratch / "pipe", OpenMode::kRead).ok());
}

TEST_CASE("a full disk is file_no_space with the path") {
  const auto files = make_real_files();
  auto full = files->open("/dev/full", OpenMode::kReadWrite);
  if (!full.ok()) return;  // a sandbox without /dev/full
  const Status status = (*full)->write_at(0, as_bytes("x"));
  REQUIRE_FALSE(status.ok());
  CHECK(status.error().code == "file_no_space");
  CHECK(status.error().where == "/dev/full");
}

TEST_CASE("the system clock goes forward and the system random differs") {
  const auto clock = make_system_clock();
  const Monotonic first = clock->monotonic();
  CHECK(clock->monotonic() >= first);
  CHECK(clock->unix_time().nanos > std::int64_t{1'700'000'000} * kNanosPerSecond);
  const auto random = make_system_random();
  CHECK(random->number() != random->number());
}

TEST_CASE("what was synced survives every power cut and what was not sometimes does not") {
  int lost = 0;
  int kept = 0;
  int torn = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SimFiles files(seed);
    auto file = *files.open("f", OpenMode::kCreate);
    REQUIRE(file->write_at(0, filled(1024, 'a')).ok());
    REQUIRE(file->sync().ok());
    REQUIRE(files.sync_directory(".").ok());
    REQUIRE(file->write_at(1024, filled(2048, 'b')).ok());
    files.crash();
    CHECK_FALSE(file->size().ok());
    const Bytes after = *read_file(files, "f", 1 << 20);
    REQUIRE(after.size() >= 1024);
    CHECK(std::equal(after.begin(), after.begin() + 1024, filled(1024, 'a').begin()));
    int sectors = 0;
    for (std::size_t at = 1024; at < after.size(); at += 512) {
      const bool is_b = after[at] == 'b';
      sectors += is_b ? 1 : 0;
      // Never a part of a sector.
      for (std::size_t i = at; i < at + 512; ++i) CHECK(after[i] == (is_b ? 'b' : 0));
    }
    lost += sectors == 0 ? 1 : 0;
    kept += sectors == 4 ? 1 : 0;
    torn += sectors > 0 && sectors < 4 ? 1 : 0;
  }
  CHECK(lost > 20);
  CHECK(kept > 20);
  CHECK(torn > 20);
}

TEST_CASE("a rename that was not synced leaves the old or the new name after a power cut") {
  int old_names = 0;
  int new_names = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SimFiles files(seed);
    REQUIRE(write_file_atomically(files, "a", as_bytes("old")).ok());
    auto file = *files.open("b", OpenMode::kCreate);
    REQUIRE(file->write_at(0, as_bytes("new")).ok());
    REQUIRE(file->sync().ok());
    REQUIRE(files.rename("b", "a").ok());
    files.crash();
    const std::string text(as_text(*read_file(files, "a", 10)));
    old_names += text == "old" ? 1 : 0;
    new_names += text == "new" ? 1 : 0;
  }
  CHECK(old_names > 5);
  CHECK(new_names > 5);
  CHECK(old_names + new_names == 50);
}

TEST_CASE("an atomic write leaves the old or the new content for a fault at every call") {
  for (const SimFault fault : {SimFault::kPowerCut, SimFault::kIoError, SimFault::kNoSpace}) {
    for (std::uint64_t call = 0; call < 10; ++call) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        SimFiles files(seed);
        REQUIRE(write_file_atomically(files, "a", filled(3000, 'o')).ok());
        files.fail_at(files.calls() + call, fault);
        const Status status = write_file_atomically(files, "a", filled(3000, 'n'));
        files.crash();
        const Bytes after = *read_file(files, "a", 1 << 20);
        if (status.ok()) {
          CHECK(after == filled(3000, 'n'));
        } else {
          CHECK((after == filled(3000, 'o') || after == filled(3000, 'n')));
        }
      }
    }
  }
}

TEST_CASE("after a failed sync a later one does not bring the lost bytes back") {
  int lost = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SimFiles files(seed);
    auto file = *files.open("f", OpenMode::kCreate);
    REQUIRE(files.sync_directory(".").ok());
    REQUIRE(file->write_at(0, filled(512, 'a')).ok());
    files.fail_at(files.calls(), SimFault::kIoError);
    CHECK(file->sync().error().code == "file_io");
    Bytes seen(512);
    CHECK(*file->read_at(0, seen) == 512);
    CHECK(seen == filled(512, 'a'));
    REQUIRE(file->sync().ok());
    files.crash();
    lost += *read_file(files, "f", 1024) == filled(512, 'a') ? 0 : 1;
  }
  CHECK(lost > 5);
  CHECK(lost < 50);
}

TEST_CASE("capacity counts all files and frees with them") {
  SimFiles files(1);
  files.set_capacity(1000);
  auto file = *files.open("f", OpenMode::kCreate);
  REQUIRE(file->reserve(900).ok());
  CHECK(file->write_at(0, filled(900, 'x')).ok());
  auto other = *files.open("g", OpenMode::kCreate);
  CHECK(other->write_at(0, filled(101, 'x')).error().code == "file_no_space");
  CHECK(other->write_at(0, filled(100, 'x')).ok());
  CHECK(other->reserve(101).error().code == "file_no_space");
  REQUIRE(files.remove("f").ok());
  CHECK(other->reserve(1000).ok());
}

TEST_CASE("a power cut stops everything until the power is back, and one seed gives one outcome") {
  const auto run = [](std::uint64_t seed) {
    SimFiles files(seed);
    auto file = *files.open("f", OpenMode::kCreate);
    REQUIRE(files.sync_directory(".").ok());
    files.fail_at(files.calls() + 1, SimFault::kPowerCut);
    CHECK(file->write_at(0, filled(4096, 'x')).ok());
    CHECK_FALSE(file->write_at(4096, filled(4096, 'y')).ok());
    CHECK_FALSE(file->sync().ok());
    CHECK_FALSE(files.open("f", OpenMode::kRead).ok());
    CHECK_FALSE(files.list(".").ok());
    files.crash();
    return *read_file(files, "f", 1 << 20);
  };
  for (std::uint64_t seed = 0; seed < 10; ++seed) CHECK(run(seed) == run(seed));
}

TEST_CASE("a flipped bit is silent") {
  SimFiles files(1);
  REQUIRE(write_file_atomically(files, "f", as_bytes("A")).ok());
  files.flip_bit("f", 0);
  CHECK(as_text(*read_file(files, "f", 10)) == "@");
}

}  // namespace
}  // namespace wary::io
