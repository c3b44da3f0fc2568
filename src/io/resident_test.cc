#include "io/resident.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

using namespace wary;

namespace {

// KiB, of one line of /proc/self/status.
long status_of(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return std::stol(line.substr(name.size() + 1));
  }
  return -1;
}

}  // namespace

TEST_CASE("what a burst left free is given back, and the program goes on") {
  std::vector<std::unique_ptr<std::string>> held;
  std::vector<std::unique_ptr<std::string>> stays;
  for (int i = 0; i < 8000; ++i) {
    held.push_back(std::make_unique<std::string>(1000, 'x'));
    if (i % 100 == 0) stays.push_back(std::make_unique<std::string>(1000, 'y'));
  }
  held.clear();
  const long own = status_of("RssAnon"), code = status_of("RssFile");
  io::give_back_memory();
  const long own_after = status_of("RssAnon"), code_after = status_of("RssFile");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(own_after < own - 4000);
#else
  (void)own, (void)own_after;
#endif
  CHECK(code_after < code);
  bool whole = true;
  for (const auto& text : stays) whole = whole && *text == std::string(1000, 'y');
  CHECK(whole);
}
