// What the published Cedar cases say about schemas: verdicts on policies, entities and requests, the JSON form of
// schemas, levels. Each verdict is counted by itself.
#pragma once

#include <map>

#include "tests/support/cedar_corpus.h"

namespace wary::test {

class CedarValidation {
 public:
  // Looks at one file; true when it holds verdicts and nothing else, so that nobody else need look at it.
  bool take(const std::filesystem::path& file);
  // Prints a line for each kind of verdict and adds them all to `count`.
  void close(CorpusCount& count) const;

 private:
  void take_case(const std::filesystem::path& file, const codec::Json& json);
  void take_parsing(const std::filesystem::path& file);
  void take_snapshot(const std::filesystem::path& file);
  void take_translation(const std::filesystem::path& json_file, const std::filesystem::path& text_file);
  void take_policies(const std::filesystem::path& file);
  void take_level(const std::filesystem::path& file);

  std::map<std::string, CorpusCount> counts_;
};

}  // namespace wary::test
