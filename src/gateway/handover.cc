#include "gateway/handover.h"

#include <algorithm>

namespace wary::gateway {

namespace {

using Kind = HandoverMessage::Kind;

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kTextMost = 1024;

Error bad_message(std::string_view what) { return fail(ErrorKind::kInvalid, "handover_message", what); }

void append_text(Bytes& out, std::string_view text) {
  append_big_endian(out, static_cast<std::uint16_t>(text.size()));
  append(out, as_bytes(text));
}

// What is left of a message; every take says whether it was there.
class MessageReader {
 public:
  explicit MessageReader(ByteView bytes) : rest_(bytes) {}
  template <typename Number>
  bool take(Number& number) {
    if (rest_.size() < sizeof number) return false;
    number = read_big_endian<Number>(rest_.data());
    rest_ = rest_.subspan(sizeof number);
    return true;
  }
  bool take(std::string& text, std::size_t most) {
    std::uint16_t size = 0;
    if (!take(size) || size > most || size > rest_.size()) return false;
    const auto is_printable = [](std::uint8_t byte) { return byte >= 0x20 && byte != 0x7f; };
    if (!std::all_of(rest_.begin(), rest_.begin() + size, is_printable)) return false;
    text = std::string(as_text(rest_.first(size)));
    rest_ = rest_.subspan(size);
    return true;
  }
  bool is_at_end() const { return rest_.empty(); }
  void skip_all() { rest_ = {}; }

 private:
  ByteView rest_;
};

bool read_sockets(MessageReader& reader, std::vector<std::string>& names) {
  std::uint16_t count = 0;
  if (!reader.take(count) || count == 0 || count > kHandoverSocketsMost) return false;
  names.resize(count);
  return std::all_of(names.begin(), names.end(),
                     [&](std::string& name) { return reader.take(name, kSocketNameMost) && !name.empty(); });
}

bool read_hello(MessageReader& reader, HandoverMessage& message) {
  if (!reader.take(message.version)) return false;
  // What another version says after its number is not ours to judge: it is refused by the number.
  if (message.version != kHandoverVersion) {
    reader.skip_all();
    return true;
  }
  return reader.take(message.listen, kTextMost) && reader.take(message.drain_seconds) &&
         message.drain_seconds <= kDrainSecondsMost;
}

}  // namespace

Bytes encode_handover(const HandoverMessage& message) {
  Bytes body = {static_cast<std::uint8_t>(message.kind)};
  if (message.kind == Kind::kHello) {
    append_big_endian(body, message.version);
    append_text(body, message.listen);
    append_big_endian(body, message.drain_seconds);
  }
  if (message.kind == Kind::kSockets) {
    append_big_endian(body, static_cast<std::uint16_t>(message.sockets.size()));
    for (const std::string& name : message.sockets) append_text(body, name);
  }
  if (message.kind == Kind::kRefused) {
    append_text(body, message.code);
    append_text(body, message.message);
  }
  Bytes out;
  append_big_endian(out, static_cast<std::uint32_t>(body.size()));
  append(out, body);
  return out;
}

Result<std::optional<HandoverMessage>> take_handover(Bytes& bytes) {
  if (bytes.size() < kLengthBytes) return std::optional<HandoverMessage>();
  const auto length = read_big_endian<std::uint32_t>(bytes.data());
  if (length == 0 || length > kHandoverBytesMost) return bad_message("a message's length is out of bounds");
  if (bytes.size() < kLengthBytes + length) return std::optional<HandoverMessage>();
  HandoverMessage message;
  const std::uint8_t kind = bytes[kLengthBytes];
  if (kind < static_cast<std::uint8_t>(Kind::kHello) || kind > static_cast<std::uint8_t>(Kind::kTaken)) {
    return bad_message("no such message");
  }
  message.kind = static_cast<Kind>(kind);
  MessageReader reader(ByteView(bytes).subspan(kLengthBytes + 1, length - 1));
  bool is_whole = true;
  if (message.kind == Kind::kHello) is_whole = read_hello(reader, message);
  if (message.kind == Kind::kSockets) is_whole = read_sockets(reader, message.sockets);
  if (message.kind == Kind::kRefused) {
    is_whole = reader.take(message.code, kTextMost) && reader.take(message.message, kTextMost);
  }
  if (!is_whole || !reader.is_at_end()) return bad_message("a message is not what its kind says");
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(kLengthBytes + length));
  return std::optional(std::move(message));
}

