#include "telemetry/exporter.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/bytes.h"
#include "codec/uri.h"
#include "io/resolver.h"

namespace wary::telemetry {

namespace {

constexpr std::size_t kWaitingMost = 4096, kBatch = 512;
constexpr int kAttempts = 6;
constexpr std::int64_t kRequestTime = 10 * kNanosPerSecond;
constexpr std::int64_t kFlushTime = kNanosPerSecond;
constexpr std::int64_t kFirstWait = kNanosPerSecond, kLongestWait = 32 * kNanosPerSecond;
constexpr std::int64_t kRetryAfterMost = 60;
constexpr std::size_t kCollectorAnswerMost = 64 * 1024;

bool is_worth_again(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

}  // namespace

Result<ExporterOptions> parse_endpoint(std::string_view url) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorKind::kInvalid, "otlp_endpoint", why)
        .expected("http://127.0.0.1:4318")
        .found(url)
        .next("run a collector on this machine: it takes what it is given further, under its own TLS");
  };
  const auto uri = codec::parse_uri(url);
  if (!uri) return refuse("this is no address of a collector");
  std::string host = uri->host;
  if (host == "localhost") host = "127.0.0.1";
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  const bool is_here = host == "::1" || (host.starts_with("127.") && io::address_bytes(host).size() == 4);
  if (!is_here || uri->scheme != "http" || uri->query || uri->port == 0)
    return refuse("telemetry goes to a collector on loopback alone, over http");
  ExporterOptions options;
  options.address = io::Address::tcp(host, uri->port);
  options.host = uri->host + ":" + std::to_string(uri->port);
  options.prefix = uri->path == "/" ? "" : uri->path;
  while (options.prefix.ends_with('/')) options.prefix.pop_back();
  return options;
}

Exporter::Exporter(io::Loop& loop, Clock& clock, Metrics& metrics, Log& log, ExporterOptions options)
    : loop_(loop),
      clock_(clock),
      metrics_(metrics),
      log_(log),
      options_(std::move(options)),
      started_(clock.unix_time()),
      // Of 63 bits, so that it is exact where the share is 0 or 1.
      threshold_(static_cast<std::uint64_t>(std::ldexp(std::clamp(options_.sample, 0.0, 1.0), 63))),
      sent_(metrics.counter("wary_telemetry_spans_sent_total", "Spans that a collector took")),
      dropped_(metrics.counter("wary_telemetry_spans_dropped_total", "Spans that did not fit or were not taken")),
      failures_(metrics.counter("wary_telemetry_failures_total", "Requests to the collector that failed")) {
  spans_.path = options_.prefix + "/v1/traces";
  readings_.path = options_.prefix + "/v1/metrics";
}

Exporter::~Exporter() {
  for (const io::TimerId timer : {spans_.timer, readings_.timer, flush_timer_, spans_timer_, metrics_timer_}) {
    loop_.cancel(timer);
  }
}

void Exporter::start() {
  spans_timer_ = loop_.after(options_.spans_every, [this] { tick_spans(); });
  metrics_timer_ = loop_.after(options_.metrics_every, [this] { tick_metrics(); });
}

// The last 63 bits of the id, which W3C Trace Context level 2 asks to be random.
bool Exporter::samples(const TraceId& trace) const {
  return (read_big_endian<std::uint64_t>(trace.data() + 8) & ~(std::uint64_t{1} << 63)) < threshold_;
}

void Exporter::add(Span span) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kWaitingMost) return dropped_.add();
    waiting_.push_back(std::move(span));
    if (waiting_.size() < kBatch || std::exchange(hurried_, true)) return;
  }
  loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) send_spans();
  });
}

void Exporter::tick_spans() {
  send_spans();
  spans_timer_ = loop_.after(options_.spans_every, [this] { tick_spans(); });
}

void Exporter::tick_metrics() {
  if (readings_.body.empty()) {
    send(readings_, encode_metrics(options_.resource, metrics_.read(), started_, clock_.unix_time()), 0);
  }
  metrics_timer_ = loop_.after(options_.metrics_every, [this] { tick_metrics(); });
}

void Exporter::send_spans() {
  if (!spans_.body.empty()) return;  // what waits goes with its end
  std::vector<Span> batch;
  {
    const std::lock_guard lock(mutex_);
    hurried_ = false;
    const auto count = static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kBatch));
    batch.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.begin() + count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + count);
  }
  if (batch.empty()) {
    if (const auto flushed = std::exchange(flushed_, nullptr)) flushed();
    return;
  }
  send(spans_, encode_spans(options_.resource, batch), static_cast<std::int64_t>(batch.size()));
}

