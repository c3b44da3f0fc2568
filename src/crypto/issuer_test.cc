#include "crypto/issuer.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "codec/der.h"
#include "codec/text.h"
#include "crypto/crypto_test_world.h"
#include "crypto/csr.h"

namespace wary::crypto {
namespace {

namespace der = codec::der;

UnixTime in_hours(std::int64_t hours) { return {kNow.nanos + hours * 3600 * kNanosPerSecond}; }

class CountedRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(next_ = next_ * 29 + 7);
  }

 private:
  unsigned next_ = 1;
};

PrivateKey key_of_type(KeyType type) { return PrivateKey::generate(type).value(); }
SignMessage signed_by(const PrivateKey& key) {
  return [&key](ByteView message) { return key.sign(message); };
}

struct MadeAuthority {
  CountedRandom random;
  PrivateKey root_key = key_of_type(KeyType::kEcdsaP256), key = key_of_type(KeyType::kEcdsaP256);
  Bytes root = issue_authority(fields(false), root_key.public_key().to_spki(), {}, random, signed_by(root_key)).value();
  Bytes certificate =
      issue_authority(fields(true), key.public_key().to_spki(), root, random, signed_by(root_key)).value();

  static AuthorityOptions fields(bool leaves_only) {
    return {.common_name = leaves_only ? "between" : "root",
            .trust_domain = "local",
            .not_before = in_hours(-24),
            .not_after = in_hours(24 * 365),
            .leaves_only = leaves_only};
  }
};

LeafOptions leaf_options(std::vector<std::string> names, std::string id) {
  return {
      .dns_names = std::move(names), .spiffe_id = std::move(id), .not_before = in_hours(-1), .not_after = in_hours(1)};
}

// What is signed, with the serial number's bytes and digits blanked: all that may differ between two ways of issuing.
Bytes comparable(ByteView certificate) {
  der::Reader outer(certificate), inside;
  ByteView content;
  REQUIRE(outer.read_constructed(der::kSequence, inside));
  REQUIRE(inside.read_raw(content));
  const Bytes serial = *codec::decode_hex(parse_certificate(certificate)->serial);
  REQUIRE(serial.size() == 16);
  std::string digits = codec::encode_hex(serial);
  for (char& c : digits) c = static_cast<char>(std::toupper(c));
  Bytes out(content.begin(), content.end());
  for (const ByteView pattern : {ByteView(serial), as_bytes(digits)}) {
    for (auto at = out.begin(); (at = std::search(at, out.end(), pattern.begin(), pattern.end())) != out.end();) {
      at = std::fill_n(at, pattern.size(), std::uint8_t{0});
    }
  }
  return out;
}

// A request that can be made wrong in one place.
struct RequestParts {
  PrivateKey key = key_of_type(KeyType::kEcdsaP256);
  Bytes version = {0x02, 0x01, 0x00};
  Bytes subject = {0x30, 0x00};
  Bytes spki = key.public_key().to_spki();
  Bytes attributes = {0xa0, 0x00};
  Bytes algorithm = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
  Bytes after_signature;
  std::uint8_t unused_bits = 0;
  bool break_signature = false;

  Bytes make() const {
    der::Writer content, info, all, request;
    for (const Bytes* part : {&version, &subject, &spki, &attributes}) content.add_raw(*part);
    info.add_nested(der::kSequence, content);
    Bytes signature = key.sign(info.bytes()).value();
    if (break_signature) signature.back() ^= 1;
    Bytes bits(1, unused_bits);
    append(bits, signature);
    all.add_raw(info.bytes()).add_raw(algorithm).add(der::kBitString, bits).add_raw(after_signature);
    request.add_nested(der::kSequence, all);
    return request.bytes();
  }
};

std::string refusal_of(ByteView csr) {
  CsrChecker checker;
  const auto checked = checker.check(csr);
  return checked ? "good" : checked.error().code;
}

