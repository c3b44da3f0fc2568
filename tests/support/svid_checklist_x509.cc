#include <functional>

#include "crypto/crypto_test_world.h"
#include "spiffe/x509_svid.h"
#include "tests/support/made_certificate.h"
#include "tests/support/svid_checklist.h"

namespace wary::spiffe {
namespace {

using crypto::kNow;
using test::MadeCertificate;
using Change = std::function<void(MadeCertificate&)>;

constexpr std::int64_t kHour = 3600 * kNanosPerSecond;
constexpr const char* kServerUse = "1.3.6.1.5.5.7.3.1";
constexpr const char* kClientUse = "1.3.6.1.5.5.7.3.2";

UnixTime hours_from_now(std::int64_t hours) { return {kNow.nanos + hours * kHour}; }

// An authority: its key and its certificate, signed by itself unless somebody else does.
struct Authority {
  crypto::PrivateKey key;
  std::string name;
  Bytes certificate;
};

crypto::PrivateKey new_key() {
  auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  WARY_CHECK(key.ok());
  return std::move(key).value();
}

Authority authority(const std::string& name, const std::string& trust_domain, const Authority* above = nullptr) {
  Authority out{new_key(), name, {}};
  MadeCertificate wanted;
  wanted.subject = name;
  wanted.issuer = above == nullptr ? name : above->name;
  wanted.uris = {"spiffe://" + trust_domain};
  wanted.is_ca = true;
  wanted.key_usage = test::kKeyCertSign | test::kCrlSign;
  wanted.not_before = hours_from_now(-1);
  wanted.not_after = hours_from_now(100);
  out.certificate = test::make_certificate(wanted, out.key, above == nullptr ? out.key : above->key);
  return out;
}

Bytes leaf_below(const Authority& issuer, const Change& change = nullptr) {
  MadeCertificate wanted;
  wanted.issuer = issuer.name;
  wanted.uris = {"spiffe://local/a"};
  wanted.is_ca = false;
  wanted.uses = {kServerUse, kClientUse};
  wanted.not_before = hours_from_now(-1);
  wanted.not_after = hours_from_now(1);
  if (change) change(wanted);
  return test::make_certificate(wanted, new_key(), issuer.key);
}

// As a client's certificate and as a server's: both outcomes where they differ.
std::string outcome_of(const std::vector<Bytes>& chain, const BundleSet& bundles) {
  const auto as = [&](crypto::VerifyOptions::Use use) {
    const auto id = check_x509_svid(chain, bundles, kNow, use);
    return id ? std::string("accepted") : id.error().code;
  };
  const std::string client = as(crypto::VerifyOptions::Use::kClient), server = as(crypto::VerifyOptions::Use::kServer);
  return client == server ? client : client + " of a client, " + server + " of a server";
}

struct LeafRow {
  const char* number;
  const char* what;
  const char* expected;
  Change change;
};

std::vector<LeafRow> leaf_rows() {
  const auto named = [](std::vector<std::string> uris) {
    return [uris = std::move(uris)](MadeCertificate& leaf) { leaf.uris = uris; };
  };
  const auto used_for = [](std::optional<std::uint8_t> usage) {
    return [usage](MadeCertificate& leaf) { leaf.key_usage = usage; };
  };
  return {
      {"XV-1", "below the trust domain's root", "accepted", nullptr},
      {"XV-1", "no basicConstraints, no extended key usage", "accepted",
       [](MadeCertificate& leaf) { leaf.is_ca.reset(), leaf.uses.clear(); }},
      {"XV-3", "DNS names beside the ID", "accepted",
       [](MadeCertificate& leaf) { leaf.dns_names = {"a.example", "b.example"}; }},
      {"XV-4", "no subject, critical names", "accepted",
       [](MadeCertificate& leaf) { leaf.subject.clear(), leaf.names_critical = true; }},
      {"XV-4", "no subject, names not critical", "svid_names_critical",
       [](MadeCertificate& leaf) { leaf.subject.clear(); }},
      {"XV-6", "ended an hour ago", "x509_expired",
       [](MadeCertificate& leaf) { leaf.not_before = hours_from_now(-5), leaf.not_after = hours_from_now(-1); }},
      {"XV-7", "begins in an hour", "x509_not_yet_valid",
       [](MadeCertificate& leaf) { leaf.not_before = hours_from_now(1), leaf.not_after = hours_from_now(5); }},
      {"XV-8", "is an authority", "svid_ca", [](MadeCertificate& leaf) { leaf.is_ca = true; }},
      {"XV-9", "may sign certificates", "svid_key_cert_sign", used_for(test::kDigitalSignature | test::kKeyCertSign)},
      {"XV-10", "may sign revocation lists", "svid_crl_sign", used_for(test::kDigitalSignature | test::kCrlSign)},
      {"XV-11", "two IDs", "svid_uri_count", named({"spiffe://local/a", "spiffe://local/b"})},
      {"XV-11", "an ID and an https URI", "svid_uri_count", named({"spiffe://local/a", "https://local/a"})},
      {"XV-12", "a DNS name alone", "svid_uri_count",
       [](MadeCertificate& leaf) { leaf.uris.clear(), leaf.dns_names = {"a.example"}; }},
      {"XV-12", "no names", "svid_uri_count", named({})},
      {"XV-13", "an https URI", "svid_id", named({"https://local/a"})},
      {"XV-14", "spiffe://local", "svid_path", named({"spiffe://local"})},
      {"XV-15", "another trust domain below our root", "x509_svid_trust_domain", named({"spiffe://other.test/x"})},
      {"ID-1", "as a certificate's URI: a port", "svid_id", named({"spiffe://local:8080/a"})},
      {"ID-1", "as a certificate's URI: a user", "svid_id", named({"spiffe://u@local/a"})},
      {"ID-1", "as a certificate's URI: a query", "svid_id", named({"spiffe://local/a?x=1"})},
      {"ID-1", "as a certificate's URI: a fragment", "svid_id", named({"spiffe://local/a#f"})},
      {"ID-1", "as a certificate's URI: percent-encoded", "svid_id", named({"spiffe://local/%41"})},
      {"ID-1", "as a certificate's URI: dots", "svid_id", named({"spiffe://local/a/../b"})},
      {"ID-1", "as a certificate's URI: a slash at the end", "svid_id", named({"spiffe://local/a/"})},
      {"ID-1", "as a certificate's URI: no trust domain", "svid_id", named({"spiffe:///a"})},
      {"ID-1", "as a certificate's URI: a zero byte", "x509_syntax", named({std::string("spiffe://local/a\0b", 18)})},
      {"ID-2", "as a certificate's URI: 2,048 bytes", "accepted", named({"spiffe://local/" + std::string(2033, 'a')})},
      {"ID-2", "as a certificate's URI: every kind of byte", "accepted", named({"spiffe://local/Az.09-_/..."})},
  };
}

void put(BundleSet& bundles, const std::string& trust_domain, std::vector<Bytes> authorities) {
  Bundle bundle;
  bundle.trust_domain = trust_domain;
  bundle.x509_authorities = std::move(authorities);
  WARY_CHECK(bundles.put(std::move(bundle)).ok());
}

}  // namespace

void run_x509_checklist(std::vector<ChecklistRow>& rows) {
  const Authority local = authority("local root", "local"), stranger = authority("local root", "local"),
                  fed = authority("fed root", "fed.test"), middle = authority("middle", "local", &local);
  BundleSet bundles;
  put(bundles, "local", {local.certificate});
  const auto add = [&](const char* number, const char* what, const char* expected, const std::vector<Bytes>& chain) {
    rows.push_back({number, what, expected, outcome_of(chain, bundles)});
  };
  for (const LeafRow& row : leaf_rows()) add(row.number, row.what, row.expected, {leaf_below(local, row.change)});
  add("XV-2", "below an intermediate that comes along", "accepted", {leaf_below(middle), middle.certificate});
  add("XV-2", "below an intermediate that does not", "x509_untrusted", {leaf_below(middle)});
  add("XV-5", "a root of the same name that nobody trusts", "x509_untrusted", {leaf_below(stranger)});
  add("XV-5", "which comes along", "x509_untrusted", {leaf_below(stranger), stranger.certificate});

  const auto of_fed = [](MadeCertificate& leaf) { leaf.uris = {"spiffe://fed.test/a"}; };
  const Bytes friendly = leaf_below(fed, of_fed);
  put(bundles, "fed.test", {fed.certificate});
  add("XF-1", "of a federated trust domain", "accepted", {friendly});
  add("XF-2", "of the federated trust domain, below our root", "x509_untrusted", {leaf_below(local, of_fed)});
  add("XF-2", "ours, below the federated one's root", "x509_untrusted", {leaf_below(fed)});
  bundles.remove("fed.test");
  add("XF-3", "of a trust domain that is federated no more", "x509_svid_trust_domain", {friendly});
}

}  // namespace wary::spiffe
