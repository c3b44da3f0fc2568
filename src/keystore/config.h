// Which keys lie where, as the operator wrote it: keystores.json in the signer's directory, read once at the start.
//
//   {"root": "tpm", "intermediate": "file", "token": "file",
//    "tpm": {"tcti": "device:/dev/tpmrm0", "pinFile": "/etc/wary/tpm.pin"},
//    "pkcs11": {"module": "/usr/lib/softhsm/libsofthsm2.so", "token": "wary", "pinFile": "/etc/wary/hsm.pin",
//               "directories": ["/var/lib/softhsm/tokens"]}}
//
// Without the file all keys are sealed files. A store that is described is opened even when no new key goes there,
// since keys of before may lie there. A PIN is the first line of its file, at most 256 bytes. Errors: key_store_config
// with what is wrong, and those of the stores. Limit: 64 KiB.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "keystore/key_store.h"

namespace wary::keystore {

struct StoreConfig {
  std::string root = "file";  // "file", "pkcs11" or "tpm"
  std::string intermediate = "file";
  std::string token = "file";
  struct Pkcs11 {
    std::string module;
    std::string token;
    std::string pin_file;
    std::vector<std::string> directories;  // what the module reads and writes while it works
  };
  struct Tpm {
    std::string tcti;
    std::string pin_file;  // empty: no PIN
  };
  Pkcs11 pkcs11;  // module empty: not described
  Tpm tpm;        // tcti empty: not described
};
Result<StoreConfig> parse_store_config(std::string_view json);

// What is described and lies outside this process, opened.
struct OuterStores {
  StoreConfig config;
  std::unique_ptr<KeyStore> pkcs11;
  std::unique_ptr<KeyStore> tpm;
};
Result<OuterStores> open_outer_stores(io::Files& files, const std::string& directory);

}  // namespace wary::keystore
