// What a table of states and events is written in: a row is an event's, a cell says the outcome in one or more states,
// and every state has one in every row, or it does not compile.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace wary::gateway::test {

struct TableCell {
  std::uint32_t states = 0;
  std::string_view outcome;
};

template <typename State>
using TableCells = std::array<TableCell, static_cast<std::size_t>(State::kCount)>;

template <typename... States>
consteval std::uint32_t on(States... states) {
  return ((1U << static_cast<unsigned>(states)) | ...);
}

// Each state has its cell, once.
template <std::size_t states>
consteval bool is_complete(const std::array<TableCell, states>& cells) {
  std::uint32_t seen = 0;
  for (const TableCell& cell : cells) {
    if ((seen & cell.states) != 0 || (cell.states != 0) == cell.outcome.empty()) return false;
    seen |= cell.states;
  }
  return seen == (1U << states) - 1;
}

// And each event its row, in their order.
template <typename Row, std::size_t rows>
consteval bool is_complete(const std::array<Row, rows>& table) {
  std::size_t at = 0;
  for (const Row& row : table) {
    if (static_cast<std::size_t>(row.event) != at++ || !is_complete(row.cells)) return false;
  }
  return true;
}

template <std::size_t states>
std::string_view outcome_of(const std::array<TableCell, states>& cells, std::size_t state) {
  const auto holds = [&](const TableCell& cell) { return (cell.states >> state & 1U) != 0; };
  return std::find_if(cells.begin(), cells.end(), holds)->outcome;
}

// One of two, or what stands for both.
inline std::string_view choose(std::string_view text, std::string_view between, bool second) {
  const std::size_t at = text.find(between);
  if (at == std::string_view::npos) return text;
  return second ? text.substr(at + between.size()) : text.substr(0, at);
}

// "kBody" of At::kBody.
template <auto value>
constexpr std::string_view spelled() {
  constexpr std::string_view kWhole = __PRETTY_FUNCTION__;
  constexpr std::size_t kFrom = kWhole.find("value = ");
  constexpr std::string_view kRest = kWhole.substr(kFrom, kWhole.find_first_of(";]", kFrom) - kFrom);
  return kRest.substr(kRest.rfind(':') + 1);
}

// All names of an enum whose last is kCount.
template <typename Enum>
constexpr auto all_spelled() {
  return []<std::size_t... i>(std::index_sequence<i...>) {
    return std::array{spelled<static_cast<Enum>(i)>()...};
  }(std::make_index_sequence<static_cast<std::size_t>(Enum::kCount)>());
}

}  // namespace wary::gateway::test
