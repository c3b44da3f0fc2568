#include "engine/convert.h"

#include <algorithm>
#include <numeric>

namespace wary::engine {

namespace {

// Linear over what is unknown: a context holds at most 10,000 values, and most of its names stand in some policy.
template <typename Items, typename Is>
std::uint32_t temporary_number(Items& items, Is is) {
  const auto at = std::find_if(items.begin(), items.end(), is);
  return kTemporary + static_cast<std::uint32_t>(at - items.begin());
}

template <typename Names>
const Set* to_set(const cedar::Value::Set& set, Names& names) {
  auto* out = static_cast<Set*>(names.arena().allocate(sizeof(Set) + set.size() * sizeof(Cell), alignof(Cell)));
  auto* cells = const_cast<Cell*>(out->begin());
  std::transform(set.begin(), set.end(), cells, [&](const cedar::Value& value) { return to_cell(value, names); });
  out->size = sort_unique(cells, static_cast<std::uint32_t>(set.size()));
  out->others = static_cast<std::uint32_t>(
      std::count_if(cells, cells + out->size, [](const Cell& cell) { return cell.tag != Tag::kEntity; }));
  return out;
}

}  // namespace

std::uint32_t RequestNames::name(std::string_view text) {
  const std::uint32_t known = symbols_->find_name(text);
  if (known != kNone) return known;
  const std::uint32_t number = temporary_number(names_, [&](std::string_view other) { return other == text; });
  if (number - kTemporary == names_.size()) names_.push_back(text);
  return number;
}

Cell RequestNames::unknown(const cedar::EntityUid& uid) {
  const std::uint32_t number = temporary_number(uids_, [&](const cedar::EntityUid* other) { return *other == uid; });
  if (number - kTemporary == uids_.size()) uids_.push_back(&uid);
  return Cell::entity_of(number, name(uid.type));
}

template <typename Names>
const Record* to_record(const cedar::Value::Record& record, Names& names) {
  struct Entry {
    std::uint32_t name;
    const cedar::Value* value;
  };
  std::vector<Entry> entries;
  entries.reserve(record.size());
  for (const auto& [name, value] : record) entries.push_back({names.name(name), &value});
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const std::size_t bytes = sizeof(Record) + entries.size() * (sizeof(Cell) + sizeof(std::uint32_t));
  auto* out = static_cast<Record*>(names.arena().allocate(bytes, alignof(Cell)));
  out->size = static_cast<std::uint32_t>(entries.size());
  auto* values = const_cast<Cell*>(out->values());
  auto* numbers = const_cast<std::uint32_t*>(out->names());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    values[i] = to_cell(*entries[i].value, names);
    numbers[i] = entries[i].name;
  }
  return out;
}

template <typename Names>
Cell to_cell(const cedar::Value& value, Names& names) {
  Cell cell;
  cell.tag = static_cast<Tag>(value.kind());
  switch (value.kind()) {
    case cedar::Value::Kind::kBool: return Cell::boolean(*value.as_bool());
    case cedar::Value::Kind::kLong: cell.number = *value.as_long(); break;
    case cedar::Value::Kind::kString: cell.text = names.text(*value.as_string()); break;
    case cedar::Value::Kind::kEntity: return names.uid(**value.as_entity());
    case cedar::Value::Kind::kSet: cell.set = to_set(*value.as_set(), names); break;
    case cedar::Value::Kind::kRecord: cell.record = to_record(*value.as_record(), names); break;
    case cedar::Value::Kind::kDecimal: cell.number = value.as_decimal()->ten_thousandths; break;
    case cedar::Value::Kind::kIp: {
      auto* ip = names.arena().template make<cedar::IpAddress>(1);
      *ip = *value.as_ip();
      cell.ip = ip;
      break;
    }
    case cedar::Value::Kind::kDatetime: cell.number = value.as_datetime()->milliseconds; break;
    case cedar::Value::Kind::kDuration: cell.number = value.as_duration()->milliseconds; break;
  }
  return cell;
}

template Cell to_cell(const cedar::Value& value, WorldNames& names);
template Cell to_cell(const cedar::Value& value, RequestNames& names);
template const Record* to_record(const cedar::Value::Record& record, WorldNames& names);
template const Record* to_record(const cedar::Value::Record& record, RequestNames& names);

}  // namespace wary::engine