TEST_CASE("a leaf from the template is what the library would have made, but for its number and signature") {
  MadeAuthority authority;
  const LeafIssuer issuer = LeafIssuer::of(authority.certificate).value();
  const TrustRoots roots = *TrustRoots::build({authority.root});
  CsrChecker checker;
  const std::vector<std::string> many(100, "a-name-of-some-length.example.org");
  for (const KeyType type : {KeyType::kEcdsaP256, KeyType::kEd25519}) {
    const PrivateKey key = key_of_type(type);
    const Bytes csr = make_csr(key, "ignored").value();
    for (const LeafOptions& options : {leaf_options({}, "spiffe://local/orders"), leaf_options({"a.example"}, ""),
                                       leaf_options({"a.example", "*.b.example"}, ""), leaf_options(many, ""),
                                       leaf_options({}, "spiffe://local/" + std::string(2000, 'x')),
                                       LeafOptions{{}, "spiffe://local/long", in_hours(-1), in_hours(24 * 3650)},
                                       LeafOptions{{}, "spiffe://local/old", {-5 * kNanosPerSecond}, in_hours(1)}}) {
      const Bytes slow = issue_leaf(authority.certificate, authority.key, csr, options).value();
      const Bytes fast =
          issuer.issue(checker.check(csr).value(), options, authority.random, signed_by(authority.key)).value();
      CHECK(comparable(fast) == comparable(slow));
      const Certificate a = *parse_certificate(fast), b = *parse_certificate(slow);
      CHECK(a.dns_names == b.dns_names);
      CHECK(a.uris == b.uris);
      CHECK(a.not_before == b.not_before);
      CHECK(a.not_after == b.not_after);
      CHECK(a.subject_key_id == b.subject_key_id);
      CHECK(a.authority_key_id == b.authority_key_id);
      CHECK(a.public_key == b.public_key);
      CHECK(a.serial != b.serial);
      for (const Bytes& leaf : {fast, slow}) {
        VerifyOptions verify;
        verify.svid = !options.spiffe_id.empty();
        verify.trust_domain = "local";
        const auto verified = roots.verify({leaf, authority.certificate}, kNow, verify);
        CHECK_MESSAGE(verified.ok(), verified.error().to_string());
      }
    }
  }
}

