#include "pdp/spop.h"

#include <array>
#include <optional>

#include "pdp/forward.h"

namespace wary::pdp {

namespace {

// Frame types, flags, data types and status codes of SPOE's specification, section 3.
enum FrameType : std::uint8_t {
  kHaproxyHello = 1,
  kHaproxyDisconnect = 2,
  kNotify = 3,
  kAgentHello = 101,
  kAgentDisconnect = 102,
  kAck = 103,
};
constexpr std::uint32_t kFlagFin = 1;
enum DataType : std::uint8_t {
  kNull = 0,
  kBool = 1,
  kInt32 = 2,
  kUint32 = 3,
  kInt64 = 4,
  kUint64 = 5,
  kIpv4 = 6,
  kIpv6 = 7,
  kString = 8,
  kBinary = 9,
};
enum StatusCode : std::uint32_t {
  kNormal = 0,
  kTooBig = 3,
  kInvalid = 4,
  kNoVersion = 5,
  kNoFrameSize = 6,
  kBadVersion = 8,
  kBadFrameSize = 9,
  kFragments = 10,
};
constexpr std::size_t kMessagesMax = 1;  // a second one would overwrite what was said of the first
constexpr std::size_t kArgumentsMax = 32;
constexpr std::uint8_t kSetVariable = 1;
constexpr std::uint8_t kTransaction = 2;  // scope

void append_number(std::string& out, std::uint64_t value) {
  if (value < 240) {
    out += static_cast<char>(value);
    return;
  }
  out += static_cast<char>((value & 0xff) | 240);
  value = (value - 240) >> 4;
  while (value >= 128) {
    out += static_cast<char>((value & 0xff) | 128);
    value = (value - 128) >> 7;
  }
  out += static_cast<char>(value);
}

void append_text(std::string& out, std::string_view text) {
  append_number(out, text.size());
  out += text;
}

void append_item(std::string& out, std::string_view name, DataType type, std::uint64_t number,
                 std::string_view text = {}) {
  append_text(out, name);
  const bool is_true = type == kBool && number != 0;
  out += static_cast<char>(type | (is_true ? 0x10 : 0));
  if (type == kString) append_text(out, text);
  if (type != kString && type != kBool) append_number(out, number);
}

std::string ipv6_text(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i != 0 && i % 2 == 0) out += ':';
    const auto byte = static_cast<std::uint8_t>(bytes[i]);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string ipv4_text(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) {
    if (!out.empty()) out += '.';
    out += std::to_string(static_cast<std::uint8_t>(byte));
  }
  return out;
}

struct Value {
  DataType type = kNull;
  std::uint64_t number = 0;
  std::string text;  // addresses as text
};

// Reads from the front; a failed read says so for good.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

  std::uint8_t byte() {
    if (rest_.empty()) return fail();
    const auto out = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return out;
  }
  std::uint64_t number() {
    const std::uint8_t first = byte();
    if (first < 240) return first;
    std::uint64_t out = first;
    for (unsigned shift = 4;; shift += 7) {
      const std::uint64_t next = byte();
      // Ten bytes hold every 64-bit number; what does not fit is none.
      if (!ok_ || shift > 60 || (shift == 60 && next > 15)) return fail();
      const std::uint64_t sum = out + (next << shift);
      if (sum < out) return fail();
      out = sum;
      if (next < 128) return out;
    }
  }
  std::string_view bytes(std::uint64_t count) {
    if (!ok_ || count > rest_.size()) {
      fail();
      return {};
    }
    const std::string_view out = rest_.substr(0, static_cast<std::size_t>(count));
    rest_.remove_prefix(out.size());
    return out;
  }
  std::string_view text() { return bytes(number()); }
  Value value() {
    Value out;
    const std::uint8_t head = byte();
    out.type = static_cast<DataType>(head & 15);
    switch (out.type) {
      case kNull: break;
      case kBool: out.number = (head & 0x10) != 0 ? 1 : 0; break;
      case kInt32:
      case kUint32:
      case kInt64:
      case kUint64: out.number = number(); break;
      case kIpv4: out.text = ipv4_text(bytes(4)); break;
      case kIpv6: out.text = ipv6_text(bytes(16)); break;
      case kString:
      case kBinary: out.text = text(); break;
      default: fail();
    }
    return out;
  }

 private:
  std::uint8_t fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool ok_ = true;
};

std::string head_of(FrameType type, std::uint64_t stream, std::uint64_t number) {
  std::string out;
  out += static_cast<char>(type);
  out.append(3, '\0');
  out += static_cast<char>(kFlagFin);
  append_number(out, stream);
  append_number(out, number);
  return out;
}

std::string with_length(const std::string& frame) {
  std::string out(4, '\0');
  for (std::size_t i = 0; i < 4; ++i) out[i] = static_cast<char>(frame.size() >> (24 - 8 * i));
  return out + frame;
}

void append_variable(std::string& out, std::string_view name, DataType type, std::uint64_t number,
                     std::string_view text = {}) {
  out += static_cast<char>(kSetVariable);
  out += '\3';
  out += static_cast<char>(kTransaction);
  append_item(out, name, type, number, text);
}

