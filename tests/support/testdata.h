// Where the published test data lies (WARY_TESTDATA), or nothing; and reading files of it.
#pragma once
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

namespace wary::test {

inline std::optional<std::string> testdata() {
  const char* directory = std::getenv("WARY_TESTDATA");
  if (directory == nullptr || *directory == '\0') return std::nullopt;
  return std::string(directory);
}

inline std::optional<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace wary::test
