#include "keystore/config.h"

#include <algorithm>
#include <initializer_list>

#include "codec/json.h"
#include "keystore/pkcs11_store.h"
#include "keystore/tpm_store.h"

namespace wary::keystore {

namespace {

constexpr std::size_t kConfigMax = 64 * 1024;
constexpr std::size_t kPinFileMax = 256;
constexpr std::size_t kDirectoriesMax = 16;

Error bad_config(std::string_view what, std::string_view found) {
  return fail(ErrorKind::kInvalid, "key_store_config", what).found(found);
}

// Every member is one of these, and a text unless `others` has it: a misspelt name would leave a key in another store.
Status check_members(const codec::Json& json, std::initializer_list<std::string_view> texts,
                     std::initializer_list<std::string_view> others) {
  if (!json.is_object()) return bad_config("the description of key stores is no object", "");
  for (const auto& [name, value] : json.members()) {
    if (std::ranges::find(others, name) != others.end()) continue;
    if (std::ranges::find(texts, name) == texts.end()) return bad_config("there is no such member", name);
    if (!value.is_string()) return bad_config("this member is a text", name);
  }
  return {};
}

Status read_pkcs11(const codec::Json& json, StoreConfig::Pkcs11& out) {
  WARY_RETURN_IF_ERROR(check_members(json, {"module", "token", "pinFile"}, {"directories"}));
  out.module = json.string_or("module", "");
  out.token = json.string_or("token", "");
  out.pin_file = json.string_or("pinFile", "");
  for (const auto& [name, text] : {std::pair{"module", out.module}, {"pinFile", out.pin_file}}) {
    if (!text.starts_with('/')) return bad_config("this is no absolute path", name);
  }
  if (out.token.empty() || out.token.size() > 32) return bad_config("a token's label has 1 to 32 bytes", out.token);
  const codec::Json* directories = json.find("directories");
  if (directories == nullptr) return {};
  if (!directories->is_array() || directories->items().size() > kDirectoriesMax) {
    return bad_config("directories are a list of at most 16", "directories");
  }
  for (const codec::Json& one : directories->items()) {
    if (!one.is_string() || !one.as_string().starts_with('/')) {
      return bad_config("this is no absolute path", "directories");
    }
    out.directories.push_back(one.as_string());
  }
  return {};
}

Result<Secret> read_pin(io::Files& files, const std::string& path) {
  if (path.empty()) return Secret();
  WARY_ASSIGN_OR_RETURN(Bytes text, io::read_file(files, path, kPinFileMax));
  const auto line = std::ranges::find(text, std::uint8_t{'\n'});
  Secret pin = Secret::copy_of(ByteView(text).first(static_cast<std::size_t>(line - text.begin())));
  wipe(text.data(), text.size());
  return pin;
}

}  // namespace

Result<StoreConfig> parse_store_config(std::string_view text) {
  WARY_ASSIGN_OR_RETURN(const codec::Json json, codec::parse_json(text, {.bytes = kConfigMax, .depth = 8}));
  WARY_RETURN_IF_ERROR(check_members(json, {"root", "intermediate", "token"}, {"pkcs11", "tpm"}));
  StoreConfig config;
  if (const codec::Json* pkcs11 = json.find("pkcs11")) WARY_RETURN_IF_ERROR(read_pkcs11(*pkcs11, config.pkcs11));
  if (const codec::Json* tpm = json.find("tpm")) {
    WARY_RETURN_IF_ERROR(check_members(*tpm, {"tcti", "pinFile"}, {}));
    config.tpm = {std::string(tpm->string_or("tcti", "")), std::string(tpm->string_or("pinFile", ""))};
    if (config.tpm.tcti.empty()) return bad_config("which TPM is meant is not said", "tcti");
  }
  for (const auto& [name, chosen] : {std::pair<std::string_view, std::string*>{"root", &config.root},
                                     {"intermediate", &config.intermediate},
                                     {"token", &config.token}}) {
    *chosen = json.string_or(name, "file");
    const bool described = *chosen == "file" || (*chosen == "pkcs11" && !config.pkcs11.module.empty()) ||
                           (*chosen == "tpm" && !config.tpm.tcti.empty());
    if (!described) return bad_config("a key's store is file, or pkcs11 or tpm where that is described", *chosen);
  }
  return config;
}

Result<OuterStores> open_outer_stores(io::Files& files, const std::string& directory) {
  OuterStores out;
  const std::string path = directory + "/keystores.json";
  const auto text = io::read_file(files, path, kConfigMax);
  if (!text) {
    if (text.error().kind == ErrorKind::kNotFound) return out;
    return text.error();
  }
  auto config = parse_store_config(as_text(*text));
  if (!config) return std::move(config).error().at(path);
  out.config = std::move(config).value();
  if (!out.config.pkcs11.module.empty()) {
    WARY_ASSIGN_OR_RETURN(const Secret pin, read_pin(files, out.config.pkcs11.pin_file));
    WARY_ASSIGN_OR_RETURN(out.pkcs11, open_pkcs11_store({out.config.pkcs11.module, out.config.pkcs11.token}, pin));
  }
  if (!out.config.tpm.tcti.empty()) {
    WARY_ASSIGN_OR_RETURN(Secret pin, read_pin(files, out.config.tpm.pin_file));
    WARY_ASSIGN_OR_RETURN(out.tpm, open_tpm_store(files, directory + "/keys", {out.config.tpm.tcti}, std::move(pin)));
  }
  return out;
}

}  // namespace wary::keystore
