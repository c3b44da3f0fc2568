#include "workload/entries.h"

#include <algorithm>

namespace wary::workload {

namespace {

const std::string& key_of_set(const std::vector<std::string>& selectors) {
  return *std::max_element(selectors.begin(), selectors.end(),
                           [](const std::string& a, const std::string& b) { return a.size() < b.size(); });
}

std::vector<std::string> texts_of(const codec::Json& list) {
  std::vector<std::string> out;
  if (!list.is_array()) return out;
  for (const codec::Json& item : list.items()) {
    if (item.is_string()) out.push_back(item.as_string());
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

Entry entry_of(const contract::Entity& workload) {
  Entry out;
  out.spiffe_id = workload.id.id;
  for (const contract::Fact& fact : workload.attributes) {
    const codec::Json& value = fact.value;
    if ((fact.name == "revoked" || fact.name == "disabled") && !(value.is_bool() && !value.as_bool())) {
      out.is_barred = true;
    } else if (fact.name == "hint" && value.is_string()) {
      out.hint = value.as_string();
    } else if (fact.name == "ttl" && value.is_integer()) {
      out.ttl_seconds = value.as_integer();
    } else if (fact.name == "federates_with") {
      out.federates_with = texts_of(value);
    } else if (fact.name == "selectors" && value.is_array()) {
      for (const codec::Json& set : value.items()) {
        // A set of nothing would be every process.
        if (auto selectors = texts_of(set); !selectors.empty()) out.selectors.push_back(std::move(selectors));
      }
    }
  }
  return out;
}

void Entries::index(const Entry& entry, bool add) {
  for (std::size_t i = 0; i < entry.selectors.size(); ++i) {
    for (const std::string& selector : entry.selectors[i]) {
      if (add) {
        ++all_[selector];
      } else if (--all_[selector] == 0) {
        all_.erase(selector);
      }
    }
    auto& sets = by_selector_[key_of_set(entry.selectors[i])];
    if (add) {
      sets.emplace_back(&entry, i);
    } else {
      std::erase(sets, std::pair<const Entry*, std::size_t>(&entry, i));
      if (sets.empty()) by_selector_.erase(key_of_set(entry.selectors[i]));
    }
  }
}

bool Entries::put(Entry entry) {
  const auto found = entries_.find(entry.spiffe_id);
  if (found != entries_.end() && found->second == entry) return false;
  if (found != entries_.end()) index(found->second, false);
  const std::string id = entry.spiffe_id;
  Entry& stored = entries_[id];  // a map's elements stay where they are
  stored = std::move(entry);
  index(stored, true);
  return true;
}

bool Entries::remove(const std::string& spiffe_id) {
  const auto found = entries_.find(spiffe_id);
  if (found == entries_.end()) return false;
  index(found->second, false);
  entries_.erase(found);
  return true;
}

void Entries::clear() {
  entries_.clear();
  by_selector_.clear();
  all_.clear();
}

const Entry* Entries::find(const std::string& spiffe_id) const {
  const auto found = entries_.find(spiffe_id);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<const Entry*> Entries::match(std::span<const std::string> selectors) const {
  std::set<std::pair<std::string_view, const Entry*>> matched;
  for (const std::string& selector : selectors) {
    const auto sets = by_selector_.find(selector);
    if (sets == by_selector_.end()) continue;
    for (const auto& [entry, number] : sets->second) {
      const auto& wanted = entry->selectors[number];
      if (entry->is_barred) continue;
      if (std::includes(selectors.begin(), selectors.end(), wanted.begin(), wanted.end())) {
        matched.emplace(entry->spiffe_id, entry);
      }
    }
  }
  std::vector<const Entry*> out;
  for (const auto& [id, entry] : matched) out.push_back(entry);
  return out;
}

bool Entries::ask_for(std::string_view prefix) const {
  const auto first = all_.lower_bound(std::string(prefix));
  return first != all_.end() && first->first.starts_with(prefix);
}

}  // namespace wary::workload
