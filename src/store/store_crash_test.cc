// Every acknowledged batch is there, whole, after the power was cut or the disk failed at any call of a scripted run.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "io/sim_files.h"
#include "store/store.h"

using namespace wary;
using namespace wary::store;

namespace {

class CountingClock final : public Clock {
 public:
  UnixTime unix_time() override { return {++now_}; }
  Monotonic monotonic() override { return {++now_}; }

 private:
  std::int64_t now_ = 1;
};

using Contents = std::map<std::string, std::string>;

constexpr int kBatches = 24;

// Batch i is always the same: it writes three of eight objects, one of them large, and now and then removes one.
Batch batch_of(int i) {
  Batch batch{.actor = "script", .writes = {}};
  for (int k = 0; k < 3; ++k) {
    const std::string name = "o" + std::to_string((i * 3 + k * 5) % 8);
    batch.writes.push_back({{"local", "n", "K", name}, std::to_string(i) + std::string(k == 2 ? 3000 : 20, 'v')});
  }
  return batch;
}

// What the store holds after the first `count` batches.
Contents model(std::uint64_t count) {
  Contents contents;
  for (std::uint64_t i = 0; i < count; ++i) {
    for (const Write& write : batch_of(static_cast<int>(i)).writes) contents[write.key.name] = *write.value;
  }
  return contents;
}

Result<std::unique_ptr<Store>> open_store(io::Files& files, Clock& clock) {
  return Store::open(files, "store", clock, {.checkpoint_pages = 6});
}

// Runs on from where the store is, `batches` at most; returns the last acknowledged revision.
std::uint64_t run_script(io::Files& files, Clock& clock, std::uint64_t acknowledged, int batches = kBatches) {
  auto store = open_store(files, clock);
  if (!store.ok()) return acknowledged;
  acknowledged = std::max(acknowledged, (*store)->revision());  // what an opened store shows must stay, too
  while ((*store)->revision() < kBatches && batches-- > 0) {
    const auto revision = (*store)->commit(batch_of(static_cast<int>((*store)->revision())));
    if (!revision.ok()) return acknowledged;
    acknowledged = *revision;
    if (acknowledged % 10 == 0 && !(*store)->compact(acknowledged - 5).ok()) return acknowledged;
  }
  return acknowledged;
}

void check_contents(io::Files& files, Clock& clock, std::uint64_t acknowledged, std::uint64_t call) {
  auto store = open_store(files, clock);
  REQUIRE_MESSAGE(store.ok(), "call " << call << ": " << (store.ok() ? "" : store.error().to_string()));
  const std::uint64_t revision = (*store)->revision();
  CHECK_MESSAGE(revision >= acknowledged, "call " << call);
  CHECK_MESSAGE(revision <= acknowledged + 1, "call " << call);  // the one that was under way, whole or not at all
  Contents found;
  const auto objects = (*store)->list({}, 100);
  REQUIRE_MESSAGE(objects.ok(), "call " << call);
  for (const Object& object : *objects) found[object.key.name] = object.value;
  CHECK_MESSAGE(found == model(revision), "call " << call);
  const auto changes = (*store)->changes_since((*store)->compacted(), 1000);
  REQUIRE_MESSAGE(changes.ok(), "call " << call);
  CHECK_MESSAGE(changes->size() == 3 * (revision - (*store)->compacted()), "call " << call);
}

std::uint64_t calls_of_a_run() {
  io::SimFiles files(0);
  CountingClock clock;
  CHECK(run_script(files, clock, 0) == kBatches);
  return files.calls();
}

}  // namespace

TEST_CASE("no acknowledged batch is lost when the power is cut at any call") {
  const std::uint64_t calls = calls_of_a_run();
  CHECK(calls > 100);
  for (std::uint64_t call = 0; call < calls; ++call) {
    io::SimFiles files(call * 7 + 1);
    CountingClock clock;
    files.fail_at(call, io::SimFault::kPowerCut);
    const std::uint64_t acknowledged = run_script(files, clock, 0);
    files.crash();
    files.clear_faults();
    check_contents(files, clock, acknowledged, call);
  }
  MESSAGE(calls << " power cuts");
}

TEST_CASE("no acknowledged batch is lost when one call fails, the store is opened again, and then the power is cut") {
  const std::uint64_t calls = calls_of_a_run();
  for (std::uint64_t call = 0; call < calls; ++call) {
    io::SimFiles files(call * 13 + 5);
    CountingClock clock;
    files.fail_at(call, io::SimFault::kIoError);
    std::uint64_t acknowledged = run_script(files, clock, 0);
    acknowledged = run_script(files, clock, acknowledged);
    CHECK_MESSAGE(acknowledged == kBatches, "call " << call);
    files.crash();
    check_contents(files, clock, acknowledged, call);
  }
  MESSAGE(calls << " failed calls");
}

// After a failed sync the kernel shows bytes that the disk may not have: what is committed next must not rest on them.
TEST_CASE("a batch acknowledged right after a failed call does not rest on bytes the disk never got") {
  const std::uint64_t calls = calls_of_a_run();
  for (std::uint64_t call = 0; call < calls; ++call) {
    io::SimFiles files(call * 17 + 3);
    CountingClock clock;
    files.fail_at(call, io::SimFault::kIoError);
    std::uint64_t acknowledged = run_script(files, clock, 0);
    acknowledged = run_script(files, clock, acknowledged, 1);
    files.crash();
    check_contents(files, clock, acknowledged, call);
  }
}
