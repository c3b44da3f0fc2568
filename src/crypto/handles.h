// Owners of OpenSSL's objects. Private to crypto/: no other header may include this one.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace wary::crypto {

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
template <typename T, auto kFree>
using Handle = std::unique_ptr<T, Freer<kFree>>;

using KeyHandle = Handle<EVP_PKEY, EVP_PKEY_free>;
using KeyContextHandle = Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContextHandle = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using CipherContextHandle = Handle<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using X509Handle = Handle<X509, X509_free>;
using X509ReqHandle = Handle<X509_REQ, X509_REQ_free>;
using X509StoreHandle = Handle<X509_STORE, X509_STORE_free>;
using X509StoreContextHandle = Handle<X509_STORE_CTX, X509_STORE_CTX_free>;
using ExtensionHandle = Handle<X509_EXTENSION, X509_EXTENSION_free>;
using GeneralNamesHandle = Handle<GENERAL_NAMES, GENERAL_NAMES_free>;
using BignumHandle = Handle<BIGNUM, BN_free>;
using SslContextHandle = Handle<SSL_CTX, SSL_CTX_free>;
using SslHandle = Handle<SSL, SSL_free>;
using BioHandle = Handle<BIO, BIO_free_all>;

// OpenSSL's newest reason; leaves its queue empty, so that no later call sees an old error.
inline std::string take_openssl_reason() {
  const unsigned long number = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = number == 0 ? nullptr : ERR_reason_error_string(number);
  return reason == nullptr ? "no reason given" : reason;
}
inline Error openssl_error(ErrorKind kind, std::string_view code, std::string_view what) {
  return fail(kind, code, std::string(what) + ": " + take_openssl_reason());
}

}  // namespace wary::crypto
