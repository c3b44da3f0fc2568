// ledger_bench OUT.json [DIRECTORY]: durable appends a second, beside SQLite committing each event by itself (WAL,
// synchronous=FULL) on the same disk. Both sides are told "durable" only after the disk said so. Writers are closed
// loops: each has one event under way and sends the next when the receipt is there; SQLite takes one writer at a time,
// so more of them cannot help it and one is measured. Rounds alternate; medians are shown; at the end every event is
// read back.
#include <sqlite3.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "codec/json.h"
#include "io/system.h"
#include "ledger/writer.h"

namespace {

using namespace wary;

constexpr int kRounds = 5;
constexpr double kRoundSeconds = 1.5;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "ledger_bench: %s\n", what.c_str());
  std::exit(1);
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

contract::Event event_of(std::uint64_t sequence) {
  contract::Event event;
  event.id = {"edge/bench", 1, sequence};
  event.tenant = "local";
  event.class_uid = contract::EventClass::kHttpActivity;
  event.activity_id = 3;
  event.actor = "Wary::User::\"alice@example.org\"";
  event.device = "Wary::Device::\"laptop-4711\"";
  event.session = "s-2f9c1e77aa03";
  event.resource = "Wary::Route::\"orders/list\"";
  event.action = "Wary::Action::\"GET\"";
  event.decision_id = "d" + std::to_string(sequence);
  event.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  event.detail = R"({"method":"GET","path":"/api/orders?page=)" + std::to_string(sequence) +
                 R"(","status":200,"upstream":"orders.local:8443","bytes":18231,"policies":["orders-read"],"ms":3})";
  event.raw = Bytes(150, 'r');
  return event;
}

// Hands out the next events to `writers` logical writers and waits for their receipts.
class Load {
 public:
  Load(ledger::LedgerWriter& writer, std::uint64_t& sequence) : writer_(writer), sequence_(sequence) {}

  double run(std::size_t writers) {
    const double start = seconds_now();
    const double end = start + kRoundSeconds;
    for (std::size_t i = 0; i < writers; ++i) send();
    std::uint64_t done = 0;
    while (under_way_ > 0) {
      std::size_t ready = 0;
      {
        std::unique_lock lock(mutex_);
        arrived_.wait(lock, [this] { return ready_ > 0; });
        ready = std::exchange(ready_, 0);
        if (failed_) die("an append failed");
      }
      done += ready;
      under_way_ -= ready;
      if (seconds_now() < end) {
        for (std::size_t i = 0; i < ready; ++i) send();
      }
    }
    return static_cast<double>(done) / (seconds_now() - start);
  }

 private:
  void send() {
    const contract::Event event = event_of(++sequence_);
    const Status taken = writer_.submit({&event, 1}, [this](const Result<std::vector<ledger::Receipt>>& receipts) {
      const std::lock_guard lock(mutex_);
      if (!receipts.ok() || receipts->front().duplicate) failed_ = true;
      if (++ready_ == 1) arrived_.notify_one();
    });
    if (!taken.ok()) die(taken.error().to_string());
    ++under_way_;
  }

  ledger::LedgerWriter& writer_;
  std::uint64_t& sequence_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::size_t ready_ = 0;
  std::size_t under_way_ = 0;
  bool failed_ = false;
};

class Sqlite {
 public:
  explicit Sqlite(const std::string& path) {
    if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) die("sqlite3_open");
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA synchronous=FULL");
    execute(
        "CREATE TABLE events(id INTEGER PRIMARY KEY, source TEXT, boot INTEGER, sequence INTEGER, entry BLOB,"
        "UNIQUE(source, boot, sequence))");
    if (sqlite3_prepare_v2(db_, "INSERT INTO events(source, boot, sequence, entry) VALUES('edge/bench', 1, ?, ?)", -1,
                           &insert_, nullptr) != SQLITE_OK) {
      die("sqlite3_prepare");
    }
  }
  ~Sqlite() {
    sqlite3_finalize(insert_);
    sqlite3_close(db_);
  }
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;

  double run() {
    const double start = seconds_now();
    std::uint64_t done = 0;
    while (seconds_now() < start + kRoundSeconds) {
      const auto entry = contract::encode(event_of(++sequence_));
      sqlite3_bind_int64(insert_, 1, static_cast<sqlite3_int64>(sequence_));
      sqlite3_bind_blob(insert_, 2, entry->data(), static_cast<int>(entry->size()), SQLITE_TRANSIENT);
      if (sqlite3_step(insert_) != SQLITE_DONE) die("sqlite3_step");
      sqlite3_reset(insert_);
      ++done;
    }
    return static_cast<double>(done) / (seconds_now() - start);
  }

  // Every event is there and readable.
  void check() {
    sqlite3_stmt* select = nullptr;
    sqlite3_prepare_v2(db_, "SELECT sequence, entry FROM events ORDER BY id", -1, &select, nullptr);
    std::uint64_t seen = 0;
    while (sqlite3_step(select) == SQLITE_ROW) {
      ++seen;
      const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(select, 1));
      const auto event = contract::decode_event({data, static_cast<std::size_t>(sqlite3_column_bytes(select, 1))});
      if (!event.ok() || event->id.sequence != seen) die("SQLite lost an event");
    }
    sqlite3_finalize(select);
    if (seen != sequence_) die("SQLite lost events");
  }

 private:
  void execute(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) die(sql);
  }
  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  std::uint64_t sequence_ = 0;
};

