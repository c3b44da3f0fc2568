#include "identity/signer.h"

#include <doctest/doctest.h>

#include "codec/text.h"
#include "crypto/x509.h"
#include "io/sim_files.h"
#include "io/sim_loop.h"
#include "io/system.h"

using namespace wary;
using namespace wary::identity;

namespace {

struct Fixture {
  io::SimFiles files{1};
  io::SimWorld world{1};
  std::unique_ptr<Random> random = io::make_system_random();
  std::unique_ptr<Signer> signer;

  Fixture() {
    REQUIRE(files.make_directory("signer").ok());
    open();
  }
  void open() {
    signer = Signer::open(files, "signer", world.clock(), *random,
                          {.trust_domain = "local", .authority = {}, .log = nullptr})
                 .value();
  }

  codec::Json ask(std::string_view operation) {
    codec::Json request = codec::Json::object();
    return request.set("op", operation);
  }
  Result<codec::Json> sign(Role role, std::string_view operation, std::string_view message) {
    codec::Json request = ask(operation);
    request.set("message", codec::encode_base64(as_bytes(message)));
    return signer->handle(role, request);
  }
  Result<codec::Json> issue(Role role, std::string_view member, codec::Json value, std::int64_t ttl) {
    const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
    codec::Json request = ask("certificate.issue");
    request.set("csr", codec::encode_base64(crypto::make_csr(key, "x").value()));
    request.set(member, std::move(value)).set("ttl_seconds", ttl);
    return signer->handle(role, request);
  }
  std::string checkpoint(int size) const {
    return signer->origin() + "\n" + std::to_string(size) + "\n" + codec::encode_base64(Bytes(32, 7)) + "\n";
  }
};

std::string code_of(const Result<codec::Json>& result) { return result.ok() ? "ok" : result.error().code; }

}  // namespace

TEST_CASE("the table: each role has its own operations and no others") {
  Fixture f;
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", f.checkpoint(1))) == "ok");
  CHECK(code_of(f.sign(Role::kControl, "snapshot.sign", "wary snapshot v2\nx")) == "ok");
  CHECK(code_of(f.sign(Role::kEdge, "ledger.sign", f.checkpoint(2))) == "signer_forbidden");
  CHECK(code_of(f.sign(Role::kEdge, "snapshot.sign", "wary snapshot v2\nx")) == "signer_forbidden");
  CHECK(code_of(f.signer->handle(Role::kEdge, f.ask("ca.export"))) == "signer_forbidden");
  CHECK(code_of(f.signer->handle(Role::kControl, codec::Json::array())) == "signer_forbidden");
  CHECK(code_of(f.signer->handle(Role::kEdge, f.ask("public"))) == "ok");
}

TEST_CASE("no key signs in another's place, and a log never shrinks") {
  Fixture f;
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", "wary snapshot v2\nx")) == "signer_checkpoint");
  CHECK(code_of(f.sign(Role::kControl, "snapshot.sign", f.checkpoint(1))) == "signer_snapshot");
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", "other/log\n1\nAA==\n")) == "signer_checkpoint");
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", f.checkpoint(1) + "extra\n")) == "signer_checkpoint");
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", f.signer->origin() + "\n-1\nAA==\n")) == "signer_checkpoint");
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", f.signer->origin() + "\n")) == "signer_checkpoint");
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", f.checkpoint(10))) == "ok");
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", f.checkpoint(10))) == "ok");
  CHECK(code_of(f.sign(Role::kControl, "ledger.sign", f.checkpoint(9))) == "signer_rollback");
}

