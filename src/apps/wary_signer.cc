// wary-signer: holds the keys of the trust domain, and does nothing but what its table allows. No network.
#include <stdlib.h>
#include <unistd.h>

#include "apps/process.h"
#include "identity/signer_service.h"
#include "io/sandbox.h"
#include "keystore/config.h"

namespace wary::apps {
namespace {

constexpr std::int64_t kAdvanceEvery = 60 * kNanosPerSecond;

// Certificates and token keys follow one another also when nobody asks for anything.
void keep_advancing(Runtime& runtime, identity::Signer& signer) {
  const Status advanced = signer.advance();
  if (!advanced) {
    runtime.log->error("authority.not_advanced", {{"code", advanced.error().code}, {"where", advanced.error().where}});
  }
  runtime.loop->after(kAdvanceEvery, [&runtime, &signer] { keep_advancing(runtime, signer); });
}

Status start(const Options& options, Runtime& runtime, keystore::OuterStores& stores,
             std::unique_ptr<identity::Signer>& signer, std::unique_ptr<identity::SignerService>& service) {
  const std::string directory = options.text("--directory");
  const std::string run = options.text("--run");
  WARY_RETURN_IF_ERROR(io::harden_process());
  // Before the sandbox closes: a module is loaded, a TPM opened and a PIN read now or never.
  setenv("TSS2_LOG", "all+NONE", 1);  // the library's lines are none of ours; what it refuses is said in our errors
  WARY_ASSIGN_OR_RETURN(stores, keystore::open_outer_stores(*runtime.files, directory));
  identity::SignerOptions signer_options;
  signer_options.trust_domain = options.text("--trust-domain", "local");
  signer_options.log = runtime.log.get();
  for (keystore::KeyStore* store : {stores.pkcs11.get(), stores.tpm.get()}) {
    if (store != nullptr) signer_options.stores.push_back(store);
  }
  signer_options.root_store = stores.config.root;
  signer_options.intermediate_store = stores.config.intermediate;
  signer_options.token_store = stores.config.token;
  WARY_ASSIGN_OR_RETURN(
      signer, identity::Signer::open(*runtime.files, directory, *runtime.clock, *runtime.random, signer_options));
  service = std::make_unique<identity::SignerService>(*runtime.loop, *signer, *runtime.log);
  const auto uid = [&](const std::string& name) {
    return static_cast<uid_t>(options.number(name, std::int64_t{getuid()}));
  };
  WARY_RETURN_IF_ERROR(service->listen(identity::Role::kControl, run + "/signer/control.sock", uid("--control-uid")));
  WARY_RETURN_IF_ERROR(service->listen(identity::Role::kEdge, run + "/signer/edge.sock", uid("--edge-uid")));
  WARY_RETURN_IF_ERROR(io::drop_to({getuid(), getgid()}));
  std::vector<std::string> own = {directory, run + "/signer"};
  own.insert(own.end(), stores.config.pkcs11.directories.begin(), stores.config.pkcs11.directories.end());
  const Status files = io::restrict_files(own, {});
  if (!files && files.error().code != "sandbox_landlock_missing") return files;
  WARY_RETURN_IF_ERROR(io::restrict_calls(stores.pkcs11 ? io::module_process_calls() : io::signer_process_calls()));
  keep_advancing(runtime, *signer);
  return {};
}

}  // namespace
}  // namespace wary::apps

int main(int count, char** arguments) {
  using namespace wary;
  apps::block_signals();
  apps::Runtime runtime = apps::make_runtime("wary-signer");
  const auto options =
      apps::Options::parse(count, arguments, {"--directory", "--run", "--trust-domain", "--control-uid", "--edge-uid"});
  if (!options) return apps::report_failure(*runtime.log, options.error());
  keystore::OuterStores stores;  // outlives whose keys it holds
  std::unique_ptr<identity::Signer> signer;
  std::unique_ptr<identity::SignerService> service;
  const Status started = apps::start(*options, runtime, stores, signer, service);
  if (!started) return apps::report_failure(*runtime.log, started.error());
  apps::run_until_signal(runtime);
  return 0;
}