std::optional<Target> read_target(Reader& reader) {
  Target out;
  reader.text();  // the message's name is the configuration's
  const std::size_t count = reader.byte();
  if (count > kArgumentsMax) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view name = reader.text();
    Value value = reader.value();
    if (name == "method") out.method = std::move(value.text);
    if (name == "uri") out.uri = std::move(value.text);
    if (name == "host") out.host = std::move(value.text);
    if (name == "cookies") out.cookies = std::move(value.text);
    if (name == "client") out.client = std::move(value.text);
  }
  if (!reader.ok()) return std::nullopt;
  return out;
}

}  // namespace

std::string Spop::receive(std::string_view bytes) {
  std::string out;
  if (is_over_) return out;
  in_ += bytes;
  std::size_t at = 0;
  while (!is_over_ && in_.size() - at >= 4) {
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<std::uint8_t>(in_[at + i]);
    if (length > frame_max_) {
      out += disconnect(kTooBig, "the frame is larger than agreed");
      break;
    }
    if (in_.size() - at - 4 < length) break;
    out += frame(std::string_view(in_).substr(at + 4, length));
    at += 4 + length;
  }
  in_.erase(0, at);
  if (is_over_) in_.clear();
  return out;
}

std::string Spop::frame(std::string_view body) {
  Reader reader(body);
  const std::uint8_t type = reader.byte();
  std::uint32_t flags = 0;
  for (int i = 0; i < 4; ++i) flags = flags << 8 | reader.byte();
  const std::uint64_t stream = reader.number(), number = reader.number();
  if (!reader.ok()) return disconnect(kInvalid, "the frame's head is cut off");
  if (flags != kFlagFin) return disconnect(kFragments, "fragments are not taken");
  if (type == kHaproxyDisconnect) return disconnect(kNormal, "normal");
  if (type == kHaproxyHello && !said_hello_ && stream == 0 && number == 0) return hello(reader.rest());
  if (type == kNotify && said_hello_) return notify(stream, number, reader.rest());
  return disconnect(kInvalid, "this frame has no place here");
}

std::string Spop::hello(std::string_view payload) {
  Reader reader(payload);
  std::string versions;
  std::optional<std::uint64_t> size;
  bool is_check = false;
  while (reader.ok() && !reader.at_end()) {
    const std::string_view name = reader.text();
    Value value = reader.value();
    if (name == "supported-versions") versions = std::move(value.text);
    if (name == "max-frame-size" && value.type == kUint32) size = value.number;
    if (name == "healthcheck") is_check = value.number != 0;
  }
  if (!reader.ok()) return disconnect(kInvalid, "the hello cannot be read");
  if (versions.empty()) return disconnect(kNoVersion, "no version is offered");
  // "2.0, 1.5": any 2.x is what we speak.
  if (!versions.starts_with("2.") && versions.find(" 2.") == std::string::npos &&
      versions.find(",2.") == std::string::npos) {
    return disconnect(kBadVersion, "only version 2 is spoken");
  }
  if (!size) return disconnect(kNoFrameSize, "no frame size is offered");
  if (*size < kFrameMin) return disconnect(kBadFrameSize, "frames of that size are too small");
  frame_max_ = std::min<std::size_t>(kFrameMax, static_cast<std::size_t>(*size));
  said_hello_ = true;
  is_over_ = is_check;  // who only asked whether we are here hangs up after this
  std::string out = head_of(kAgentHello, 0, 0);
  append_item(out, "version", kString, 0, "2.0");
  append_item(out, "max-frame-size", kUint32, frame_max_);
  append_item(out, "capabilities", kString, 0, "pipelining");
  return with_length(out);
}

std::string Spop::notify(std::uint64_t stream, std::uint64_t number, std::string_view payload) {
  Reader reader(payload);
  std::string out = head_of(kAck, stream, number);
  for (std::size_t i = 0; !reader.at_end(); ++i) {
    const auto target = i < kMessagesMax ? read_target(reader) : std::nullopt;
    if (!target) return disconnect(kInvalid, "the message cannot be read");
    const Verdict verdict = judge(authority_, *target, pep_);
    append_variable(out, "allow", kBool, verdict.status == 200 ? 1 : 0);
    append_variable(out, "status", kUint32, static_cast<std::uint64_t>(verdict.status));
    append_variable(out, "decision", kString, 0, verdict.decision);
    append_variable(out, "principal", kString, 0, verdict.principal);
    append_variable(out, "session", kString, 0, verdict.session);
  }
  if (!reader.ok()) return disconnect(kInvalid, "the message cannot be read");
  if (out.size() > frame_max_) return disconnect(kTooBig, "the answer is larger than agreed");
  return with_length(out);
}

std::string Spop::disconnect(std::uint32_t status, std::string_view why) {
  is_over_ = true;
  std::string out = head_of(kAgentDisconnect, 0, 0);
  append_item(out, "status-code", kUint32, status);
  append_item(out, "message", kString, 0, why);
  return with_length(out);
}

}  // namespace wary::pdp
