// conform_identity DIR: what others published about identity documents, case by case: Wycheproof's signatures, hashes
// and JSON Web files, the RFC 7520 cookbook, go-spiffe's bundles and certificates, the JWT-SVID schema. Prints a line a
// file; what wary has no code for is named as out of scope and never counted as right.
#include "tests/conform/identity.h"

#include "tests/support/svid_checklist.h"

namespace wary::test {
namespace {

void run_identity_file(const std::string& path, const std::string& name, Count& total) {
  const std::string text = read_file(path).value_or("");
  const auto in = [&](std::string_view folder) { return name.find(folder) != std::string::npos; };
  if (in("webauthn/") || in("ssf-caep/") || name.ends_with("SOURCE.md")) return;  // other programs' sets
  FileCount count(total, name.substr(name.find(':') == std::string::npos ? 0 : name.find(':') + 1));
  const bool known = in("wycheproof/")      ? run_wycheproof(text, count)
                     : in("jose-cookbook/") ? run_cookbook(text, count)
                     : in("go-spiffe/")     ? run_spiffe_file(text, count)
                     : in("spiffe/")        ? run_schema(text, count)
                                            : false;
  if (!known) total.unknown(name);
}

void run_svid_checklist(Count& total) {
  const std::vector<spiffe::ChecklistRow> rows = spiffe::run_checklist();
  std::printf("%-6s %-26s %-26s %s\n", "case", "expected", "seen", "what");
  for (const spiffe::ChecklistRow& row : rows) {
    std::printf("%-6s %-26s %-26s %s\n", row.number.c_str(), row.expected.c_str(), row.seen.c_str(), row.what.c_str());
    total.check(row.seen == row.expected, row.number + " " + row.what + ": " + row.seen);
  }
  for (const std::string& number : spiffe::missing_numbers(rows)) total.check(false, number + ": no case");
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc > 2) return std::fprintf(stderr, "usage: conform_identity [DIR]\n"), 2;
  wary::test::Count count;
  wary::test::run_svid_checklist(count);
  if (argc == 1) {
    count.skip("published cases: no DIR was given and WARY_TESTDATA is not set");
    return count.close();
  }
  wary::test::each_file(argv[1], count, [&](const std::string& path, const std::string& name) {
    wary::test::run_identity_file(path, name, count);
  });
  return count.close();
}
