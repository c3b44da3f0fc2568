#include "base/metrics.h"

namespace wary {

Metric& Metrics::find(std::string_view name, std::string_view help, std::string_view type) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.name == name) return entry.metric;
  }
  Entry& entry = entries_.emplace_back();
  entry.name = name;
  entry.help = help;
  entry.type = type;
  return entry.metric;
}

std::string Metrics::to_prometheus() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const Entry& entry : entries_) {
    text += "# HELP " + entry.name + " " + entry.help + "\n# TYPE " + entry.name + " " + entry.type + "\n" +
            entry.name + " " + std::to_string(entry.metric.value()) + "\n";
  }
  return text;
}

}  // namespace wary
