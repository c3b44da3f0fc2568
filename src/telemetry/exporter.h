// Exporter: sends spans and metrics to an OpenTelemetry collector on this machine, over OTLP/HTTP.
//
//   WARY_ASSIGN_OR_RETURN(ExporterOptions options, parse_endpoint("http://127.0.0.1:4318"));
//   Exporter exporter(loop, clock, metrics, log, std::move(options));
//   exporter.start();
//   if (exporter.samples(trace)) exporter.add(std::move(span));   // any thread
//
// Spans go each second, or as soon as 512 wait; metrics every ten. An answer of 429, 502, 503 or 504, or none, is tried
// again five times, 1 to 32 s apart or as Retry-After says; anything else drops the batch, counts it and says so. Who
// adds never waits: what does not fit is dropped and counted. What is sent names principals and paths, so that it goes
// to loopback alone: a collector beside this process takes it further under its own TLS. Thread rule: add() and
// samples() any thread, the rest the loop's. Limits: 4,096 spans waiting, 10 s a request. Errors: otlp_endpoint.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "http/call.h"
#include "io/loop.h"
#include "telemetry/otlp.h"

namespace wary::telemetry {

struct ExporterOptions {
  io::Address address;
  std::string host;     // as the request says
  std::string prefix;   // before /v1/traces
  Attributes resource;  // service.name and what else says whose it is
  double sample = 1;    // share of the traces begun here; one that came sampled is sampled
  std::int64_t spans_every = kNanosPerSecond;
  std::int64_t metrics_every = 10 * kNanosPerSecond;
};
Result<ExporterOptions> parse_endpoint(std::string_view url);

class Exporter {
 public:
  Exporter(io::Loop& loop, Clock& clock, Metrics& metrics, Log& log, ExporterOptions options);
  ~Exporter();
  void start();
  // Of a trace that begins here: by its id, so that all who see it agree.
  bool samples(const TraceId& trace) const;
  void add(Span span);
  // What waits is sent now; `done` once it is, or after a second.
  void flush(std::function<void()> done);

 private:
  // One kind of what is sent: a request at a time, and what is tried again.
  struct Lane {
    std::string path;
    std::string body;  // being sent; empty: nothing is
    std::int64_t count = 0;
    int attempts = 0;
    std::unique_ptr<http::Call> call;
    io::TimerId timer = 0;
    std::uint64_t turn = 0;  // numbers the requests: a late end of an earlier one changes nothing
  };
  void tick_spans();
  void tick_metrics();
  void send_spans();
  void send(Lane& lane, std::string body, std::int64_t count);
  void attempt(Lane& lane);
  void answered(Lane& lane, std::uint64_t turn, const Result<http::ClientResponse>& response);
  void again(Lane& lane, std::string_view why, std::int64_t wait);
  void drop(Lane& lane, std::string_view why);
  void done(Lane& lane);

  io::Loop& loop_;
  Clock& clock_;
  Metrics& metrics_;
  Log& log_;
  ExporterOptions options_;
  const UnixTime started_;
  std::uint64_t threshold_;
  std::mutex mutex_;
  std::vector<Span> waiting_;
  bool hurried_ = false;
  Lane spans_, readings_;
  std::function<void()> flushed_;
  io::TimerId flush_timer_ = 0, spans_timer_ = 0, metrics_timer_ = 0;
  Metric& sent_;
  Metric& dropped_;
  Metric& failures_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace wary::telemetry
