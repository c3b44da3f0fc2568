#include "workload/sds.h"

#include <algorithm>

#include "base/secret.h"
#include "codec/protobuf.h"
#include "crypto/pem.h"

namespace wary::workload {

namespace {

using codec::append_proto_bytes;

constexpr std::size_t kSdsNamesMax = 100;
constexpr std::size_t kSdsTextMax = 2048;
constexpr std::size_t kSdsReasonMax = 4096;
constexpr std::size_t kSdsHeadMax = 32;  // of a field: key, length, and room to spare
constexpr std::string_view kScheme = "spiffe://";
constexpr std::string_view kSecretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
constexpr std::string_view kValidatorName = "envoy.tls.cert_validator.spiffe";
constexpr std::string_view kValidatorType =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

Error bad(std::string_view what) { return fail(ErrorKind::kInvalid, "sds_message", what); }

void add_text(std::string& out, std::uint32_t number, std::string_view text) {
  if (!text.empty()) append_proto_bytes(out, number, text);
}

// Adds `part` as a field and wipes it. Room is made first: a string that grows leaves what it held behind.
void add_wiping(std::string& out, std::uint32_t number, std::string& part) {
  if (out.capacity() - out.size() < part.size() + kSdsHeadMax) {
    std::string larger;
    larger.reserve(2 * out.size() + part.size() + kSdsHeadMax);
    larger = out;
    wipe(out.data(), out.size());
    out.swap(larger);
  }
  append_proto_bytes(out, number, part);
  wipe(part.data(), part.size());
}

// envoy.config.core.v3.DataSource
std::string data_source(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + kSdsHeadMax);
  append_proto_bytes(out, 2, bytes);
  return out;
}

// Secret{name = 1, tls_certificate = 2{certificate_chain = 1, private_key = 2}}
std::string secret_of(const SdsCertificate& certificate) {
  std::string pair, out;
  append_proto_bytes(pair, 1, data_source(certificate.chain));
  std::string key = data_source(certificate.key);
  add_wiping(pair, 2, key);
  add_text(out, 1, certificate.name);
  add_wiping(out, 2, pair);
  return out;
}

// Secret{name = 1, validation_context = 4{trusted_ca = 1}}
std::string secret_of(const SdsBundle& bundle) {
  std::string context, out;
  append_proto_bytes(context, 1, data_source(bundle.roots));
  add_text(out, 1, bundle.name);
  append_proto_bytes(out, 4, context);
  return out;
}

// google.protobuf.Any
std::string any_of(std::string_view type, std::string& value) {
  std::string out;
  append_proto_bytes(out, 1, type);
  add_wiping(out, 2, value);
  return out;
}

// Secret{validation_context{custom_validator_config = 12: TypedExtensionConfig{name = 1, typed_config = 2}}}, of
// SPIFFECertValidatorConfig{trust_domains = 1{name = 1, trust_bundle = 2}}
std::string secret_of_all(const std::map<std::string, std::string>& bundles) {
  std::string config, extension, context, out;
  for (const auto& [domain, roots] : bundles) {
    std::string one;
    append_proto_bytes(one, 1, domain);
    append_proto_bytes(one, 2, data_source(roots));
    append_proto_bytes(config, 1, one);
  }
  append_proto_bytes(extension, 1, kValidatorName);
  append_proto_bytes(extension, 2, any_of(kValidatorType, config));
  append_proto_bytes(context, 12, extension);
  append_proto_bytes(out, 1, "ALL");
  append_proto_bytes(out, 4, context);
  return out;
}

// google.rpc.Status: its message; another than text is none.
Result<std::string> reason_of(std::string_view status) {
  std::string out;
  codec::ProtoReader reader(status);
  while (const auto field = reader.next()) {
    if (field->number != 2) continue;
    if (field->type != codec::ProtoField::kBytes) return bad("a text is of another type");
    out = field->bytes.substr(0, kSdsReasonMax);
  }
  if (!reader.ok()) return bad("the reason is cut off or malformed");
  return out;
}

Status take_text(const codec::ProtoField& field, SdsRequest& out) {
  if (field.type != codec::ProtoField::kBytes) return bad("a text is of another type");
  if (field.number == 6) {
    out.is_refusal = true;
    WARY_ASSIGN_OR_RETURN(out.reason, reason_of(field.bytes));
    return {};
  }
  if (field.bytes.size() > kSdsTextMax) return bad("a text is too long");
  if (field.number == 1) out.version = field.bytes;
  if (field.number == 5) out.nonce = field.bytes;
  if (field.number == 4 && !field.bytes.empty() && field.bytes != kSecretType)
    return bad("secrets alone are discovered here");
  if (field.number != 3) return {};
  if (out.names.size() == kSdsNamesMax) return bad("there are too many names");
  if (field.bytes.empty()) return bad("a name is empty");
  out.names.emplace_back(field.bytes);
  return {};
}

}  // namespace

