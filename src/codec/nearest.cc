#include "codec/nearest.h"

#include <algorithm>
#include <array>

#include "codec/text.h"

namespace wary::codec {

namespace {

constexpr std::size_t kLongest = 64;
constexpr std::size_t kCellsMax = std::size_t{4} << 20;  // of all tables of distances together
constexpr std::size_t kCandidatesMax = 200'000;

std::size_t distance(std::string_view a, std::string_view b) {
  std::array<std::size_t, kLongest + 1> row{};
  for (std::size_t i = 0; i <= b.size(); ++i) row[i] = i;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (to_lower(a[i]) == to_lower(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row[b.size()];
}

// "User" of "App::User", "shop" of "demo/shop".
std::string_view last_part(std::string_view name) {
  const std::size_t at = name.find_last_of(":/");
  return at == std::string_view::npos ? name : name.substr(at + 1);
}

}  // namespace

std::string nearest(std::string_view written, const std::vector<std::string_view>& candidates) {
  if (written.empty() || written.size() > kLongest) return {};
  const std::size_t looked_at = std::min(candidates.size(), kCandidatesMax);
  std::string_view best;
  std::size_t best_distance = (written.size() + 2) / 3 + 1;
  std::size_t cells = 0;
  for (std::size_t i = 0; i < looked_at && cells < kCellsMax; ++i) {
    const std::string_view candidate = candidates[i];
    if (candidate.size() > kLongest || candidate == written) continue;
    // As many edits as they differ in length are needed at least.
    if (std::max(candidate.size(), written.size()) - std::min(candidate.size(), written.size()) >= best_distance)
      continue;
    cells += (candidate.size() + 1) * written.size();
    const std::size_t far = distance(written, candidate);
    if (far >= best_distance) continue;
    best = candidate;
    best_distance = far;
  }
  if (!best.empty()) return std::string(best);
  const std::string_view wanted = last_part(written);
  for (std::size_t i = 0; i < looked_at && !wanted.empty(); ++i) {
    if (candidates[i] != written && equals_ignoring_case(last_part(candidates[i]), wanted))
      return std::string(candidates[i]);
  }
  return {};
}

std::string did_you_mean(std::string_view written, const std::vector<std::string_view>& candidates) {
  const std::string near = nearest(written, candidates);
  return near.empty() ? near : "did you mean " + near + "?";
}

}  // namespace wary::codec
