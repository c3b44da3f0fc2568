// OTLP: spans and metrics as messages of the OpenTelemetry protocol (opentelemetry-proto 1.x, binary), and what a
// collector answers.
//
//   std::string body = telemetry::encode_spans(resource, spans);       // POST /v1/traces, application/x-protobuf
//   std::string body = telemetry::encode_metrics(resource, metrics.read(), started, now);   // POST /v1/metrics
//   WARY_ASSIGN_OR_RETURN(const Rejection said, telemetry::decode_answer(response.body));
//
// Names and attributes follow the semantic conventions for HTTP. Sums and histograms are cumulative since `started`.
// Pure; any thread. Limits: 64 KiB of an answer, 1 KiB of its message.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "base/time.h"

namespace wary::telemetry {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

struct Attribute {
  std::string name;
  std::variant<std::string, std::int64_t, bool> value;
};
using Attributes = std::vector<Attribute>;

struct Span {
  enum class Kind : std::uint8_t { kServer = 2, kClient = 3 };
  TraceId trace{};
  SpanId id{};
  SpanId parent{};    // all zero: it has none
  std::string state;  // W3C tracestate; of what is none, nothing is sent
  std::string name;
  Kind kind = Kind::kServer;
  UnixTime began, ended;
  Attributes attributes;
  bool failed = false;
};

std::string encode_spans(const Attributes& resource, const std::vector<Span>& spans);
std::string encode_metrics(const Attributes& resource, const std::vector<Metrics::Reading>& readings, UnixTime started,
                           UnixTime now);

// What of a batch was not taken, though the answer was 200.
struct Rejection {
  std::int64_t count = 0;
  std::string message;
};
// Error: otlp_answer.
Result<Rejection> decode_answer(std::string_view body);

// W3C Trace Context, version 00 and later ones as far as they are its like; nothing when it is none.
struct TraceParent {
  TraceId trace{};
  SpanId span{};
  bool sampled = false;
};
std::optional<TraceParent> parse_traceparent(std::string_view text);
// Whether this may stand as a tracestate: printable ASCII of at most 512 bytes. Its members are not looked at.
bool is_tracestate(std::string_view text);
void format_traceparent(const TraceParent& parent, std::array<char, 55>& out);
std::string format_traceparent(const TraceParent& parent);

}  // namespace wary::telemetry
