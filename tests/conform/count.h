// What the conformance programs share: counting one by one, files below a folder, and the closing line.
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/archive.h"
#include "tests/support/testdata.h"

namespace wary::test {

class Count {
 public:
  void check(bool passed, const std::string& name) {
    ++(passed ? passed_ : failed_);
    if (!passed && shown_++ < 40) std::printf("FAIL %s\n", name.c_str());
  }
  void skip(const std::string& name, std::size_t cases = 1) {
    skipped_ += cases;
    skips_.insert(name);
  }
  // A set that is none of this program's: listed, and counted once.
  void unknown(const std::string& set) {
    if (skips_.insert(set + ": no set of this program").second) ++skipped_;
  }
  int close() const {
    for (const std::string& name : skips_) std::printf("[skip] %s\n", name.c_str());
    std::printf("%zu passed, %zu failed, %zu skipped\n", passed_, failed_, skipped_);
    return failed_ == 0 && passed_ > 0 ? 0 : 1;
  }

 private:
  std::size_t passed_ = 0, failed_ = 0, skipped_ = 0, shown_ = 0;
  std::set<std::string> skips_;
};

inline std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> out;
  std::error_code error;
  std::filesystem::recursive_directory_iterator at(folder, error);
  if (error) return out;
  for (const auto& entry : at) {
    if (entry.is_regular_file()) out.push_back(entry.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

inline bool is_archive(const std::string& path) { return path.ends_with(".tar.gz") || path.ends_with(".tar.zst"); }

// Hands out every file below the folder, those in archives too; `name` is what a person recognises.
inline void each_file(const std::string& folder, Count& count,
                      const std::function<void(const std::string& path, const std::string& name)>& take,
                      const std::string& prefix = "") {
  for (const std::string& path : files_below(folder)) {
    const std::string name = prefix + path.substr(folder.size() + 1);
    if (!is_archive(path)) {
      take(path, name);
      continue;
    }
    const UnpackedArchive archive(path);
    if (archive.ok())
      each_file(archive.path(), count, take, name + ":");
    else
      count.skip(name + ": cannot be unpacked");
  }
}

}  // namespace wary::test
