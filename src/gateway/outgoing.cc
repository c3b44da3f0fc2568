#include "gateway/outgoing.h"

#include <array>

#include "codec/text.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

http1::RequestParts parts_of(const http1::RequestHead& head, std::string_view path) {
  http1::RequestParts parts;
  parts.method = head.method;
  parts.path = path;
  parts.query = head.query;
  parts.host = head.host;
  parts.framing = head.framing;
  parts.upgrade = head.upgrade;
  return parts;
}

bool opens_websocket(std::string_view name) {
  return codec::equals_ignoring_case(name, "sec-websocket-key") ||
         codec::equals_ignoring_case(name, "sec-websocket-version");
}

}  // namespace

bool write_http1_request(const http1::RequestHead& head, std::string_view path, std::vector<http1::Field>& fields,
                         Random& random, OutgoingRequest& out) {
  out.chunked = head.framing.kind == http1::BodyKind::kChunked;
  constexpr std::size_t kUsualBytes = 768;
  out.text.clear();
  if (out.text.capacity() < kUsualBytes) out.text.reserve(kUsualBytes);
  out.websocket_key.clear();
  if (head.upgrade == http1::Upgrade::kWebSocket) {
    const auto key = http1::find_field(fields, "sec-websocket-key");
    if (key) {
      out.websocket_key = *key;
    } else {
      // A client of HTTP/2 has none: it proves that the application speaks the protocol, to us.
      std::array<std::uint8_t, 16> bytes{};
      random.fill(bytes);
      out.websocket_key = codec::encode_base64(bytes);
      std::erase_if(fields, [](const http1::Field& field) { return opens_websocket(field.name); });
      fields.push_back({"Sec-WebSocket-Version", "13"});
      fields.push_back({"Sec-WebSocket-Key", out.websocket_key});
    }
  }
  http1::RequestParts parts = parts_of(head, path);
  // Extended CONNECT becomes what opens a WebSocket in HTTP/1.1.
  if (head.upgrade == http1::Upgrade::kWebSocket) parts.method = "GET";
  return http1::append_request_head(out.text, parts, fields).ok();
}

bool write_http2_request(const http1::RequestHead& head, std::string_view path, const std::vector<http1::Field>& fields,
                         bool is_grpc, OutgoingRequest& out) {
  // The other protocol's writer checks and encodes: what it would not write is not sent by this one.
  std::string text;
  if (!http1::append_request_head(text, parts_of(head, path), fields).ok()) return false;
  const std::size_t from = text.find(' ') + 1;
  const bool upgrades = head.upgrade == http1::Upgrade::kWebSocket;
  out.fields.clear();
  out.fields.emplace_back(":method", upgrades ? "CONNECT" : std::string(head.method));
  if (upgrades) out.fields.emplace_back(":protocol", "websocket");
  out.fields.emplace_back(":scheme", out.is_secure ? "https" : "http");
  out.fields.emplace_back(":authority", head.host);
  out.fields.emplace_back(":path", text.substr(from, text.find(' ', from) - from));
  for (const http1::Field& field : fields) {
    if (!opens_websocket(field.name)) out.fields.emplace_back(codec::to_lower(field.name), field.value);
  }
  if (upgrades) out.fields.emplace_back("sec-websocket-version", "13");
  if (is_grpc) out.fields.emplace_back("te", "trailers");
  if (head.framing.kind == http1::BodyKind::kLength) {
    out.fields.emplace_back("content-length", std::to_string(head.framing.length));
  }
  return true;
}

}  // namespace wary::gateway
