#include "identity/issue_batch.h"

#include <algorithm>

namespace wary::identity {

namespace {

constexpr std::size_t kPieceMost = 0xffff;
constexpr std::size_t kErrorTextMost = 512;
constexpr std::size_t kChainMost = 8;
constexpr std::uint8_t kSameChain = 255;

Error batch_syntax(std::string_view what) { return fail(ErrorKind::kInvalid, "issue_batch_syntax", what); }

class BatchReader {
 public:
  explicit BatchReader(ByteView bytes) : bytes_(bytes) {}
  template <typename T>
  bool number(T& out) {
    if (bytes_.size() < sizeof(T)) return false;
    out = read_big_endian<T>(bytes_.data());
    bytes_ = bytes_.subspan(sizeof(T));
    return true;
  }
  bool piece(ByteView& out) {
    std::uint16_t size = 0;
    if (!number(size) || bytes_.size() < size) return false;
    out = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return true;
  }
  bool is_at_end() const { return bytes_.empty(); }

 private:
  ByteView bytes_;
};

void put_piece(Bytes& out, ByteView piece) {
  WARY_CHECK(piece.size() <= kPieceMost);
  append_big_endian(out, static_cast<std::uint16_t>(piece.size()));
  append(out, piece);
}

Bytes to_bytes(ByteView piece) { return {piece.begin(), piece.end()}; }

// What is above a leaf.
bool has_same_chain(const std::vector<Bytes>& one, const std::vector<Bytes>& other) {
  return other.size() > 1 && std::equal(one.begin() + 1, one.end(), other.begin() + 1, other.end());
}

bool read_issued(BatchReader& reader, Authority::Issued& out, std::vector<Bytes>& above) {
  std::uint64_t until = 0;
  std::uint8_t count = 0;
  ByteView leaf;
  if (!reader.number(until) || !reader.piece(leaf) || leaf.empty() || !reader.number(count)) return false;
  out.not_after.nanos = static_cast<std::int64_t>(until);
  if (count == kSameChain && above.empty()) return false;
  if (count != kSameChain) {
    if (count > kChainMost) return false;
    std::vector<Bytes> next;
    for (std::uint8_t i = 0; i < count; ++i) {
      ByteView certificate;
      if (!reader.piece(certificate) || certificate.empty()) return false;
      next.push_back(to_bytes(certificate));
    }
    // One spelling: what is the same is said to be.
    if (!next.empty() && next == above) return false;
    above = std::move(next);
  }
  out.chain.push_back(to_bytes(leaf));
  out.chain.insert(out.chain.end(), above.begin(), above.end());
  return true;
}

}  // namespace

Bytes encode(const std::vector<IssueRequest>& requests) {
  WARY_CHECK(!requests.empty() && requests.size() <= kIssueBatchMost);
  Bytes out;
  std::size_t size = 1;
  for (const IssueRequest& request : requests) size += request.size();
  WARY_CHECK(size <= kIssueBatchBytes);
  out.reserve(size);
  out.push_back(static_cast<std::uint8_t>(requests.size()));
  for (const IssueRequest& request : requests) {
    append_big_endian(out, request.ttl_seconds);
    put_piece(out, as_bytes(request.spiffe_id));
    put_piece(out, request.csr);
  }
  return out;
}

Result<std::vector<IssueRequest>> decode_issue_requests(ByteView message) {
  BatchReader reader(message);
  std::uint8_t count = 0;
  if (message.size() > kIssueBatchBytes) return batch_syntax("the requests are too long");
  if (!reader.number(count) || count == 0 || count > kIssueBatchMost) return batch_syntax("there are 1 to 16 requests");
  std::vector<IssueRequest> out(count);
  for (IssueRequest& request : out) {
    ByteView id, csr;
    if (!reader.number(request.ttl_seconds) || !reader.piece(id) || !reader.piece(csr)) {
      return batch_syntax("a request is cut");
    }
    request.spiffe_id = as_text(id);
    request.csr = to_bytes(csr);
  }
  if (!reader.is_at_end()) return batch_syntax("bytes follow the last request");
  return out;
}

Bytes encode(const std::vector<IssueAnswer>& answers) {
  WARY_CHECK(!answers.empty() && answers.size() <= kIssueBatchMost);
  Bytes out;
  out.reserve(1024 * (answers.size() + 1));
  out.push_back(static_cast<std::uint8_t>(answers.size()));
  const std::vector<Bytes>* before = nullptr;
  for (const IssueAnswer& answer : answers) {
    if (!answer) {
      out.push_back(0);
      put_piece(out, as_bytes(std::string_view(answer.error().code).substr(0, kErrorTextMost)));
      put_piece(out, as_bytes(std::string_view(answer.error().message).substr(0, kErrorTextMost)));
      continue;
    }
    const std::vector<Bytes>& chain = answer->chain;
    WARY_CHECK(!chain.empty() && chain.size() <= kChainMost + 1);
    out.push_back(1);
    append_big_endian(out, static_cast<std::uint64_t>(answer->not_after.nanos));
    put_piece(out, chain.front());
    if (before != nullptr && has_same_chain(chain, *before)) {
      out.push_back(kSameChain);
      continue;
    }
    out.push_back(static_cast<std::uint8_t>(chain.size() - 1));
    for (std::size_t i = 1; i < chain.size(); ++i) put_piece(out, chain[i]);
    before = &chain;
  }
  return out;
}

Result<std::vector<IssueAnswer>> decode_issue_answers(ByteView message) {
  BatchReader reader(message);
  std::uint8_t count = 0;
  if (!reader.number(count) || count == 0 || count > kIssueBatchMost) return batch_syntax("there are 1 to 16 answers");
  std::vector<IssueAnswer> out;
  std::vector<Bytes> above;
  for (std::uint8_t i = 0; i < count; ++i) {
    std::uint8_t state = 0;
    if (!reader.number(state) || state > 1) return batch_syntax("an answer is neither good nor bad");
    if (state == 0) {
      ByteView code, text;
      if (!reader.piece(code) || !reader.piece(text) || code.size() > kErrorTextMost || text.size() > kErrorTextMost) {
        return batch_syntax("an error is cut, or too long");
      }
      out.emplace_back(fail(ErrorKind::kInvalid, as_text(code), as_text(text)));
      continue;
    }
    Authority::Issued issued;
    if (!read_issued(reader, issued, above)) return batch_syntax("a certificate is cut, or its chain is none");
    out.emplace_back(std::move(issued));
  }
  if (!reader.is_at_end()) return batch_syntax("bytes follow the last answer");
  return out;
}

}  // namespace wary::identity
