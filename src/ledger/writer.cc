#include "ledger/writer.h"

#include <algorithm>

namespace wary::ledger {

namespace {

constexpr std::size_t kJobWeight = 256;  // what a job costs beside its bytes
constexpr std::size_t kBatchEvents = 16'384;

Error queue_full() {
  return fail(ErrorKind::kExhausted, "ledger_queue_full", "the ledger does not keep up; nothing was taken")
      .next("try again after a moment; if it lasts, the disk is too slow for this load");
}

}  // namespace

LedgerWriter::LedgerWriter(std::unique_ptr<Ledger> ledger, Clock& clock, LedgerWriterOptions options)
    : ledger_(std::move(ledger)), clock_(clock), options_(options), queue_(options.queue_bytes_max), thread_([this] {
        serve();
      }) {}

LedgerWriter::~LedgerWriter() {
  queue_.close();
  thread_.join();
}

Status LedgerWriter::submit(std::span<const contract::Event> events, Callback callback) {
  if (events.size() > kBatchEvents) return fail(ErrorKind::kExhausted, "ledger_range", "at most 16384 events at once");
  const UnixTime now = clock_.unix_time();
  Job job;
  job.events.reserve(events.size());
  std::size_t weight = kJobWeight;
  for (const contract::Event& event : events) {
    // Encoded and hashed here, by the caller's core: the writer's thread is the one that cannot be multiplied.
    WARY_ASSIGN_OR_RETURN(PreparedEvent prepared, prepare_event(event, now));
    weight += prepared.entry.size();
    job.events.push_back(std::move(prepared));
  }
  job.callback = std::move(callback);
  if (!queue_.try_push(std::move(job), weight)) return queue_full();
  return {};
}

Status LedgerWriter::run(std::function<void(Ledger&)> work) {
  Job job;
  job.work = std::move(work);
  if (!queue_.try_push(std::move(job), kJobWeight)) return queue_full();
  return {};
}

void LedgerWriter::serve() {
  std::vector<Job> jobs;
  while (queue_.pop_all(jobs, options_.batch_bytes_max)) {
    std::size_t begin = 0;
    while (begin < jobs.size()) {
      if (jobs[begin].work) {
        jobs[begin++].work(*ledger_);
        continue;
      }
      std::size_t end = begin;
      std::size_t events = 0;
      while (end < jobs.size() && !jobs[end].work && events + jobs[end].events.size() <= kBatchEvents) {
        events += jobs[end++].events.size();
      }
      append(std::span(jobs).subspan(begin, end - begin));
      begin = end;
    }
  }
}

void LedgerWriter::append(std::span<Job> jobs) {
  std::vector<const PreparedEvent*> events;
  for (const Job& job : jobs) {
    for (const PreparedEvent& event : job.events) events.push_back(&event);
  }
  const auto receipts = ledger_->append_prepared(events);
  if (!receipts.ok() && jobs.size() > 1 && receipts.error().kind != ErrorKind::kUnavailable) {
    for (Job& job : jobs) append_alone(job);
    return;
  }
  auto next = receipts.ok() ? receipts->begin() : std::vector<Receipt>::const_iterator();
  for (Job& job : jobs) {
    if (!receipts.ok()) {
      job.callback(receipts.error());
      continue;
    }
    const auto end = next + static_cast<std::ptrdiff_t>(job.events.size());
    job.callback(std::vector<Receipt>(next, end));
    next = end;
  }
}

void LedgerWriter::append_alone(Job& job) {
  std::vector<const PreparedEvent*> events;
  for (const PreparedEvent& event : job.events) events.push_back(&event);
  job.callback(ledger_->append_prepared(events));
}

}  // namespace wary::ledger
