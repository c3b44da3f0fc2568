// LedgerWriter: the front of a ledger for many threads. One thread owns the ledger; whatever waits when it comes round
// is made durable by one flush (group commit), so that a flush of milliseconds carries thousands of events.
//
//   LedgerWriter writer(std::move(ledger), clock, {});
//   Status taken = writer.submit(events, [](const Result<std::vector<Receipt>>& receipts) { answer(receipts); });
//   writer.run([](Ledger& ledger) { show(ledger.head()); });      // anything else, in the order of the queue
//
// submit() and run() may be called from any thread; they never wait. Callbacks run on the writer's thread, after the
// flush, in the order of submission; they must be short and must not destroy the writer. The destructor makes
// everything taken durable, calls back, and returns. Limits: see LedgerWriterOptions. Errors of submit:
// ledger_queue_full, and those of prepare_event: nothing was taken then. If a batch fails, each submission is tried
// alone once, so that one that cannot be stored does not take others with it.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "base/queue.h"
#include "ledger/ledger.h"

namespace wary::ledger {

struct LedgerWriterOptions {
  std::size_t queue_bytes_max = std::size_t{64} << 20;
  std::size_t batch_bytes_max = std::size_t{8} << 20;
};

class LedgerWriter {
 public:
  using Callback = std::function<void(const Result<std::vector<Receipt>>&)>;

  LedgerWriter(std::unique_ptr<Ledger> ledger, Clock& clock, LedgerWriterOptions options);
  ~LedgerWriter();
  LedgerWriter(const LedgerWriter&) = delete;
  LedgerWriter& operator=(const LedgerWriter&) = delete;

  Status submit(std::span<const contract::Event> events, Callback callback);
  Status run(std::function<void(Ledger&)> work);

 private:
  struct Job {
    std::vector<PreparedEvent> events;
    Callback callback;
    std::function<void(Ledger&)> work;
  };
  void serve();
  void append(std::span<Job> jobs);
  void append_alone(Job& job);

  std::unique_ptr<Ledger> ledger_;
  Clock& clock_;
  LedgerWriterOptions options_;
  BoundedQueue<Job> queue_;
  std::thread thread_;
};

}  // namespace wary::ledger
