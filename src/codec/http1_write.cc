// Heads and chunks written from the model.
#include <array>
#include <charconv>

#include "codec/http1.h"
#include "codec/http1_table.h"
#include "codec/text.h"

namespace wary::codec::http1 {

namespace {

Error refuse(std::string_view code, std::string_view message) { return fail(ErrorKind::kInvalid, code, message); }

void append_number(std::string& out, std::uint64_t value, int base = 10) {
  std::array<char, 24> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, base).ptr;
  out.append(text.data(), static_cast<std::size_t>(end - text.data()));
}

// Browsers leave []{}|^` raw in queries; RFC 3986 does not have them there, so they leave here encoded.
bool append_encoded(std::string& out, std::string_view text, ByteClass allowed) {
  for (const char byte : text) {
    if (!is_class(byte, allowed) && byte != '%') return false;
    if (byte == '[' || byte == ']' || byte == '{' || byte == '}' || byte == '|' || byte == '^' || byte == '`') {
      out += encode_percent(std::string_view(&byte, 1));
    } else {
      out += byte;
    }
  }
  return true;
}

bool is_set_by_parts(std::string_view name) {
  return equals_ignoring_case(name, "host") || equals_ignoring_case(name, "content-length") || is_hop_by_hop(name);
}

Status append_fields(std::string& out, const std::vector<Field>& fields, bool is_request) {
  for (const Field& field : fields) {
    if (!is_token(field.name)) return refuse("http_write_name", "a field name is a token");
    if (!is_field_value(field.value)) return refuse("http_write_value", "a field value has no control characters");
    const bool allowed_in_response = !is_request && equals_ignoring_case(field.name, "proxy-authenticate");
    if (is_set_by_parts(field.name) && !allowed_in_response) {
      return refuse("http_write_framing", "framing and connection fields follow from the message");
    }
    out.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  return {};
}

void append_framing(std::string& out, Framing framing, bool state_empty) {
  if (framing.kind == BodyKind::kChunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (framing.kind == BodyKind::kLength || (framing.kind == BodyKind::kNone && state_empty)) {
    out += "Content-Length: ";
    append_number(out, framing.kind == BodyKind::kLength ? framing.length : 0);
    out += "\r\n";
  }
}

void append_connection(std::string& out, Upgrade upgrade, bool keep_alive) {
  if (upgrade == Upgrade::kWebSocket) {
    out += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  } else if (!keep_alive) {
    out += "Connection: close\r\n";
  }
}

Status write_request(std::string& out, const RequestParts& parts, const std::vector<Field>& fields) {
  if (!is_token(parts.method)) return refuse("http_write_method", "a method is a token");
  if (parts.framing.kind == BodyKind::kUntilClose) return refuse("http_write_framing", "a request body has an end");
  out.append(parts.method).append(" ");
  if (parts.path == "*") {
    out += '*';
  } else if (!parts.path.starts_with('/') || !append_encoded(out, parts.path, kPathByte)) {
    return refuse("http_write_target", "a target is a path of RFC 3986");
  }
  if (parts.query) {
    out += '?';
    if (!append_encoded(out, *parts.query, kQueryByte)) return refuse("http_write_target", "a query of RFC 3986");
  }
  if (parts.host.empty() || parts.host.find(' ') != std::string_view::npos || !is_field_value(parts.host)) {
    return refuse("http_write_host", "a request names its host");
  }
  out.append(" HTTP/1.1\r\nHost: ").append(parts.host).append("\r\n");
  WARY_RETURN_IF_ERROR(append_fields(out, fields, true));
  // RFC 9110 section 8.6: methods that usually have a body say that they have none.
  append_framing(out, parts.framing, parts.method == "POST" || parts.method == "PUT" || parts.method == "PATCH");
  append_connection(out, parts.upgrade, parts.keep_alive);
  out += "\r\n";
  return {};
}

Status write_response(std::string& out, const ResponseParts& parts, const std::vector<Field>& fields) {
  if (parts.status < 100 || parts.status > 599) return refuse("http_write_status", "a status is 100 to 599");
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(parts.status));
  out.append(" ").append(reason_phrase(parts.status)).append("\r\n");
  WARY_RETURN_IF_ERROR(append_fields(out, fields, false));
  const bool bodiless = parts.status < 200 || parts.status == 204 || parts.status == 304;
  if (bodiless && parts.framing.kind != BodyKind::kNone) {
    return refuse("http_write_framing", "this status has no body");
  }
  append_framing(out, parts.framing, !bodiless);
  append_connection(out, parts.upgrade, parts.keep_alive && parts.framing.kind != BodyKind::kUntilClose);
  out += "\r\n";
  return {};
}

}  // namespace

Status append_request_head(std::string& out, const RequestParts& parts, const std::vector<Field>& fields) {
  const std::size_t before = out.size();
  Status status = write_request(out, parts, fields);
  if (!status.ok()) out.resize(before);
  return status;
}

Status append_response_head(std::string& out, const ResponseParts& parts, const std::vector<Field>& fields) {
  const std::size_t before = out.size();
  Status status = write_response(out, parts, fields);
  if (!status.ok()) out.resize(before);
  return status;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "";  // RFC 9112: the phrase may be empty; clients go by the number
  }
}

void append_chunk_header(std::string& out, std::uint64_t size) {
  WARY_CHECK(size != 0);  // a chunk of no bytes would end the body
  append_number(out, size, 16);
  out += "\r\n";
}

}  // namespace wary::codec::http1
