// X.509 certificates byte by byte, also those that nobody should issue: crypto/issuer.h refuses to make them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "codec/der.h"
#include "crypto/x509.h"

namespace wary::test {

constexpr std::uint8_t kDigitalSignature = 0x80, kKeyAgreement = 0x08, kKeyCertSign = 0x04, kCrlSign = 0x02;

struct MadeCertificate {
  std::string subject = "x";  // its common name; "": none at all
  std::string issuer = "authority";
  std::vector<std::string> uris, dns_names;
  bool names_critical = false;
  std::optional<bool> is_ca;  // nothing: no basicConstraints
  std::optional<std::uint8_t> key_usage = kDigitalSignature;
  bool key_usage_critical = true;
  std::vector<std::string> uses;  // extended key usage: object identifiers
  UnixTime not_before, not_after;
};

inline codec::der::Writer made_name(const std::string& common_name) {
  namespace der = codec::der;
  der::Writer attribute, relative, name;
  attribute.add(der::kOid, *der::oid_from_text("2.5.4.3")).add_text(der::kUtf8String, common_name);
  relative.add_nested(der::kSequence, attribute);
  if (!common_name.empty()) name.add_nested(der::kSet, relative);
  return name;
}

// 20270115080000Z of an RFC 3339 time.
inline std::string made_time(UnixTime time) {
  std::string digits;
  for (const char c : to_rfc3339(time).substr(0, 19)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  return digits + "Z";
}

inline void add_made_extension(codec::der::Writer& list, std::string_view oid, bool critical, ByteView value) {
  codec::der::Writer extension;
  extension.add(codec::der::kOid, *codec::der::oid_from_text(oid));
  if (critical) extension.add_boolean(true);
  extension.add(codec::der::kOctetString, value);
  list.add_nested(codec::der::kSequence, extension);
}

inline codec::der::Writer made_extensions(const MadeCertificate& wanted) {
  namespace der = codec::der;
  der::Writer list;
  if (wanted.is_ca) {
    der::Writer inner, outer;
    if (*wanted.is_ca) inner.add_boolean(true);
    outer.add_nested(der::kSequence, inner);
    add_made_extension(list, "2.5.29.19", true, outer.bytes());
  }
  if (wanted.key_usage) {
    std::uint8_t unused = 0;
    while (unused < 7 && ((unsigned{*wanted.key_usage} >> unused) & 1U) == 0) ++unused;
    der::Writer bits;
    bits.add(der::kBitString, Bytes{unused, *wanted.key_usage});
    add_made_extension(list, "2.5.29.15", wanted.key_usage_critical, bits.bytes());
  }
  if (!wanted.uses.empty()) {
    der::Writer inner, outer;
    for (const std::string& use : wanted.uses) inner.add(der::kOid, *der::oid_from_text(use));
    outer.add_nested(der::kSequence, inner);
    add_made_extension(list, "2.5.29.37", false, outer.bytes());
  }
  if (!wanted.uris.empty() || !wanted.dns_names.empty()) {
    der::Writer inner, outer;
    for (const std::string& name : wanted.dns_names) inner.add_text(der::context(2), name);
    for (const std::string& name : wanted.uris) inner.add_text(der::context(6), name);
    outer.add_nested(der::kSequence, inner);
    add_made_extension(list, "2.5.29.17", wanted.names_critical, outer.bytes());
  }
  return list;
}

// RFC 5280 section 4.1; signed with ECDSA P-256.
inline Bytes make_certificate(const MadeCertificate& wanted, const crypto::PrivateKey& key,
                              const crypto::PrivateKey& issuer_key) {
  namespace der = codec::der;
  static std::int64_t serial = 1000;
  der::Writer version, algorithm, validity, extensions, fields, body, outer, whole;
  version.add_integer(2);
  algorithm.add(der::kOid, *der::oid_from_text("1.2.840.10045.4.3.2"));
  validity.add_text(der::kUtcTime, made_time(wanted.not_before).substr(2));
  validity.add_text(der::kUtcTime, made_time(wanted.not_after).substr(2));
  fields.add_nested(der::context_constructed(0), version).add_integer(++serial);
  fields.add_nested(der::kSequence, algorithm).add_nested(der::kSequence, made_name(wanted.issuer));
  fields.add_nested(der::kSequence, validity).add_nested(der::kSequence, made_name(wanted.subject));
  fields.add_raw(key.public_key().to_spki());
  const der::Writer list = made_extensions(wanted);
  if (!list.bytes().empty()) {
    extensions.add_nested(der::kSequence, list);
    fields.add_nested(der::context_constructed(3), extensions);
  }
  body.add_nested(der::kSequence, fields);
  const auto signature = issuer_key.sign(body.bytes());
  WARY_CHECK(signature.ok());
  outer.add_raw(body.bytes()).add_nested(der::kSequence, algorithm).add_bit_string(*signature);
  whole.add_nested(der::kSequence, outer);
  return whole.bytes();
}

}  // namespace wary::test
