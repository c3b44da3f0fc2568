// EventWriter: an event's bytes (event.h, WEV1) written part by part into room that is used again: for who records an
// event for each request.
//
//   EventWriter writer(bytes, {source, boot, sequence, tenant, class, activity, time});
//   writer.text(actor); ... writer.begin_text() += "..."; writer.end_text(); ...    // the eight texts in their order
//   if (!writer.finish()) ...                                                       // larger than an event may be
//
// What encode() makes of the same event, byte for byte; without raw bytes and with a receive time of 0, which the
// ledger sets. Borrows `bytes` and the writer's own views for as long as it lives. One thread's. Limits: of event.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"
#include "contract/event.h"

namespace wary::contract {

struct EventHead {
  std::string_view source;
  std::uint64_t boot = 0;
  std::uint64_t sequence = 0;
  std::string_view tenant;
  EventClass class_uid = EventClass::kApiActivity;
  std::uint32_t activity_id = 99;
  UnixTime event_time;
};

class EventWriter {
 public:
  // `bytes` is emptied; its room stays.
  EventWriter(std::string& bytes, const EventHead& head);
  // actor, device, session, resource, action, decision_id, trace_id, detail.
  void text(std::string_view text);
  // The next of them is what is appended until end_text().
  std::string& begin_text();
  void end_text();
  // After all eight. False: a part or the whole is beyond the limits, and the bytes are no event.
  bool finish();

 private:
  std::string& bytes_;
  std::size_t text_at_ = 0;
  std::size_t texts_ = 0;
  bool fits_ = true;
};

}  // namespace wary::contract
