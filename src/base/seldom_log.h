// SeldomLog: lines that somebody else can cause, so that nobody fills the log: of one event and source ten at once and
// then one in six seconds, of one event sixty at once and then one a second. What was left out is told, by a line of
// its own, before the next one of that event.
//
//   SeldomLog refusals(log);
//   refusals.warn(loop.now(), "node.refused", client, {{"client", client}, {"code", error.code}});
//   // {"event":"log.left_out","of":"node.refused","lines":1840}
//
// What must not be missed is in the ledger or counted by a metric; this is for whoever reads along. One thread. Limits:
// those of RateByKey; events are names of ours.
#pragma once

#include <map>
#include <string>

#include "base/log.h"
#include "base/rate.h"

namespace wary {

class SeldomLog {
 public:
  explicit SeldomLog(Log& log) : log_(log) {}
  void info(Monotonic now, std::string_view event, std::string_view source, std::initializer_list<LogField> fields) {
    write(LogLevel::kInfo, now, event, source, fields);
  }
  void warn(Monotonic now, std::string_view event, std::string_view source, std::initializer_list<LogField> fields) {
    write(LogLevel::kWarn, now, event, source, fields);
  }
  void error(Monotonic now, std::string_view event, std::string_view source, std::initializer_list<LogField> fields) {
    write(LogLevel::kError, now, event, source, fields);
  }

 private:
  void write(LogLevel level, Monotonic now, std::string_view event, std::string_view source,
             std::initializer_list<LogField> fields) {
    const std::string name(event);
    std::uint64_t& left_out = left_out_[name];
    if (!of_source_.take(name + '\n' + std::string(source), now) || !of_event_.take(name, now)) {
      ++left_out;
      return;
    }
    if (left_out > 0) log_.write(level, "log.left_out", {{"of", event}, {"lines", left_out}});
    left_out = 0;
    log_.write(level, event, fields);
  }

  Log& log_;
  RateByKey<std::string> of_source_{{.per_second = 1.0 / 6, .at_once = 10}};
  RateByKey<std::string> of_event_{{.per_second = 1, .at_once = 60}};
  std::map<std::string, std::uint64_t> left_out_;  // by event
};

}  // namespace wary
