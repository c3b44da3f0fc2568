// The openssl program in a folder of its own, which goes with the value: it reads what we make with its own defaults,
// and makes what we refuse to make.
#pragma once
#include <doctest/doctest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace wary::test {

class OpensslRun {
 public:
  OpensslRun() {
    std::string pattern = (std::filesystem::temp_directory_path() / "wary-x509-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
  }
  ~OpensslRun() { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name) << text; }
  std::string run(const std::string& arguments) {
    const std::string command = "cd " + folder_ + " && openssl " + arguments + " 2>&1";
    std::FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
    pclose(pipe);
    return text;
  }

 private:
  std::string folder_;
};

}  // namespace wary::test
