// conform_cedar DIR: every published Cedar case below DIR, each request counted by itself: decision, reasons, errors;
// of the tree walker, and of the compiled engine beside it.
// Finds cases by their content, unpacks *.tar.zst and *.tar.gz into folders of its own. Closes with
// "N passed, N failed, N skipped"; exits 1 when one failed.
#include <cstdio>
#include <map>
#include <set>

#include "tests/conform/cedar_analysis.h"
#include "tests/conform/cedar_forms.h"
#include "tests/conform/cedar_validation.h"
#include "tests/support/archive.h"
#include "tests/support/cedar_corpus.h"
#include "tests/support/engine_check.h"

namespace wary::test {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool ends_with_any(const std::string& name, std::initializer_list<std::string_view> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(), [&](std::string_view suffix) { return name.ends_with(suffix); });
}

using PolicyTexts = std::map<std::string, std::string>;  // of the OOPSLA applications, by name

void run_folder(const fs::path& folder, const PolicyTexts& applications, CorpusCount& count,
                CedarValidation& validation, std::set<std::string>& unknown) {
  for (const fs::path& file : files_below(folder)) {
    const std::string name = file.filename().string();
    if (run_cedar_analysis(file, count) || run_cedar_form(file, count) || validation.take(file)) continue;
    if (ends_with_any(name, {".requests.json"})) {
      const auto policies = applications.find(name.substr(0, name.find('.')));
      if (policies == applications.end())
        unknown.insert(file.parent_path().string());
      else
        run_oopsla_case(file, policies->second, count);
    } else if (ends_with_any(name, {".tar.zst", ".tar.gz"})) {
      const UnpackedArchive archive(file.string());
      if (!archive.ok()) {
        ++count.skipped;
        count.note("skip " + file.string() + ": cannot be unpacked");
        continue;
      }
      run_folder(archive.path(), applications, count, validation, unknown);
    } else if (name.ends_with(".json") &&
               !ends_with_any(name, {".entities.json", ".validation.json", ".cedarschema.json"})) {
      if (!run_corpus_case(file, count)) unknown.insert(file.parent_path().string());
    }
  }
}

int run(const std::string& folder) {
  PolicyTexts applications;
  for (const fs::path& file : files_below(folder)) {
    if (file.extension() == ".cedar" && file.parent_path().parent_path().filename() == "apps") {
      applications[file.parent_path().filename().string()] = read_file(file.string()).value_or("");
    }
  }
  CorpusCount count;
  count.other_engine = [](const cedar::PolicySet& policies, const cedar::EntityStore& store) {
    auto check = std::make_shared<EngineCheck>(policies, store);
    return [check](const cedar::Request& request, const cedar::Response& response) {
      return check->difference(request, response);
    };
  };
  std::set<std::string> unknown;
  CedarValidation validation;
  run_folder(folder, applications, count, validation, unknown);
  validation.close(count);
  for (const std::string& note : count.notes) std::printf("%s\n", note.c_str());
  for (const std::string& other : unknown)
    std::printf("[skip] %s: holds JSON that is no authorization case\n", other.c_str());
  std::printf("%zu passed, %zu failed, %zu skipped\n", count.passed, count.failed, count.skipped);
  return count.failed == 0 && count.passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc == 2) return wary::test::run(argv[1]);
  std::fprintf(stderr, "usage: conform_cedar DIR\n");
  return 2;
}
