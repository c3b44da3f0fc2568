#include "workload/messages.h"

#include <algorithm>
#include <bit>

#include "codec/protobuf.h"

namespace wary::workload {

namespace {

using codec::append_proto_bytes;
using codec::Json;

// As the signer: what it refuses is not to be asked for again and again.
constexpr std::size_t kAudiencesMax = 16;
constexpr std::size_t kAudienceMax = 256;
constexpr std::size_t kTextMax = 4096;
constexpr std::size_t kTokenMax = 16 * 1024;

Error malformed(std::string_view what) { return fail(ErrorKind::kInvalid, "workload_message", what); }

// Empty text is the same as none (proto3).
void add(std::string& out, std::uint32_t number, std::string_view text) {
  if (!text.empty()) append_proto_bytes(out, number, text);
}

void add_map(std::string& out, std::uint32_t number, const BundleMap& map) {
  for (const auto& [domain, bundle] : map) {
    std::string entry;
    add(entry, 1, domain);
    add(entry, 2, bundle);
    append_proto_bytes(out, number, entry);
  }
}

// google.protobuf.Value: null 1, number 2, string 3, bool 4, struct 5, list 6.
std::string value_of(const Json& json);

std::string struct_of(const Json& object) {
  std::string out;
  for (const auto& [name, value] : object.members()) {
    std::string entry;
    add(entry, 1, name);
    append_proto_bytes(entry, 2, value_of(value));
    append_proto_bytes(out, 1, entry);
  }
  return out;
}

void add_double(std::string& out, double number) {
  out += static_cast<char>(2 << 3 | 1);
  const auto bits = std::bit_cast<std::uint64_t>(number);
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(bits >> shift & 0xFF);
}

std::string value_of(const Json& json) {
  std::string out;
  if (json.is_string()) {
    append_proto_bytes(out, 3, json.as_string());
  } else if (json.is_bool()) {
    codec::append_proto_varint(out, 4, json.as_bool() ? 1 : 0);
  } else if (json.is_integer()) {
    add_double(out, static_cast<double>(json.as_integer()));
  } else if (json.type() == Json::Type::kNumber) {
    add_double(out, json.as_number());
  } else if (json.is_object()) {
    append_proto_bytes(out, 5, struct_of(json));
  } else if (json.is_array()) {
    std::string list;
    for (const Json& item : json.items()) append_proto_bytes(list, 1, value_of(item));
    append_proto_bytes(out, 6, list);
  } else {
    codec::append_proto_varint(out, 1, 0);
  }
  return out;
}

}  // namespace

std::string encode_x509_svids(const std::vector<X509SvidMessage>& svids, const BundleMap& federated) {
  std::string out;
  for (const X509SvidMessage& svid : svids) {
    std::string one;
    add(one, 1, svid.spiffe_id);
    add(one, 2, svid.chain);
    add(one, 3, svid.key);
    add(one, 4, svid.bundle);
    add(one, 5, svid.hint);
    append_proto_bytes(out, 1, one);
  }
  add_map(out, 3, federated);
  return out;
}

std::string encode_x509_bundles(const BundleMap& bundles) {
  std::string out;
  add_map(out, 2, bundles);
  return out;
}

std::string encode_jwt_svids(const std::vector<JwtSvidMessage>& svids) {
  std::string out;
  for (const JwtSvidMessage& svid : svids) {
    std::string one;
    add(one, 1, svid.spiffe_id);
    add(one, 2, svid.token);
    add(one, 3, svid.hint);
    append_proto_bytes(out, 1, one);
  }
  return out;
}

std::string encode_jwt_bundles(const BundleMap& bundles) {
  std::string out;
  add_map(out, 1, bundles);
  return out;
}

std::string encode_validated(std::string_view spiffe_id, const Json& claims) {
  std::string out;
  add(out, 1, spiffe_id);
  append_proto_bytes(out, 2, struct_of(claims));
  return out;
}

Result<JwtRequest> decode_jwt_request(std::string_view message) {
  JwtRequest out;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number != 1 && field->number != 2) continue;
    if (field->type != codec::ProtoField::kBytes) return malformed("a text is of another type");
    if (field->bytes.size() > kTextMax) return malformed("a text is too long");
    if (field->number == 2) {
      out.spiffe_id = field->bytes;
      continue;
    }
    if (out.audiences.size() == kAudiencesMax) return malformed("there are too many audiences");
    if (field->bytes.empty()) return malformed("an audience is empty");
    if (field->bytes.size() > kAudienceMax) return malformed("an audience is too long");
    if (std::ranges::count(out.audiences, field->bytes) != 0) return malformed("an audience is named twice");
    out.audiences.emplace_back(field->bytes);
  }
  if (!reader.ok()) return malformed("the message is cut off or malformed");
  if (out.audiences.empty()) return malformed("an audience is required");
  return out;
}

Result<ValidateRequest> decode_validate_request(std::string_view message) {
  ValidateRequest out;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number != 1 && field->number != 2) continue;
    if (field->type != codec::ProtoField::kBytes) return malformed("a text is of another type");
    if (field->bytes.size() > (field->number == 1 ? kTextMax : kTokenMax)) return malformed("a text is too long");
    (field->number == 1 ? out.audience : out.token) = field->bytes;
  }
  if (!reader.ok()) return malformed("the message is cut off or malformed");
  if (out.audience.empty()) return malformed("an audience is required");
  if (out.token.empty()) return malformed("a token is required");
  return out;
}

Status check_empty_request(std::string_view message) {
  codec::ProtoReader reader(message);
  while (reader.next()) continue;
  if (!reader.ok()) return malformed("the message is cut off or malformed");
  return {};
}

}  // namespace wary::workload
