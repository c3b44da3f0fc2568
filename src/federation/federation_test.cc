#include "federation/federation_test_world.h"

using namespace wary;
using namespace wary::federation;
using namespace wary::federation::test;

TEST_CASE("the next fetch comes by the hint, within its bounds, a little earlier at random") {
  const std::int64_t second = kNanosPerSecond;
  CHECK(next_fetch(300, 0, 0) == 300 * second);
  CHECK(next_fetch(0, 0, 0) == 10 * second);
  CHECK(next_fetch(std::int64_t{1} << 62, 0, 0) == 86'400 * second);
  for (const std::uint64_t random : {std::uint64_t{1}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    const std::int64_t next = next_fetch(300, 0, random);
    CHECK(next > 270 * second);
    CHECK(next <= 300 * second);
  }
  // After failures: 10 s, doubling, never later than the hint.
  CHECK(next_fetch(300, 1, 0) == 10 * second);
  CHECK(next_fetch(300, 2, 0) == 20 * second);
  CHECK(next_fetch(300, 6, 0) == 300 * second);
  CHECK(next_fetch(86'400, 64, 0) == 86'400 * second);
  CHECK(next_fetch(5, 64, 0) == 10 * second);
}

TEST_CASE("a bundle is fetched when its domain is learned, handed up as it came, and fetched again by its hint") {
  World world;
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  world.open_federation();
  world.run(2);
  REQUIRE(world.count("bundle.fetched") == 1);
  CHECK(world.calls.back().string_or("trust_domain", "") == "b.test");
  CHECK(world.calls.back().string_or("bundle", "") == world.document);
  world.run(50);
  CHECK(world.asked == 1);
  world.run(10);
  CHECK(world.asked == 2);
  CHECK(world.count("bundle.failed") == 0);
}

TEST_CASE("a server of profile https_web is known by its name and the web's roots") {
  World world;
  world.context = world.web.server("", "b.localhost");
  world.open_federation();
  world.commit({World::domain("b.test", "", kWebEndpoint)});
  world.run(2);
  CHECK(world.count("bundle.fetched") == 1);
  world.context = world.other.server("spiffe://b.test/server");
  world.run(70);
  CHECK(world.failure() == "x509_untrusted");
  world.context = world.web.server("", "c.localhost");
  world.run(20);
  CHECK(world.failure() == "x509_name");
}

TEST_CASE("a server of profile https_spiffe is known by its SPIFFE ID and the newest bundle") {
  World world;
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  world.context = world.other.server("spiffe://b.test/another");
  world.open_federation();
  world.run(2);
  CHECK(world.failure() == "federation_server");
  const Authority next{world.sim, "b.test"};
  world.context = next.server("spiffe://b.test/server");
  world.run(12);
  CHECK(world.failure() == "x509_untrusted");
  // A bundle that is applied meanwhile is tried at once, not when the next fetch would have been due.
  world.commit({World::domain("b.test", next.bundle(2), kSpiffeEndpoint)});
  world.run(2);
  CHECK(world.count("bundle.fetched") == 1);
  world.commit({World::domain("b.test", "", kSpiffeEndpoint)});
  world.run(70);
  CHECK(world.failure() == "federation_no_bundle");
}

TEST_CASE("an endpoint that is away is tried again, later and later, and the first success counts") {
  World world;
  world.listener.reset();
  world.entities = {World::domain("b.test", world.other.bundle(1, 300), kSpiffeEndpoint)};
  world.open_federation();
  world.run(1);
  CHECK(world.failure() == "connect_refused");
  world.run(70);  // after about 10, 30 and 70 s
  CHECK(world.count("bundle.failed") >= 3);
  CHECK(world.count("bundle.failed") <= 4);
  world.open_endpoint();
  world.run(90);
  CHECK(world.count("bundle.fetched") >= 1);
}

TEST_CASE("an endpoint that says nothing is left after 20 seconds") {
  World world;
  world.is_mute = true;
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  world.open_federation();
  world.run(19);
  CHECK(world.count("bundle.failed") == 0);
  world.run(3);
  CHECK(world.failure() == "federation_timeout");
}

TEST_CASE("redirects are followed three times, to https alone, and by the same profile") {
  World world;
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  for (int i = 0; i < 3; ++i) world.before.emplace_back(307, i == 0 ? "/x" : "https://b.localhost:8443/y");
  world.open_federation();
  world.run(2);
  CHECK(world.count("bundle.fetched") == 1);
  CHECK(world.asked == 4);
  for (int i = 0; i < 4; ++i) world.before.emplace_back(302, "/x");
  world.run(60);
  CHECK(world.failure() == "federation_redirects");
  world.before.clear();
  world.before.emplace_back(301, "http://b.localhost/");
  world.run(11);
  CHECK(world.failure() == "federation_redirect");
  world.before.emplace_back(503, "");
  world.run(21);
  CHECK(world.failure() == "federation_status");
}

TEST_CASE("what is no bundle is not handed up, and what is refused above is a failure") {
  World world;
  world.document = R"({"keys":{}})";
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  world.open_federation();
  world.run(2);
  CHECK(world.failure() == "bundle_syntax");
  CHECK(world.count("bundle.fetched") == 0);
  world.document = world.other.bundle(1);
  world.refuses = "bundle_sequence_lower";
  world.run(11);
  CHECK(world.count("bundle.fetched") == 1);
  CHECK(world.count("bundle.failed") == 1);  // who refused it knows
  world.run(21);
  CHECK(world.count("bundle.fetched") == 2);
}

TEST_CASE("a bundle that is too large to be handed up is a failure, and costs nobody the link") {
  World world;
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  std::string quotes;
  for (int i = 0; i < 450'000; ++i) quotes += "\\\"";
  world.document.insert(world.document.size() - 1, ",\"x\":\"" + quotes + "\"");
  world.open_federation();
  world.run(2);
  CHECK(world.asked == 1);
  CHECK(world.count("bundle.fetched") == 0);
  CHECK(world.failure() == "bundle_size");
  CHECK(world.publisher->subscribers() == 1);
}

TEST_CASE("a domain that is gone is fetched no more, also while its answer is on its way") {
  World world;
  world.is_mute = true;
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  world.open_federation();
  world.run(2);
  CHECK(world.held.size() == 1);
  world.commit({}, {{"Wary::TrustDomain", "b.test"}});
  world.run(100);
  CHECK(world.held.size() == 1);
  CHECK(world.calls.empty());
  // An endpoint that changed is asked at once.
  world.is_mute = false;
  world.commit({World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)});
  world.run(2);
  CHECK(world.asked == 1);
  std::string moved = kSpiffeEndpoint;
  moved.replace(moved.find("/bundle"), 7, "/other");
  world.commit({World::domain("b.test", world.other.bundle(1), moved)});
  world.run(2);
  CHECK(world.asked == 2);
}

TEST_CASE("it starts from its last good state, and waits for who takes what it fetched") {
  World world;
  world.entities = {World::domain("b.test", world.other.bundle(1), kSpiffeEndpoint)};
  world.open_federation();
  world.run(2);
  world.federation.reset();
  world.publisher.reset();
  world.calls.clear();
  world.open_federation();
  world.run(5);
  CHECK(world.asked == 2);
  CHECK(world.calls.empty());
  world.open_publisher();
  world.run(20);
  CHECK(world.count("bundle.fetched") >= 1);
}

TEST_CASE("the own bundle is served by an SVID that is renewed at half its life") {
  World world;
  world.entities = {World::domain("a.test", world.own.bundle(3), "")};
  world.open_federation(true);
  CHECK(world.count("federation.svid") == 1);
  // Read as another trust domain does.
  spiffe::BundleSet bundles;
  REQUIRE(bundles.put(*spiffe::parse_bundle("a.test", world.own.bundle(1))).ok());
  io::Resolver resolver(*world.there);
  const auto read = [&](std::string_view path) {
    std::optional<Result<std::string>> done;
    const Endpoint endpoint = *endpoint_from(
        *codec::parse_json(R"({"url":"https://127.0.0.1:9443)" + std::string(path) +
                           R"(","profile":"https_spiffe","spiffeId":"spiffe://a.test/wary/federation"})"));
    Fetch fetch({*world.there, resolver}, endpoint,
                verify_spiffe_server(*bundles.find_roots("a.test"), endpoint.spiffe_id, world.sim.clock()),
                [&](Result<std::string> found) { done = std::move(found); });
    fetch.start();
    world.run(2);
    REQUIRE(done.has_value());
    return done->ok() ? **done : done->error().code;
  };
  CHECK(read(kBundlePath) == world.own.bundle(3));
  CHECK(read("/") == "federation_status");
  // A change that keeps the root keeps the certificate: who knows the old root alone can still ask.
  world.commit({World::domain("a.test", world.own.bundle(4), "")});
  world.run(1);
  CHECK(world.count("federation.svid") == 1);
  CHECK(read(kBundlePath) == world.own.bundle(4));
  world.run(1900);
  CHECK(world.count("federation.svid") == 2);
  // One that takes the root away does not.
  Authority next{world.sim, "a.test"};
  world.own.key = std::move(next.key);
  world.own.root = next.root;
  world.commit({World::domain("a.test", world.own.bundle(5), "")});
  world.run(1);
  CHECK(world.count("federation.svid") == 3);
}