TEST_CASE("certificates: names for the edge, workloads for the control plane, none for long") {
  Fixture f;
  const codec::Json names = codec::Json::array({codec::Json("a.localhost")});
  CHECK(code_of(f.issue(Role::kEdge, "dns_names", names, 3600)) == "ok");
  CHECK(code_of(f.issue(Role::kEdge, "dns_names", names, 86'400)) == "ok");
  CHECK(code_of(f.issue(Role::kEdge, "dns_names", names, 86'401)) == "signer_ttl");
  CHECK(code_of(f.issue(Role::kEdge, "dns_names", names, 0)) == "signer_ttl");
  CHECK(code_of(f.issue(Role::kEdge, "dns_names", codec::Json::array({codec::Json(1)}), 60)) == "signer_names");
  CHECK(code_of(f.issue(Role::kEdge, "spiffe_id", "spiffe://local/x", 60)) == "signer_forbidden");
  CHECK(code_of(f.issue(Role::kControl, "dns_names", names, 60)) == "signer_forbidden");
  CHECK(code_of(f.issue(Role::kControl, "spiffe_id", "spiffe://local/x", 3600)) == "ok");
  CHECK(code_of(f.issue(Role::kControl, "spiffe_id", "spiffe://local/x", 3601)) == "signer_ttl");
  CHECK(code_of(f.issue(Role::kControl, "spiffe_id", "spiffe://other/x", 60)) == "signer_trust_domain");
  CHECK(code_of(f.issue(Role::kControl, "spiffe_id", "spiffe://local", 60)) == "signer_trust_domain");
}

TEST_CASE("an edge has its own identity for an hour, and that of nobody else; and nobody has an edge's") {
  Fixture f;
  const auto issue = [&](Role role, const char* id, std::int64_t ttl) {
    return code_of(f.issue(role, "spiffe_id", id, ttl));
  };
  CHECK(issue(Role::kEdge, "spiffe://local/wary/edge/local", 3600) == "ok");
  CHECK(issue(Role::kEdge, "spiffe://local/wary/edge/local", 3601) == "signer_ttl");
  for (const char* other : {"spiffe://local/wary/edge", "spiffe://local/wary/edgex/local", "spiffe://local/wary/node/a",
                            "spiffe://other/wary/edge/local", "spiffe://local/demo/wary/edge/local"}) {
    CHECK(issue(Role::kEdge, other, 60) == "signer_forbidden");
  }
  for (const char* broken :
       {"spiffe://local/wary/edge/", "spiffe://local/wary/edge/../node/a", "spiffe://local/wary/edge/a b"}) {
    CHECK(issue(Role::kEdge, broken, 60) != "ok");
  }
  CHECK(issue(Role::kControl, "spiffe://local/wary/edge/local", 60) == "signer_forbidden");
  CHECK(issue(Role::kControl, "spiffe://local/wary/edge", 60) == "ok");  // a workload's of that namespace
  // Nor does a token say that its bearer is an edge.
  const auto token = [&](Role role, const char* id) {
    codec::Json request = f.ask("jwt.sign");
    request.set("spiffe_id", id).set("audiences", codec::Json::array({codec::Json("shop")}));
    return code_of(f.signer->handle(role, request));
  };
  CHECK(token(Role::kControl, "spiffe://local/wary/edge/local") == "signer_forbidden");
  CHECK(token(Role::kEdge, "spiffe://local/wary/edge/local") == "signer_forbidden");
  CHECK(token(Role::kControl, "spiffe://local/wary/edge") == "ok");
  // Names and an identity in one certificate are nobody's.
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  codec::Json both = f.ask("certificate.issue");
  both.set("csr", codec::encode_base64(crypto::make_csr(key, "x").value()));
  both.set("dns_names", codec::Json::array({codec::Json("a.localhost")}))
      .set("spiffe_id", "spiffe://local/wary/edge/local");
  CHECK(code_of(f.signer->handle(Role::kEdge, both)) == "signer_forbidden");
}

TEST_CASE("the keys are the same after a restart, and lie on disk only sealed") {
  Fixture f;
  const codec::Json before = f.signer->handle(Role::kEdge, f.ask("public")).value();
  f.signer.reset();
  f.files.crash();
  f.open();
  CHECK(f.signer->handle(Role::kEdge, f.ask("public")).value() == before);
  for (const char* name : {"authority.state", "ledger.key", "snapshot.key"}) {
    const Bytes stored = io::read_file(f.files, std::string("signer/") + name, 1 << 16).value();
    CHECK(as_text(stored).starts_with("WSEA"));
  }
}

TEST_CASE("an altered key file is refused, and no new key takes its place") {
  Fixture f;
  f.signer.reset();
  f.files.flip_bit("signer/ledger.key", 30);
  const auto opened = Signer::open(f.files, "signer", f.world.clock(), *f.random, {});
  REQUIRE(!opened.ok());
  CHECK(opened.error().code == "seal_broken");
}

TEST_CASE("a key file that is gone is said, and no new key takes its place") {
  for (const char* name : {"seal.key", "authority.state", "ledger.key", "snapshot.key", "origin"}) {
    Fixture f;
    f.signer.reset();
    const std::string path = std::string("signer/") + name;
    REQUIRE(f.files.remove(path).ok());
    const auto opened = Signer::open(f.files, "signer", f.world.clock(), *f.random, {});
    REQUIRE(!opened.ok());
    CHECK(opened.error().code == "signer_key_missing");
    CHECK(opened.error().where == path);
    CHECK(!f.files.status(path).ok());
  }
}

TEST_CASE("the name of the ledger is refused at the start when it is damaged") {
  Fixture f;
  f.signer.reset();
  REQUIRE(io::write_file_atomically(f.files, "signer/origin", as_bytes("wary.lo")).ok());
  const auto opened = Signer::open(f.files, "signer", f.world.clock(), *f.random, {});
  REQUIRE(!opened.ok());
  CHECK(opened.error().code == "signer_origin");
}

TEST_CASE("each of the authority's keys that is gone or damaged is said, and no new key takes its place") {
  Fixture made;
  const auto names = made.files.list("signer/keys").value();
  REQUIRE(names.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    for (const bool gone : {true, false}) {
      Fixture f;
      f.signer.reset();
      const std::string path = "signer/keys/" + f.files.list("signer/keys").value()[i];
      if (gone) {
        REQUIRE(f.files.remove(path).ok());
      } else {
        f.files.flip_bit(path, 40);
      }
      const auto opened = Signer::open(f.files, "signer", f.world.clock(), *f.random, {});
      REQUIRE(!opened.ok());
      CHECK(opened.error().code == (gone ? "key_store_missing" : "key_store_damaged"));
      CHECK(opened.error().where == path);
      CHECK(f.files.list("signer/keys").value().size() == (gone ? 2 : 3));
    }
  }
}
