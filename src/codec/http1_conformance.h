// Runs raw bytes of one connection through the parser the way a server does, and judges the outcome against a published
// framing case: what a conformance tool and the tests share.
//
//   FramingOutcome whole = check_framing_case({raw, "reject-400", 0}).outcome;
//
// Functions of their arguments; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/http1.h"

namespace wary::codec::http1 {

struct FramingRequest {
  std::string method, path, host, body;
  bool operator==(const FramingRequest&) const = default;
};

struct FramingOutcome {
  std::vector<FramingRequest> requests;  // those that were complete
  Refusal refusal;                       // status 0: none
  bool incomplete = false;               // the bytes ended inside a request
};

// `piece` bytes at a time; 0 is all at once.
FramingOutcome run_connection(std::string_view raw, std::size_t piece);

struct FramingCase {
  std::string_view raw;
  std::string_view expect;  // "forward", "reject-or-normalise", or "reject-400-or-501" with any list of codes
  std::size_t upstream_requests = 0;
};

struct FramingVerdict {
  bool passed = false;
  std::string reason;  // why not
  FramingOutcome outcome;
};

// Holds the case to its expectation, and to the same outcome whole and byte by byte.
FramingVerdict check_framing_case(const FramingCase& framing_case);

}  // namespace wary::codec::http1
