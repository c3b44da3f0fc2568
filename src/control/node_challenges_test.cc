#include "control/node_challenges.h"

#include "codec/text.h"
#include "control/control_test_world.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

namespace {

struct ChallengesWorld {
  World world;
  NodeChallenges challenges{world.sim.clock(), world.random};
  NodeChallenges::Purpose purpose{node::Method::kX509Pop, "10.0.0.1", {}, crypto::sha256(to_bytes("csr"))};
  std::string open(const std::string& text, const NodeChallenges::Purpose& by) {
    const auto nonce = challenges.open(text, by);
    return nonce ? std::string() : nonce.error().code;
  }
};

}  // namespace

TEST_CASE("a challenge is good for what it was made for alone, for 30 s, until it is used") {
  ChallengesWorld it;
  const NodeChallenges::Made made = it.challenges.make(it.purpose);
  CHECK(it.challenges.open(made.text, it.purpose).value() == made.server_nonce);
  NodeChallenges::Purpose other = it.purpose;
  other.client = "10.0.0.2";
  CHECK(it.open(made.text, other) == "node_challenge");
  other = it.purpose;
  other.method = node::Method::kTpm;
  CHECK(it.open(made.text, other) == "node_challenge");
  other = it.purpose;
  other.node_nonce[31] = 1;
  CHECK(it.open(made.text, other) == "node_challenge");
  other = it.purpose;
  other.csr_sha256[0] ^= 1;
  CHECK(it.open(made.text, other) == "node_challenge");
  Bytes bytes = *codec::decode_base64(made.text);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 1;
    CHECK(it.open(codec::encode_base64(bytes), it.purpose) == "node_challenge");
    bytes[i] ^= 1;
  }
  for (const std::string& text : {std::string(), std::string("!"), made.text + "AAAA", std::string(100'000, 'A')}) {
    CHECK(it.open(text, it.purpose) == "node_challenge");
  }
  NodeChallenges restarted(it.world.sim.clock(), it.world.random);
  CHECK(!restarted.open(made.text, it.purpose).ok());
  CHECK(it.open(made.text, it.purpose) == "");
  REQUIRE(it.challenges.use(made.server_nonce).ok());
  CHECK(it.open(made.text, it.purpose) == "node_challenge");
  const NodeChallenges::Made late = it.challenges.make(it.purpose);
  it.world.run(29'000);
  CHECK(it.open(late.text, it.purpose) == "");
  it.world.run(2'000);
  CHECK(it.open(late.text, it.purpose) == "node_challenge");
}

TEST_CASE("a million challenges hold nothing; used ones are held while they would be good, and bounded") {
  ChallengesWorld it;
  std::vector<NodeChallenges::Made> made;
  for (int i = 0; i < 10'000; ++i) made.push_back(it.challenges.make(it.purpose));
  CHECK(it.challenges.remembered() == 0);
  for (std::size_t i = 0; i < 4096; ++i) CHECK(it.challenges.use(made[i].server_nonce).ok());
  CHECK(it.challenges.use(made[4096].server_nonce).error().code == "node_challenges");
  CHECK(it.challenges.remembered() == 4096);
  it.world.run(31'000);
  CHECK(it.challenges.use(it.challenges.make(it.purpose).server_nonce).ok());
  CHECK(it.challenges.remembered() == 1);
}

TEST_CASE("what a TPM is given belongs to one challenge and one pair of keys") {
  ChallengesWorld it;
  const auto one = it.challenges.make(it.purpose), two = it.challenges.make(it.purpose);
  const auto secret = [&](const node::Nonce& nonce, std::string_view of) {
    const Secret made = it.challenges.secret_of(nonce, as_bytes(of));
    return Bytes(made.reveal().begin(), made.reveal().end());
  };
  CHECK(secret(one.server_nonce, "a") == secret(one.server_nonce, "a"));
  CHECK(secret(one.server_nonce, "a") != secret(one.server_nonce, "b"));
  CHECK(secret(one.server_nonce, "a") != secret(two.server_nonce, "a"));
  CHECK(secret(one.server_nonce, "a").size() == 32);
}
