#include "contract/event.h"

#include <array>

#include "base/limits.h"
#include "codec/text.h"
#include "contract/entity.h"

namespace wary::contract {

namespace {

constexpr std::size_t kTextMax = limits::kFreeTextBytes;

// The texts of an event in the order of the encoding; `Self` is Event or const Event.
template <typename Self>
auto texts_of(Self& event) {
  return std::array{&event.actor,  &event.device,      &event.session,  &event.resource,
                    &event.action, &event.decision_id, &event.trace_id, &event.detail};
}

// The detail may use what the entry has; the others are names.
std::size_t limit_of(const Event& event, const std::string* text) {
  return text == &event.detail ? limits::kLedgerEntryBytes : kTextMax;
}

void append_text(Bytes& out, ByteView text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  const std::array<std::uint8_t, 4> head = {static_cast<std::uint8_t>(size >> 24),
                                            static_cast<std::uint8_t>(size >> 16), static_cast<std::uint8_t>(size >> 8),
                                            static_cast<std::uint8_t>(size)};
  append(out, head);
  append(out, text);
}

Error too_large(std::string_view what, std::size_t size, std::size_t limit) {
  return fail(ErrorKind::kInvalid, "event_too_large", std::string(what) + " is too long")
      .expected("at most " + std::to_string(limit) + " bytes")
      .found(std::to_string(size))
      .next("record a digest in the detail and keep the bytes elsewhere");
}

bool is_known(std::uint32_t class_uid) {
  switch (static_cast<EventClass>(class_uid)) {
    case EventClass::kAuthorizeSession:
    case EventClass::kEntityManagement:
    case EventClass::kAuthentication:
    case EventClass::kApiActivity:
    case EventClass::kHttpActivity:
    case EventClass::kApplicationLifecycle: return true;
  }
  return false;
}

class EventReader {
 public:
  explicit EventReader(ByteView bytes) : bytes_(bytes) {}
  Error syntax(std::string_view message) const {
    return fail(ErrorKind::kInvalid, "event_syntax", message).at("offset " + std::to_string(at_));
  }
  template <typename T>
  Status number(T& out) {
    if (bytes_.size() - at_ < sizeof(T)) return syntax("the event is cut");
    out = read_big_endian<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return {};
  }
  Result<ByteView> bytes(std::size_t size_max) {
    const std::size_t start = at_;
    std::uint32_t size = 0;
    WARY_RETURN_IF_ERROR(number(size));
    if (size > size_max || size > bytes_.size() - at_) {
      at_ = start;
      return syntax("a field is longer than it may be, or cut");
    }
    const ByteView field = bytes_.subspan(at_, size);
    at_ += size;
    return field;
  }
  Status text(std::string& out, std::size_t size_max) {
    WARY_ASSIGN_OR_RETURN(const ByteView field, bytes(size_max));
    out = as_text(field);
    return {};
  }
  Status expect(std::string_view magic) {
    if (!as_text(bytes_).starts_with(magic)) return syntax("this is no event of version 1");
    at_ = magic.size();
    return {};
  }
  bool is_at_end() const { return at_ == bytes_.size(); }