void Exporter::flush(std::function<void()> done) {
  flushed_ = std::move(done);
  flush_timer_ = loop_.after(kFlushTime, [this] {
    if (const auto flushed = std::exchange(flushed_, nullptr)) flushed();
  });
  send_spans();
}

void Exporter::send(Lane& lane, std::string body, std::int64_t count) {
  lane.body = std::move(body);
  lane.count = count;
  lane.attempts = 0;
  attempt(lane);
}

void Exporter::attempt(Lane& lane) {
  const std::uint64_t turn = ++lane.turn;
  ++lane.attempts;
  http::ClientRequest request;
  request.method = "POST";
  request.path = lane.path;
  request.host = options_.host;
  request.headers = {{"Content-Type", "application/x-protobuf"}, {"User-Agent", "wary"}};
  request.body = lane.body;
  const std::weak_ptr<int> alive = alive_;
  // Told from inside the stream's turn, where the call must not be replaced.
  lane.call = std::make_unique<http::Call>(std::move(request), http::CallLimits{.body_bytes = kCollectorAnswerMost},
                                           [this, alive, &lane, turn](Result<http::ClientResponse> response) {
                                             loop_.post([this, alive, &lane, turn, response = std::move(response)] {
                                               if (!alive.expired()) answered(lane, turn, response);
                                             });
                                           });
  if (const Status prepared = lane.call->prepare(); !prepared) return drop(lane, prepared.error().code);
  lane.timer = loop_.after(kRequestTime, [this, &lane, turn] {
    answered(lane, turn, fail(ErrorKind::kTimeout, "otlp_timeout", "the collector does not answer"));
  });
  loop_.connect(options_.address, kRequestTime, [this, alive, &lane, turn](Result<std::unique_ptr<io::Stream>> stream) {
    if (alive.expired() || turn != lane.turn) return;
    if (!stream) return answered(lane, turn, std::move(stream).error());
    lane.call->begin(std::move(*stream));
  });
}

void Exporter::answered(Lane& lane, std::uint64_t turn, const Result<http::ClientResponse>& response) {
  if (turn != lane.turn || !lane.call) return;
  loop_.cancel(lane.timer);
  lane.call.reset();
  if (!response) {
    failures_.add();
    return again(lane, response.error().code, 0);
  }
  if (response->status == 200) {
    const auto said = decode_answer(response->body);
    const std::int64_t refused = said ? std::clamp<std::int64_t>(said->count, 0, lane.count) : 0;
    sent_.add(lane.count - refused);
    dropped_.add(refused);
    if (said && !said->message.empty()) log_.warn("telemetry.refused", {{"path", lane.path}, {"why", said->message}});
    return done(lane);
  }
  failures_.add();
  const std::string status = std::to_string(response->status);
  if (!is_worth_again(response->status)) return drop(lane, "status " + status);
  std::int64_t seconds = 0;
  const std::string_view wait = response->header("retry-after");
  std::from_chars(wait.data(), wait.data() + wait.size(), seconds);
  again(lane, "status " + status, std::clamp<std::int64_t>(seconds, 0, kRetryAfterMost) * kNanosPerSecond);
}

void Exporter::again(Lane& lane, std::string_view why, std::int64_t wait) {
  if (lane.attempts >= kAttempts) return drop(lane, why);
  if (lane.attempts == 1) log_.warn("telemetry.waits", {{"path", lane.path}, {"why", why}});
  const std::int64_t backoff = std::min(kFirstWait << (lane.attempts - 1), kLongestWait);
  lane.timer = loop_.after(std::max(backoff, wait), [this, &lane] { attempt(lane); });
}

void Exporter::drop(Lane& lane, std::string_view why) {
  dropped_.add(lane.count);
  log_.error("telemetry.dropped", {{"path", lane.path}, {"spans", lane.count}, {"why", why}});
  done(lane);
}

void Exporter::done(Lane& lane) {
  lane.call.reset();
  lane.body.clear();
  lane.body.shrink_to_fit();
  if (&lane != &spans_) return;
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    more = waiting_.size() >= kBatch;
  }
  if (more || flushed_) send_spans();
}

}  // namespace wary::telemetry
