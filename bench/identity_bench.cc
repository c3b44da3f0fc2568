// What an identity costs, in seconds of processor time: certificates issued with their requests checked, beside the
// library's own interface in the same run, every kind of output verified.
//
//   identity_bench FIGURES.json
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codec/json.h"
#include "codec/text.h"
#include "crypto/csr.h"
#include "crypto/issuer.h"
#include "crypto/p256.h"
#include "identity/signer.h"
#include "io/sim_files.h"
#include "io/system.h"

using namespace wary;

namespace {

constexpr std::size_t kRequests = 256;
constexpr double kSeconds = 1.5;
constexpr int kRounds = 3;
constexpr std::string_view kId = "spiffe://local/default/orders";

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// The library's own interface, as its manual would have it: read, verify, fill, sign, write.
Bytes issue_plainly(X509* ca, EVP_PKEY* ca_key, ByteView csr, std::int64_t now, long serial) {
  const std::uint8_t* at = csr.data();
  const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(
      d2i_X509_REQ(nullptr, &at, static_cast<long>(csr.size())), X509_REQ_free);
  if (!request || X509_REQ_verify(request.get(), X509_REQ_get0_pubkey(request.get())) != 1) return {};
  const std::unique_ptr<X509, decltype(&X509_free)> leaf(X509_new(), X509_free);
  X509_set_version(leaf.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(leaf.get()), serial);
  X509_set_issuer_name(leaf.get(), X509_get_subject_name(ca));
  X509_set_pubkey(leaf.get(), X509_REQ_get0_pubkey(request.get()));
  ASN1_TIME_set(X509_getm_notBefore(leaf.get()), now - 60);
  ASN1_TIME_set(X509_getm_notAfter(leaf.get()), now + 3600);
  X509_NAME_add_entry_by_NID(X509_get_subject_name(leaf.get()), NID_commonName, MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("leaf"), -1, -1, 0);
  X509V3_CTX context{};
  X509V3_set_ctx(&context, ca, leaf.get(), nullptr, nullptr, 0);
  const std::string uri = "URI:" + std::string(kId);
  for (const auto& [nid, value] : {std::pair<int, const char*>{NID_basic_constraints, "critical,CA:FALSE"},
                                   {NID_key_usage, "critical,digitalSignature"},
                                   {NID_ext_key_usage, "serverAuth,clientAuth"},
                                   {NID_subject_key_identifier, "hash"},
                                   {NID_authority_key_identifier, "keyid:always"},
                                   {NID_subject_alt_name, uri.c_str()}}) {
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
        X509V3_EXT_conf_nid(nullptr, &context, nid, value), X509_EXTENSION_free);
    X509_add_ext(leaf.get(), extension.get(), -1);
  }
  if (X509_sign(leaf.get(), ca_key, EVP_sha256()) <= 0) return {};
  Bytes out(static_cast<std::size_t>(i2d_X509(leaf.get(), nullptr)));
  std::uint8_t* end = out.data();
  i2d_X509(leaf.get(), &end);
  return out;
}

struct World {
  std::unique_ptr<Clock> clock = io::make_system_clock();
  std::unique_ptr<Random> random = io::make_system_random();
  io::SimFiles files{1};
  crypto::PrivateKey ca_key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  Bytes ca;
  std::vector<Bytes> requests;
  std::unique_ptr<identity::Signer> signer;

