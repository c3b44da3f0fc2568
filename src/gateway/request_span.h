// RequestSpan: what is told of a request once it is over: how it was answered and how long it took, by application; and
// where its trace is sampled, a span of it and one of the call to the application. Private to gateway/.
//
//   span.begin(worker, head, app, route, path, connection);  // its trace is known: trace_id(), traceparent()
//   span.decided(id, decision, principal);  span.called(place);  span.answered(200);
//   span.end();                                             // or by give_up(): nobody heard the answer's end
//
// Without an exporter the gateway is no part of the trace: what a client sent goes on as it came, and a request that
// has none gets one. Attributes are those of OpenTelemetry's conventions for HTTP, and wary's own; the query and every
// header stay out. Thread rule: its worker's.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "codec/http1.h"
#include "contract/decision.h"
#include "gateway/site.h"
#include "telemetry/otlp.h"

namespace wary::gateway {

class Connection;
class Worker;

class RequestSpan {
 public:
  RequestSpan();
  ~RequestSpan();
  void begin(Worker& worker, const codec::http1::RequestHead& head, const App& app, const Route& route,
             std::string_view path, const Connection& connection);
  std::string_view traceparent() const { return {text_.data(), text_.size()}; }
  std::string_view trace_id() const { return traceparent().substr(3, 32); }
  void decided(std::string_view id, const contract::Decision& decision, std::string_view principal);
  void called(const io::Address& place, bool is_http2);
  void answered(int status);
  void end() { finish(""); }
  void give_up() { finish("gone"); }

 private:
  struct Sampled;
  void finish(std::string_view failure);

  Worker* worker_ = nullptr;             // while a request runs
  std::shared_ptr<AppMetrics> metrics_;  // shared with the App, which the request may outlast
  std::int64_t began_ = 0;               // of the loop's clock
  int status_ = 0;
  std::array<char, 55> text_{};
  std::unique_ptr<Sampled> sampled_;
};

}  // namespace wary::gateway