namespace {

// Before the taker has anything: nothing is lost by hanging up.
GiverStep step_before_offer(GiverState state, GiverEvent event) {
  switch (event) {
    case GiverEvent::kCalled: return {state, GiverAction::kTurnAway};
    case GiverEvent::kLetGo: return {state, GiverAction::kNothing};  // of an attempt before this one
    case GiverEvent::kGone: return {GiverState::kServing, GiverAction::kForget};
    default: return {GiverState::kServing, GiverAction::kRefuse};
  }
}

// Accepting has stopped, or will within this turn: whatever goes wrong, it begins again.
GiverStep step_before_taken(GiverState state, GiverEvent event) {
  switch (event) {
    case GiverEvent::kCalled: return {state, GiverAction::kTurnAway};
    case GiverEvent::kLetGo: return {state, GiverAction::kNothing};
    default: return {GiverState::kServing, GiverAction::kTakeBack};
  }
}

}  // namespace

GiverStep step(GiverState state, GiverEvent event) {
  switch (state) {
    case GiverState::kServing:
      if (event == GiverEvent::kCalled) return {GiverState::kGreeting, GiverAction::kHear};
      return {state, GiverAction::kNothing};
    case GiverState::kGreeting:
      if (event == GiverEvent::kHello) return {GiverState::kOffered, GiverAction::kOffer};
      return step_before_offer(state, event);
    case GiverState::kOffered:
      if (event == GiverEvent::kReady) return {GiverState::kLettingGo, GiverAction::kLetGo};
      return step_before_offer(state, event);
    case GiverState::kLettingGo:
      if (event == GiverEvent::kLetGo) return {GiverState::kGiving, GiverAction::kGive};
      return step_before_taken(state, event);
    case GiverState::kGiving:
      if (event == GiverEvent::kTaken) return {GiverState::kGiven, GiverAction::kDrain};
      // They may have begun to accept already: while they live, it is theirs. Who started them ends them if they hang.
      if (event == GiverEvent::kLate) return {state, GiverAction::kNothing};
      return step_before_taken(state, event);
    case GiverState::kGiven:
      return {state, event == GiverEvent::kCalled ? GiverAction::kTurnAway : GiverAction::kNothing};
  }
  return {state, GiverAction::kNothing};
}

TakerStep step(TakerState state, TakerEvent event) {
  constexpr TakerStep kFailure = {TakerState::kFailed, TakerAction::kFail};
  switch (state) {
    case TakerState::kAsking:
      if (event == TakerEvent::kSockets) return {TakerState::kPreparing, TakerAction::kPrepare};
      return kFailure;
    case TakerState::kPreparing:
      if (event == TakerEvent::kPrepared) return {TakerState::kWaiting, TakerAction::kSayReady};
      if (event == TakerEvent::kGone) return {TakerState::kAlone, TakerAction::kNothing};
      return kFailure;
    case TakerState::kAlone:
      if (event == TakerEvent::kPrepared) return {TakerState::kServing, TakerAction::kTakeAlone};
      return event == TakerEvent::kLate ? kFailure : TakerStep{state, TakerAction::kNothing};
    case TakerState::kWaiting:
      if (event == TakerEvent::kYours) return {TakerState::kServing, TakerAction::kTake};
      if (event == TakerEvent::kGone) return {TakerState::kServing, TakerAction::kTakeAlone};
      if (event == TakerEvent::kPrepared) return {state, TakerAction::kNothing};
      return kFailure;
    case TakerState::kServing:
      if (event == TakerEvent::kGone) return {state, TakerAction::kInherit};
      // The giver did not hear that it was taken, and serves again.
      if (event == TakerEvent::kRefused) return kFailure;
      return {state, TakerAction::kNothing};
    case TakerState::kFailed: return {state, TakerAction::kNothing};
  }
  return {state, TakerAction::kNothing};
}

}  // namespace wary::gateway