TEST_CASE("an authority from the template is what the library would have made, and each has a subject of its own") {
  MadeAuthority authority;
  const PrivateKey key = key_of_type(KeyType::kEcdsaP256);
  for (const UnixTime end : {in_hours(24), UnixTime{std::int64_t{2'600'000'000} * kNanosPerSecond}}) {
    const Bytes slow = create_ca({"root", "local", in_hours(-1), end}, key).value();
    const AuthorityOptions options{"root", "local", in_hours(-1), end, false};
    const Bytes fast =
        issue_authority(options, key.public_key().to_spki(), {}, authority.random, signed_by(key)).value();
    CHECK(comparable(fast) == comparable(slow));
    CHECK(TrustRoots::build({fast})->verify({fast}, kNow, {}).error().code != "x509_untrusted");
    CHECK(parse_certificate(fast)->subject != parse_certificate(slow)->subject);
  }
  const Certificate between = *parse_certificate(authority.certificate);
  CHECK(between.is_ca);
  CHECK(between.uris == std::vector<std::string>{"spiffe://local"});
  CHECK(between.issuer == parse_certificate(authority.root)->subject);
  CHECK(between.authority_key_id == parse_certificate(authority.root)->subject_key_id);
}

TEST_CASE("an intermediate signs leaves and no authority, and ends with its issuer") {
  MadeAuthority authority;
  AuthorityOptions options = MadeAuthority::fields(false);
  options.not_after = in_hours(24 * 3650);
  const PrivateKey below_key = key_of_type(KeyType::kEcdsaP256);
  const Bytes below = issue_authority(options, below_key.public_key().to_spki(), authority.certificate,
                                      authority.random, signed_by(authority.key))
                          .value();
  CHECK(parse_certificate(below)->not_after == parse_certificate(authority.certificate)->not_after);
  const LeafIssuer issuer = LeafIssuer::of(below).value();
  const Bytes leaf = issuer
                         .issue(key_of_type(KeyType::kEcdsaP256).public_key().to_spki(),
                                leaf_options({}, "spiffe://local/a"), authority.random, signed_by(below_key))
                         .value();
  CHECK(TrustRoots::build({authority.root})->verify({leaf, below, authority.certificate}, kNow, {}).error().code ==
        "x509_untrusted");
  CHECK(LeafIssuer::of(leaf).error().code == "x509_option");
  CHECK(LeafIssuer::of(to_bytes("x")).error().code == "x509_syntax");
}

TEST_CASE("the template refuses options that no leaf has") {
  MadeAuthority authority;
  const LeafIssuer issuer = LeafIssuer::of(authority.certificate).value();
  const Bytes spki = key_of_type(KeyType::kEcdsaP256).public_key().to_spki();
  const auto refused = [&](const LeafOptions& options) {
    const auto made = issuer.issue(spki, options, authority.random, signed_by(authority.key));
    return made ? "issued" : made.error().code;
  };
  CHECK(refused(leaf_options({}, "")) == "x509_option");
  CHECK(refused(leaf_options({"a.example"}, "spiffe://local/a")) == "x509_option");
  CHECK(refused(leaf_options({"a b"}, "")) == "x509_option");
  CHECK(refused(leaf_options({}, "spiffe://local")) == "x509_option");
  CHECK(refused({{"a.example"}, "", in_hours(1), in_hours(0)}) == "x509_option");
  CHECK(issuer.issue(to_bytes("x"), leaf_options({"a.example"}, ""), authority.random, signed_by(authority.key))
            .error()
            .code == "x509_syntax");
}

TEST_CASE("a good request gives its key, whatever names it asks for") {
  RequestParts parts;
  CsrChecker checker;
  CHECK(*checker.check(parts.make()) == parts.spki);
  parts.subject = {0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 'x'};
  CHECK(*checker.check(parts.make()) == parts.spki);
  parts.attributes.clear();  // some leave it out
  CHECK(*checker.check(parts.make()) == parts.spki);
  const PrivateKey ed25519 = key_of_type(KeyType::kEd25519);
  CHECK(*checker.check(*make_csr(ed25519, "")) == ed25519.public_key().to_spki());
  CHECK(*checker.check(parts.make()) == parts.spki);  // and again, after others
}

TEST_CASE("each fault of a request has its own code") {
  const auto with = [](const std::function<void(RequestParts&)>& change) {
    RequestParts parts;
    change(parts);
    return refusal_of(parts.make());
  };
  CHECK(with([](RequestParts&) {}) == "good");
  CHECK(refusal_of({}) == "csr_syntax");
  CHECK(refusal_of(to_bytes("x")) == "csr_syntax");
  CHECK(refusal_of(Bytes{0x04, 0x00}) == "csr_syntax");
  CHECK(refusal_of(Bytes{0x30, 0x00}) == "csr_syntax");
  CHECK(refusal_of(Bytes(70'000)) == "csr_size");
  Bytes long_form = RequestParts().make();
  long_form.push_back(0);
  CHECK(refusal_of(long_form) == "csr_trailing");
  CHECK(with([](RequestParts& p) { p.version = {0x02, 0x01, 0x01}; }) == "csr_version");
  CHECK(with([](RequestParts& p) { p.version.clear(); }) == "csr_version");
  CHECK(with([](RequestParts& p) { p.version = {0x02, 0x02, 0x00, 0x00}; }) == "csr_syntax");
  CHECK(with([](RequestParts& p) { p.subject = {0x31, 0x00}; }) == "csr_subject");
  CHECK(with([](RequestParts& p) { p.spki = {0x05, 0x00}; }) == "csr_key");
  CHECK(with([](RequestParts& p) { p.spki.back() ^= 1; }) == "csr_point");
  CHECK(with([](RequestParts& p) { p.spki[26] = 0x06; }) == "csr_point");  // the hybrid form
  CHECK(with([](RequestParts& p) { p.spki = key_of_type(KeyType::kEcdsaP256).public_key().to_spki(); }) == "csr_proof");
  CHECK(with([](RequestParts& p) { p.attributes = {0x30, 0x00}; }) == "csr_attributes");
  CHECK(with([](RequestParts& p) { p.attributes = {0xa0, 0x00, 0x05, 0x00}; }) == "csr_attributes");
  CHECK(with([](RequestParts& p) { p.algorithm.clear(); }) == "csr_algorithm");
  CHECK(with([](RequestParts& p) { p.unused_bits = 1; }) != "good");
  CHECK(with([](RequestParts& p) { p.after_signature = {0x05, 0x00}; }) == "csr_signature");
  CHECK(with([](RequestParts& p) { p.break_signature = true; }) == "csr_proof");
  // The general way refuses too: a key and an algorithm that do not fit, a curve that is not ours.
  CHECK(with([](RequestParts& p) { p.algorithm = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}; }) != "good");
  CHECK(with([](RequestParts& p) { p.spki[22] = 0x06; }) != "good");
}

TEST_CASE("no cut and no changed byte of a request is taken for a good one") {
  const RequestParts parts;
  const Bytes good = parts.make();
  for (std::size_t size = 0; size < good.size(); ++size) CHECK(refusal_of(ByteView(good).first(size)) != "good");
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes changed = good;
    changed[i] ^= 0x01;
    CAPTURE(i);
    CHECK(refusal_of(changed) != "good");
  }
}

TEST_CASE("kept contexts sign and verify what fresh ones do") {
  const PrivateKey key = key_of_type(KeyType::kEcdsaP256), other = key_of_type(KeyType::kEcdsaP256);
  P256Signer signer = P256Signer::of(key).value();
  P256Verifier verifier;
  for (const std::string_view message : {"a", "", "a longer message"}) {
    const Bytes signature = signer.sign(as_bytes(message)).value();
    CHECK(key.public_key().verify(as_bytes(message), signature));
    CHECK(verifier.verify(key.public_key().raw(), as_bytes(message), signature) == P256Verifier::Outcome::kGood);
    CHECK(verifier.verify(other.public_key().raw(), as_bytes(message), signature) ==
          P256Verifier::Outcome::kBadSignature);
    CHECK(verifier.verify(Bytes(65, 4), as_bytes(message), signature) == P256Verifier::Outcome::kNoPoint);
    CHECK(verifier.verify(Bytes(1, 0), as_bytes(message), signature) == P256Verifier::Outcome::kNoPoint);
  }
  CHECK(P256Signer::of(key_of_type(KeyType::kEd25519)).error().code == "key_type_unsupported");
}

}  // namespace
}  // namespace wary::crypto
