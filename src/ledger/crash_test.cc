// The ledger under power cuts, I/O errors and full disks at every call of a scripted run.
#include <doctest/doctest.h>

#include <map>

#include "ledger/ledger_test_world.h"

namespace wary::ledger {
namespace {

constexpr std::uint64_t kEvents = 67;  // of the script

// What the outside was told: it must hold whatever happens to the disk.
struct Promised {
  std::map<std::uint64_t, std::uint64_t> acknowledged;  // index to sequence
  std::vector<std::string> notes;
};

// Appends twelve batches of different sizes with checkpoints between, through several segments; stops at the first
// error if `stop`, otherwise sends the failed batch again later, as a client would.
void run_script(Ledger& ledger, Promised& promised, bool stop) {
  std::uint64_t sequence = 1;
  for (int step = 0; step < 12; ++step) {
    const std::size_t count = static_cast<std::size_t>(1 + (step * 7) % 11);
    for (int attempt = 0; attempt < 4; ++attempt) {
      const auto receipts = ledger.append_batch(test_events(sequence, count));
      if (receipts.ok()) {
        for (std::size_t i = 0; i < count; ++i) promised.acknowledged[(*receipts)[i].index] = sequence + i;
        break;
      }
      if (stop) return;
    }
    sequence += count;
    if (step % 3 != 2) continue;
    const auto note = ledger.checkpoint();
    if (note.ok()) {
      promised.notes.push_back(*note);
    } else if (stop) {
      return;
    }
  }
}

void check_promises(Ledger& ledger, const Promised& promised) {
  const TreeHead head = ledger.head();
  for (const auto& [index, sequence] : promised.acknowledged) {
    REQUIRE(index < head.size);
    const auto event = ledger.read(index);
    if (!event.ok()) FAIL(event.error().to_string());
    CHECK(event->id.sequence == sequence);
  }
  // No event twice.
  const auto all = *ledger.read_range(0, head.size);
  std::map<std::uint64_t, int> seen;
  for (const StoredEvent& stored : all) CHECK(++seen[stored.event.id.sequence] == 1);
  for (const std::string& note : promised.notes) {
    const auto old = verify_checkpoint(note, ledger.verifier());
    REQUIRE(old.ok());
    const auto proof = ledger.consistency_proof(old->head.size, head.size);
    REQUIRE(proof.ok());
    CHECK(verify_consistency(*proof, old->head.size, head.size, old->head.root, head.root));
  }
  const auto report = ledger.check();
  REQUIRE(report.ok());
  for (const CheckFinding& finding : report->findings) FAIL(finding.to_string());
}

std::uint64_t calls_of_clean_run(const TestSigner& signer) {
  TestClock clock;
  io::SimFiles files(0);
  auto ledger = *Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
  Promised promised;
  run_script(*ledger, promised, true);
  CHECK(promised.notes.size() == 4);
  check_promises(*ledger, promised);
  return files.calls();
}

TEST_CASE("a power cut at every call loses nothing that was acknowledged and contradicts no checkpoint") {
  const TestSigner signer;
  TestClock clock;
  const std::uint64_t calls = calls_of_clean_run(signer);
  REQUIRE(calls > 80);
  for (std::uint64_t call = 0; call < calls; ++call) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      CAPTURE(call);
      CAPTURE(seed);
      io::SimFiles files(seed * 1000 + call);
      Promised promised;
      files.fail_at(call, io::SimFault::kPowerCut);
      if (auto ledger = Ledger::open(files, "log", clock, signer.function(), signer.options(4096)); ledger.ok()) {
        run_script(**ledger, promised, true);
      }
      files.crash();
      // Power fails again while it recovers.
      files.fail_at(files.calls() + call % 9, io::SimFault::kPowerCut);
      (void)Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
      files.crash();
      auto again = Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
      if (!again.ok()) FAIL(again.error().to_string());
      check_promises(**again, promised);
      // And it goes on: everything is sent once more.
      run_script(**again, promised, true);
      check_promises(**again, promised);
      CHECK((*again)->head().size == kEvents);
    }
  }
  MESSAGE("power cuts survived: " << calls * 3 * 2);
}

TEST_CASE(
    "an I/O error or a full disk at every call is refused, repaired without a restart, and survives a power cut") {
  const TestSigner signer;
  TestClock clock;
  const std::uint64_t calls = calls_of_clean_run(signer);
  for (const io::SimFault fault : {io::SimFault::kIoError, io::SimFault::kNoSpace}) {
    for (std::uint64_t call = 0; call < calls + 5; ++call) {
      CAPTURE(call);
      io::SimFiles files(call);
      Promised promised;
      files.fail_at(call, fault);
      files.fail_at(call + 3, fault);
      auto ledger = Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
      if (!ledger.ok()) {
        CHECK(ledger.error().code == "ledger_unavailable");
        ledger = Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
        if (!ledger.ok()) ledger = Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
        REQUIRE(ledger.ok());
      }
      run_script(**ledger, promised, false);
      CHECK((*ledger)->head().size == kEvents);
      check_promises(**ledger, promised);
      files.clear_faults();
      // The process dies, and later the power: the page cache had shown bytes that a failed sync had lost.
      *ledger = nullptr;
      auto second = Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
      if (!second.ok()) FAIL(second.error().to_string());
      REQUIRE((*second)->append_batch(test_events(1000, 2)).ok());
      promised.acknowledged[kEvents] = 1000;
      *second = nullptr;
      files.crash();
      auto third = Ledger::open(files, "log", clock, signer.function(), signer.options(4096));
      if (!third.ok()) FAIL(third.error().to_string());
      check_promises(**third, promised);
    }
  }
}

TEST_CASE("what a dead process left unsynced is durable before anything after it is acknowledged") {
  const TestSigner signer;
  TestClock clock;
  int recovered = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    io::SimFiles files(seed);
    auto ledger = *Ledger::open(files, "log", clock, signer.function(), signer.options());
    REQUIRE(ledger->append_batch(test_events(1, 3)).ok());
    files.fail_at(files.calls() + 1, io::SimFault::kIoError);  // the sync, after the write
    REQUIRE_FALSE(ledger->append_batch(test_events(4, 20)).ok());
    ledger.reset();  // dies before it can repair
    ledger = *Ledger::open(files, "log", clock, signer.function(), signer.options());
    recovered += ledger->head().size == 23 ? 1 : 0;
    REQUIRE(ledger->append_batch(test_events(24, 1)).ok());
    const std::uint64_t size = ledger->head().size;
    ledger.reset();
    files.crash();
    auto after = Ledger::open(files, "log", clock, signer.function(), signer.options());
    if (!after.ok()) FAIL(after.error().to_string());
    CHECK((*after)->head().size == size);
    CHECK((*after)->read(size - 1)->id.sequence == 24);
  }
  CHECK(recovered == 60);
}

}  // namespace
}  // namespace wary::ledger
