#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "crypto/sign.h"
#include "io/process.h"
#include "io/sim_files.h"
#include "io/system.h"
#include "keystore/config.h"
#include "keystore/key_store.h"
#include "keystore/pkcs11_store.h"
#include "keystore/tpm_store.h"
#include "tests/support/skip.h"
#include "tests/support/soft_tpm.h"

namespace wary::keystore {
namespace {

constexpr const char* kSoftHsm = "/usr/lib/softhsm/libsofthsm2.so";
constexpr const char* kSoftHsmTool = "/usr/bin/softhsm2-util";

std::string refusal(const Result<std::unique_ptr<Key>>& result) { return result.ok() ? "ok" : result.error().code; }
std::string refusal(const Result<std::unique_ptr<KeyStore>>& result) {
  return result.ok() ? "ok" : result.error().code;
}
Secret pin_of(std::string_view text) { return Secret::copy_of(as_bytes(text)); }

struct Scratch {
  std::string path = (std::filesystem::temp_directory_path() / "wary-keystore-XXXXXX").string();
  Scratch() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Scratch() { std::filesystem::remove_all(path); }
};

// What every store does alike.
void check_store(KeyStore& store) {
  auto made = store.generate("first-1");
  REQUIRE_MESSAGE(made.ok(), made.error().to_string());
  const Bytes spki = (*made)->spki();
  const auto shown = crypto::PublicKey::decode_spki(spki);
  REQUIRE(shown.ok());
  for (int i = 0; i < 8; ++i) {  // more than a TPM holds at once
    const std::string message = "message " + std::to_string(i);
    const auto signature = (*made)->sign(as_bytes(message));
    REQUIRE_MESSAGE(signature.ok(), signature.error().to_string());
    CHECK(shown->verify(as_bytes(message), *signature));
  }
  CHECK(refusal(store.generate("first-1")) == "key_store_exists");
  CHECK(refusal(store.generate("")) == "key_store_name");
  CHECK(refusal(store.load("../first-1")) == "key_store_name");
  CHECK(refusal(store.load("never-made")) == "key_store_missing");
  auto other = store.generate("second");
  REQUIRE(other.ok());
  CHECK((*other)->spki() != spki);
  auto loaded = store.load("first-1");
  REQUIRE(loaded.ok());
  CHECK((*loaded)->spki() == spki);
  CHECK(shown->verify(as_bytes("again"), *(*loaded)->sign(as_bytes("again"))));
  CHECK(store.remove("second").ok());
  CHECK(store.remove("second").ok());
  CHECK(refusal(store.load("second")) == "key_store_missing");
}

// A token in a directory of its own; the module reads where from the environment, once a process.
struct SoftToken {
  Scratch scratch;
  SoftToken() {
    std::filesystem::create_directory(scratch.path + "/tokens");
    std::ofstream(scratch.path + "/softhsm2.conf") << "directories.tokendir = " << scratch.path << "/tokens\n";
    setenv("SOFTHSM2_CONF", (scratch.path + "/softhsm2.conf").c_str(), 1);
    run({kSoftHsmTool, "--init-token", "--free", "--label", "wary test", "--pin", "123456", "--so-pin", "654321"});
  }
  void run(const std::vector<std::string>& arguments) const {
    io::ProcessOptions options;
    options.environment = {"SOFTHSM2_CONF=" + scratch.path + "/softhsm2.conf"};
    const io::Descriptor quiet(open("/dev/null", O_WRONLY | O_CLOEXEC));
    options.output = quiet.get();
    auto child = io::Process::start(arguments, options);
    REQUIRE(child.ok());
    REQUIRE((*child)->wait(20'000));
    REQUIRE((*child)->exit_status() == 0);
  }
};

TEST_CASE("sealed files: keys are made, loaded, used and removed, and lie there only sealed") {
  io::SimFiles files(1);
  const auto random = io::make_system_random();
  const auto seal = crypto::SealKey::generate(*random), other = crypto::SealKey::generate(*random);
  FileStore store(files, "keys", seal, *random);
  check_store(store);
  CHECK(as_text(*io::read_file(files, "keys/first-1.key", 4096)).starts_with("WSEA"));
  FileStore stranger(files, "keys", other, *random);
  CHECK(refusal(stranger.load("first-1")) == "key_store_damaged");
  // No file stands in another's place.
  REQUIRE(files.rename("keys/first-1.key", "keys/moved.key").ok());
  CHECK(refusal(store.load("moved")) == "key_store_damaged");
}

TEST_CASE("PKCS#11: keys are made in the token and never leave it; what is wrong with it is said") {
  if (access(kSoftHsm, R_OK) != 0 || access(kSoftHsmTool, X_OK) != 0) WARY_SKIP("softhsm2 is missing");
  const SoftToken token;
  CHECK(refusal(open_pkcs11_store({"/nowhere/module.so", "wary test"}, pin_of("123456"))) == "key_store_absent");
  CHECK(refusal(open_pkcs11_store({"module.so", "wary test"}, pin_of("123456"))) == "key_store_absent");
  CHECK(refusal(open_pkcs11_store({"/lib/x86_64-linux-gnu/libc.so.6", "wary test"}, pin_of("123456"))) ==
        "key_store_absent");
  CHECK(refusal(open_pkcs11_store({kSoftHsm, "another"}, pin_of("123456"))) == "key_store_absent");
  CHECK(refusal(open_pkcs11_store({kSoftHsm, "wary test"}, pin_of("999999"))) == "key_store_pin");
  CHECK(refusal(open_pkcs11_store({kSoftHsm, "wary test"}, pin_of(""))) == "key_store_pin");
  {
    auto store = open_pkcs11_store({kSoftHsm, "wary test"}, pin_of("123456"));
    REQUIRE_MESSAGE(store.ok(), store.error().to_string());
    check_store(**store);
  }
  auto store = open_pkcs11_store({kSoftHsm, "wary test"}, pin_of("123456"));
  REQUIRE(store.ok());
  auto key = (*store)->load("first-1");
  REQUIRE(key.ok());
  REQUIRE((*store)->remove("first-1").ok());
  CHECK((*key)->sign(as_bytes("gone")).error().code == "key_store_missing");
}

TEST_CASE("TPM: keys are its own, nothing stays loaded, and what is wrong with it is said") {
  if (!test::SoftTpm::is_installed()) WARY_SKIP("swtpm is missing");
  setenv("TSS2_LOG", "all+NONE", 1);  // the library's own lines about what is refused here on purpose
  test::SoftTpm tpm, other;
  REQUIRE(tpm.start());
  io::SimFiles files(1);
  TpmOptions nowhere = {tpm.tcti()};
  nowhere.tcti = "swtpm:host=127.0.0.1,port=1";
  CHECK(refusal(open_tpm_store(files, "keys", nowhere, pin_of("pin"))) == "key_store_absent");
  nowhere.tcti = "device:/dev/there-is-none";
  CHECK(refusal(open_tpm_store(files, "keys", nowhere, pin_of("pin"))) == "key_store_absent");
  CHECK(refusal(open_tpm_store(files, "keys", {tpm.tcti()}, pin_of(std::string(33, 'x')))) == "key_store_pin");
  {
    auto store = open_tpm_store(files, "keys", {tpm.tcti()}, pin_of("pin"));
    REQUIRE_MESSAGE(store.ok(), store.error().to_string());
    check_store(**store);
  }
  {
    REQUIRE(other.start());
    auto store = open_tpm_store(files, "keys", {other.tcti()}, pin_of("pin"));
    REQUIRE_MESSAGE(store.ok(), store.error().to_string());
    CHECK(refusal((*store)->load("first-1")) == "key_store_missing");
  }
  Bytes cut = *io::read_file(files, "keys/first-1.tpm", 4096);
  cut.pop_back();
  REQUIRE(io::write_file_atomically(files, "keys/cut.tpm", cut).ok());
  auto store = open_tpm_store(files, "keys", {tpm.tcti()}, pin_of("wrong"));
  REQUIRE(store.ok());
  CHECK(refusal((*store)->load("cut")) == "key_store_damaged");
  auto key = (*store)->load("first-1");
  REQUIRE(key.ok());
  std::string code;
  for (int i = 0; i < 40 && code != "key_store_locked"; ++i) {
    code = (*key)->sign(as_bytes("x")).error().code;
    if (i == 0) CHECK(code == "key_store_pin");
  }
  CHECK(code == "key_store_locked");
}

TEST_CASE("a description of stores is taken whole or refused") {
  const auto code = [](std::string_view text) {
    const auto config = parse_store_config(text);
    return config ? "ok" : config.error().code;
  };
  const auto config =
      parse_store_config(R"({"root":"tpm","tpm":{"tcti":"device:/dev/tpmrm0"},)"
                         R"("pkcs11":{"module":"/m.so","token":"t","pinFile":"/p","directories":["/d"]}})");
  REQUIRE(config.ok());
  CHECK(config->root == "tpm");
  CHECK(config->intermediate == "file");
  CHECK(config->pkcs11.directories == std::vector<std::string>{"/d"});
  CHECK(code("{}") == "ok");
  CHECK(code("[]") == "key_store_config");
  CHECK(code(R"({"rooot":"file"})") == "key_store_config");
  CHECK(code(R"({"root":1})") == "key_store_config");
  CHECK(code(R"({"root":"tpm"})") == "key_store_config");
  CHECK(code(R"({"root":"cloud"})") == "key_store_config");
  CHECK(code(R"({"tpm":{}})") == "key_store_config");
  CHECK(code(R"({"tpm":{"tcti":"device","pin":"1234"}})") == "key_store_config");
  CHECK(code(R"({"pkcs11":{"module":"m.so","token":"t","pinFile":"/p"}})") == "key_store_config");
  CHECK(code(R"({"pkcs11":{"module":"/m.so","token":"","pinFile":"/p"}})") == "key_store_config");
  CHECK(code(R"({"pkcs11":{"module":"/m.so","token":"t","pinFile":"/p","directories":["d"]}})") == "key_store_config");
}

}  // namespace
}  // namespace wary::keystore
