// What the control plane asks the signer for when many certificates are asked for at once: as one message, and its
// answers as another. Bytes as they are, a chain that is the same as the one before it not sent again.
//
//   Bytes message = encode(std::vector<IssueRequest>{...});
//   auto answers = decode_issue_answers(payload);          // one each, in order
//
// Requests: u8 count; each u32 ttl in seconds, u16 length and SPIFFE ID, u16 length and PKCS#10. Answers: u8 count;
// each u8 0, u16 length and code, u16 length and message; or u8 1, i64 end of validity, u16 length and leaf, and the
// certificates above it: u8 how many (255: those of the answer before), each u16 length and DER. Integers are
// big-endian. Decoding takes exactly what encoding gives. Values; any thread. Limits: 1 to 16 requests, 48 KiB; chains
// of 8. Error: issue_batch_syntax.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "identity/authority.h"

namespace wary::identity {

inline constexpr std::size_t kIssueBatchMost = 16;
inline constexpr std::size_t kIssueBatchBytes = 48 * 1024;

struct IssueRequest {
  Bytes csr;
  std::string spiffe_id;
  std::uint32_t ttl_seconds = 0;
  // In the message.
  std::size_t size() const { return 8 + spiffe_id.size() + csr.size(); }
};

using IssueAnswer = Result<Authority::Issued>;

// What does not fit is left to the caller to keep out (WARY_CHECK).
Bytes encode(const std::vector<IssueRequest>& requests);
Result<std::vector<IssueRequest>> decode_issue_requests(ByteView message);
// Of an error its code and message.
Bytes encode(const std::vector<IssueAnswer>& answers);
Result<std::vector<IssueAnswer>> decode_issue_answers(ByteView message);

}  // namespace wary::identity
