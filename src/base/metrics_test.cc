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
