// Event: what happened; the third contract. The ledger stores its deterministic encoding as a leaf; OCSF JSON is
// rendered from it for people and other tools.
//
// The id (source, boot, sequence) makes an event one: appended twice it is stored once. Values; any thread.
// Limits: 65,535 bytes encoded (the ledger's entry limit); text fields 4 KiB.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"
#include "codec/json.h"

namespace wary::contract {

constexpr std::string_view kEventMagic = "WEV1";
constexpr std::size_t kEventSourceMax = 63;

struct EventId {
  std::string source;          // "edge/NAME", "waryd", ...; at most 63 bytes
  std::uint64_t boot = 0;      // random at each start of the source
  std::uint64_t sequence = 0;  // from 1, without gaps within a boot
  auto operator<=>(const EventId&) const = default;
};

// OCSF 1.x class and the activity within it.
enum class EventClass : std::uint32_t {
  kAuthorizeSession = 3003,
  kEntityManagement = 3004,
  kAuthentication = 3002,
  kApiActivity = 6003,
  kHttpActivity = 4002,
  kApplicationLifecycle = 6002,
};

struct Event {
  EventId id;
  std::string tenant;
  EventClass class_uid = EventClass::kApiActivity;
  std::uint32_t activity_id = 99;  // OCSF activity within the class; 99 is "other", named by detail.activity_name
  UnixTime event_time;             // when it happened, by the source's clock
  UnixTime receive_time;           // when the ledger took it; set there
  std::string actor;               // entity ids as Cedar text, or empty
  std::string device;
  std::string session;
  std::string resource;
  std::string action;
  std::string decision_id;
  std::string trace_id;
  std::string detail;  // canonical JSON object with what the class needs
  Bytes raw;           // the original bytes, where there were any
  bool operator==(const Event&) const = default;
};

// Format "WEV1": magic, then every field in the order above: integers big-endian, text as u32 length and bytes.
// Equal events encode to equal bytes. Error: event_too_large.
Result<Bytes> encode(const Event& event);
// The same with another receive time.
Result<Bytes> encode(const Event& event, UnixTime receive_time);
// Exactly what encode wrote: trailing bytes, overlong fields and unknown classes are refused (event_syntax).
Result<Event> decode_event(ByteView bytes);

// The OCSF rendering: class_uid, type_uid, time, actor, metadata, unmapped.
codec::Json to_ocsf(const Event& event);

}  // namespace wary::contract
