// A published .tar.gz or .tar.zst unpacked into a directory of its own, which goes with the value.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "tests/support/testdata.h"

namespace wary::test {

class UnpackedArchive {
 public:
  explicit UnpackedArchive(const std::string& archive) {
    std::string pattern = (std::filesystem::temp_directory_path() / "wary-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) return;
    path_ = pattern;
    const std::string command = "tar -xf '" + archive + "' -C '" + path_ + "'";
    ok_ = std::system(command.c_str()) == 0;
  }
  ~UnpackedArchive() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  UnpackedArchive(const UnpackedArchive&) = delete;
  UnpackedArchive& operator=(const UnpackedArchive&) = delete;
  bool ok() const { return ok_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool ok_ = false;
};

}  // namespace wary::test
