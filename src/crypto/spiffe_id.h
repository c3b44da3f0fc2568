// SPIFFE ID: the name of a workload, spiffe://trust-domain/path (SPIFFE-ID.md sections 2 and 3).
//
//   WARY_ASSIGN_OR_RETURN(crypto::SpiffeId id, crypto::parse_spiffe_id("spiffe://example.org/orders"));
//
// Values; any thread. Limits: 2,048 bytes, trust domain 255. Error: spiffe_id_syntax with the offset.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wary::crypto {

struct SpiffeId {
  std::string trust_domain;
  std::string path;  // "" or "/a/b"
  bool operator==(const SpiffeId&) const = default;
  std::string to_string() const { return "spiffe://" + trust_domain + path; }
};

Result<SpiffeId> parse_spiffe_id(std::string_view text);

}  // namespace wary::crypto