 private:
  ByteView bytes_;
  std::size_t at_ = 0;
};

std::string_view class_name(EventClass class_uid) {
  switch (class_uid) {
    case EventClass::kAuthorizeSession: return "Authorize Session";
    case EventClass::kEntityManagement: return "Entity Management";
    case EventClass::kAuthentication: return "Authentication";
    case EventClass::kApiActivity: return "API Activity";
    case EventClass::kHttpActivity: return "HTTP Activity";
    case EventClass::kApplicationLifecycle: return "Application Lifecycle";
  }
  return "Unknown";
}

}  // namespace

Result<Bytes> encode(const Event& event) { return encode(event, event.receive_time); }

Result<Bytes> encode(const Event& event, UnixTime receive_time) {
  if (event.id.source.size() > kEventSourceMax)
    return too_large("the source's name", event.id.source.size(), kEventSourceMax);
  if (event.tenant.size() > limits::kNameBytes) return too_large("the tenant", event.tenant.size(), limits::kNameBytes);
  for (const std::string* text : texts_of(event)) {
    if (text->size() > limit_of(event, text)) return too_large("a field", text->size(), limit_of(event, text));
  }
  if (event.raw.size() > limits::kLedgerEntryBytes) {
    return too_large("the raw event", event.raw.size(), limits::kLedgerEntryBytes);
  }
  Bytes out;
  std::size_t size = 128 + event.id.source.size() + event.tenant.size() + event.raw.size();
  for (const std::string* text : texts_of(event)) size += text->size();
  out.reserve(size);
  append(out, as_bytes(kEventMagic));
  append_text(out, as_bytes(event.id.source));
  append_big_endian(out, event.id.boot);
  append_big_endian(out, event.id.sequence);
  append_text(out, as_bytes(event.tenant));
  append_big_endian(out, static_cast<std::uint32_t>(event.class_uid));
  append_big_endian(out, event.activity_id);
  append_big_endian(out, static_cast<std::uint64_t>(event.event_time.nanos));
  append_big_endian(out, static_cast<std::uint64_t>(receive_time.nanos));
  for (const std::string* text : texts_of(event)) append_text(out, as_bytes(*text));
  append_text(out, event.raw);
  if (out.size() > limits::kLedgerEntryBytes) return too_large("the event", out.size(), limits::kLedgerEntryBytes);
  return out;
}

Result<Event> decode_event(ByteView bytes) {
  EventReader reader(bytes);
  if (bytes.size() > limits::kLedgerEntryBytes) return reader.syntax("the event is too long");
  Event event;
  std::uint32_t class_uid = 0;
  std::uint64_t event_time = 0;
  std::uint64_t receive_time = 0;
  WARY_RETURN_IF_ERROR(reader.expect(kEventMagic));
  WARY_RETURN_IF_ERROR(reader.text(event.id.source, kEventSourceMax));
  WARY_RETURN_IF_ERROR(reader.number(event.id.boot));
  WARY_RETURN_IF_ERROR(reader.number(event.id.sequence));
  WARY_RETURN_IF_ERROR(reader.text(event.tenant, limits::kNameBytes));
  WARY_RETURN_IF_ERROR(reader.number(class_uid));
  if (!is_known(class_uid)) return reader.syntax("the event class is not known");
  WARY_RETURN_IF_ERROR(reader.number(event.activity_id));
  WARY_RETURN_IF_ERROR(reader.number(event_time));
  WARY_RETURN_IF_ERROR(reader.number(receive_time));
  for (std::string* text : texts_of(event)) WARY_RETURN_IF_ERROR(reader.text(*text, limit_of(event, text)));
  WARY_ASSIGN_OR_RETURN(const ByteView raw, reader.bytes(limits::kLedgerEntryBytes));
  if (!reader.is_at_end()) return reader.syntax("bytes follow the event");
  event.class_uid = static_cast<EventClass>(class_uid);
  event.event_time.nanos = static_cast<std::int64_t>(event_time);
  event.receive_time.nanos = static_cast<std::int64_t>(receive_time);
  event.raw.assign(raw.begin(), raw.end());
  return event;
}

codec::Json to_ocsf(const Event& event) {
  using codec::Json;
  const auto class_uid = static_cast<std::int64_t>(event.class_uid);
  const std::int64_t category = class_uid / 1000;
  Json json = Json::object({{"class_uid", class_uid},
                            {"class_name", class_name(event.class_uid)},
                            {"category_uid", category},
                            {"activity_id", std::int64_t{event.activity_id}},
                            {"type_uid", class_uid * 100 + event.activity_id},
                            {"severity_id", 1},
                            {"time", event.event_time.nanos / kNanosPerMilli}});
  json.set("metadata", Json::object({{"version", "1.4.0"},
                                     {"uid", event.id.source + "/" + std::to_string(event.id.boot) + "/" +
                                                 std::to_string(event.id.sequence)},
                                     {"tenant_uid", event.tenant},
                                     {"logged_time", event.receive_time.nanos / kNanosPerMilli},
                                     {"correlation_uid", event.trace_id},
                                     {"product", Json::object({{"name", "wary"}, {"vendor_name", "wary"}})}}));
  if (!event.actor.empty()) {
    Json user = Json::object({{"uid", event.actor}});
    if (const auto id = parse_entity_id(event.actor); id.ok()) user.set("name", id->id).set("type", id->type);
    Json actor = Json::object({{"user", std::move(user)}});
    if (!event.session.empty()) actor.set("session", Json::object({{"uid", event.session}}));
    json.set("actor", std::move(actor));
  }
  if (!event.device.empty()) json.set("device", Json::object({{"uid", event.device}}));
  if (!event.resource.empty()) {
    json.set("resources", Json::array({Json::object({{"uid", event.resource}})}));
  }
  Json unmapped = Json::object();
  if (!event.action.empty()) unmapped.set("action", event.action);
  if (!event.decision_id.empty()) unmapped.set("decision_id", event.decision_id);
  if (!event.detail.empty()) {
    auto detail = codec::parse_json(event.detail);
    if (detail.ok()) {
      if (event.activity_id == 99) {
        const std::string_view name = detail->string_or("activity_name", "");
        if (!name.empty()) json.set("activity_name", name);
      }
      unmapped.set("detail", std::move(detail).value());
    } else {
      unmapped.set("detail_text",
                   codec::is_utf8(event.detail) ? event.detail : codec::encode_base64(as_bytes(event.detail)));
    }
  }
  json.set("unmapped", std::move(unmapped));
  if (!event.raw.empty()) {
    const bool is_text = codec::is_utf8(as_text(event.raw));
    json.set("raw_data", is_text ? std::string(as_text(event.raw)) : codec::encode_base64(event.raw));
  }
  return json;
}

}  // namespace wary::contract
