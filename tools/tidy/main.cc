// tidy [ROOT]: checks every C++ source under ROOT (default: here) and prints what breaks a rule; exit 1 if anything
// does.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tidy/rules.h"

int main(int count, char** arguments) {
  namespace fs = std::filesystem;
  const fs::path root = count > 1 ? arguments[1] : ".";
  std::vector<wary::tidy::Source> sources;
  for (const char* top : {"src", "tools", "tests", "bench"}) {
    if (!fs::exists(root / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string path = fs::relative(entry.path(), root).string();
      if (path.find("node_modules") != std::string::npos) continue;
      if (!path.ends_with(".cc") && !path.ends_with(".h")) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      sources.push_back(wary::tidy::make_source(path, std::string(std::istreambuf_iterator<char>(in), {})));
    }
  }
  const auto findings = wary::tidy::check_all(sources);
  for (const auto& finding : findings) {
    std::printf("%s: %s: %s\n", finding.place.c_str(), finding.rule.c_str(), finding.message.c_str());
  }
  std::printf("%zu files, %zu findings\n", sources.size(), findings.size());
  return findings.empty() ? 0 : 1;
}
