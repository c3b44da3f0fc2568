// What the parts of conform_identity share: one file's cases, counted and printed as a line.
#pragma once

#include <cstdio>
#include <string>

#include "codec/json.h"
#include "codec/text.h"
#include "tests/conform/count.h"

namespace wary::test {

class FileCount {
 public:
  FileCount(Count& total, std::string name) : total_(total), name_(std::move(name)) {}
  ~FileCount() {
    std::printf("%-60s %4zu right %3zu wrong %4zu out of scope", name_.c_str(), right_, wrong_, skipped_);
    if (more_ > 0) std::printf(", %zu checks of ours", more_);
    std::printf("\n");
  }
  FileCount(const FileCount&) = delete;
  FileCount& operator=(const FileCount&) = delete;
  void check(bool right, const std::string& what) {
    ++(right ? right_ : wrong_);
    total_.check(right, name_ + ": " + what);
  }
  // A check that is ours and no published case.
  void check_more(bool right, const std::string& what) {
    ++more_;
    if (!right) ++wrong_;
    total_.check(right, name_ + ": " + what);
  }
  void skip(const std::string& reason, std::size_t cases = 1) {
    skipped_ += cases;
    total_.skip(name_ + ": " + reason, cases);
  }
  const std::string& name() const { return name_; }

 private:
  Count& total_;
  std::string name_;
  std::size_t right_ = 0, wrong_ = 0, skipped_ = 0, more_ = 0;
};

inline Bytes hex_member(const codec::Json& json, std::string_view name) {
  return codec::decode_hex(json.string_or(name, "")).ok() ? *codec::decode_hex(json.string_or(name, "")) : Bytes();
}

// False where the file is none of theirs.
bool run_wycheproof(const std::string& text, FileCount& count);
bool run_wycheproof_jose(const codec::Json& file, FileCount& count);
bool run_cookbook(const std::string& text, FileCount& count);
bool run_spiffe_file(const std::string& text, FileCount& count);
bool run_schema(const std::string& text, FileCount& count);

}  // namespace wary::test
