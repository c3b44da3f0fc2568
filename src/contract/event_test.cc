#include "contract/event.h"

#include <doctest/doctest.h>

#include "codec/text.h"

namespace wary::contract {
namespace {

Event full_event() {
  Event event;
  event.id = {"edge/a", 7, 42};
  event.tenant = "local";
  event.class_uid = EventClass::kHttpActivity;
  event.activity_id = 99;
  event.event_time = {1'800'000'000'123'456'789};
  event.receive_time = {1'800'000'000'223'456'789};
  event.actor = "Wary::User::\"alice\"";
  event.device = "Wary::Device::\"d\"";
  event.session = "s1";
  event.resource = "Wary::Route::\"r\"";
  event.action = "Wary::Action::\"GET\"";
  event.decision_id = "dec";
  event.trace_id = "trace";
  event.detail = R"({"activity_name":"probe","status":200})";
  event.raw = to_bytes("GET /");
  return event;
}

TEST_CASE("an event comes back from its bytes, and equal events have equal bytes") {
  const Event event = full_event();
  const Bytes bytes = *encode(event);
  CHECK(as_text(bytes).starts_with("WEV1"));
  CHECK(*decode_event(bytes) == event);
  CHECK(*encode(full_event()) == bytes);
  CHECK(*decode_event(*encode(Event{})) == Event{});
}

TEST_CASE("the encoding is the documented one, byte by byte") {
  Event event;
  event.id = {"s", 1, 2};
  event.tenant = "t";
  event.class_uid = EventClass::kApiActivity;
  event.activity_id = 3;
  event.event_time = {4};
  event.receive_time = {-1};
  event.detail = "{}";
  CHECK(codec::encode_hex(*encode(event)) ==
        "57455631"
        "0000000173"
        "0000000000000001"
        "0000000000000002"
        "0000000174"
        "00001773"
        "00000003"
        "0000000000000004"
        "ffffffffffffffff"
        "00000000"
        "00000000"
        "00000000"
        "00000000"
        "00000000"
        "00000000"
        "00000000"
        "000000027b7d"
        "00000000");
}

TEST_CASE("a cut, longer or foreign byte string is no event") {
  const Bytes bytes = *encode(full_event());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto event = decode_event(ByteView(bytes).first(size));
    REQUIRE_FALSE(event.ok());
    CHECK(event.error().code == "event_syntax");
    CHECK(event.error().where.starts_with("offset "));
  }
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK(decode_event(longer).error().code == "event_syntax");
  CHECK(decode_event(Bytes(70'000)).error().code == "event_syntax");
  Bytes foreign = bytes;
  foreign[3] = '2';
  CHECK(decode_event(foreign).error().code == "event_syntax");
  Event plain;
  Bytes unknown_class = *encode(plain);
  unknown_class[31] ^= 0x40;
  CHECK(decode_event(unknown_class).error().message == "the event class is not known");
}

TEST_CASE("what is too long is refused at the limit") {
  const auto outcome = [](auto change) {
    Event event;
    change(event);
    const auto bytes = encode(event);
    if (bytes.ok()) {
      CHECK(*decode_event(*bytes) == event);
      return std::string("encoded");
    }
    return bytes.error().code;
  };
  CHECK(outcome([](Event& e) { e.id.source.assign(63, 'a'); }) == "encoded");
  CHECK(outcome([](Event& e) { e.id.source.assign(64, 'a'); }) == "event_too_large");
  CHECK(outcome([](Event& e) { e.tenant.assign(64, 'a'); }) == "event_too_large");
  CHECK(outcome([](Event& e) { e.actor.assign(4096, 'a'); }) == "encoded");
  CHECK(outcome([](Event& e) { e.actor.assign(4097, 'a'); }) == "event_too_large");
  const std::size_t rest = 65'535 - encode(Event{})->size();
  CHECK(outcome([&](Event& e) { e.detail.assign(rest, 'a'); }) == "encoded");
  CHECK(outcome([&](Event& e) { e.detail.assign(rest + 1, 'a'); }) == "event_too_large");
  CHECK(outcome([&](Event& e) { e.raw.assign(rest, 1); }) == "encoded");
  CHECK(outcome([&](Event& e) { e.raw.assign(rest + 1, 1); }) == "event_too_large");
  CHECK(outcome([&](Event& e) { e.raw.assign(65'536, 1); }) == "event_too_large");
}

TEST_CASE("OCSF names the class, the type, the actor and keeps the rest") {
  const codec::Json json = to_ocsf(full_event());
  CHECK(json.integer_or("class_uid", 0) == 4002);
  CHECK(json.integer_or("category_uid", 0) == 4);
  CHECK(json.integer_or("type_uid", 0) == 400'299);
  CHECK(json.integer_or("time", 0) == 1'800'000'000'123);
  CHECK(json.string_or("activity_name", "") == "probe");
  CHECK(json.find("actor")->find("user")->string_or("name", "") == "alice");
  CHECK(json.find("actor")->find("session")->string_or("uid", "") == "s1");
  CHECK(json.find("metadata")->string_or("uid", "") == "edge/a/7/42");
  CHECK(json.find("unmapped")->string_or("decision_id", "") == "dec");
  CHECK(json.find("unmapped")->find("detail")->integer_or("status", 0) == 200);
  CHECK(json.string_or("raw_data", "") == "GET /");
  CHECK(codec::parse_json(json.to_string()).ok());
  Event odd;
  odd.actor = "nobody";
  odd.detail = "not json";
  odd.raw = {0xff, 0xfe};
  const codec::Json rendered = to_ocsf(odd);
  CHECK(rendered.find("unmapped")->string_or("detail_text", "") == "not json");
  CHECK(rendered.string_or("raw_data", "") == "//4=");
  odd.detail = "\xff";
  CHECK(codec::parse_json(to_ocsf(odd).to_string()).ok());
}

}  // namespace
}  // namespace wary::contract
