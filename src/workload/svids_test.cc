#include "workload/svids.h"

#include <doctest/doctest.h>

#include "io/sim_loop.h"

using namespace wary;
using namespace wary::workload;

namespace {

constexpr std::int64_t kMinute = 60 * kNanosPerSecond;
constexpr const char* kOrders = "spiffe://local/shop/orders";

class CountingRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(++last_ * 37);
  }

 private:
  std::uint64_t last_ = 0;
};

// A signer that answers at once, later, wrongly or not at all.
struct SvidsWorld {
  io::SimWorld sim{3};
  std::unique_ptr<io::Loop> loop = sim.make_loop();
  CountingRandom random;
  crypto::PrivateKey ca_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  Bytes ca = *crypto::create_ca({.common_name = "test",
                                 .trust_domain = "local",
                                 .not_before = {sim.clock().unix_time().nanos - kMinute},
                                 .not_after = {sim.clock().unix_time().nanos + 10'000 * kMinute}},
                                ca_key);
  bool is_away = false, is_silent = false;
  std::string as;  // another identity in the certificate
  std::vector<std::function<void()>> held;
  int asked = 0, changes = 0;
  Svids svids{*loop, sim.clock(), random,
              [this](const IssueRequest& request, std::function<void(Result<IssuedSvid>)> done) {
                ++asked;
                if (is_silent) {
                  held.push_back([this, request, done] { done(issue(request)); });
                  return;
                }
                done(issue(request));
              },
              [this](const std::string&) { ++changes; }};
  Result<IssuedSvid> issue(const IssueRequest& request) {
    if (is_away) return fail(ErrorKind::kUnavailable, "link_closed", "the control plane is away");
    crypto::LeafOptions leaf;
    leaf.spiffe_id = as.empty() ? request.spiffe_id : as;
    leaf.not_before = {sim.clock().unix_time().nanos - kMinute};
    leaf.not_after = {sim.clock().unix_time().nanos + request.ttl_seconds * kNanosPerSecond};
    WARY_ASSIGN_OR_RETURN(Bytes issued, crypto::issue_leaf(ca, ca_key, request.csr, leaf));
    return IssuedSvid{{std::move(issued)}};
  }
  Entry entry;
  SvidsWorld() {
    entry.spiffe_id = kOrders;
    entry.ttl_seconds = 3600;
  }
  // By steps, so that the loop looks as often as it would.
  void run(std::int64_t nanos) {
    for (std::int64_t at = 0; at < nanos; at += kNanosPerSecond) sim.run_for(kNanosPerSecond);
  }
};

}  // namespace

TEST_CASE("a certificate is asked for once, whoever holds it, and renewed with another key at half its life") {
  SvidsWorld it;
  it.svids.hold(it.entry);
  it.svids.hold(it.entry);
  CHECK(it.svids.find(kOrders) == nullptr);
  CHECK(it.svids.failure(kOrders) == nullptr);
  it.run(kNanosPerSecond);
  CHECK(it.asked == 1);
  CHECK(it.changes == 1);
  const Svid* first = it.svids.find(kOrders);
  REQUIRE(first != nullptr);
  const std::uint64_t number = first->number;
  const Bytes key(first->key.reveal().begin(), first->key.reveal().end());
  it.run(26 * kMinute);
  CHECK(it.asked == 1);
  it.run(5 * kMinute);
  CHECK(it.asked == 2);
  const Svid* second = it.svids.find(kOrders);
  REQUIRE(second != nullptr);
  CHECK(second->number != number);
  CHECK(Bytes(second->key.reveal().begin(), second->key.reveal().end()) != key);
}

TEST_CASE("what nobody uses is dropped after ten seconds, and what is used again before is kept") {
  SvidsWorld it;
  it.svids.hold(it.entry);
  it.run(kNanosPerSecond);
  it.svids.release(kOrders);
  it.run(5 * kNanosPerSecond);
  it.svids.hold(it.entry);
  it.run(20 * kNanosPerSecond);
  CHECK(it.svids.find(kOrders) != nullptr);
  CHECK(it.asked == 1);
  it.svids.release(kOrders);
  it.run(12 * kNanosPerSecond);
  CHECK(it.svids.size() == 0);
  CHECK(it.svids.find(kOrders) == nullptr);
}

TEST_CASE("a control plane that is away is asked again, and the old certificate holds until its end") {
  SvidsWorld it;
  it.svids.hold(it.entry);
  it.run(kNanosPerSecond);
  it.is_away = true;
  it.run(50 * kMinute);
  CHECK(it.svids.find(kOrders) != nullptr);
  const int asked = it.asked;
  CHECK(asked > 30);  // every half minute since half its life
  CHECK(asked < 60);
  it.run(11 * kMinute);
  CHECK(it.svids.find(kOrders) == nullptr);
  REQUIRE(it.svids.failure(kOrders) != nullptr);
  it.is_away = false;
  it.run(kMinute);
  CHECK(it.svids.find(kOrders) != nullptr);
  CHECK(it.svids.failure(kOrders) == nullptr);
}

TEST_CASE("who cannot get a certificate is told why") {
  SvidsWorld it;
  it.is_away = true;
  it.svids.hold(it.entry);
  it.run(kNanosPerSecond);
  REQUIRE(it.svids.failure(kOrders) != nullptr);
  CHECK(it.svids.failure(kOrders)->code == "link_closed");
  CHECK(it.changes >= 1);
}

TEST_CASE("a certificate of another identity is no answer") {
  SvidsWorld it;
  it.as = "spiffe://local/shop/admin";
  it.svids.hold(it.entry);
  it.run(kNanosPerSecond);
  CHECK(it.svids.find(kOrders) == nullptr);
  REQUIRE(it.svids.failure(kOrders) != nullptr);
  CHECK(it.svids.failure(kOrders)->code == "svid_answer");
}

TEST_CASE("a clock that jumps, forward or back, has certificates made anew") {
  SvidsWorld it;
  it.svids.hold(it.entry);
  it.run(kNanosPerSecond);
  it.sim.jump_wall_clock(40 * kMinute);
  it.run(3 * kNanosPerSecond);
  CHECK(it.asked == 2);
  it.sim.jump_wall_clock(-80 * kMinute);
  it.run(3 * kNanosPerSecond);
  CHECK(it.asked == 3);
  it.sim.jump_wall_clock(500 * kMinute);
  it.run(3 * kNanosPerSecond);
  CHECK(it.svids.find(kOrders) != nullptr);
  CHECK(it.asked == 4);
}

TEST_CASE("sixteen are on their way at most, and an answer for what was dropped is nobody's") {
  SvidsWorld it;
  it.is_silent = true;
  for (int i = 0; i < 40; ++i) {
    Entry one = it.entry;
    one.spiffe_id += std::to_string(i);
    it.svids.hold(one);
  }
  it.run(kNanosPerSecond);
  CHECK(it.asked == 16);
  it.svids.keep_only([](const std::string& id) { return id != kOrders + std::string("0"); });
  std::vector<std::function<void()>> held;
  while (!it.held.empty()) {
    held.swap(it.held);
    for (const auto& answer : held) answer();
    held.clear();
    it.run(kNanosPerSecond);
  }
  CHECK(it.asked == 40);
  CHECK(it.svids.find(kOrders + std::string("0")) == nullptr);
  CHECK(it.svids.find(kOrders + std::string("39")) != nullptr);
}

TEST_CASE("when who signed is not trusted any more, all are made anew at once") {
  SvidsWorld it;
  it.svids.hold(it.entry);
  it.run(kNanosPerSecond);
  const std::uint64_t number = it.svids.find(kOrders)->number;
  it.svids.renew_all();
  it.run(kNanosPerSecond);
  CHECK(it.svids.find(kOrders)->number != number);
}
