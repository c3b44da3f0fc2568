#include "pdp/envoy.h"

#include "codec/protobuf.h"
#include "codec/text.h"

namespace wary::pdp {

using codec::ProtoField;
using codec::ProtoReader;

namespace {

constexpr std::string_view kCheck = "/envoy.service.auth.v3.Authorization/Check";
constexpr std::size_t kHeadersMax = 200;
constexpr std::uint64_t kPermissionDenied = 7;  // google.rpc.Code
constexpr std::uint64_t kOverwrite = 2;         // HeaderValueOption.append_action

// Calls `take` with each length-delimited field; false when these bytes are no message.
template <typename Take>
bool each_field(std::string_view bytes, Take take) {
  ProtoReader reader(bytes);
  while (const auto field = reader.next()) {
    if (field->type == ProtoField::kBytes && !take(field->number, field->bytes)) return false;
  }
  return reader.ok();
}

bool read_header(std::string_view bytes, Target& out) {
  std::string_view key, value;
  const bool good = each_field(bytes, [&](std::uint32_t number, std::string_view text) {
    if (number == 1) key = text;
    if (number == 2) value = text;
    return true;
  });
  if (key == "cookie") out.cookies += (out.cookies.empty() ? "" : "; ") + std::string(value);
  return good;
}

bool read_http(std::string_view bytes, Target& out) {
  std::size_t headers = 0;
  return each_field(bytes, [&](std::uint32_t number, std::string_view text) {
    if (number == 2) out.method = text;
    if (number == 4) out.uri = text;
    if (number == 5) out.host = text;
    return number != 3 || (++headers <= kHeadersMax && read_header(text, out));
  });
}

// Peer: address 1 (Address: socket_address 1 (SocketAddress: address 2)), principal 4.
bool read_source(std::string_view bytes, Target& out) {
  return each_field(bytes, [&](std::uint32_t number, std::string_view text) {
    if (number == 4 && text.starts_with("spiffe://")) out.spiffe_id = text;
    if (number != 1) return true;
    return each_field(text, [&](std::uint32_t kind, std::string_view address) {
      if (kind != 1) return true;
      return each_field(address, [&](std::uint32_t part, std::string_view value) {
        if (part == 2) out.client = value;
        return true;
      });
    });
  });
}

std::string message(std::uint32_t number, std::string_view bytes) {
  std::string out;
  codec::append_proto_bytes(out, number, bytes);
  return out;
}

std::string header(std::string_view name, std::string_view value) {
  std::string pair;
  codec::append_proto_bytes(pair, 1, name);
  codec::append_proto_bytes(pair, 2, value);
  std::string option = message(1, pair);
  codec::append_proto_varint(option, 3, kOverwrite);
  return message(2, option);
}

std::string allowed(const Verdict& verdict) {
  std::string ok = header("wary-principal", verdict.principal) + header("wary-decision", verdict.decision);
  if (verdict.session.empty())
    ok += message(5, "wary-session");  // headers_to_remove: not the client's to say
  else
    ok += header("wary-session", verdict.session);
  return message(1, "") + message(3, ok);
}

std::string denied(const Verdict& verdict) {
  std::string status;
  codec::append_proto_varint(status, 1, kPermissionDenied);
  codec::append_proto_bytes(status, 2, verdict.code);
  std::string code;
  codec::append_proto_varint(code, 1, static_cast<std::uint64_t>(verdict.status));
  const std::string body = refusal(verdict.status, verdict.code, verdict.message).body;
  std::string response = message(1, code) + header("content-type", "application/json");
  if (!verdict.decision.empty()) response += header("wary-decision", verdict.decision);
  response += message(3, body);
  return message(1, status) + message(2, response);
}

}  // namespace

std::optional<Target> parse_check_request(std::string_view bytes) {
  Target out;
  const bool good = each_field(bytes, [&](std::uint32_t number, std::string_view attributes) {
    if (number != 1) return true;
    return each_field(attributes, [&](std::uint32_t part, std::string_view text) {
      if (part == 1) return read_source(text, out);
      if (part != 4) return true;
      return each_field(text,
                        [&](std::uint32_t kind, std::string_view http) { return kind != 2 || read_http(http, out); });
    });
  });
  if (!good) return std::nullopt;
  return out;
}

http::Http2Response answer_envoy(Authority& authority, const http::Http2Request& request, const std::string& pep) {
  return http::answer_grpc(request, [&](const http::Http2Request& call, std::string_view bytes) -> http::GrpcResult {
    if (call.path != kCheck) return {http::GrpcCode::kUnimplemented, "only Authorization/Check is served", {}};
    const auto target = parse_check_request(bytes);
    if (!target) return {http::GrpcCode::kInvalidArgument, "this is no CheckRequest", {}};
    const Verdict verdict = judge(authority, *target, pep);
    return {http::GrpcCode::kOk, {}, verdict.status == 200 ? allowed(verdict) : denied(verdict)};
  });
}

}  // namespace wary::pdp
