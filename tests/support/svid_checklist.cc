#include "tests/support/svid_checklist.h"

#include <map>
#include <set>

#include "tests/support/svid_table.h"

namespace wary::spiffe {
namespace {

using codec::Json;

const JwtSvidRules kChecklistRules{.audience = "reports", .now = kNow};

// What each number of tests/spiffe/jwt_svid.txt is about.
const std::map<std::string, std::string, std::less<>>& subjects() {
  static const std::map<std::string, std::string, std::less<>> words = {{"JV-1", "a good token"},
                                                                        {"JV-2", "each algorithm of the list"},
                                                                        {"JV-3", "unsigned"},
                                                                        {"JV-4", "HMAC"},
                                                                        {"JV-5", "not in the list"},
                                                                        {"JV-6", "another key's algorithm"},
                                                                        {"JV-7", "no audience"},
                                                                        {"JV-8", "another audience"},
                                                                        {"JV-9", "among audiences"},
                                                                        {"JV-10", "audience as a text"},
                                                                        {"JV-11", "no end"},
                                                                        {"JV-12", "ended"},
                                                                        {"JV-13", "not yet"},
                                                                        {"JV-16", "a stranger's key"},
                                                                        {"JV-17", "another domain's key"},
                                                                        {"JV-18", "unknown domain"},
                                                                        {"JV-19", "sub is no ID"},
                                                                        {"JV-20", "typ as it may be"},
                                                                        {"JV-21", "another typ"},
                                                                        {"JV-22", "no kid"},
                                                                        {"JV-23", "unknown crit"},
                                                                        {"JB-4", "chosen by kid"},
                                                                        {"JB-5", "a key of another use"},
                                                                        {"JB-7", "a bundle without keys"},
                                                                        {"JB-8", "of a federated domain"},
                                                                        {"ID-1", "no SPIFFE ID"},
                                                                        {"ID-2", "a SPIFFE ID"}};
  return words;
}

std::string described(const TableRow& row, const std::string& about) {
  std::string out = about;
  if (row.claims != "{}") out += " " + row.claims;
  if (row.header != "-") out += " " + row.header;
  return out + " signed by " + row.signed_by;
}

class Tokens {
 public:
  explicit Tokens(std::vector<ChecklistRow>& rows) : rows_(rows) {}
  void add(const std::string& number, const std::string& what, const std::string& expected, const std::string& token) {
    rows_.push_back({number, what, expected, code_of_result(check_jwt_svid(token, bundles, kChecklistRules))});
  }
  BundleSet bundles = world_bundles();

