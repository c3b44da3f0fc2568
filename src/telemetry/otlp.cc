#include "telemetry/otlp.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"
#include "codec/protobuf.h"

namespace wary::telemetry {

using codec::append_proto_bytes;
using codec::append_proto_fixed64;
using codec::append_proto_varint;
using codec::ProtoField;
using codec::ProtoReader;

namespace {

constexpr std::string_view kScope = "wary";
constexpr std::uint64_t kCumulative = 2;
constexpr std::uint64_t kStatusError = 2;
constexpr std::size_t kAnswerMost = 64 * 1024, kMessageMost = 1024;

std::string_view bytes_of(ByteView bytes) { return as_text(bytes); }

void append_double(std::string& out, std::uint32_t number, double value) {
  append_proto_fixed64(out, number, std::bit_cast<std::uint64_t>(value));
}

void append_attribute(std::string& out, std::uint32_t number, const Attribute& attribute) {
  std::string value;
  if (const auto* text = std::get_if<std::string>(&attribute.value)) {
    append_proto_bytes(value, 1, *text);
  } else if (const auto* truth = std::get_if<bool>(&attribute.value)) {
    append_proto_varint(value, 2, *truth ? 1 : 0);
  } else {
    append_proto_varint(value, 3, static_cast<std::uint64_t>(std::get<std::int64_t>(attribute.value)));
  }
  std::string pair;
  append_proto_bytes(pair, 1, attribute.name);
  append_proto_bytes(pair, 2, value);
  append_proto_bytes(out, number, pair);
}

// What both kinds of request begin with: whose it is, and by which code it was measured.
std::string begin_scope() {
  std::string scope, out;
  append_proto_bytes(scope, 1, kScope);
  append_proto_bytes(out, 1, scope);
  return out;
}

std::string wrap(const Attributes& resource, std::string_view scoped) {
  std::string described, group, out;
  for (const Attribute& attribute : resource) append_attribute(described, 1, attribute);
  append_proto_bytes(group, 1, described);
  append_proto_bytes(group, 2, scoped);
  append_proto_bytes(out, 1, group);
  return out;
}

std::string encode(const Span& span) {
  std::string out;
  append_proto_bytes(out, 1, bytes_of(span.trace));
  append_proto_bytes(out, 2, bytes_of(span.id));
  // A client chose it: a text that is no UTF-8 would cost the collector's taking of all spans beside it.
  if (is_tracestate(span.state)) append_proto_bytes(out, 3, span.state);
  if (span.parent != SpanId{}) append_proto_bytes(out, 4, bytes_of(span.parent));
  append_proto_bytes(out, 5, span.name);
  append_proto_varint(out, 6, static_cast<std::uint64_t>(span.kind));
  append_proto_fixed64(out, 7, static_cast<std::uint64_t>(span.began.nanos));
  append_proto_fixed64(out, 8, static_cast<std::uint64_t>(span.ended.nanos));
  for (const Attribute& attribute : span.attributes) append_attribute(out, 9, attribute);
  if (span.failed) {
    std::string status;
    append_proto_varint(status, 3, kStatusError);
    append_proto_bytes(out, 15, status);
  }
  return out;
}

void append_labels(std::string& out, std::uint32_t number, const Metrics::Labels& labels) {
  for (const auto& [name, value] : labels) append_attribute(out, number, {name, value});
}

std::string encode_number(const Metrics::Reading& one, UnixTime started, UnixTime now) {
  std::string out;
  append_proto_fixed64(out, 2, static_cast<std::uint64_t>(started.nanos));
  append_proto_fixed64(out, 3, static_cast<std::uint64_t>(now.nanos));
  append_proto_fixed64(out, 6, static_cast<std::uint64_t>(one.value));
  append_labels(out, 7, one.labels);
  return out;
}

std::string encode_histogram(const Metrics::Reading& one, UnixTime started, UnixTime now) {
  std::string out, counts, bounds;
  std::uint64_t count = 0;
  const auto append_fixed = [](std::string& to, std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) to += static_cast<char>(value >> shift & 0xff);
  };
  for (const std::uint64_t in : one.counts) {
    count += in;
    append_fixed(counts, in);
  }
  for (const double bound : Histogram::kBounds) append_fixed(bounds, std::bit_cast<std::uint64_t>(bound));
  append_proto_fixed64(out, 2, static_cast<std::uint64_t>(started.nanos));
  append_proto_fixed64(out, 3, static_cast<std::uint64_t>(now.nanos));
  append_proto_fixed64(out, 4, count);
  append_double(out, 5, static_cast<double>(one.sum_nanos) / 1e9);
  append_proto_bytes(out, 6, counts);
  append_proto_bytes(out, 7, bounds);
  append_labels(out, 9, one.labels);
  return out;
}

// Where a metric keeps its points, and how a point is written.
constexpr std::uint32_t kGaugeField = 5, kSumField = 7, kHistogramField = 9;

// Series of one name are one metric with several points.
std::string encode_metric(const Metrics::Reading* first, const Metrics::Reading* end, UnixTime started, UnixTime now) {
  std::string out, data;
  append_proto_bytes(out, 1, first->name);
  append_proto_bytes(out, 2, first->help);
  const bool is_histogram = first->type == Metrics::Type::kHistogram;
  append_proto_bytes(out, 3, is_histogram ? "s" : "1");
  for (const Metrics::Reading* one = first; one != end; ++one) {
    append_proto_bytes(data, 1,
                       is_histogram ? encode_histogram(*one, started, now) : encode_number(*one, started, now));
  }
  if (first->type != Metrics::Type::kGauge) append_proto_varint(data, 2, kCumulative);
  if (first->type == Metrics::Type::kCounter) append_proto_varint(data, 3, 1);  // monotonic
  const std::uint32_t field = is_histogram                             ? kHistogramField
                              : first->type == Metrics::Type::kCounter ? kSumField
                                                                       : kGaugeField;
  append_proto_bytes(out, field, data);
  return out;
}

Error no_answer() { return fail(ErrorKind::kInvalid, "otlp_answer", "what the collector answers is no OTLP"); }

bool all_zero(ByteView bytes) {
  for (const std::uint8_t byte : bytes) {
    if (byte != 0) return false;
  }
  return true;
}

template <std::size_t kSize>
bool read_hex(std::string_view text, std::array<std::uint8_t, kSize>& out) {
  if (text.size() != 2 * kSize || text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return false;
  const auto digit = [](char c) { return static_cast<std::uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); };
  for (std::size_t i = 0; i < kSize; ++i) {
    out[i] = static_cast<std::uint8_t>(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
  }
  return true;
}

}  // namespace

std::string encode_spans(const Attributes& resource, const std::vector<Span>& spans) {
  std::string scoped = begin_scope();
  for (const Span& span : spans) append_proto_bytes(scoped, 2, encode(span));
  return wrap(resource, scoped);
}

std::string encode_metrics(const Attributes& resource, const std::vector<Metrics::Reading>& readings, UnixTime started,
                           UnixTime now) {
  std::string scoped = begin_scope();
  for (std::size_t i = 0; i < readings.size();) {
    std::size_t end = i + 1;
    while (end < readings.size() && readings[end].name == readings[i].name) ++end;
    append_proto_bytes(scoped, 2, encode_metric(readings.data() + i, readings.data() + end, started, now));
    i = end;
  }
  return wrap(resource, scoped);
}

Result<Rejection> decode_answer(std::string_view body) {
  Rejection out;
  if (body.size() > kAnswerMost) return no_answer();
  ProtoReader reader(body);
  while (const auto field = reader.next()) {
    if (field->number != 1) continue;
    if (field->type != ProtoField::kBytes) return no_answer();
    ProtoReader partial(field->bytes);
    while (const auto inner = partial.next()) {
      if (inner->number == 1 && inner->type == ProtoField::kVarint) out.count = static_cast<std::int64_t>(inner->value);
      if (inner->number == 2 && inner->type == ProtoField::kBytes) out.message = inner->bytes.substr(0, kMessageMost);
    }
    if (!partial.ok()) return no_answer();
  }
  if (!reader.ok()) return no_answer();
  return out;
}

std::optional<TraceParent> parse_traceparent(std::string_view text) {
  TraceParent out;
  std::array<std::uint8_t, 1> version{}, flags{};
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  if (!read_hex(text.substr(0, 2), version) || !read_hex(text.substr(3, 32), out.trace) ||
      !read_hex(text.substr(36, 16), out.span) || !read_hex(text.substr(53, 2), flags)) {
    return std::nullopt;
  }
  const bool is_known = version[0] == 0;
  if (version[0] == 0xff || (is_known ? text.size() != 55 : text.size() > 55 && text[55] != '-')) return std::nullopt;
  if (all_zero(out.trace) || all_zero(out.span)) return std::nullopt;
  out.sampled = (flags[0] & 1) != 0;
  return out;
}

bool is_tracestate(std::string_view text) {
  constexpr std::size_t kStateMost = 512;
  return !text.empty() && text.size() <= kStateMost &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

void format_traceparent(const TraceParent& parent, std::array<char, 55>& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  char* at = out.data();
  const auto put = [&](std::string_view text) { at = std::copy(text.begin(), text.end(), at); };
  const auto put_hex = [&](ByteView bytes) {
    for (const std::uint8_t byte : bytes) {
      *at++ = kHex[byte >> 4];
      *at++ = kHex[byte & 15];
    }
  };
  put("00-");
  put_hex(parent.trace);
  put("-");
  put_hex(parent.span);
  put(parent.sampled ? "-01" : "-00");
}

std::string format_traceparent(const TraceParent& parent) {
  std::array<char, 55> out{};
  format_traceparent(parent, out);
  return {out.data(), out.size()};
}

}  // namespace wary::telemetry
