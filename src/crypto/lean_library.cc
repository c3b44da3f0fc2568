#include "crypto/lean_library.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace wary::crypto {

namespace {

constexpr int kOperations = OSSL_OP__HIGHEST + 1;
constexpr std::array<std::string_view, 6> kKeyTypes = {"RSA", "RSA-PSS", "EC", "X25519", "ED25519", "HMAC"};
constexpr std::array<std::string_view, 1> kSchedule = {OSSL_KDF_NAME_TLS1_3_KDF};

// Names are written as "first:second:third".
bool is_one_of(std::string_view names, std::span<const std::string_view> wanted) {
  while (!names.empty()) {
    const std::size_t end = std::min(names.find(':'), names.size());
    if (std::find(wanted.begin(), wanted.end(), names.substr(0, end)) != wanted.end()) return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

bool is_offered(int operation, const OSSL_ALGORITHM& algorithm) {
  switch (operation) {
    case OSSL_OP_KEYMGMT: return is_one_of(algorithm.algorithm_names, kKeyTypes);
    case OSSL_OP_DECODER: {
      const std::string_view form = algorithm.property_definition;
      return is_one_of(algorithm.algorithm_names, kKeyTypes) && form.find("input=der") != form.npos &&
             (form.find("structure=SubjectPublicKeyInfo") != form.npos ||
              form.find("structure=PrivateKeyInfo") != form.npos);
    }
    case OSSL_OP_ENCODER:
    case OSSL_OP_STORE: return false;
    default: return true;
  }
}

// What is offered of the default provider. Never destroyed: what OpenSSL ends at exit may still look things up.
struct Offer {
  OSSL_LIB_CTX* whole = OSSL_LIB_CTX_new();  // where the default provider works: it finds there what it is made of
  OSSL_PROVIDER* provider = OSSL_PROVIDER_load(whole, "default");
  std::array<std::vector<OSSL_ALGORITHM>, kOperations> algorithms;  // each list ends with an empty one

  Offer() {
    WARY_CHECK(whole != nullptr && provider != nullptr);
    for (int operation = 1; operation < kOperations; ++operation) choose(operation);
  }
  void choose(int operation) {
    int no_cache = 0;
    const OSSL_ALGORITHM* all = OSSL_PROVIDER_query_operation(provider, operation, &no_cache);
    if (all == nullptr) return;
    auto& chosen = algorithms[static_cast<std::size_t>(operation)];
    for (; all->algorithm_names != nullptr; ++all) {
      if (!is_offered(operation, *all)) continue;
      chosen.push_back(*all);
      if (is_one_of(all->algorithm_names, kSchedule)) chosen.back().implementation = tls13_kdf();
    }
    chosen.push_back({});
  }
  static const Offer& get() {
    static const Offer* const made = std::make_unique<Offer>().release();
    return *made;
  }
};

const OSSL_ALGORITHM* query(void*, int operation, int* no_cache) {
  *no_cache = 0;
  if (operation < 1 || operation >= kOperations) return nullptr;
  const auto& offered = Offer::get().algorithms[static_cast<std::size_t>(operation)];
  return offered.empty() ? nullptr : offered.data();
}

// Which groups there are for TLS. libssl leaves out those whose key type is not offered.
int capabilities(void*, const char* capability, OSSL_CALLBACK* each, void* argument) {
  return OSSL_PROVIDER_get_capabilities(Offer::get().provider, capability, each, argument);
}

// The algorithms are the default provider's, so their context is its context.
int start_provider(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out, void** context) {
  static const std::array<OSSL_DISPATCH, 3> functions = {
      OSSL_DISPATCH{OSSL_FUNC_PROVIDER_QUERY_OPERATION, reinterpret_cast<void (*)()>(query)},
      OSSL_DISPATCH{OSSL_FUNC_PROVIDER_GET_CAPABILITIES, reinterpret_cast<void (*)()>(capabilities)}, OSSL_DISPATCH{}};
  *out = functions.data();
  *context = OSSL_PROVIDER_get0_provider_ctx(Offer::get().provider);
  return 1;
}

}  // namespace

OSSL_LIB_CTX* lean_library() {
  static OSSL_LIB_CTX* const made = [] {
    constexpr const char* kName = "wary";
    OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
    WARY_CHECK(context != nullptr && OSSL_PROVIDER_add_builtin(context, kName, start_provider) == 1 &&
               OSSL_PROVIDER_load(context, kName) != nullptr);
    return context;
  }();
  return made;
}

}  // namespace wary::crypto