 private:
  std::vector<ChecklistRow>& rows_;
};

std::string token_by(const std::string& key) { return table_token({"", "-", "{}", key, "", ""}); }

// What is not of the form of a row: a token's bytes changed.
void run_changed_tokens(Tokens& tokens) {
  const std::string good = token_by("ec");
  const std::size_t first = good.find('.'), second = good.rfind('.');
  const std::string header = good.substr(0, first), claims = good.substr(first + 1, second - first - 1),
                    signature = good.substr(second + 1);
  Bytes flipped = *codec::decode_base64url(signature);
  flipped[40] ^= 1U;
  tokens.add("JV-14", "one bit of the signature", "jws_signature",
             header + "." + claims + "." + codec::encode_base64url(flipped));
  const std::string others = crypto::b64(claims_of(R"({"sub":"spiffe://example.org/admin"})").to_string());
  tokens.add("JV-15", "another sub, the same signature", "jws_signature", header + "." + others + "." + signature);
  const Json flat = Json::object({{"payload", claims}, {"protected", header}, {"signature", signature}});
  tokens.add("JV-24", "flattened JSON serialization", "jws_syntax", flat.to_string());
  const Json one = Json::object({{"protected", header}, {"signature", signature}});
  const Json general = Json::object({{"payload", claims}, {"signatures", Json::array({one})}});
  tokens.add("JV-24", "general JSON serialization", "jws_syntax", general.to_string());
  tokens.add("JV-25", "two parts", "jws_syntax", header + "." + claims);
  tokens.add("JV-25", "four parts", "jws_syntax", good + ".e30");
  tokens.add("JV-25", "no base64url", "jws_syntax", "!" + good);
  tokens.add("JV-25", "padding", "jws_syntax", good + "=");
  tokens.add("JV-25", "a header that is no JSON", "jws_header", crypto::b64("{") + good.substr(first));
  const auto signed_text = [](std::string_view text) {
    return crypto::token_of(R"({"alg":"ES256","kid":"ec"})", text, world_key("ec"), crypto::SignatureAlgorithm::kEs256);
  };
  tokens.add("JV-25", "claims that are no JSON", "jwt_svid_claims", signed_text("{"));
  tokens.add("JV-25", "claims that are no object", "jwt_svid_claims", signed_text("[]"));
  Json longest = claims_of("{}");
  longest.set("sub", "spiffe://example.org/" + std::string(2048 - 21, 'a'));
  tokens.add("ID-2", "a name of 2,048 bytes", "accepted", signed_text(longest.to_string()));
}

void run_bundle_changes(Tokens& tokens) {
  const std::string token = token_by("stranger");
  tokens.add("JB-1", "before its key was added", "jws_kid_unknown", token);
  put_document(tokens.bundles, "example.org", document({entry_of("ec"), entry_of("stranger")}));
  tokens.add("JB-1", "once it was", "accepted", token);
  put_document(tokens.bundles, "example.org", document({entry_of("ec")}));
  tokens.add("JB-2", "its key was removed", "jws_kid_unknown", token);
  tokens.add("JB-2", "a key that stayed", "accepted", token_by("ec"));
  const Json unknown = Json::object({{"kty", "new"}, {"use", "jwt-svid"}, {"kid", "new"}});
  put_document(tokens.bundles, "example.org", document({unknown, entry_of("ec")}));
  tokens.add("JB-6", "beside a key of an unknown type", "accepted", token_by("ec"));
  tokens.bundles.remove("example.org");
  tokens.add("JB-3", "its bundle was removed", "jwt_svid_trust_domain", token_by("ec"));
}

}  // namespace

void run_jwt_checklist(std::vector<ChecklistRow>& rows) {
  Tokens tokens(rows);
  for (const TableRow& row : table_rows()) {
    const auto about = subjects().find(row.id);
    if (about == subjects().end()) continue;  // a rule of ours beside the catalogue
    tokens.add(row.id, described(row, about->second), row.outcome, table_token(row));
  }
  run_changed_tokens(tokens);
  run_bundle_changes(tokens);
}

std::vector<ChecklistRow> run_checklist() {
  std::vector<ChecklistRow> rows;
  run_x509_checklist(rows);
  run_jwt_checklist(rows);
  std::map<std::pair<std::size_t, int>, std::vector<ChecklistRow>> ordered;
  for (ChecklistRow& row : rows) {
    const std::size_t dash = row.number.find('-');
    std::size_t place = 0;
    while (kChecklistNumbers[place].group != row.number.substr(0, dash)) ++place;
    const int number = std::stoi(row.number.substr(dash + 1));
    ordered[{place, number}].push_back(std::move(row));
  }
  rows.clear();
  for (auto& [number, of_it] : ordered) rows.insert(rows.end(), of_it.begin(), of_it.end());
  return rows;
}

std::vector<std::string> missing_numbers(const std::vector<ChecklistRow>& rows) {
  std::set<std::string> seen;
  for (const ChecklistRow& row : rows) seen.insert(row.number);
  std::vector<std::string> out;
  for (const ChecklistRange& range : kChecklistNumbers) {
    for (int i = 1; i <= range.last; ++i) {
      std::string number = std::string(range.group) + "-" + std::to_string(i);
      if (!seen.contains(number)) out.push_back(std::move(number));
    }
  }
  return out;
}

}  // namespace wary::spiffe