// DiscoveryRequest: version_info 1, node 2, resource_names 3, type_url 4, response_nonce 5, error_detail 6.
Result<SdsRequest> decode_sds_request(std::string_view message) {
  SdsRequest out;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == 2 || field->number > 6) continue;  // who it says it is counts for nothing
    WARY_RETURN_IF_ERROR(take_text(*field, out));
  }
  if (!reader.ok()) return bad("the message is cut off or malformed");
  return out;
}

std::string encode_sds_request(const SdsRequest& request) {
  std::string out;
  add_text(out, 1, request.version);
  for (const std::string& name : request.names) append_proto_bytes(out, 3, name);
  append_proto_bytes(out, 4, kSecretType);
  add_text(out, 5, request.nonce);
  if (request.is_refusal) {
    std::string status;
    codec::append_proto_varint(status, 1, 3);
    add_text(status, 2, request.reason);
    append_proto_bytes(out, 6, status);
  }
  return out;
}

SdsSubscription::Heard SdsSubscription::hear(const SdsRequest& request) {
  if (is_begun_ && !request.nonce.empty() && request.nonce != version()) return Heard::kStale;
  const bool asks_anew = !is_begun_ || request.nonce.empty() || request.names != names_;
  is_begun_ = true;
  names_ = request.names;
  // Another question than the one that was answered; the answer to it may be refused at the same time.
  is_asked_ = is_asked_ || asks_anew;
  if (request.is_refusal && !request.nonce.empty()) return Heard::kRefused;
  return asks_anew ? Heard::kAsks : Heard::kTaken;
}

void SdsSubscription::answered(std::string content) {
  content_ = std::move(content);
  is_asked_ = false;
  ++answers_;
}

Result<SdsWanted> wanted_secrets(const std::vector<std::string>& names, const SdsCaller& caller) {
  SdsWanted out;
  if (names.empty()) {
    for (const std::string& id : caller.ids) out.svids[id] = id;
    for (const std::string& domain : caller.domains) out.bundles[std::string(kScheme) + domain] = domain;
    return out;
  }
  for (const std::string& name : names) {
    if (name == "default" && !caller.ids.empty()) {
      out.svids[name] = caller.ids.front();
    } else if (name == "ROOTCA") {
      out.bundles[name] = caller.trust_domain;
    } else if (name == "ALL") {
      out.all_bundles = true;
    } else if (std::find(caller.ids.begin(), caller.ids.end(), name) != caller.ids.end()) {
      out.svids[name] = name;
    } else if (name.starts_with(kScheme) && caller.domains.contains(name.substr(kScheme.size()))) {
      out.bundles[name] = name.substr(kScheme.size());
    } else {
      return fail(ErrorKind::kDenied, "sds_not_yours", "a secret of that name is not this process's: " + name);
    }
  }
  return out;
}

// DiscoveryResponse: version_info 1, resources 2, type_url 4, nonce 5.
std::string encode_sds_answer(const SdsAnswer& answer) {
  std::string out;
  add_text(out, 1, answer.version);
  const auto add = [&out](std::string secret) {
    std::string resource = any_of(kSecretType, secret);
    add_wiping(out, 2, resource);
  };
  for (const SdsCertificate& certificate : answer.certificates) add(secret_of(certificate));
  for (const SdsBundle& bundle : answer.bundles) add(secret_of(bundle));
  if (!answer.all.empty()) add(secret_of_all(answer.all));
  std::string tail;
  append_proto_bytes(tail, 4, kSecretType);
  add_text(tail, 5, answer.nonce);
  std::string whole;
  whole.reserve(out.size() + tail.size());
  whole += out;
  whole += tail;
  wipe(out.data(), out.size());
  return whole;
}

std::string pem_of_certificates(std::string_view der) {
  std::string out;
  while (der.size() > 4) {
    const auto at = [&](std::size_t i) { return std::size_t{static_cast<std::uint8_t>(der[i])}; };
    // A certificate is a SEQUENCE of 128 to 65,535 bytes.
    std::size_t size = 0;
    if (at(0) == 0x30 && at(1) == 0x82) size = 4 + (at(2) << 8 | at(3));
    if (at(0) == 0x30 && at(1) == 0x81) size = 3 + at(2);
    if (size == 0 || size > der.size()) break;
    out += crypto::encode_pem("CERTIFICATE", as_bytes(der.substr(0, size)));
    der.remove_prefix(size);
  }
  return out;
}

}  // namespace wary::workload
