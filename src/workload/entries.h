// Entries: which workloads the processes of a node can be, found by what was attested.
//
//   Entries entries;
//   entries.put(entry_of(entity));                        // of a Wary::Workload
//   for (const Entry* entry : entries.match(attested.selectors)) ...
//
// A process is a workload when it has all selectors of one of its sets. One thread. Limits: 16 sets of 16 selectors a
// workload (schema/kinds/Workload.json).
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "contract/entity.h"

namespace wary::workload {

struct Entry {
  std::string spiffe_id;
  std::vector<std::vector<std::string>> selectors;  // each set ascending
  std::string hint;
  std::int64_t ttl_seconds = 3600;
  std::vector<std::string> federates_with;  // trust domains
  bool is_barred = false;                   // revoked or disabled
  bool operator==(const Entry&) const = default;
};

// Nothing for an entity that is no workload, or one that no process can be.
Entry entry_of(const contract::Entity& workload);

class Entries {
 public:
  // Whether anything changed by it.
  bool put(Entry entry);
  bool remove(const std::string& spiffe_id);
  void clear();
  const Entry* find(const std::string& spiffe_id) const;
  // Those that are not barred, by ascending SPIFFE ID. `selectors` ascending.
  std::vector<const Entry*> match(std::span<const std::string> selectors) const;
  // Whether any entry has a selector that begins so.
  bool ask_for(std::string_view prefix) const;
  std::size_t size() const { return entries_.size(); }

 private:
  void index(const Entry& entry, bool add);
  std::map<std::string, Entry> entries_;
  // Every set stands under one of its selectors: the longest, which is nearly always the rarest.
  std::unordered_map<std::string, std::vector<std::pair<const Entry*, std::size_t>>> by_selector_;
  std::map<std::string, std::size_t> all_;  // selectors, and how often
};

}  // namespace wary::workload
