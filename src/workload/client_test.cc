#include "workload/client.h"

#include <doctest/doctest.h>

#include "io/sim_loop.h"
#include "workload/messages.h"

using namespace wary;
using namespace wary::workload;

namespace {

constexpr std::int64_t kHour = 3600 * kNanosPerSecond;
constexpr const char* kReports = "spiffe://local/shop/reports";

std::string text(ByteView bytes) { return std::string(as_text(bytes)); }

// A message as a server makes it.
struct Made {
  io::SimWorld sim{4};
  crypto::PrivateKey ca_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  crypto::PrivateKey key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  std::int64_t now = sim.clock().unix_time().nanos;
  Bytes ca = *crypto::create_ca(
      {.common_name = "t", .trust_domain = "local", .not_before = {now - kHour}, .not_after = {now + kHour}}, ca_key);
  X509SvidMessage svid;
  explicit Made(const std::string& id = kReports) {
    crypto::LeafOptions leaf;
    leaf.spiffe_id = id;
    leaf.not_before = {now - kHour};
    leaf.not_after = {now + kHour};
    svid.spiffe_id = kReports;
    svid.chain = text(*crypto::issue_leaf(ca, ca_key, *crypto::make_csr(key, ""), leaf));
    svid.key = text(key.to_pkcs8()->reveal());
    svid.bundle = text(ca) + text(ca);
    svid.hint = "h";
  }
};

}  // namespace

TEST_CASE("SVIDs, keys and bundles are read and fit together") {
  const Made made;
  const auto context = decode_x509_context(encode_x509_svids({made.svid}, {{"spiffe://other", text(made.ca)}}));
  REQUIRE(context.ok());
  REQUIRE(context->identities.size() == 1);
  const X509Identity& one = context->identities[0];
  CHECK(one.spiffe_id == kReports);
  CHECK(one.chain.size() == 1);
  CHECK(one.bundle.size() == 2);
  CHECK(one.hint == "h");
  CHECK(text(one.key.reveal()) == made.svid.key);
  CHECK(context->federated.at("spiffe://other").size() == 1);
}

TEST_CASE("what does not fit together is refused whole") {
  const Made good;
  const auto refused = [](X509SvidMessage svid) {
    return decode_x509_context(encode_x509_svids({std::move(svid)}, {})).error().code;
  };
  X509SvidMessage svid = good.svid;
  svid.key = text(good.ca_key.to_pkcs8()->reveal());
  CHECK(refused(svid) == "workload_message");
  svid = Made("spiffe://local/shop/other").svid;
  CHECK(refused(svid) == "workload_message");
  svid = good.svid;
  svid.chain.clear();
  CHECK(refused(svid) == "workload_message");
  svid = good.svid;
  svid.bundle.clear();
  CHECK(refused(svid) == "workload_message");
  svid = good.svid;
  svid.bundle.pop_back();
  CHECK(refused(svid) == "workload_message");
  svid = good.svid;
  svid.chain = text(good.ca);
  CHECK(!decode_x509_context(encode_x509_svids({svid}, {})).ok());
  CHECK(decode_x509_context("").error().code == "workload_message");
  CHECK(decode_x509_context("\x0a").error().code == "workload_message");
  std::string many;
  for (int i = 0; i < 257; ++i) many += encode_x509_svids({good.svid}, {});
  CHECK(decode_x509_context(many).error().code == "workload_message");
}

TEST_CASE("an endpoint is a unix socket or a numeric address with a port") {
  CHECK(endpoint("unix:///run/a.sock")->host == "/run/a.sock");
  CHECK(endpoint("unix:/run/a.sock")->host == "/run/a.sock");
  CHECK(endpoint("tcp://127.0.0.1:80")->port == 80);
  CHECK(endpoint("tcp://[::1]:80")->host == "::1");
  const std::string longer = "unix:///" + std::string(107, 'x');
  for (const std::string& bad : {std::string(), std::string("/run/a.sock"), std::string("unix://run/a"),
                                 std::string("tcp://localhost:80"), std::string("tcp://127.0.0.1"),
                                 std::string("tcp://127.0.0.1:0"), std::string("tcp://127.0.0.1:99999"), longer}) {
    CAPTURE(bad);
    CHECK(endpoint(bad).error().code == "workload_endpoint");
  }
}

TEST_CASE("a client that finds no server says so, and tries again ever less often") {
  io::SimWorld sim(1);
  const auto loop = sim.make_loop();
  int errors = 0;
  Client client(*loop, io::Address::unix_socket("/nowhere"),
                {[](X509Context) {},
                 [&](const Error& why) {
                   CHECK(why.code == "workload_unavailable");
                   ++errors;
                 }});
  client.start();
  sim.run_for(100 * kNanosPerSecond);
  // After 0, 1, 3, 7, 15, 31, 61 and 91 seconds.
  CHECK(errors == 8);
}
