#include <algorithm>

#include "crypto/p256.h"
#include "keystore/key_store.h"

namespace wary::keystore {

namespace {

constexpr std::size_t kKeyFileMax = 64 * 1024;

class FileKey final : public Key {
 public:
  FileKey(Bytes spki, crypto::P256Signer signer) : spki_(std::move(spki)), signer_(std::move(signer)) {}
  Bytes spki() const override { return spki_; }
  Result<Bytes> sign(ByteView message) override { return signer_.sign(message); }

 private:
  Bytes spki_;
  crypto::P256Signer signer_;
};

Result<std::unique_ptr<Key>> make_file_key(const crypto::PrivateKey& key) {
  WARY_ASSIGN_OR_RETURN(crypto::P256Signer signer, crypto::P256Signer::of(key));
  return std::unique_ptr<Key>(std::make_unique<FileKey>(key.public_key().to_spki(), std::move(signer)));
}

}  // namespace

Status check_key_name(std::string_view key) {
  const bool good = !key.empty() && key.size() <= 64 && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (good) return {};
  return fail(ErrorKind::kInvalid, "key_store_name", "a key's name is a-z, 0-9 and '-', at most 64").found(key);
}

FileStore::FileStore(io::Files& files, std::string directory, const crypto::SealKey& seal, Random& random)
    : files_(files), directory_(std::move(directory)), seal_(seal), random_(random) {}

std::string FileStore::path_of(std::string_view key) const { return directory_ + "/" + std::string(key) + ".key"; }

Status FileStore::import(std::string_view key, const crypto::PrivateKey& made) {
  WARY_RETURN_IF_ERROR(check_key_name(key));
  WARY_RETURN_IF_ERROR(files_.make_directory(directory_));
  WARY_RETURN_IF_ERROR(files_.sync_directory(io::folder_of(directory_)));
  const std::string path = path_of(key);
  if (files_.status(path)) {
    return fail(ErrorKind::kConflict, "key_store_exists", "there is a key of that name already").at(path);
  }
  WARY_ASSIGN_OR_RETURN(const Secret pkcs8, made.to_pkcs8());
  // Sealed under its own name, so that no file can stand in another's place.
  WARY_ASSIGN_OR_RETURN(const Bytes sealed, crypto::seal(seal_, "keys/" + std::string(key), pkcs8.reveal(), random_));
  return io::write_file_atomically(files_, path, sealed);
}

Result<std::unique_ptr<Key>> FileStore::generate(std::string_view key) {
  WARY_ASSIGN_OR_RETURN(const crypto::PrivateKey made, crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
  WARY_RETURN_IF_ERROR(import(key, made));
  return make_file_key(made);
}

Result<std::unique_ptr<Key>> FileStore::load(std::string_view key) {
  WARY_RETURN_IF_ERROR(check_key_name(key));
  const std::string path = path_of(key);
  const auto stored = io::read_file(files_, path, kKeyFileMax);
  if (!stored) {
    if (stored.error().kind != ErrorKind::kNotFound) return stored.error();
    return fail(ErrorKind::kDataLoss, "key_store_missing", "a key is gone")
        .at(path)
        .next("restore it from a backup; no new key takes its place");
  }
  const auto damaged = [&](const Error& why) {
    return fail(ErrorKind::kDataLoss, "key_store_damaged", "a key's file is damaged, or sealed by another key")
        .at(path)
        .found(why.code)
        .next("restore this file from a backup; no new key takes its place");
  };
  auto opened = crypto::unseal(seal_, "keys/" + std::string(key), *stored);
  if (!opened) return damaged(opened.error());
  const Secret pkcs8 = std::move(opened).value();
  const auto read = crypto::PrivateKey::from_pkcs8(pkcs8.reveal());
  if (!read) return damaged(read.error());
  return make_file_key(*read);
}

Status FileStore::remove(std::string_view key) {
  WARY_RETURN_IF_ERROR(check_key_name(key));
  const Status removed = files_.remove(path_of(key));
  if (!removed && removed.error().kind == ErrorKind::kNotFound) return {};
  if (!removed) return removed;
  return files_.sync_directory(directory_);
}

}  // namespace wary::keystore
