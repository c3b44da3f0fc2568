// "Did you mean": the candidate with the fewest edits, by a distance over bytes, where it is near enough to be meant.
#include <algorithm>
#include <numeric>

#include "schema/schema.h"

namespace wary::schema {

namespace {

constexpr std::size_t kLongest = 64;
constexpr std::size_t kCandidates = 1000;

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view written, const std::vector<std::string_view>& candidates) {
  if (written.empty() || written.size() > kLongest) return {};
  std::string_view best;
  std::size_t best_distance = (written.size() + 2) / 3 + 1;
  for (std::size_t i = 0; i < std::min(candidates.size(), kCandidates); ++i) {
    const std::string_view candidate = candidates[i];
    if (candidate.size() > kLongest || candidate == written) continue;
    const std::size_t far = distance(written, candidate);
    if (far >= best_distance) continue;
    best = candidate;
    best_distance = far;
  }
  if (!best.empty()) return std::string(best);
  // The right name in another namespace.
  for (const std::string_view candidate : candidates) {
    if (candidate.size() != written.size() && base_name(candidate) == base_name(written)) return std::string(candidate);
  }
  return {};
}

}  // namespace wary::schema
