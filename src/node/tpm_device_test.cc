#include "node/tpm_device.h"

#include <doctest/doctest.h>
#include <tss2/tss2_mu.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <vector>

#include "crypto/pem.h"
#include "io/sim_files.h"
#include "io/system.h"
#include "keystore/tpm_session.h"
#include "node/node_test_world.h"
#include "node/statement.h"
#include "node/tpm_evidence.h"
#include "tests/support/openssl_run.h"
#include "tests/support/skip.h"
#include "tests/support/soft_tpm.h"

namespace wary::node {
namespace {

using Kind = TpmDeviceOptions::Endorsement;

std::unique_ptr<TpmDevice> device_of(io::Files& files, const test::SoftTpm& tpm, Kind kind = Kind::kBest) {
  auto device = TpmDevice::open(files, "tpm", {tpm.tcti(), kind});
  REQUIRE_MESSAGE(device.ok(), device.error().to_string());
  return std::move(device).value();
}
EndorsementKey endorsement_of(const TpmDevice& device) {
  auto ek = parse_endorsement_key(device.endorsement_public());
  REQUIRE_MESSAGE(ek.ok(), ek.error().to_string());
  return std::move(ek).value();
}
AttestationKey attestation_of(const TpmDevice& device) {
  auto ak = parse_attestation_key(device.attestation_public());
  REQUIRE_MESSAGE(ak.ok(), ak.error().to_string());
  return std::move(ak).value();
}
Secret fresh_secret(Random& random) {
  Secret secret(32);
  random.fill(secret.reveal_mutable());
  return secret;
}
crypto::Digest challenge_of(std::uint8_t server) {
  StatementParts parts;
  parts.server_nonce.fill(server);
  parts.trust_domain = "example.org";
  return crypto::sha256(statement_of(Method::kTpm, parts));
}
// That of registers that all hold the same byte.
crypto::Digest digest_of(std::size_t registers, std::uint8_t byte) {
  return crypto::sha256(Bytes(32 * registers, byte));
}

TEST_CASE("a TPM proves itself: its credential is opened, its quote accepted, and again after a restart") {
  if (!test::SoftTpm::is_installed()) WARY_SKIP("swtpm is missing");
  setenv("TSS2_LOG", "all+NONE", 1);  // the library's own lines about what is refused here on purpose
  const auto random = io::make_system_random();
  for (const Kind kind : {Kind::kRsa, Kind::kEcc}) {
    CAPTURE(static_cast<int>(kind));
    test::SoftTpm tpm;
    REQUIRE(tpm.start());
    io::SimFiles files(1);
    Bytes ek_public, ak_public;
    std::uint32_t resets = 0;
    for (const bool again : {false, true}) {
      if (again) REQUIRE(tpm.restart());
      const auto device = device_of(files, tpm, kind);
      const EndorsementKey ek = endorsement_of(*device);
      const AttestationKey ak = attestation_of(*device);
      CHECK((ek.key.type() == crypto::JoseKeyType::kRsa) == (kind == Kind::kRsa));
      CHECK(device->endorsement_certificate().empty());
      if (again) CHECK((device->endorsement_public() == ek_public && device->attestation_public() == ak_public));
      ek_public = device->endorsement_public();
      ak_public = device->attestation_public();
      CHECK(check_endorsement_pin(ek, std::vector{challenge_of(1), ek.fingerprint}).ok());
      // More often than it has room for objects: nothing stays.
      for (std::uint8_t i = 0; i < 5; ++i) {
        const Secret secret = fresh_secret(*random);
        const auto credential = make_credential(ek, ak, secret, *random);
        REQUIRE(credential.ok());
        const auto opened = device->activate(credential->blob, credential->encrypted_secret);
        REQUIRE_MESSAGE(opened.ok(), opened.error().to_string());
        CHECK(equals_in_constant_time(opened->reveal(), secret.reveal()));
        const auto evidence = device->quote(challenge_of(i), std::array{0u, 7u});
        REQUIRE_MESSAGE(evidence.ok(), evidence.error().to_string());
        const auto quote = check_quote(ak, evidence->attested, evidence->signature, challenge_of(i));
        REQUIRE_MESSAGE(quote.ok(), quote.error().to_string());
        CHECK(quote->selection == std::vector<PcrSelection>{{tpm::kSha256, 0x81}});
        CHECK(quote->pcr_digest == digest_of(2, 0));
        CHECK(quote->firmware_version != 0);
        if (i == 0) {
          if (again) CHECK(quote->reset_count > resets);
          resets = quote->reset_count;
        }
      }
      const auto seventeen = device->quote(challenge_of(1), std::array{17u});
      CHECK(check_quote(ak, seventeen->attested, seventeen->signature, challenge_of(1))->pcr_digest ==
            digest_of(1, 0xff));
    }
  }
}

TEST_CASE("a TPM's evidence is refused where anything of it is another's, each by its code") {
  if (!test::SoftTpm::is_installed()) WARY_SKIP("swtpm is missing");
  setenv("TSS2_LOG", "all+NONE", 1);
  const auto random = io::make_system_random();
  for (const Kind kind : {Kind::kRsa, Kind::kEcc}) {
    CAPTURE(static_cast<int>(kind));
    test::SoftTpm tpm, other_tpm;
    REQUIRE((tpm.start() && other_tpm.start()));
    io::SimFiles files(1), other_files(2);
    const auto device = device_of(files, tpm, kind), other = device_of(other_files, other_tpm, kind);
    const EndorsementKey ek = endorsement_of(*device), other_ek = endorsement_of(*other);
    const AttestationKey ak = attestation_of(*device), other_ak = attestation_of(*other);
    const Secret secret = fresh_secret(*random);
    const auto opened = [&](const EndorsementKey& to, const AttestationKey& name) {
      const auto credential = make_credential(to, name, secret, *random);
      REQUIRE(credential.ok());
      return refusal_of(device->activate(credential->blob, credential->encrypted_secret));
    };
    CHECK(opened(ek, ak) == "ok");
    CHECK(opened(other_ek, ak) == "tpm_device_credential");
    CHECK(opened(ek, other_ak) == "tpm_device_credential");
    CHECK(opened(other_ek, other_ak) == "tpm_device_credential");
    CHECK(refusal_of(check_endorsement_pin(other_ek, std::vector{ek.fingerprint})) == "tpm_ek_unknown");
    CHECK(refusal_of(check_endorsement_pin(ek, {})) == "tpm_ek_unknown");
    // A key outside the TPM claims everything and signs well; what it cannot do is open a credential.
    const auto outside = crypto::SigningKey::generate(crypto::JoseKeyType::kP256);
    const auto claimed = parse_attestation_key(claimed_attestation_key(outside->public_key(), tpm::kEcdsa));
    REQUIRE(claimed.ok());
    CHECK(opened(ek, *claimed) == "tpm_device_credential");
    // A credential of bits: altered in any byte, cut, longer.
    const auto credential = make_credential(ek, ak, secret, *random);
    for (std::size_t i = 0; i < credential->blob.size(); i += 7) {
      Bytes altered = credential->blob;
      altered[i] ^= 1;
      CHECK(refusal_of(device->activate(altered, credential->encrypted_secret)) == "tpm_device_credential");
    }
    for (std::size_t i = 2; i < credential->encrypted_secret.size(); i += 31) {
      Bytes altered = credential->encrypted_secret;
      altered[i] ^= 1;
      CHECK(refusal_of(device->activate(credential->blob, altered)) == "tpm_device_credential");
    }
    CHECK(refusal_of(device->activate({}, {})) == "tpm_device_credential");
    CHECK(refusal_of(device->activate(Bytes(5000, 1), Bytes(5000, 1))) == "tpm_device_credential");
    CHECK(opened(ek, ak) == "ok");  // after all that nothing is left in its way

    const auto evidence = device->quote(challenge_of(1), std::array{0u});
    REQUIRE(evidence.ok());
    const auto checked = [&](const AttestationKey& by, const Bytes& attested, const Bytes& signature,
                             std::uint8_t challenge) {
      return refusal_of(check_quote(by, attested, signature, challenge_of(challenge)));
    };
    CHECK(checked(ak, evidence->attested, evidence->signature, 1) == "ok");
    CHECK(checked(ak, evidence->attested, evidence->signature, 2) == "tpm_quote_stale");
    CHECK(checked(other_ak, evidence->attested, evidence->signature, 1) == "tpm_quote_signature");
    for (std::size_t i = 0; i < evidence->attested.size(); ++i) {
      Bytes altered = evidence->attested;
      altered[i] ^= 1;
      CHECK(checked(ak, altered, evidence->signature, 1) != "ok");
    }
    Bytes digest = evidence->attested;
    digest.back() ^= 1;  // of the registers
    CHECK(checked(ak, digest, evidence->signature, 1) == "tpm_quote_signature");
    Bytes signature = evidence->signature;
    signature.back() ^= 1;
    CHECK(checked(ak, evidence->attested, signature, 1) == "tpm_quote_signature");
    CHECK(refusal_of(device->quote(challenge_of(1), std::array{24u})) == "tpm_device_option");
    CHECK(refusal_of(device->quote(Bytes(65, 1), std::array{0u})) == "tpm_device_option");
  }
}

TEST_CASE("what keeps a TPM's device from opening is said") {
  if (!test::SoftTpm::is_installed()) WARY_SKIP("swtpm is missing");
  setenv("TSS2_LOG", "all+NONE", 1);
  test::SoftTpm tpm, other;
  REQUIRE((tpm.start() && other.start()));
  io::SimFiles files(1);
  CHECK(refusal_of(TpmDevice::open(files, "tpm", {"device:/dev/there-is-none"})) == "tpm_device_absent");
  {
    const auto device = device_of(files, tpm, Kind::kEcc);
  }
  Bytes blob = *io::read_file(files, "tpm/attestation.tpm", 4096);
  CHECK(refusal_of(TpmDevice::open(files, "tpm", {other.tcti(), Kind::kEcc})) == "tpm_device_key_lost");
  blob.pop_back();
  REQUIRE(io::write_file_atomically(files, "tpm/attestation.tpm", blob).ok());
  REQUIRE(tpm.restart());
  CHECK(refusal_of(TpmDevice::open(files, "tpm", {tpm.tcti(), Kind::kEcc})) == "tpm_device_damaged");
}

Bytes pem_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const auto blocks = crypto::decode_pem(text);
  REQUIRE_MESSAGE(blocks.ok(), path);
  return blocks->front().bytes;
}

TEST_CASE("a vendor's certificate vouches for the endorsement key, and for no other") {
  if (!test::SoftTpm::is_installed() || !test::SoftTpm::is_maker_installed()) WARY_SKIP("swtpm-tools is missing");
  setenv("TSS2_LOG", "all+NONE", 1);
  const auto random = io::make_system_random();
  test::SoftTpm tpm, other_tpm;
  REQUIRE((tpm.manufacture() && other_tpm.manufacture() && tpm.start() && other_tpm.start()));
  io::SimFiles files(1), other_files(2);
  const auto device = device_of(files, tpm), other = device_of(other_files, other_tpm);
  const EndorsementKey ek = endorsement_of(*device), other_ek = endorsement_of(*other);
  CHECK(ek.key.type() == crypto::JoseKeyType::kRsa);
  REQUIRE_FALSE(device->endorsement_certificate().empty());
  const Bytes leaf = device->endorsement_certificate();
  const Bytes issuer = pem_file(tpm.folder() + "/ca/issuercert.pem");
  const auto roots = crypto::TrustRoots::build({pem_file(tpm.folder() + "/ca/swtpm-localca-rootca-cert.pem")});
  const auto other_roots =
      crypto::TrustRoots::build({pem_file(other_tpm.folder() + "/ca/swtpm-localca-rootca-cert.pem")});
  REQUIRE((roots.ok() && other_roots.ok()));
  const UnixTime now{crypto::parse_certificate(leaf)->not_before.nanos + 60 * kNanosPerSecond};
  const Status known = check_endorsement_certificate(ek, {leaf, issuer}, *roots, now);
  CHECK_MESSAGE(known.ok(), known.error().to_string());
  const auto code = [&](const EndorsementKey& key, const std::vector<Bytes>& chain, const crypto::TrustRoots& by,
                        std::int64_t days = 0) {
    const UnixTime at{now.nanos + days * 86'400 * kNanosPerSecond};
    return refusal_of(check_endorsement_certificate(key, chain, by, at));
  };
  CHECK(code(other_ek, {leaf, issuer}, *roots) == "tpm_ek_certificate_key");
  CHECK(code(ek, {other->endorsement_certificate(), issuer}, *roots) == "tpm_ek_certificate_key");
  CHECK(code(ek, {leaf, issuer}, *other_roots) == "x509_untrusted");
  CHECK(code(ek, {leaf}, *roots) == "x509_untrusted");
  CHECK(code(ek, {leaf, issuer}, *roots, -1) == "x509_not_yet_valid");
  CHECK(code(ek, {}, *roots) == "tpm_ek_certificate_chain");
  CHECK(code(ek, std::vector<Bytes>(6, leaf), *roots) == "tpm_ek_certificate_chain");
  CHECK(code(ek, {issuer}, *roots) == "tpm_ek_certificate_ca");
  CHECK(code(ek, {to_bytes("x")}, *roots) == "x509_syntax");
  // The persistent key, which the maker left in it, opens the credential.
  const AttestationKey ak = attestation_of(*device);
  const Secret secret = fresh_secret(*random);
  const auto credential = make_credential(ek, ak, secret, *random);
  const auto opened = device->activate(credential->blob, credential->encrypted_secret);
  REQUIRE_MESSAGE(opened.ok(), opened.error().to_string());
  CHECK(equals_in_constant_time(opened->reveal(), secret.reveal()));
  // So does the other one, although its certificate is of a curve that is not taken.
  REQUIRE(tpm.restart());
  const auto ecc = device_of(files, tpm, Kind::kEcc);
  CHECK(ecc->endorsement_certificate().empty());
  CHECK(ecc->attestation_public() == device->attestation_public());
}

// Written as a vendor writes it, with bytes after it that are not its own.
void put_certificate(const test::SoftTpm& soft, TPM2_HANDLE at, TPMA_NV readable, const Bytes& certificate) {
  std::unique_ptr<keystore::Tpm> tpm;
  REQUIRE(keystore::open_tpm(soft.tcti(), tpm) == TSS2_RC_SUCCESS);
  TPM2B_NV_PUBLIC shape{};
  shape.nvPublic.nvIndex = at;
  shape.nvPublic.nameAlg = TPM2_ALG_SHA256;
  shape.nvPublic.attributes = readable | TPMA_NV_OWNERWRITE | TPMA_NV_NO_DA;
  shape.nvPublic.dataSize = static_cast<UINT16>(certificate.size() + 50);
  ESYS_TR index = ESYS_TR_NONE;
  REQUIRE(Esys_NV_DefineSpace(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, nullptr,
                              &shape, &index) == TSS2_RC_SUCCESS);
  TPM2B_MAX_NV_BUFFER content{};
  content.size = static_cast<UINT16>(certificate.size());
  std::ranges::copy(certificate, content.buffer);
  REQUIRE(Esys_NV_Write(tpm->esys, ESYS_TR_RH_OWNER, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &content,
                        0) == TSS2_RC_SUCCESS);
}

TEST_CASE("a certificate decides which endorsement key is shown, and has to be for one") {
  if (!test::SoftTpm::is_installed()) WARY_SKIP("swtpm is missing");
  test::OpensslRun openssl;
  if (openssl.run("version").find("OpenSSL") == std::string::npos) WARY_SKIP("no openssl program");
  setenv("TSS2_LOG", "all+NONE", 1);
  openssl.write("c.cnf",
                "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n"
                "[good]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,keyAgreement\nextendedKeyUsage=2.23.133.8.1\n"
                "subjectAltName=critical,dirName:tpm\n[tpm]\nCN=x\n[plain]\nbasicConstraints=CA:FALSE\n"
                "[cipher]\nkeyUsage=critical,keyEncipherment\nextendedKeyUsage=2.23.133.8.1\n"
                "[server]\nkeyUsage=critical,keyAgreement\nextendedKeyUsage=serverAuth\n");
  const std::string key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config c.cnf ";
  openssl.run("req -x509 " + key + "-keyout ca.key -out ca.pem -subj /CN=vendor -days 30 -extensions ca");
  openssl.run("req -new " + key + "-keyout any.key -out any.csr -subj /");
  const auto decoded = [&](const std::string& name) { return crypto::decode_pem(openssl.run("x509 -in " + name)); };
  const auto roots = crypto::TrustRoots::build({decoded("ca.pem")->front().bytes});
  REQUIRE(roots.ok());
  for (const TPMA_NV readable : {TPMA_NV{TPMA_NV_AUTHREAD}, TPMA_NV{TPMA_NV_OWNERREAD}}) {
    test::SoftTpm tpm;
    REQUIRE(tpm.start());
    io::SimFiles files(1);
    const EndorsementKey ek = endorsement_of(*device_of(files, tpm, Kind::kEcc));
    openssl.write("ek.pem", crypto::encode_pem("PUBLIC KEY", ek.spki));
    const auto certificate = [&](const std::string& extensions) {
      openssl.run(
          "x509 -req -in any.csr -force_pubkey ek.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 "
          "-extfile c.cnf -extensions " +
          extensions + " -out ek.cert");
      const auto blocks = decoded("ek.cert");
      REQUIRE(blocks.ok());
      return blocks->front().bytes;
    };
    const Bytes good = certificate("good");
    const UnixTime now{crypto::parse_certificate(good)->not_before.nanos + 3600 * kNanosPerSecond};
    const auto code = [&](const Bytes& leaf) {
      return refusal_of(check_endorsement_certificate(ek, {leaf}, *roots, now));
    };
    CHECK(code(good) == "ok");
    CHECK(code(certificate("plain")) == "ok");
    CHECK(code(certificate("cipher")) == "tpm_ek_certificate_use");
    CHECK(code(certificate("server")) == "tpm_ek_certificate_use");
    // RSA where no certificate says otherwise.
    CHECK(endorsement_of(*device_of(files, tpm)).key.type() == crypto::JoseKeyType::kRsa);
    put_certificate(tpm, 0x01c0000a, readable, good);
    const auto device = device_of(files, tpm);
    CHECK(endorsement_of(*device).fingerprint == ek.fingerprint);
    CHECK(device->endorsement_certificate() == good);
  }
}

// A key of the ECC template but for these, made persistent where the endorsement key is looked for; its x.
Bytes put_persistent_key(const test::SoftTpm& soft, TPMA_OBJECT more, std::uint8_t unique) {
  std::unique_ptr<keystore::Tpm> tpm;
  REQUIRE(keystore::open_tpm(soft.tcti(), tpm) == TSS2_RC_SUCCESS);
  TPM2B_PUBLIC shape = keystore::ecc_template(0);
  TPMT_PUBLIC& area = shape.publicArea;
  area.objectAttributes = 0x000300b2 | more;
  area.authPolicy.size = tpm::kEndorsementPolicy.size();
  std::ranges::copy(tpm::kEndorsementPolicy, area.authPolicy.buffer);
  area.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_AES;
  area.parameters.eccDetail.symmetric.keyBits.aes = 128;
  area.parameters.eccDetail.symmetric.mode.aes = TPM2_ALG_CFB;
  area.unique.ecc.x.size = 32;
  area.unique.ecc.y.size = 32;
  std::ranges::fill_n(area.unique.ecc.x.buffer, 32, unique);
  keystore::Loaded key(*tpm);
  TPM2B_PUBLIC shown{};
  REQUIRE(keystore::make_primary(*tpm, ESYS_TR_RH_ENDORSEMENT, shape, key, &shown) == TSS2_RC_SUCCESS);
  ESYS_TR kept = ESYS_TR_NONE;
  REQUIRE(Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, key.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                            0x81010002, &kept) == TSS2_RC_SUCCESS);
  REQUIRE(Esys_TR_Close(tpm->esys, &kept) == TSS2_RC_SUCCESS);
  const TPM2B_ECC_PARAMETER& x = shown.publicArea.unique.ecc.x;
  return {x.buffer, x.buffer + x.size};
}

TEST_CASE("a persistent key is the endorsement key where it is of the default template, and is passed over otherwise") {
  if (!test::SoftTpm::is_installed()) WARY_SKIP("swtpm is missing");
  setenv("TSS2_LOG", "all+NONE", 1);
  const auto random = io::make_system_random();
  test::SoftTpm tpm, other_tpm;
  REQUIRE((tpm.start() && other_tpm.start()));
  io::SimFiles files(1), other_files(2);
  const Bytes x = put_persistent_key(tpm, 0, 1);
  const auto device = device_of(files, tpm, Kind::kEcc);
  const EndorsementKey ek = endorsement_of(*device);
  CHECK(Bytes(ek.key.first_part().begin(), ek.key.first_part().end()) == x);
  const AttestationKey ak = attestation_of(*device);
  const Secret secret = fresh_secret(*random);
  for (int i = 0; i < 4; ++i) {
    const auto credential = make_credential(ek, ak, secret, *random);
    const auto opened = device->activate(credential->blob, credential->encrypted_secret);
    REQUIRE_MESSAGE(opened.ok(), opened.error().to_string());
    CHECK(equals_in_constant_time(opened->reveal(), secret.reveal()));
  }
  const Bytes other_x = put_persistent_key(other_tpm, TPMA_OBJECT_USERWITHAUTH, 1);
  const EndorsementKey made = endorsement_of(*device_of(other_files, other_tpm, Kind::kEcc));
  CHECK(Bytes(made.key.first_part().begin(), made.key.first_part().end()) != other_x);
}

TEST_CASE("quotes of a TPM's RSA keys are accepted, and of one that signs anything refused") {
  if (!test::SoftTpm::is_installed()) WARY_SKIP("swtpm is missing");
  setenv("TSS2_LOG", "all+NONE", 1);
  test::SoftTpm soft;
  REQUIRE(soft.start());
  std::unique_ptr<keystore::Tpm> tpm;
  REQUIRE(keystore::open_tpm(soft.tcti(), tpm) == TSS2_RC_SUCCESS);
  struct Row {
    TPM2_ALG_ID scheme;
    TPMA_OBJECT restricted;
    const char* outcome;
  };
  for (const Row& row :
       {Row{TPM2_ALG_RSASSA, TPMA_OBJECT_RESTRICTED, "ok"}, Row{TPM2_ALG_RSAPSS, TPMA_OBJECT_RESTRICTED, "ok"},
        Row{TPM2_ALG_RSAPSS, 0, "tpm_ak_not_restricted"}}) {
    CAPTURE(row.scheme);
    TPM2B_PUBLIC shape = keystore::ecc_template(TPMA_OBJECT_SIGN_ENCRYPT | row.restricted);
    shape.publicArea.type = TPM2_ALG_RSA;
    shape.publicArea.parameters = {};
    shape.publicArea.parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
    shape.publicArea.parameters.rsaDetail.scheme.scheme = row.scheme;
    shape.publicArea.parameters.rsaDetail.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256;
    shape.publicArea.parameters.rsaDetail.keyBits = 2048;
    keystore::Loaded key(*tpm);
    TPM2B_PUBLIC shown{};
    REQUIRE(keystore::make_primary(*tpm, ESYS_TR_RH_OWNER, shape, key, &shown) == TSS2_RC_SUCCESS);
    Bytes shown_bytes(1024), signature(1024);
    std::size_t shown_end = 0, signature_end = 0;
    REQUIRE(Tss2_MU_TPM2B_PUBLIC_Marshal(&shown, shown_bytes.data(), shown_bytes.size(), &shown_end) == 0);
    shown_bytes.resize(shown_end);
    const auto ak = parse_attestation_key(shown_bytes);
    CHECK(refusal_of(ak) == row.outcome);
    if (!ak) continue;
    // Its name is the one the TPM gives it.
    TPM2B_PUBLIC* read = nullptr;
    TPM2B_NAME* name = nullptr;
    TPM2B_NAME* qualified = nullptr;
    REQUIRE(Esys_ReadPublic(tpm->esys, key.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &read, &name,
                            &qualified) == TSS2_RC_SUCCESS);
    const keystore::Esys<TPM2B_PUBLIC> a(read);
    const keystore::Esys<TPM2B_NAME> b(name);
    const keystore::Esys<TPM2B_NAME> c(qualified);
    CHECK(ak->name == Bytes(name->name, name->name + name->size));
    TPM2B_DATA qualifying{};
    qualifying.size = 9;
    std::copy_n("challenge", 9, qualifying.buffer);
    TPMT_SIG_SCHEME own{};
    own.scheme = TPM2_ALG_NULL;
    TPML_PCR_SELECTION registers{};
    TPM2B_ATTEST* attested = nullptr;
    TPMT_SIGNATURE* made = nullptr;
    REQUIRE(Esys_Quote(tpm->esys, key.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying, &own,
                       &registers, &attested, &made) == TSS2_RC_SUCCESS);
    const keystore::Esys<TPM2B_ATTEST> d(attested);
    const keystore::Esys<TPMT_SIGNATURE> e(made);
    REQUIRE(Tss2_MU_TPMT_SIGNATURE_Marshal(made, signature.data(), signature.size(), &signature_end) == 0);
    signature.resize(signature_end);
    const Bytes bytes(attested->attestationData, attested->attestationData + attested->size);
    CHECK(refusal_of(check_quote(*ak, bytes, signature, as_bytes("challenge"))) == "ok");
    CHECK(refusal_of(check_quote(*ak, bytes, signature, as_bytes("challengf"))) == "tpm_quote_stale");
    // What a TPM attests about a key is no quote.
    TPM2B_ATTEST* certified = nullptr;
    TPMT_SIGNATURE* by = nullptr;
    REQUIRE(Esys_Certify(tpm->esys, key.handle, key.handle, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                         &qualifying, &own, &certified, &by) == TSS2_RC_SUCCESS);
    const keystore::Esys<TPM2B_ATTEST> f(certified);
    const keystore::Esys<TPMT_SIGNATURE> g(by);
    CHECK(refusal_of(check_quote(*ak, {certified->attestationData, certified->size}, signature,
                                 as_bytes("challenge"))) == "tpm_quote_type");
  }
}

}  // namespace
}  // namespace wary::node
