#include "contract/event_writer.h"

#include <doctest/doctest.h>

#include <array>

#include "base/limits.h"

using namespace wary;
using namespace wary::contract;

namespace {

// By the writer, into room that held something else before.
Result<std::string> written_of(const Event& event, std::string& room) {
  EventWriter writer(room, {event.id.source, event.id.boot, event.id.sequence, event.tenant, event.class_uid,
                            event.activity_id, event.event_time});
  for (const std::string* text : {&event.actor, &event.device, &event.session, &event.resource, &event.action,
                                  &event.decision_id, &event.trace_id}) {
    writer.text(*text);
  }
  std::string& out = writer.begin_text();
  for (const char c : event.detail) out += c;
  writer.end_text();
  if (!writer.finish()) return fail(ErrorKind::kInvalid, "event_too_large", "");
  return room;
}

void check_written(const Event& event, std::string& room) {
  const auto expected = encode(event);
  const auto written = written_of(event, room);
  REQUIRE(expected.ok() == written.ok());
  if (expected) CHECK(as_bytes(*written).size() == expected->size());
  if (expected) CHECK(*written == as_text(*expected));
}

}  // namespace

TEST_CASE("what is written part by part is what the whole event encodes to") {
  std::string room = "what lay here before";
  check_written(Event{}, room);
  std::uint64_t state = 3;
  const auto next = [&](std::uint64_t bound) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % bound;
  };
  const auto text = [&](std::size_t most) {
    std::string out(next(most + 1), ' ');
    for (char& c : out) c = static_cast<char>(next(256));
    return out;
  };
  for (int i = 0; i < 500; ++i) {
    Event event;
    event.id = {text(63), state, next(1ULL << 31)};
    event.tenant = text(63);
    event.class_uid = next(2) == 0 ? EventClass::kHttpActivity : EventClass::kAuthorizeSession;
    event.activity_id = static_cast<std::uint32_t>(next(1000));
    event.event_time = {static_cast<std::int64_t>(state)};
    for (std::string* one : {&event.actor, &event.device, &event.session, &event.resource, &event.action,
                             &event.decision_id, &event.trace_id}) {
      *one = text(next(3) == 0 ? 300 : 12);
    }
    event.detail = text(2000);
    check_written(event, room);
  }
}

TEST_CASE("what is too large for an event is so for the writer, to the byte") {
  std::string room;
  const auto with = [&](std::string Event::* member, std::size_t size) {
    Event event;
    event.*member = std::string(size, 'x');
    check_written(event, room);
    return encode(event).ok();
  };
  for (const auto member : {&Event::actor, &Event::session, &Event::trace_id}) {
    CHECK(with(member, limits::kFreeTextBytes));
    CHECK_FALSE(with(member, limits::kFreeTextBytes + 1));
  }
  CHECK(with(&Event::tenant, limits::kNameBytes));
  CHECK_FALSE(with(&Event::tenant, limits::kNameBytes + 1));
  const std::size_t rest = encode(Event{})->size();
  CHECK(with(&Event::detail, limits::kLedgerEntryBytes - rest));
  CHECK_FALSE(with(&Event::detail, limits::kLedgerEntryBytes - rest + 1));
  for (const std::size_t size : {63UL, 64UL}) {
    Event event;
    event.id.source = std::string(size, 's');
    check_written(event, room);
  }
}
