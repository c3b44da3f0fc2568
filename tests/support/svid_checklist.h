// The checklist of the public SPIFFE conformance catalogue against our validators: XV and XF of X509-SVIDs, JV of
// JWT-SVIDs, JB of bundles, ID of names. The numbers are the catalogue's; inputs and words are ours.
//
//   for (const spiffe::ChecklistRow& row : spiffe::run_checklist()) CHECK(row.seen == row.expected);
//
// An outcome is "accepted" or the code of the refusal. Every number of kChecklistNumbers has a row, most have several.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wary::spiffe {

struct ChecklistRow {
  std::string number, what, expected, seen;
};

struct ChecklistRange {
  std::string_view group;
  int last;
};
constexpr ChecklistRange kChecklistNumbers[] = {{"XV", 15}, {"XF", 3}, {"JV", 25}, {"JB", 8}, {"ID", 2}};

std::vector<ChecklistRow> run_checklist();
// The parts of it.
void run_x509_checklist(std::vector<ChecklistRow>& rows);
void run_jwt_checklist(std::vector<ChecklistRow>& rows);
// Numbers without a row.
std::vector<std::string> missing_numbers(const std::vector<ChecklistRow>& rows);

}  // namespace wary::spiffe
