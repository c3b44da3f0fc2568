#include "gateway/request_span.h"

#include <algorithm>
#include <utility>

#include "codec/uri.h"
#include "gateway/app_metrics.h"
#include "gateway/connection.h"
#include "gateway/worker.h"
#include "telemetry/exporter.h"

namespace wary::gateway {

namespace {

constexpr std::size_t kTextMost = 256;  // of an attribute that a client chose

std::string shortened(std::string_view text) { return std::string(text.substr(0, kTextMost)); }

}  // namespace

struct RequestSpan::Sampled {
  telemetry::Exporter* exporter = nullptr;
  telemetry::Span served;
  telemetry::Span called;  // began: 0 until the application was asked
};

RequestSpan::RequestSpan() = default;
RequestSpan::~RequestSpan() { give_up(); }

void RequestSpan::begin(Worker& worker, const codec::http1::RequestHead& head, const App& app, const Route& route,
                        std::string_view path, const Connection& connection) {
  give_up();  // there is none
  worker_ = &worker;
  metrics_ = app.metrics;
  began_ = worker.loop().now().nanos;
  status_ = 0;
  sampled_.reset();
  telemetry::Exporter* exporter = worker.options().exporter;
  const auto text = codec::http1::find_field(head.fields, "traceparent");
  const auto given = text ? telemetry::parse_traceparent(*text) : std::nullopt;
  telemetry::TraceParent own = given.value_or(telemetry::TraceParent{});
  if (!given) {
    worker.pooled_random().fill(own.trace);
    own.sampled = exporter == nullptr || exporter->samples(own.trace);
  }
  if (!given || exporter != nullptr) worker.pooled_random().fill(own.span);
  telemetry::format_traceparent(own, text_);
  if (exporter == nullptr || !own.sampled) return;
  sampled_ = std::make_unique<Sampled>();
  sampled_->exporter = exporter;
  telemetry::Span& span = sampled_->served;
  span.trace = own.trace;
  worker.pooled_random().fill(span.id);
  if (given) span.parent = given->span;
  const std::string_view state = codec::http1::find_field(head.fields, "tracestate").value_or("");
  if (telemetry::is_tracestate(state)) span.state = state;
  span.began = worker.clock().unix_time();
  const std::string method = shortened(head.method);
  const std::string template_path = route.path + (route.is_prefix ? "*" : "");
  span.name = route.path.empty() ? method : method + " " + template_path;
  span.attributes = {{"http.request.method", method},
                     {"url.scheme", std::string(connection.was_secure() ? "https" : "http")},
                     {"url.path", shortened(path)},
                     {"server.address", codec::host_name(head.host)},
                     {"client.address", connection.client_address()},
                     {"network.protocol.version", std::string(connection.speaks_http2() ? "2" : "1.1")},
                     {"wary.app", app.id.id}};
  if (!route.path.empty()) span.attributes.push_back({"http.route", template_path});
  sampled_->called.trace = own.trace;
  sampled_->called.id = own.span;
  sampled_->called.parent = span.id;
  sampled_->called.kind = telemetry::Span::Kind::kClient;
  sampled_->called.name = method;
}

void RequestSpan::decided(std::string_view id, const contract::Decision& decision, std::string_view principal) {
  if (!sampled_) return;
  telemetry::Attributes& attributes = sampled_->served.attributes;
  attributes.push_back({"wary.decision", std::string(decision.is_allowed() ? "allow" : "deny")});
  attributes.push_back({"wary.decision.id", std::string(id)});
  attributes.push_back({"wary.principal", std::string(principal)});
  if (!decision.is_allowed()) attributes.push_back({"wary.reason", decision.reason_code});
}

// Again, when it is tried again: the span is of the last try.
void RequestSpan::called(const io::Address& place, bool is_http2) {
  if (!sampled_) return;
  telemetry::Span& span = sampled_->called;
  const std::int64_t again = span.began.nanos == 0 ? 0 : 1;
  span.began = worker_->clock().unix_time();
  span.attributes = {{"http.request.method", span.name},
                     {"server.address", place.host},
                     {"network.protocol.version", is_http2 ? "2" : "1.1"}};
  if (place.port != 0) span.attributes.push_back({"server.port", std::int64_t{place.port}});
  if (again != 0) span.attributes.push_back({"http.request.resend_count", again});
}

void RequestSpan::answered(int status) { status_ = status; }

void RequestSpan::finish(std::string_view failure) {
  Worker* worker = std::exchange(worker_, nullptr);
  if (worker == nullptr) return;
  if (metrics_ != nullptr) metrics_->count(status_, worker->loop().now().nanos - began_);
  if (!sampled_) return;
  const auto sampled = std::move(sampled_);
  telemetry::Span& served = sampled->served;
  served.ended = std::max(worker->clock().unix_time(), served.began);
  // The conventions' word for a server's fault; a client's own is none.
  served.failed = status_ >= 500 || (!failure.empty() && status_ == 0);
  if (status_ != 0) served.attributes.push_back({"http.response.status_code", std::int64_t{status_}});
  if (status_ >= 500) served.attributes.push_back({"error.type", std::to_string(status_)});
  if (!failure.empty()) served.attributes.push_back({"wary.ended", std::string(failure)});
  if (sampled->called.began.nanos != 0) {
    telemetry::Span& called = sampled->called;
    called.ended = std::max(served.ended, called.began);
    called.failed = status_ >= 400 || status_ == 0;
    if (status_ != 0) called.attributes.push_back({"http.response.status_code", std::int64_t{status_}});
    sampled->exporter->add(std::move(called));
  }
  sampled->exporter->add(std::move(served));
}

}  // namespace wary::gateway
