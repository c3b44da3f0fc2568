// Log: what operators read, one JSON object a line on a sink that main() chose. Fields are typed: text that was not
// declared loggable prints as a keyed digest, so that two lines about one secret can be joined and it is never shown.
//
//   log.info("edge.listening", {{"port", 7443}});
//   log.warn("session.refused", {{"token", Log::hidden(token)}});
//
// Thread-safe; a line is written whole. Limits: 32 fields, 4 KiB of text a field.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>

#include "base/time.h"

namespace wary {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

struct LogField {
  enum class Type { kText, kNumber, kBool, kHidden };
  LogField(std::string_view name, std::string_view text) : name(name), type(Type::kText), text(text) {}
  LogField(std::string_view name, const char* text) : name(name), type(Type::kText), text(text) {}
  LogField(std::string_view name, const std::string& text) : name(name), type(Type::kText), text(text) {}
  LogField(std::string_view name, bool value) : name(name), type(Type::kBool), number(value ? 1 : 0) {}
  LogField(std::string_view name, std::int64_t value) : name(name), type(Type::kNumber), number(value) {}
  LogField(std::string_view name, int value) : name(name), type(Type::kNumber), number(value) {}
  LogField(std::string_view name, std::uint64_t value)
      : name(name), type(Type::kNumber), number(static_cast<std::int64_t>(value)) {}
  struct Hidden {
    std::string_view text;
  };
  LogField(std::string_view name, Hidden hidden) : name(name), type(Type::kHidden), text(hidden.text) {}

  std::string_view name;
  Type type;
  std::string_view text;
  std::int64_t number = 0;
};

class Log {
 public:
  using Sink = std::function<void(std::string_view line)>;  // gets one line with its newline
  // `key` (16 bytes, random per process) keys the digests of hidden fields.
  Log(Clock& clock, std::string process, Sink sink, std::uint64_t key_low, std::uint64_t key_high);

  static LogField::Hidden hidden(std::string_view text) { return {text}; }
  void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
  void info(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::kInfo, event, fields);
  }
  void warn(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::kWarn, event, fields);
  }
  void error(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::kError, event, fields);
  }

 private:
  Clock& clock_;
  std::string process_;
  Sink sink_;
  std::uint64_t key_low_;
  std::uint64_t key_high_;
  std::mutex mutex_;
};

// A log that goes nowhere, for tests.
Log& null_log();

}  // namespace wary
