#include "telemetry/otlp.h"

#include <doctest/doctest.h>

#include <bit>

#include "codec/protobuf.h"

using namespace wary;
using namespace wary::telemetry;
using codec::ProtoField;
using codec::ProtoReader;

namespace {

// The fields of that number in a message.
std::vector<ProtoField> fields(std::string_view message, std::uint32_t number) {
  std::vector<ProtoField> out;
  ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == number) out.push_back(*field);
  }
  CHECK(reader.ok());
  return out;
}
std::string_view only(std::string_view message, std::uint32_t number) {
  const auto found = fields(message, number);
  REQUIRE(found.size() == 1);
  return found[0].bytes;
}
std::string_view text_of(std::string_view attribute) { return only(only(attribute, 2), 1); }

}  // namespace

TEST_CASE("a span is written as the protocol has it") {
  Span span;
  span.trace[0] = 0xaa;
  span.id[7] = 0x01;
  span.name = "GET /a*";
  span.kind = Span::Kind::kClient;
  span.began = {5};
  span.ended = {-1};
  span.attributes = {{"text", std::string("t")}, {"number", std::int64_t{-2}}, {"truth", true}};
  Span child = span;
  child.parent[0] = 9;
  child.failed = true;
  child.state = "a=b";
  const std::string all = encode_spans({{"service.name", std::string("edge")}}, {span, child});
  const std::string_view group = only(all, 1);
  CHECK(only(only(only(group, 1), 1), 1) == "service.name");
  CHECK(text_of(only(only(group, 1), 1)) == "edge");
  const std::string_view scoped = only(group, 2);
  CHECK(only(only(scoped, 1), 1) == "wary");
  const auto spans = fields(scoped, 2);
  REQUIRE(spans.size() == 2);
  const std::string_view first = spans[0].bytes, second = spans[1].bytes;
  CHECK(only(first, 1) == std::string("\xaa") + std::string(15, '\0'));
  CHECK(only(first, 2) == std::string(7, '\0') + "\x01");
  CHECK(fields(first, 3).empty());
  CHECK(fields(first, 4).empty());
  CHECK(fields(first, 15).empty());
  CHECK(only(first, 5) == "GET /a*");
  CHECK(fields(first, 6).at(0).value == 3);
  CHECK(fields(first, 7).at(0).type == ProtoField::kFixed64);
  CHECK(fields(first, 7).at(0).value == 5);
  CHECK(fields(first, 8).at(0).value == ~std::uint64_t{0});
  const auto attributes = fields(first, 9);
  REQUIRE(attributes.size() == 3);
  CHECK(text_of(attributes[0].bytes) == "t");
  CHECK(fields(only(attributes[1].bytes, 2), 3).at(0).value == static_cast<std::uint64_t>(-2));
  CHECK(fields(only(attributes[2].bytes, 2), 2).at(0).value == 1);
  CHECK(only(second, 3) == "a=b");
  CHECK(only(second, 4) == "\x09" + std::string(7, '\0'));
  CHECK(fields(only(second, 15), 3).at(0).value == 2);
}

TEST_CASE(
    "counters are monotonic sums, gauges have none, histograms their bounds, and a name's series are one metric") {
  Metrics metrics;
  metrics.counter("wary_t_a_total", "of a", {{"app", "x"}}).add(3);
  metrics.gauge("wary_t_b", "of b").set(-7);
  metrics.counter("wary_t_a_total", "of a", {{"app", "y"}}).add(4);
  metrics.durations("wary_t_c_seconds", "of c").record(20'000'000);
  const std::string all = encode_metrics({}, metrics.read(), {1}, {2});
  const auto found = fields(only(only(all, 1), 2), 2);
  REQUIRE(found.size() == 3);
  CHECK(only(found[0].bytes, 1) == "wary_t_a_total");
  CHECK(only(found[0].bytes, 2) == "of a");
  CHECK(only(found[0].bytes, 3) == "1");
  const std::string_view sum = only(found[0].bytes, 7);
  CHECK(fields(sum, 2).at(0).value == 2);
  CHECK(fields(sum, 3).at(0).value == 1);
  const auto points = fields(sum, 1);
  REQUIRE(points.size() == 2);
  CHECK(fields(points[0].bytes, 2).at(0).value == 1);
  CHECK(fields(points[0].bytes, 3).at(0).value == 2);
  CHECK(fields(points[0].bytes, 6).at(0).value == 3);
  CHECK(text_of(only(points[1].bytes, 7)) == "y");
  const std::string_view gauge = only(found[1].bytes, 5);
  CHECK(fields(gauge, 2).empty());
  CHECK(fields(only(gauge, 1), 6).at(0).value == static_cast<std::uint64_t>(-7));
  CHECK(only(found[2].bytes, 3) == "s");
  const std::string_view histogram = only(only(found[2].bytes, 9), 1);
  CHECK(fields(only(found[2].bytes, 9), 2).at(0).value == 2);
  CHECK(fields(histogram, 4).at(0).value == 1);
  CHECK(std::bit_cast<double>(fields(histogram, 5).at(0).value) == doctest::Approx(0.02));
  CHECK(only(histogram, 6).size() == 8 * (Histogram::kBounds.size() + 1));
  CHECK(only(histogram, 6)[16] == 1);  // over 0.01, up to 0.025
  CHECK(only(histogram, 7).size() == 8 * Histogram::kBounds.size());
}

TEST_CASE("what a collector did not take is read from its answer") {
  CHECK(decode_answer("")->count == 0);
  const auto said = decode_answer(
      "\x0a\x08\x08\x03\x12\x04"
      "full");
  REQUIRE(said.ok());
  CHECK(said->count == 3);
  CHECK(said->message == "full");
  for (const std::string_view bytes : {"\x08\x01", "\x0a\x05", "\x0a\x01\x08", "\xff"}) {
    CHECK(decode_answer(bytes).error().code == "otlp_answer");
  }
  CHECK(decode_answer(std::string(70'000, '\0')).error().code == "otlp_answer");
}

TEST_CASE("a traceparent is taken as W3C has it, and nothing else is") {
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const auto parent = parse_traceparent(good);
  REQUIRE(parent);
  CHECK(parent->sampled);
  CHECK(parent->trace[0] == 0x0a);
  CHECK(parent->span[7] == 0x31);
  CHECK(format_traceparent(*parent) == good);
  CHECK_FALSE(parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")->sampled);
  // A later version may have more behind it.
  CHECK(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what"));
  CHECK(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
  for (const std::string_view bad : {"", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
                                     "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01what",
                                     "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                     "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                     "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                     "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
                                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"}) {
    CHECK_MESSAGE(!parse_traceparent(bad), bad);
  }
}

TEST_CASE("a tracestate that is no text does not come between a collector and the spans beside it") {
  const auto with = [](std::string state) {
    Span span;
    span.name = "GET";
    span.state = std::move(state);
    return encode_spans({}, {span});
  };
  const std::string without = with("");
  CHECK(with("vendor=1").find("vendor=1") != std::string::npos);
  CHECK(with(std::string(512, 'a')).size() > without.size() + 512);
  for (const std::string& bad : {std::string("a=\xff"), std::string("a=\xc3\xa9"), std::string("a=\x01"),
                                 std::string("a=\0", 3), std::string(513, 'a')}) {
    CHECK(with(bad) == without);
  }
}
