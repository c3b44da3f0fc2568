#include "ledger/ledger.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>

#include "io/system.h"
#include "ledger/ledger_test_world.h"
#include "ledger/sequences.h"
#include "ledger/tile.h"
#include "ledger/writer.h"
#include "tests/support/skip.h"

namespace wary::ledger {
namespace {

struct LedgerWorld {
  io::SimFiles files{1};
  TestClock clock;
  TestSigner signer;
  Result<std::unique_ptr<Ledger>> try_open(std::uint64_t segment_bytes = 8192) {
    return Ledger::open(files, "log", clock, signer.function(), signer.options(segment_bytes));
  }
  std::unique_ptr<Ledger> open(std::uint64_t segment_bytes = 8192) {
    auto ledger = try_open(segment_bytes);
    if (!ledger.ok()) FAIL(ledger.error().to_string());
    return std::move(ledger).value();
  }
};

TEST_CASE("events come back in order, with proofs that verify, also after opening again") {
  LedgerWorld world;
  constexpr std::size_t kCount = 700;
  std::vector<std::string> notes;
  {
    auto ledger = world.open();
    CHECK(ledger->head() == TreeHead{});
    for (std::size_t i = 0; i < kCount; i += 70) {
      const auto receipts = ledger->append_batch(test_events(i + 1, 70));
      REQUIRE(receipts.ok());
      for (std::size_t k = 0; k < 70; ++k) {
        CHECK((*receipts)[k].index == i + k);
        CHECK_FALSE((*receipts)[k].duplicate);
      }
      notes.push_back(*ledger->checkpoint());
      CHECK(*ledger->checkpoint() == notes.back());
    }
    CHECK(world.try_open().error().code == "ledger_locked");
  }
  auto ledger = world.open();
  CHECK(ledger->head().size == kCount);
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < kCount; ++i) {
    const auto event = ledger->read(i);
    REQUIRE(event.ok());
    CHECK(event->id.sequence == i + 1);
    CHECK(event->receive_time == world.clock.unix_time());
    const Bytes entry = *ledger->read_entry(i);
    leaves.push_back(leaf_hash(entry));
    if (i % 53 == 0) {
      const std::string proof = *ledger->proof(i);
      CHECK(verify_proof(proof, entry, ledger->verifier().to_vkey())->index == i);
    }
  }
  // An independent recomputation of every tenth root.
  Frontier frontier;
  for (std::size_t i = 0; i < kCount; ++i) {
    frontier.append(leaves[i], [](int, std::uint64_t, const Hash&) {});
    if (i % 10 == 0) CHECK(*ledger->root_at(i + 1) == frontier.root());
  }
  CHECK(frontier.root() == ledger->head().root);
  for (const std::string& note : notes) {
    const TreeHead old = verify_checkpoint(note, ledger->verifier())->head;
    const auto proof = ledger->consistency_proof(old.size, kCount);
    REQUIRE(proof.ok());
    CHECK(verify_consistency(*proof, old.size, kCount, old.root, ledger->head().root));
  }
  CHECK(ledger->read(kCount).error().code == "ledger_range");
  CHECK(ledger->root_at(kCount + 1).error().code == "ledger_range");
  CHECK(ledger->inclusion_proof(5, 5).error().code == "ledger_range");
  CHECK(ledger->consistency_proof(6, 5).error().code == "ledger_range");
  CHECK(ledger->read_range(kCount + 1, 1).error().code == "ledger_range");
  CHECK(ledger->read_range(kCount - 3, 100)->size() == 3);
  const auto report = ledger->check();
  REQUIRE(report.ok());
  CHECK(report->findings.empty());
  CHECK(report->entries == kCount);
  CHECK(report->segments > 5);
}

TEST_CASE("an event sent twice is stored once, before and after opening again") {
  LedgerWorld world;
  {
    auto ledger = world.open();
    REQUIRE(ledger->append_batch(test_events(1, 10)).ok());
    auto again = test_events(5, 10);
    again.push_back(again.back());
    const auto receipts = *ledger->append_batch(again);
    CHECK(receipts[0].duplicate);
    CHECK(receipts[0].index == 4);
    CHECK_FALSE(receipts[6].duplicate);
    CHECK(receipts[6].index == 10);
    CHECK(receipts[10].duplicate);
    CHECK(receipts[10].index == receipts[9].index);
    CHECK(ledger->head().size == 14);
    CHECK(ledger->append_batch({})->empty());
  }
  auto ledger = world.open();
  const auto repeated = *ledger->append_batch(test_events(1, 14));
  for (const Receipt& receipt : repeated) CHECK(receipt.duplicate);
  CHECK(ledger->head().size == 14);
  // Another boot is another stream; the order within the window is free.
  CHECK_FALSE((*ledger->append_batch(std::vector{test_event(3, "edge/a", 2)}))[0].duplicate);
  CHECK_FALSE((*ledger->append_batch(std::vector{test_event(1, "edge/a", 2)}))[0].duplicate);
  CHECK((*ledger->append_batch(std::vector{test_event(3, "edge/a", 2)}))[0].duplicate);
  CHECK_FALSE((*ledger->append_batch(std::vector{test_event(2, "edge/a", 2)}))[0].duplicate);
  CHECK(ledger->append_batch(std::vector{test_event(5000, "edge/a", 2)}).error().code == "ledger_sequence");
  CHECK(ledger->append_batch(std::vector{test_event(0)}).error().code == "ledger_sequence");
  CHECK(ledger->append_batch(std::vector{test_event(1, "")}).error().code == "ledger_sequence");
  contract::Event large = test_event(15);
  large.detail.assign(70'000, 'x');
  CHECK(ledger->append_batch(std::vector{large}).error().code == "event_too_large");
  CHECK(ledger->head().size == 17);
}

TEST_CASE("the number of streams that are remembered is bounded, the longest silent goes first") {
  Sequences sequences(3, 10);
  for (std::uint64_t i = 0; i < 3; ++i) sequences.add({"s" + std::to_string(i), 1, 1}, i);
  sequences.add({"s0", 1, 2}, 3);
  sequences.add({"s3", 1, 1}, 4);
  CHECK(sequences.streams() == 3);
  CHECK(sequences.stream({"s0", 1}).has(1));
  CHECK_FALSE(sequences.stream({"s1", 1}).has(1));
  CHECK(sequences.stream({"s0", 1}).fits(12, 10));
  CHECK_FALSE(sequences.stream({"s0", 1}).fits(13, 10));
}

TEST_CASE("the sequence window counts what the same batch brings") {
  LedgerWorld world;
  auto ledger = world.open(1 << 20);
  CHECK(ledger->append_batch(test_events(1, 5000)).ok());  // more than the window, without a gap
  auto gap = test_events(1, 10);
  for (auto& event : gap) event.id.boot = 2;
  gap.push_back(test_event(1'000'000, "edge/a", 2));
  CHECK(ledger->append_batch(gap).error().code == "ledger_sequence");
  CHECK(ledger->head().size == 5000);
}

TEST_CASE("events are found by decision and by filter, newest first") {
  LedgerWorld world;
  auto options = world.signer.options();
  options.decisions_max = 50;
  auto ledger = *Ledger::open(world.files, "log", world.clock, world.signer.function(), options);
  REQUIRE(ledger->append_batch(test_events(1, 300)).ok());
  const auto one = [&](std::string decision) {
    EventFilter filter;
    filter.decision_id = std::move(decision);
    return *ledger->select(filter, 10);
  };
  CHECK(one("d299").at(0).index == 298);
  CHECK(one("d3").at(0).index == 2);  // no longer in memory: found in a segment
  CHECK(one("none").empty());
  EventFilter filter;
  filter.actor = "Wary::User::\"3\"";
  filter.from = {100};
  filter.to = {200};
  const auto found = *ledger->select(filter, 100);
  REQUIRE(found.size() == 15);
  CHECK(found[0].event.id.sequence == 199);
  CHECK(found.back().event.id.sequence == 101);
  CHECK(ledger->select(filter, 3)->size() == 3);
  filter.tenant = "other";
  CHECK(ledger->select(filter, 3)->empty());
}

TEST_CASE("a full disk is refused and appending goes on when there is room again") {
  LedgerWorld world;
  auto ledger = world.open();
  REQUIRE(ledger->append_batch(test_events(1, 10)).ok());
  world.files.set_capacity(0);
  std::uint64_t next = 11;
  bool refused = false;
  while (next < 200 && !refused) {
    const auto receipts = ledger->append_batch(test_events(next, 10));
    if (receipts.ok()) {
      next += 10;
    } else {
      refused = true;
      CHECK(receipts.error().code == "ledger_unavailable");
      CHECK(receipts.error().kind == ErrorKind::kUnavailable);
    }
  }
  REQUIRE(refused);
  CHECK(ledger->head().size == next - 1);
  CHECK_FALSE(ledger->append_batch(test_events(next, 10)).ok());
  CHECK_FALSE(ledger->checkpoint().ok());
  CHECK(ledger->read(0).ok());
  world.files.set_capacity(UINT64_MAX);
  CHECK(ledger->append_batch(test_events(next, 10)).ok());
  CHECK(ledger->checkpoint().ok());
  CHECK(ledger->check()->findings.empty());
  ledger.reset();
  CHECK(world.open()->head().size == next + 9);
}

TEST_CASE("a segment that is removed, replaced or cut is noticed at the next append") {
  for (const int how : {0, 1, 2}) {
    LedgerWorld world;
    auto ledger = world.open();
    REQUIRE(ledger->append_batch(test_events(1, 5)).ok());
    const std::string path = "log/segments/00000000000000000000.seg";
    if (how == 0) REQUIRE(world.files.rename(path, "log/away").ok());
    if (how == 1) {
      const Bytes copy = *io::read_file(world.files, path, 1 << 20);
      REQUIRE(world.files.rename(path, "log/away").ok());
      REQUIRE(io::write_file_atomically(world.files, path, copy).ok());
    }
    if (how == 2) REQUIRE((*world.files.open(path, io::OpenMode::kReadWrite))->truncate(100).ok());
    for (int i = 0; i < 3; ++i) {
      const auto receipts = ledger->append_batch(test_events(6, 1));
      REQUIRE_FALSE(receipts.ok());
      CHECK(receipts.error().code == "ledger_unavailable");
      CHECK(receipts.error().where == path);
    }
    if (how == 2) continue;
    REQUIRE(world.files.rename("log/away", path).ok());
    CHECK(ledger->append_batch(test_events(6, 1)).ok());
  }
}

TEST_CASE("a log shorter than its checkpoint, or of another key, is refused") {
  LedgerWorld world;
  {
    auto ledger = world.open();
    for (std::uint64_t i = 1; i <= 200; i += 10) REQUIRE(ledger->append_batch(test_events(i, 10)).ok());
    REQUIRE(ledger->checkpoint().ok());
  }
  const auto names = *world.files.list("log/segments");
  REQUIRE(names.size() > 2);
  REQUIRE(world.files.rename("log/segments/" + names.back(), "log/away").ok());
  CHECK(world.try_open().error().code == "ledger_truncated");
  REQUIRE(world.files.rename("log/away", "log/segments/" + names.back()).ok());
  REQUIRE(world.files.rename("log/segments/" + names[1], "log/away").ok());
  CHECK(world.try_open().error().code == "ledger_corrupt");
  REQUIRE(world.files.rename("log/away", "log/segments/" + names[1]).ok());
  CHECK(world.try_open().ok());
  // The tree head put back to an older one, with the newer checkpoint still there.
  const Bytes head = *io::read_file(world.files, "log/head", 100);
  REQUIRE(world.files.remove("log/head").ok());
  CHECK(world.try_open().error().code == "ledger_truncated");
  REQUIRE(io::write_file_atomically(world.files, "log/head", head).ok());
  REQUIRE(io::write_file_atomically(world.files, "log/segments/notes.txt", head).ok());
  CHECK(world.try_open().error().code == "ledger_corrupt");
  REQUIRE(world.files.remove("log/segments/notes.txt").ok());
  world.signer = TestSigner();
  CHECK(world.try_open().error().code == "note_unsigned");
}

TEST_CASE("a signer that fails or signs with another key leaves the log as it was") {
  LedgerWorld world;
  const TestSigner other;
  bool broken = true;
  const SignCheckpoint sign = [&](ByteView text) -> Result<Bytes> {
    if (broken) return fail(ErrorKind::kUnavailable, "signer_away", "no signer");
    return other.key.sign(text);
  };
  auto ledger = *Ledger::open(world.files, "log", world.clock, sign, world.signer.options());
  REQUIRE(ledger->append_batch(test_events(1, 3)).ok());
  CHECK(ledger->checkpoint().error().code == "signer_away");
  broken = false;
  CHECK(ledger->checkpoint().error().code == "note_signature");
  CHECK(ledger->append_batch(test_events(4, 3)).ok());
  ledger.reset();
  CHECK(world.open()->head().size == 6);
  LedgerOptions tiny = world.signer.options(100);
  CHECK(Ledger::open(world.files, "log", world.clock, sign, tiny).error().code == "ledger_range");
  CHECK(Ledger::open(world.files, "log", world.clock, sign, {}).error().code == "note_key");
}

std::vector<std::string> stored_files(io::SimFiles& files) {
  std::vector<std::string> all;
  for (const char* folder : {"log", "log/segments", "log/tree"}) {
    const auto names = *files.list(folder);
    for (const std::string& name : names) {
      const std::string path = std::string(folder) + "/" + name;
      const auto status = files.status(path);
      if (!status->is_directory && status->size > 0) all.push_back(path);
    }
  }
  return all;
}

TEST_CASE("a bit flipped anywhere is found, with its file, offset and entry or tile") {
  LedgerWorld world;
  auto ledger = world.open(4096);
  REQUIRE(ledger->append_batch(test_events(1, 150)).ok());
  REQUIRE(ledger->append_batch(test_events(151, 150)).ok());
  REQUIRE(ledger->checkpoint().ok());
  std::size_t flips = 0;
  for (const std::string& path : stored_files(world.files)) {
    const std::uint64_t size = world.files.status(path)->size;
    for (std::uint64_t offset = 0; offset < size; offset += 97) {
      world.files.flip_bit(path, offset);
      const auto report = ledger->check();
      REQUIRE(report.ok());
      CAPTURE(path);
      CAPTURE(offset);
      REQUIRE_FALSE(report->findings.empty());
      const CheckFinding& first = report->findings.front();
      CHECK(first.file == path);
      CHECK(first.offset <= offset);
      if (path.find("/tree/") != std::string::npos) {
        CHECK(first.offset == offset / 32 * 32);
        CHECK_FALSE(first.tile.empty());
      }
      CHECK(first.to_string().find(path) == 0);
      world.files.flip_bit(path, offset);
      ++flips;
    }
  }
  CHECK(flips > 500);
  CHECK(ledger->check()->findings.empty());
  // What is read for a caller is checked on the way, not only by check().
  world.files.flip_bit("log/segments/00000000000000000000.seg", 100);
  CHECK(ledger->read(0).error().code == "ledger_corrupt");
  world.files.flip_bit("log/segments/00000000000000000000.seg", 100);
  world.files.flip_bit("log/tree/level-0", 32 * 5);
  CHECK(ledger->read(5).error().code == "ledger_corrupt");
  CHECK(ledger->inclusion_proof(4, 300).error().code == "ledger_corrupt");
  // Opening finds entries damaged before the last batch, and does not take that for a torn end.
  world.files.flip_bit("log/segments/00000000000000000000.seg", 100);
  ledger.reset();
  const auto opened = world.try_open(4096);
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().code == "ledger_corrupt");
  CHECK(opened.error().where.find("00000000000000000000.seg") != std::string::npos);
}

TEST_CASE("hashes that are lost or damaged are rebuilt from the entries at opening") {
  LedgerWorld world;
  TreeHead head;
  {
    auto ledger = world.open();
    REQUIRE(ledger->append_batch(test_events(1, 600)).ok());
    REQUIRE(ledger->checkpoint().ok());
    head = ledger->head();
  }
  REQUIRE(world.files.remove("log/tree/level-0").ok());
  CHECK(world.open()->head() == head);
  world.files.flip_bit("log/tree/level-1", 0);
  auto ledger = world.open();
  CHECK(ledger->head() == head);
  CHECK(ledger->check()->findings.empty());
  CHECK(ledger->inclusion_proof(3, 600).ok());
}

// One world on the real file system: threads, export, and the independent verifier.
struct RealWorld {
  std::string path;
  std::unique_ptr<io::Files> files = io::make_real_files();
  TestClock clock;
  TestSigner signer;
  RealWorld() {
    std::string pattern = (std::filesystem::temp_directory_path() / "wary-ledger-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~RealWorld() { std::filesystem::remove_all(path); }
  std::unique_ptr<Ledger> open() {
    auto ledger = Ledger::open(*files, path + "/log", clock, signer.function(), signer.options(std::uint64_t{1} << 20));
    if (!ledger.ok()) FAIL(ledger.error().to_string());
    return std::move(ledger).value();
  }
};

TEST_CASE("many threads append through one writer, and every receipt is true") {
  RealWorld world;
  constexpr std::size_t kThreads = 4, kEach = 500;
  std::mutex mutex;
  std::map<std::uint64_t, std::pair<std::size_t, std::uint64_t>> stored;
  {
    LedgerWriter writer(world.open(), world.clock, {});
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (std::uint64_t i = 1; i <= kEach; ++i) {
          const auto event = test_event(i, "edge/" + std::to_string(t));
          const Status taken = writer.submit({&event, 1}, [&, t, i](const Result<std::vector<Receipt>>& receipts) {
            const std::lock_guard lock(mutex);
            if (receipts.ok()) stored[receipts->front().index] = {t, i};
          });
          if (!taken.ok()) return;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    // One that cannot be stored does not take the others with it.
    const auto gap = test_event(1'000'000, "edge/0");
    const auto good = test_event(kEach + 1, "edge/1");
    std::string gap_code;
    REQUIRE(writer.submit({&gap, 1}, [&](const auto& r) { gap_code = r.ok() ? "stored" : r.error().code; }).ok());
    REQUIRE(writer
                .submit({&good, 1},
                        [&](const auto& r) {
                          const std::lock_guard lock(mutex);
                          if (r.ok()) stored[r->front().index] = {1, kEach + 1};
                        })
                .ok());
    std::promise<std::string> done;
    REQUIRE(writer.run([&](Ledger& ledger) { done.set_value(*ledger.checkpoint()); }).ok());
    CHECK(verify_checkpoint(done.get_future().get(), world.signer.verifier)->head.size == kThreads * kEach + 1);
    CHECK(gap_code == "ledger_sequence");
  }
  REQUIRE(stored.size() == kThreads * kEach + 1);
  auto ledger = world.open();
  for (const auto& [index, from] : stored) {
    const auto event = *ledger->read(index);
    CHECK(event.id.source == "edge/" + std::to_string(from.first));
    CHECK(event.id.sequence == from.second);
  }
}

TEST_CASE("a writer whose queue is full refuses and takes nothing") {
  RealWorld world;
  LedgerWriter writer(world.open(), world.clock, {.queue_bytes_max = 4096});
  std::promise<void> release;
  std::promise<void> holding;
  REQUIRE(writer
              .run([&](Ledger&) {
                holding.set_value();
                release.get_future().wait();
              })
              .ok());
  holding.get_future().wait();
  std::size_t taken = 0;
  Status last;
  std::atomic<std::size_t> called = 0;
  for (std::uint64_t i = 1; i < 100 && last.ok(); ++i) {
    const auto event = test_event(i);
    last = writer.submit({&event, 1}, [&](const auto& receipts) { called += receipts.ok() ? 1U : 0U; });
    if (last.ok()) ++taken;
  }
  REQUIRE_FALSE(last.ok());
  CHECK(last.error().code == "ledger_queue_full");
  CHECK(taken > 0);
  release.set_value();
  while (called < taken) std::this_thread::yield();
  const std::vector<contract::Event> many(20'000);
  CHECK(writer.submit(many, [](const auto&) {}).error().code == "ledger_range");
}

TEST_CASE("an independent program verifies the exported log and its earlier heads") {
  RealWorld world;
  const std::string out = world.path + "/export";
  std::filesystem::create_directories(out + "/heads");
  auto ledger = world.open();
  std::uint64_t next = 1;
  for (const std::size_t count : {1UL, 255UL, 1UL, 300UL, 2000UL}) {
    REQUIRE(ledger->append_batch(test_events(next, count)).ok());
    next += count;
    std::ofstream(out + "/heads/" + std::to_string(next - 1)) << *ledger->checkpoint();
    REQUIRE(ledger->export_static(out).ok());  // growing the same directory
  }
  CHECK(std::filesystem::exists(out + "/tile/0/008"));
  CHECK(std::filesystem::exists(out + "/tile/0/009.p/253"));
  CHECK(std::filesystem::exists(out + "/tile/1/000.p/9"));
  CHECK(std::filesystem::exists(out + "/tile/entries/009.p/253"));
  const auto verify = [&] {
    const std::string script =
        std::filesystem::path(__FILE__).is_absolute()
            ? std::filesystem::path(__FILE__).parent_path().string() + "/../../tests/interop/tlog/run.sh"
            : "tests/interop/tlog/run.sh";
    return WEXITSTATUS(std::system(("bash " + script + " " + out + " '" + ledger->verifier().to_vkey() + "'").c_str()));
  };
  const int result = verify();
  if (result == 77 || result == 127) WARY_SKIP("no Go toolchain, or its module is not there");
  CHECK(result == 0);
  // And it is no rubber stamp.
  std::fstream tile(out + "/tile/entries/003", std::ios::in | std::ios::out | std::ios::binary);
  tile.seekp(50);
  tile.put('!');
  tile.close();
  CHECK(verify() == 1);
}

}  // namespace
}  // namespace wary::ledger
