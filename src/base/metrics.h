// Metrics: counters, gauges and histograms of durations with fixed names, read as Prometheus text or as they are.
// main() makes the registry and hands it down; a part keeps references to its own.
//
//   Metric& served = metrics.counter("wary_gateway_requests_total", "Requests", {{"app", "demo/site"}});
//   Histogram& took = metrics.durations("wary_gateway_request_seconds", "From head to last byte");
//   served.add();  took.record(nanos);
//
// Adding is relaxed atomics; making one takes a lock and happens at start, or when what is served changes. Any thread.
// Limit: 4,096 series; what is made beyond them counts into nothing that is read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wary {

class Metric {
 public:
  void add(std::int64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Of durations, in the bounds that OpenTelemetry recommends for those of requests.
class Histogram {
 public:
  static constexpr std::array<double, 14> kBounds = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                                     0.5,   0.75, 1,     2.5,  5,     7.5, 10};  // seconds
  void record(std::int64_t nanos) {
    std::size_t place = 0;
    const double seconds = static_cast<double>(nanos) / 1e9;
    while (place < kBounds.size() && seconds > kBounds[place]) ++place;
    counts_[place].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(nanos, std::memory_order_relaxed);
  }
  // Of each bound, and beyond the last.
  std::array<std::uint64_t, kBounds.size() + 1> counts() const {
    std::array<std::uint64_t, kBounds.size() + 1> out{};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = counts_[i].load(std::memory_order_relaxed);
    return out;
  }
  std::int64_t sum_nanos() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<std::int64_t> sum_{0};
};

class Metrics {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  enum class Type { kCounter, kGauge, kHistogram };
  // Names are wary_<folder>_<what>_<unit>, counters end in _total. The same name and labels give the same metric.
  Metric& counter(std::string_view name, std::string_view help, const Labels& labels = {}) {
    return find(name, help, Type::kCounter, labels).metric;
  }
  Metric& gauge(std::string_view name, std::string_view help, const Labels& labels = {}) {
    return find(name, help, Type::kGauge, labels).metric;
  }
  Histogram& durations(std::string_view name, std::string_view help, const Labels& labels = {}) {
    return find(name, help, Type::kHistogram, labels).histogram;
  }
  // Prometheus text format 0.0.4.
  std::string to_prometheus() const;

  struct Reading {
    std::string name, help;
    Type type = Type::kCounter;
    Labels labels;
    std::int64_t value = 0;
    std::array<std::uint64_t, Histogram::kBounds.size() + 1> counts{};
    std::int64_t sum_nanos = 0;
  };
  // Those of one name stand together.
  std::vector<Reading> read() const;

 private:
  struct Entry {
    std::string name, help;
    Type type = Type::kCounter;
    Labels labels;
    Metric metric;
    Histogram histogram;
  };
  Entry& find(std::string_view name, std::string_view help, Type type, const Labels& labels);
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;  // addresses stay valid
  Entry beyond_;               // what did not fit
};

}  // namespace wary
