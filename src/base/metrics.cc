#include "base/metrics.h"

#include <algorithm>
#include <cstdio>

namespace wary {

namespace {

constexpr std::size_t kSeriesMost = 4096;

void append_labels(std::string& text, const Metrics::Labels& labels, std::string_view bound = {}) {
  if (labels.empty() && bound.empty()) return;
  text += '{';
  bool first = true;
  const auto append = [&](std::string_view name, std::string_view value) {
    if (!first) text += ',';
    first = false;
    text.append(name).append("=\"");
    for (const char c : value) {
      if (c == '\\' || c == '"') text += '\\';
      if (c == '\n')
        text += "\\n";
      else
        text += c;
    }
    text += '"';
  };
  for (const auto& [name, value] : labels) append(name, value);
  if (!bound.empty()) append("le", bound);
  text += '}';
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

void append_histogram(std::string& text, const Metrics::Reading& one) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < one.counts.size(); ++i) {
    count += one.counts[i];
    text += one.name + "_bucket";
    append_labels(text, one.labels, i < Histogram::kBounds.size() ? number(Histogram::kBounds[i]) : "+Inf");
    text += " " + std::to_string(count) + "\n";
  }
  text += one.name + "_sum";
  append_labels(text, one.labels);
  text += " " + number(static_cast<double>(one.sum_nanos) / 1e9) + "\n" + one.name + "_count";
  append_labels(text, one.labels);
  text += " " + std::to_string(count) + "\n";
}

}  // namespace

Metrics::Entry& Metrics::find(std::string_view name, std::string_view help, Type type, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.name == name && entry.labels == labels) return entry;
  }
  if (entries_.size() >= kSeriesMost) return beyond_;
  Entry& entry = entries_.emplace_back();
  entry.name = name;
  entry.help = help;
  entry.type = type;
  entry.labels = labels;
  return entry;
}

std::vector<Metrics::Reading> Metrics::read() const {
  std::vector<Reading> out;
  {
    const std::lock_guard lock(mutex_);
    out.reserve(entries_.size());
    for (const Entry& entry : entries_) {
      out.push_back({entry.name, entry.help, entry.type, entry.labels, entry.metric.value(), entry.histogram.counts(),
                     entry.histogram.sum_nanos()});
    }
  }
  // In the order in which the names came, each with all of its series.
  std::vector<std::string> names;
  for (const Reading& one : out) {
    if (std::find(names.begin(), names.end(), one.name) == names.end()) names.push_back(one.name);
  }
  const auto place = [&](const Reading& one) { return std::find(names.begin(), names.end(), one.name); };
  std::stable_sort(out.begin(), out.end(), [&](const Reading& a, const Reading& b) { return place(a) < place(b); });
  return out;
}

std::string Metrics::to_prometheus() const {
  constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
  std::string text, last;
  for (const Reading& one : read()) {
    if (one.name != last) {
      last = one.name;
      text.append("# HELP ").append(one.name).append(" ").append(one.help).append("\n# TYPE ").append(one.name);
      text.append(" ").append(kTypes[static_cast<std::size_t>(one.type)]).append("\n");
    }
    if (one.type == Type::kHistogram) {
      append_histogram(text, one);
      continue;
    }
    text += one.name;
    append_labels(text, one.labels);
    text += " " + std::to_string(one.value) + "\n";
  }
  return text;
}

}  // namespace wary
