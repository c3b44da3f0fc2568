// AppMetrics: how an application's requests are answered, for Prometheus and OTLP. Private to gateway/. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/metrics.h"

namespace wary::gateway {

class AppMetrics {
 public:
  AppMetrics(Metrics& metrics, const std::string& app)
      : took_(metrics.durations("wary_gateway_request_duration_seconds", "From a request's head to its answer's end",
                                {{"app", app}})),
        answers_{&counter(metrics, app, "none"), &counter(metrics, app, "1xx"), &counter(metrics, app, "2xx"),
                 &counter(metrics, app, "3xx"),  &counter(metrics, app, "4xx"), &counter(metrics, app, "5xx")} {}
  // `status` 0: there was no answer.
  void count(int status, std::int64_t nanos) {
    took_.record(nanos);
    const int answer = status / 100;
    answers_[answer >= 1 && answer <= 5 ? static_cast<std::size_t>(answer) : 0]->add();
  }

 private:
  static Metric& counter(Metrics& metrics, const std::string& app, const std::string& code) {
    return metrics.counter("wary_gateway_requests_total", "Requests by how they were answered",
                           {{"app", app}, {"code", code}});
  }
  Histogram& took_;
  std::array<Metric*, 6> answers_;
};

}  // namespace wary::gateway
