#include "base/metrics.h"

#include <doctest/doctest.h>

using namespace wary;

TEST_CASE("a metric is found again by its name and read as Prometheus text") {
  Metrics metrics;
  Metric& counter = metrics.counter("wary_base_tests_total", "tests run");
  counter.add();
  metrics.counter("wary_base_tests_total", "tests run").add(2);
  metrics.gauge("wary_base_depth_levels", "depth").set(-4);
  CHECK(&counter == &metrics.counter("wary_base_tests_total", ""));
  CHECK(counter.value() == 3);
  CHECK(metrics.to_prometheus() ==
        "# HELP wary_base_tests_total tests run\n# TYPE wary_base_tests_total counter\nwary_base_tests_total 3\n"
        "# HELP wary_base_depth_levels depth\n# TYPE wary_base_depth_levels gauge\nwary_base_depth_levels -4\n");
}

TEST_CASE("series of one name stand together, and a label cannot break out of its quotes") {
  Metrics metrics;
  metrics.counter("wary_base_a_total", "a", {{"app", "one"}}).add(1);
  metrics.gauge("wary_base_b", "b").set(7);
  metrics.counter("wary_base_a_total", "a", {{"app", "t\"w\\o\n"}}).add(2);
  CHECK(&metrics.counter("wary_base_a_total", "a", {{"app", "one"}}) !=
        &metrics.counter("wary_base_a_total", "a", {{"app", "two"}}));
  CHECK(metrics.to_prometheus() ==
        "# HELP wary_base_a_total a\n# TYPE wary_base_a_total counter\nwary_base_a_total{app=\"one\"} 1\n"
        "wary_base_a_total{app=\"t\\\"w\\\\o\\n\"} 2\nwary_base_a_total{app=\"two\"} 0\n"
        "# HELP wary_base_b b\n# TYPE wary_base_b gauge\nwary_base_b 7\n");
}

TEST_CASE("a histogram counts each duration once, a bound belongs to what is at most as long") {
  Metrics metrics;
  Histogram& took = metrics.durations("wary_base_took_seconds", "took", {{"app", "one"}});
  for (const std::int64_t nanos : {1'000'000LL, 5'000'000LL, 5'000'001LL, 11'000'000'000LL}) took.record(nanos);
  const auto counts = took.counts();
  CHECK(counts[0] == 2);
  CHECK(counts[1] == 1);
  CHECK(counts.back() == 1);
  const std::string text = metrics.to_prometheus();
  CHECK(text.find("wary_base_took_seconds_bucket{app=\"one\",le=\"0.005\"} 2\n") != std::string::npos);
  CHECK(text.find("wary_base_took_seconds_bucket{app=\"one\",le=\"10\"} 3\n") != std::string::npos);
  CHECK(text.find("wary_base_took_seconds_bucket{app=\"one\",le=\"+Inf\"} 4\n") != std::string::npos);
  CHECK(text.find("wary_base_took_seconds_sum{app=\"one\"} 11.011\n") != std::string::npos);
  CHECK(text.find("wary_base_took_seconds_count{app=\"one\"} 4\n") != std::string::npos);
}

TEST_CASE("what is made beyond the limit counts into nothing that is read") {
  Metrics metrics;
  for (int i = 0; i < 5000; ++i) metrics.counter("wary_base_many_total", "m", {{"n", std::to_string(i)}}).add();
  CHECK(metrics.read().size() == 4096);
}
