// Keys in an HSM, through its PKCS#11 module (v2.40): made there as sensitive and not extractable, found by CKA_ID.
//
//   WARY_ASSIGN_OR_RETURN(auto store, keystore::open_pkcs11_store({.module = "/usr/lib/softhsm/libsofthsm2.so",
//                                                                  .token = "wary"}, pin));
//
// The module is loaded into this process and stays until its end: it is trusted like our own code. The session logs in
// once and stays. One thread; the store outlives its keys. Errors: those of key_store.h; key_store_absent also says
// that the module cannot be loaded or that there is no such token.
#pragma once

#include <memory>
#include <string>

#include "keystore/key_store.h"

namespace wary::keystore {

struct Pkcs11Options {
  std::string module;  // path of the shared object
  std::string token;   // the token's label, at most 32 bytes
};
Result<std::unique_ptr<KeyStore>> open_pkcs11_store(const Pkcs11Options& options, const Secret& pin);

}  // namespace wary::keystore