std::string command_output(const char* command) {
  std::FILE* pipe = popen(command, "r");
  if (pipe == nullptr) return "";
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF && c != '\n'; c = std::fgetc(pipe)) text += static_cast<char>(c);
  pclose(pipe);
  return text;
}

struct Figure {
  std::string name;
  double value = 0;
  double peer = 0;
};

void write_json(const char* path, const std::vector<Figure>& figures) {
  codec::Json list = codec::Json::array();
  for (const Figure& figure : figures) {
    list.push(codec::Json::object({{"name", figure.name},
                                   {"value", figure.value},
                                   {"unit", "durable events/s"},
                                   {"peer", "SQLite, WAL, synchronous=FULL, one commit an event"},
                                   {"peer_value", figure.peer},
                                   {"ratio", figure.value / figure.peer}}));
  }
  const codec::Json json =
      codec::Json::object({{"commit", command_output("git rev-parse HEAD 2>/dev/null")},
                           {"machine", command_output("uname -srm") + ", " +
                                           std::to_string(std::thread::hardware_concurrency()) + " cores"},
                           {"figures", std::move(list)}});
  std::ofstream(path) << json.to_pretty_string() << "\n";
}

std::vector<Figure> measure(const std::string& directory) {
  const auto files = io::make_real_files();
  const auto clock = io::make_system_clock();
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEd25519);
  ledger::LedgerOptions options;
  options.vkey = ledger::NoteVerifier::of("bench.wary/log", key->public_key())->to_vkey();
  const auto sign = [&](ByteView text) { return key->sign(text); };
  auto opened = ledger::Ledger::open(*files, directory + "/ledger", *clock, sign, options);
  if (!opened.ok()) die(opened.error().to_string());
  std::uint64_t sequence = 0;
  const std::vector<std::size_t> counts = {1, 16, 256};
  std::vector<std::vector<double>> rates(counts.size());
  std::vector<double> peer_rates;
  Sqlite sqlite(directory + "/events.db");
  {
    ledger::LedgerWriter writer(std::move(*opened), *clock, {});
    for (int round = 0; round < kRounds; ++round) {
      peer_rates.push_back(sqlite.run());
      for (std::size_t i = 0; i < counts.size(); ++i) rates[i].push_back(Load(writer, sequence).run(counts[i]));
    }
  }
  auto again = ledger::Ledger::open(*files, directory + "/ledger", *clock, sign, options);
  if (!again.ok()) die(again.error().to_string());
  if ((*again)->head().size != sequence) die("the ledger lost events");
  for (std::uint64_t first = 0; first < sequence; first += 4096) {
    const auto events = (*again)->read_range(first, 4096);
    if (!events.ok()) die(events.error().to_string());
    for (const auto& stored : *events) {
      if (stored.event.id.sequence != stored.index + 1) die("the ledger's events are out of order");
    }
  }
  const auto report = (*again)->check();
  if (!report.ok() || !report->findings.empty()) die("the ledger does not check");
  sqlite.check();
  std::printf("outputs checked: %llu ledger entries and every SQLite row read back\n",
              static_cast<unsigned long long>(sequence));
  std::vector<Figure> figures;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    figures.push_back({"append_" + std::to_string(counts[i]) + "_writers", median(rates[i]), median(peer_rates)});
  }
  return figures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) die("usage: ledger_bench OUT.json [DIRECTORY]");
  std::string directory = (argc > 2 ? std::string(argv[2]) : std::string(".")) + "/ledger-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) die("no directory");
  const auto figures = measure(directory);
  std::filesystem::remove_all(directory);
  std::printf("%-24s %14s %14s %8s\n", "durable appends/s", "wary", "SQLite", "ratio");
  for (const Figure& figure : figures) {
    std::printf("%-24s %14.0f %14.0f %7.1fx\n", figure.name.c_str(), figure.value, figure.peer,
                figure.value / figure.peer);
  }
  write_json(argv[1], figures);
}
