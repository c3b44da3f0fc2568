#include "ledger/stored_log.h"

#include <algorithm>

#include "ledger/ledger_test_world.h"
#include "ledger/segment.h"

using namespace wary;
using namespace wary::ledger;

namespace {

// 700 entries over several segments, with a checkpoint at the end and another on the way.
struct StoredLogWorld {
  io::SimFiles files{1};
  TestClock clock;
  TestSigner signer;
  StoredLogWorld() {
    auto ledger = Ledger::open(files, "log", clock, signer.function(), signer.options(16 * 1024)).value();
    for (std::uint64_t i = 0; i < 700; i += 10) {
      REQUIRE(ledger->append_batch(test_events(i + 1, 10)).ok());
      if (i == 300) REQUIRE(ledger->checkpoint().ok());
    }
    REQUIRE(ledger->checkpoint().ok());
  }
  CheckReport check() { return check_stored_log(files, "log", signer.verifier.to_vkey()).value(); }
  std::vector<std::string> stored() {
    std::vector<std::string> paths = {"log/head", "log/checkpoint"};
    for (const char* folder : {"log/segments", "log/tree"}) {
      const std::vector<std::string> names = files.list(folder).value();
      for (const std::string& name : names) paths.push_back(std::string(folder) + "/" + name);
    }
    return paths;
  }
  Bytes content(const std::string& path) { return io::read_file(files, path, kSegmentBytes).value(); }
  void put(const std::string& path, ByteView bytes) { REQUIRE(io::write_file_atomically(files, path, bytes).ok()); }
  static constexpr std::size_t kSegmentBytes = 1 << 20;
};

bool names(const CheckReport& report, const std::string& path) {
  for (const CheckFinding& finding : report.findings) {
    if (finding.file == path) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a whole log has no findings, and reading it writes nothing") {
  StoredLogWorld world;
  std::vector<Bytes> before;
  for (const std::string& path : world.stored()) before.push_back(world.content(path));
  const CheckReport report = world.check();
  CHECK(report.findings.empty());
  CHECK(report.entries == 700);
  CHECK(report.segments > 3);
  std::vector<Bytes> after;
  for (const std::string& path : world.stored()) after.push_back(world.content(path));
  CHECK(before == after);
}

TEST_CASE("any flipped byte is found in its file, and where a record or hash is hit, at its offset") {
  StoredLogWorld world;
  for (const std::string& path : world.stored()) {
    const Bytes good = world.content(path);
    // A prime step meets headers, lengths, checksums, entries, hashes and reserved space; small files byte by byte.
    const std::size_t step = good.size() < 300 ? 1 : 131;
    for (std::size_t at = 0; at < good.size(); at += step) {
      Bytes bad = good;
      bad[at] ^= 0x10;
      world.put(path, bad);
      const CheckReport report = world.check();
      CAPTURE(path);
      CAPTURE(at);
      REQUIRE(names(report, path));
      const CheckFinding& first = report.findings.front();
      if (first.file == path) CHECK(first.offset <= at);
    }
    world.put(path, good);
  }
  CHECK(world.check().findings.empty());
}

TEST_CASE("a truncated file and a missing one are found") {
  StoredLogWorld world;
  for (const std::string& path : world.stored()) {
    const Bytes good = world.content(path);
    CAPTURE(path);
    if (!good.empty()) {
      const auto rest = ByteView(good).subspan(good.size() / 2);
      const bool only_reserved = std::ranges::all_of(rest, [](std::uint8_t byte) { return byte == 0; });
      world.put(path, ByteView(good).first(good.size() / 2));
      CHECK(world.check().findings.empty() == only_reserved);
    }
    REQUIRE(world.files.remove(path).ok());
    CHECK(!world.check().findings.empty());
    world.put(path, good);
  }
  CHECK(world.check().findings.empty());
}

TEST_CASE("an entry that was rewritten with a good checksum is told from a damaged hash") {
  StoredLogWorld world;
  const std::string path = "log/segments/" + segment_name(0);
  Bytes file = world.content(path);
  const SegmentIdentity identity{crypto::sha256(as_bytes(world.signer.verifier.name())), 0};
  const Record record =
      parse_record(ByteView(file).subspan(kSegmentHeaderSize), identity, 0, kSegmentHeaderSize)->value();
  Bytes entry(record.entry.begin(), record.entry.end());
  entry.back() ^= 1;  // "}" of the detail
  Record forged = record;
  forged.entry = entry;
  Bytes written;
  append_record(written, identity, forged);
  std::ranges::copy(written, file.begin() + kSegmentHeaderSize);
  world.put(path, file);
  const CheckReport report = world.check();
  REQUIRE(names(report, path));
  CHECK(report.findings.front().index == 0);
  CHECK(report.findings.front().offset == kSegmentHeaderSize);
  CHECK(!names(report, "log/tree/level-0"));
}

TEST_CASE("a directory without a ledger, or another log's key, is said") {
  StoredLogWorld world;
  CHECK(check_stored_log(world.files, "nothing", world.signer.verifier.to_vkey()).error().code == "ledger_missing");
  CHECK(check_stored_log(world.files, "log", "no key").error().code == "note_key");
  CHECK(!check_stored_log(world.files, "log", TestSigner().verifier.to_vkey())->findings.empty());
}

TEST_CASE("the export of a stored log is that of the running one, and a damaged log is not exported") {
  StoredLogWorld world;
  REQUIRE(export_stored_log(world.files, "log", world.signer.verifier.to_vkey(), "out").ok());
  auto ledger =
      Ledger::open(world.files, "log", world.clock, world.signer.function(), world.signer.options(16 * 1024)).value();
  REQUIRE(ledger->export_static("same").ok());
  for (const char* name : {"checkpoint", "tile/0/000", "tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/000",
                           "tile/entries/002.p/188"}) {
    CHECK(world.content(std::string("out/") + name) == world.content(std::string("same/") + name));
  }
  ledger.reset();
  REQUIRE(world.files.remove("log/tree/level-0").ok());
  CHECK(export_stored_log(world.files, "log", world.signer.verifier.to_vkey(), "again").error().code ==
        "ledger_corrupt");
}
