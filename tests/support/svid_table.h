// Rows of tests/spiffe/jwt_svid.txt, and the tokens they describe: for the tests of spiffe/ and the checklist.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "crypto/hash.h"
#include "crypto/pem.h"
#include "spiffe/jwt_svid.h"
#include "spiffe/spiffe_test_world.h"
#include "tests/support/testdata.h"

namespace wary::spiffe {

struct TableRow {
  std::string id, header, claims, signed_by, outcome, place;
};

inline std::vector<TableRow> table_rows() {
  const auto text = test::read_file(WARY_SOURCE_DIR "/tests/spiffe/jwt_svid.txt");
  WARY_CHECK(text.has_value());
  std::vector<TableRow> rows;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const std::string line = text->substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.empty() || line[0] == '#') continue;
    std::array<std::string, 5> cells;
    std::size_t from = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::size_t bar = i + 1 < cells.size() ? line.find(" | ", from) : line.size();
      WARY_CHECK(bar != std::string::npos);
      cells[i] = codec::trim(line.substr(from, bar - from));
      from = bar + 3;
    }
    rows.push_back({cells[0], cells[1], cells[2], cells[3], cells[4], "line " + std::to_string(number)});
  }
  return rows;
}

inline codec::Json claims_of(const std::string& edits) {
  using codec::Json;
  Json claims = Json::object(
      {{"sub", "spiffe://example.org/orders"}, {"aud", "reports"}, {"exp", kNowSeconds + 300}, {"iat", kNowSeconds}});
  const auto edit = codec::parse_json(edits);
  WARY_CHECK(edit.ok());
  Json out = Json::object();
  for (const auto& [name, value] : claims.members()) {
    if (edit->find(name) == nullptr) out.set(name, value);
  }
  for (const auto& [name, value] : edit->members()) {
    const bool is_time =
        value.is_string() && (name == "exp" || name == "nbf" || name == "iat") && value.as_string().ends_with("s");
    if (is_time) out.set(name, kNowSeconds + std::int64_t{std::stol(value.as_string())});
    if (!is_time && !value.is_null()) out.set(name, value);
  }
  return out;
}

inline std::string table_token(const TableRow& row) {
  const std::size_t slash = row.signed_by.find('/');
  const std::string key = row.signed_by.substr(0, slash);
  const bool is_key = key != "nothing" && key != "hmac";
  crypto::SignatureAlgorithm algorithm = crypto::SignatureAlgorithm::kEs256;
  if (slash != std::string::npos) {
    algorithm = *crypto::signature_algorithm_of(row.signed_by.substr(slash + 1));
  } else if (is_key) {
    for (const crypto::SignatureAlgorithm one : crypto::kEveryAlgorithm) {
      if (world_key(key).public_key().fits(one)) algorithm = one;
    }
  }
  std::string header = row.header;
  if (header == "-") {
    header = R"({"alg":")" + std::string(crypto::to_string(algorithm)) + R"(","kid":")" + key + R"(","typ":"JWT"})";
  }
  const std::string claims = claims_of(row.claims).to_string();
  if (is_key) return crypto::token_of(header, claims, world_key(key), algorithm);
  const std::string input = crypto::b64(header) + "." + crypto::b64(claims);
  if (key == "nothing") return input + ".";
  const std::string secret = crypto::encode_pem("PUBLIC KEY", world_key("ec").public_key().to_spki());
  return input + "." + codec::encode_base64url(crypto::hmac_sha256(as_bytes(secret), as_bytes(input)));
}

}  // namespace wary::spiffe