  World() {
    const UnixTime now = clock->unix_time();
    crypto::P256Signer self = crypto::P256Signer::of(ca_key).value();
    ca = crypto::issue_authority(
             {"bench", "local", {now.nanos - kNanosPerSecond}, {now.nanos + 86'400 * kNanosPerSecond}},
             ca_key.public_key().to_spki(), {}, *random, [&](ByteView message) { return self.sign(message); })
             .value();
    for (std::size_t i = 0; i < kRequests; ++i) {
      const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
      requests.push_back(crypto::make_csr(key, "").value());
    }
    WARY_CHECK(files.make_directory("signer").ok());
    signer = identity::Signer::open(files, "signer", *clock, *random, {}).value();
  }
};

struct Measured {
  double per_second = 0;
  std::vector<std::vector<Bytes>> chains;  // the last one made for each request
};

// Best of the rounds: what else runs on the machine only ever takes away.
void measure(Measured& out, const std::function<std::vector<Bytes>(std::size_t)>& issue) {
  out.chains.resize(kRequests);
  std::size_t made = 0;
  const double begun = processor_seconds();
  double spent = 0;
  while ((spent = processor_seconds() - begun) < kSeconds) {
    for (std::size_t i = 0; i < kRequests; ++i) out.chains[i] = issue(i);
    made += kRequests;
  }
  out.per_second = std::max(out.per_second, static_cast<double>(made) / spent);
}

std::size_t verified(const Measured& measured, const std::vector<Bytes>& roots, UnixTime now) {
  const auto trusted = crypto::TrustRoots::build(roots).value();
  std::size_t good = 0;
  for (const std::vector<Bytes>& chain : measured.chains) {
    crypto::VerifyOptions options;
    options.svid = true;
    options.trust_domain = "local";
    const auto leaf = trusted.verify(chain, now, options);
    good += leaf.ok() && leaf->uris == std::vector<std::string>{std::string(kId)} ? 1U : 0U;
  }
  return good;
}

codec::Json issue_part(World& world) {
  const UnixTime now = world.clock->unix_time();
  crypto::P256Signer key = crypto::P256Signer::of(world.ca_key).value();
  const auto issuer = crypto::LeafIssuer::of(world.ca).value();
  crypto::CsrChecker checker;
  crypto::LeafOptions leaf{
      {}, std::string(kId), {now.nanos - 60 * kNanosPerSecond}, {now.nanos + 3600 * kNanosPerSecond}};
  const auto sign = [&](ByteView message) { return key.sign(message); };
  const Secret pkcs8 = world.ca_key.to_pkcs8().value();
  const std::uint8_t* at = pkcs8.reveal().data();
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> plain_key(
      d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(pkcs8.size())), EVP_PKEY_free);
  at = world.ca.data();
  const std::unique_ptr<X509, decltype(&X509_free)> plain_ca(d2i_X509(nullptr, &at, static_cast<long>(world.ca.size())),
                                                             X509_free);
  Measured plain, fast, whole;
  for (int round = 0; round < kRounds; ++round) {
    measure(plain, [&](std::size_t i) -> std::vector<Bytes> {
      return {issue_plainly(plain_ca.get(), plain_key.get(), world.requests[i], now.nanos / kNanosPerSecond,
                            static_cast<long>(i + 1))};
    });
    measure(fast, [&](std::size_t i) -> std::vector<Bytes> {
      const auto spki = checker.check(world.requests[i]);
      return {issuer.issue(*spki, leaf, *world.random, sign).value()};
    });
    measure(whole, [&](std::size_t i) -> std::vector<Bytes> {
      codec::Json request = codec::Json::object();
      request.set("op", "certificate.issue").set("spiffe_id", kId).set("csr", codec::encode_base64(world.requests[i]));
      const auto parsed = codec::parse_json(request.to_string());
      const std::string answer = world.signer->handle(identity::Role::kControl, *parsed)->to_string();
      std::vector<Bytes> chain;
      const auto read = codec::parse_json(answer);
      for (const codec::Json& one : read->find("chain")->items())
        chain.push_back(*codec::decode_base64(one.as_string()));
      return chain;
    });
  }
  codec::Json request = codec::Json::object();
  request.set("op", "authorities");
  const auto trusted = world.signer->handle(identity::Role::kControl, request);
  const std::vector<Bytes> roots = {*codec::decode_base64(trusted->find("x509_roots")->items()[0].as_string())};
  codec::Json out = codec::Json::object();
  std::printf("issue: certificates a second of processor time, request checked; best of %d rounds\n", kRounds);
  const auto row = [&](const char* name, const char* text, const Measured& measured, const std::vector<Bytes>& by) {
    const std::size_t good = verified(measured, by, world.clock->unix_time());
    std::printf("  %-44s %8.0f   %zu of %zu verified\n", text, measured.per_second, good, kRequests);
    codec::Json one = codec::Json::object();
    one.set("per_cpu_second", measured.per_second).set("verified", static_cast<std::int64_t>(good));
    out.set(name, std::move(one).set("of", static_cast<std::int64_t>(kRequests)));
    return good == kRequests;
  };
  bool good = row("openssl", "plain OpenSSL interface", plain, {world.ca});
  good = row("template", "template", fast, {world.ca}) && good;
  good = row("signer", "the signer, request and answer as JSON", whole, roots) && good;
  out.set("all_verified", good);
  return out;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  World world;
  codec::Json figures = codec::Json::object();
  figures.set("issue", issue_part(world));
  const bool good = figures.find("issue")->bool_or("all_verified", false);
  std::FILE* file = std::fopen(arguments[1], "w");
  if (file == nullptr) return 1;
  std::fputs((figures.to_pretty_string() + "\n").c_str(), file);
  return std::fclose(file) == 0 && good ? 0 : 1;
}
