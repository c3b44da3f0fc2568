#include "identity/issue_batch.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::identity;

namespace {

Authority::Issued issued(std::uint8_t leaf, const std::vector<Bytes>& above, std::int64_t until) {
  Authority::Issued out;
  out.chain.push_back(Bytes(700, leaf));
  out.chain.insert(out.chain.end(), above.begin(), above.end());
  out.not_after = {until};
  return out;
}

}  // namespace

TEST_CASE("requests are read as they were written") {
  const std::vector<IssueRequest> requests = {{{1, 2, 3}, "spiffe://local/a", 60}, {{}, "", 3600}};
  const Bytes message = encode(requests);
  const auto read = decode_issue_requests(message);
  REQUIRE(read.ok());
  REQUIRE(read->size() == 2);
  CHECK((*read)[0].csr == requests[0].csr);
  CHECK((*read)[0].spiffe_id == "spiffe://local/a");
  CHECK((*read)[0].ttl_seconds == 60);
  CHECK((*read)[1].csr.empty());
  for (std::size_t size = 0; size < message.size(); ++size) {
    CHECK(decode_issue_requests(ByteView(message).first(size)).error().code == "issue_batch_syntax");
  }
  Bytes more = message;
  more.push_back(0);
  CHECK_FALSE(decode_issue_requests(more).ok());
  CHECK_FALSE(decode_issue_requests(Bytes{0}).ok());
  CHECK_FALSE(decode_issue_requests(Bytes(1 + 17 * 8, 17)).ok());
}

TEST_CASE("answers are read as they were written, and a chain that stays the same is sent once") {
  const std::vector<Bytes> first = {Bytes(800, 9)}, second = {Bytes(800, 8), Bytes(10, 7)};
  std::vector<IssueAnswer> answers;
  answers.emplace_back(issued(1, first, 100));
  answers.emplace_back(fail(ErrorKind::kUnavailable, "authority_ended", "no more"));
  answers.emplace_back(issued(2, first, 200));
  answers.emplace_back(issued(3, second, 300));
  answers.emplace_back(issued(4, second, -1));
  answers.emplace_back(issued(5, {}, 0));
  const Bytes message = encode(answers);
  CHECK(message.size() < 5 * 720 + 800 + 830 + 64);
  const auto read = decode_issue_answers(message);
  REQUIRE(read.ok());
  REQUIRE(read->size() == answers.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    REQUIRE((*read)[i].ok() == answers[i].ok());
    if (!answers[i]) continue;
    CHECK((*read)[i]->chain == answers[i]->chain);
    CHECK((*read)[i]->not_after == answers[i]->not_after);
  }
  CHECK((*read)[1].error().code == "authority_ended");
  CHECK((*read)[1].error().message == "no more");
  for (std::size_t size = 0; size < message.size(); ++size) {
    if (decode_issue_answers(ByteView(message).first(size))) FAIL("a cut message was read: " << size);
  }
  // A chain before which there is none; a leaf of nothing; a state that is neither.
  CHECK_FALSE(decode_issue_answers(Bytes{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5, 255}).ok());
  CHECK_FALSE(decode_issue_answers(Bytes{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}).ok());
  CHECK_FALSE(decode_issue_answers(Bytes{1, 2, 0, 0, 0, 0}).ok());
}
