#include "base/log.h"

#include <cstdio>

#include "base/siphash.h"

namespace wary {

namespace {

constexpr std::size_t kFieldTextMax = 4096;

void append_escaped(std::string& out, std::string_view text) {
  for (const char raw : text.substr(0, kFieldTextMax)) {
    const auto byte = static_cast<unsigned char>(raw);
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += raw;
    } else if (byte < 0x20 || byte >= 0x7f) {
      // Not only controls: a log line is ASCII, so that no byte of a client reaches a terminal as it is.
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      out += escaped;
    } else {
      out += raw;
    }
  }
}

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarn: return "warn";
    case LogLevel::kError: return "error";
  }
  return "error";
}

class FrozenClock final : public Clock {
 public:
  UnixTime unix_time() override { return {}; }
  Monotonic monotonic() override { return {}; }
};

}  // namespace

Log::Log(Clock& clock, std::string process, Sink sink, std::uint64_t key_low, std::uint64_t key_high)
    : clock_(clock), process_(std::move(process)), sink_(std::move(sink)), key_low_(key_low), key_high_(key_high) {}

void Log::write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line = "{\"time\":\"" + to_rfc3339(clock_.unix_time()) + "\",\"level\":\"";
  line += name_of(level);
  line += "\",\"process\":\"" + process_ + "\",\"event\":\"";
  append_escaped(line, event);
  line += '"';
  for (const LogField& field : fields) {
    line += ",\"";
    append_escaped(line, field.name);
    line += "\":";
    if (field.type == LogField::Type::kNumber) {
      line += std::to_string(field.number);
    } else if (field.type == LogField::Type::kBool) {
      line += field.number != 0 ? "true" : "false";
    } else {
      line += '"';
      if (field.type == LogField::Type::kHidden) {
        char digest[32];
        std::snprintf(digest, sizeof digest, "hidden:%016llx",
                      static_cast<unsigned long long>(siphash(key_low_, key_high_, field.text)));
        line += digest;
      } else {
        append_escaped(line, field.text);
      }
      line += '"';
    }
  }
  line += "}\n";
  const std::lock_guard lock(mutex_);
  sink_(line);
}

Log& null_log() {
  static FrozenClock clock;
  static Log log(clock, "none", [](std::string_view) {}, 0, 0);
  return log;
}

}  // namespace wary
