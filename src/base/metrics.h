// Metrics: counters and gauges with fixed names, read as Prometheus text. main() makes the registry and hands it down;
// a part keeps references to its own. Adding is one relaxed atomic; making a metric takes a lock and happens at start.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace wary {

class Metric {
 public:
  void add(std::int64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

class Metrics {
 public:
  // Names are wary_<folder>_<what>_<unit>, counters end in _total. The same name gives the same metric.
  Metric& counter(std::string_view name, std::string_view help) { return find(name, help, "counter"); }
  Metric& gauge(std::string_view name, std::string_view help) { return find(name, help, "gauge"); }
  // Prometheus text format 0.0.4.
  std::string to_prometheus() const;

 private:
  struct Entry {
    std::string name, help, type;
    Metric metric;
  };
  Metric& find(std::string_view name, std::string_view help, std::string_view type);
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;  // addresses stay valid
};

}  // namespace wary
