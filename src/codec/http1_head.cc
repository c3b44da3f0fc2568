// Heads of requests and responses: find the end, then parse once.
#include <charconv>
#include <cstring>

#include "codec/http1.h"
#include "codec/http1_table.h"
#include "codec/text.h"
#include "codec/uri.h"

namespace wary::codec::http1 {

namespace {

constexpr std::size_t kMethodBytes = 32;
constexpr std::size_t kRequestLineBytes = limits::kHttpTargetBytes + kMethodBytes + 16;

HeadResult refuse(int status, std::string_view code, std::string_view message) {
  return {Progress::kRefused, 0, {status, code, message}};
}

// Looks at each new byte once. `lead` is the length of the one empty line allowed before a request line.
HeadResult find_end(std::string_view buffer, HeadScan& scan, bool is_request) {
  const std::size_t bound = std::min(buffer.size(), limits::kHttpHeaderBytes);
  while (scan.position < bound) {
    const void* found = std::memchr(buffer.data() + scan.position, '\n', bound - scan.position);
    if (found == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer.data());
    scan.position = at + 1;
    if (at == 0 || buffer[at - 1] != '\r') return refuse(400, "http_bare_lf", "a line ends with CR LF");
    const bool empty = at == 1 || buffer[at - 2] == '\n';
    if (empty && scan.lines == 0) {
      if (is_request && at == 1) continue;
      return refuse(400, "http_start_line", "the start line is missing");
    }
    if (empty) return {Progress::kDone, at + 1, {}};
    if (++scan.lines == 1 && at > kRequestLineBytes) return refuse(414, "http_target_size", "the target is too long");
    if (scan.lines > limits::kHttpHeaderFields + 1) {
      return refuse(431, "http_fields_count", "the head has too many fields");
    }
  }
  scan.position = bound;
  if (scan.lines == 0 && bound > kRequestLineBytes + 2) {
    return refuse(414, "http_target_size", "the target is too long");
  }
  if (bound == limits::kHttpHeaderBytes) return refuse(431, "http_head_size", "the head is too long");
  return {};
}

std::string_view take_line(std::string_view& text) {
  const auto* end = static_cast<const char*>(std::memchr(text.data(), '\n', text.size()));
  const auto length = static_cast<std::size_t>(end - text.data());
  const std::string_view line = text.substr(0, length - 1);
  text.remove_prefix(length + 1);
  return line;
}

// What the framing fields say; collected while the fields go by.
struct Seen {
  std::optional<std::string_view> content_length, transfer_encoding, host, upgrade, expect, websocket_key,
      websocket_version;
  bool close = false, keep_alive = false, connection_upgrade = false;
};

HeadResult note_once(std::optional<std::string_view>& slot, std::string_view value, std::string_view code,
                     std::string_view message) {
  if (slot) return refuse(400, code, message);
  slot = value;
  return {};
}

HeadResult note_field(const Field& field, Seen& seen) {
  switch (field.name.size()) {  // most fields are none of these: one comparison of lengths
    case 4:
      if (equals_ignoring_case(field.name, "host")) {
        return note_once(seen.host, field.value, "http_host", "Host occurs once");
      }
      break;
    case 6:
      if (equals_ignoring_case(field.name, "expect")) {
        return note_once(seen.expect, field.value, "http_expect", "Expect occurs once");
      }
      break;
    case 7:
      if (equals_ignoring_case(field.name, "upgrade")) {
        // Two fields are one list; a list is not exactly "websocket" and so is ignored.
        seen.upgrade = seen.upgrade ? std::string_view(",") : field.value;
      }
      break;
    case 10:
      if (equals_ignoring_case(field.name, "connection")) {
        seen.close |= has_token(field.value, "close");
        seen.keep_alive |= has_token(field.value, "keep-alive");
        seen.connection_upgrade |= has_token(field.value, "upgrade");
      }
      break;
    case 14:
      if (equals_ignoring_case(field.name, "content-length")) {
        return note_once(seen.content_length, field.value, "http_content_length", "Content-Length occurs once");
      }
      break;
    case 17:
      if (equals_ignoring_case(field.name, "transfer-encoding")) {
        return note_once(seen.transfer_encoding, field.value, "http_transfer_encoding",
                         "Transfer-Encoding occurs once");
      }
      if (equals_ignoring_case(field.name, "sec-websocket-key")) {
        return note_once(seen.websocket_key, field.value, "http_websocket", "Sec-WebSocket-Key occurs once");
      }
      break;
    case 21:
      if (equals_ignoring_case(field.name, "sec-websocket-version")) {
        return note_once(seen.websocket_version, field.value, "http_websocket", "Sec-WebSocket-Version occurs once");
      }
      break;
    default: break;
  }
  return {};
}

HeadResult parse_fields(std::string_view text, std::vector<Field>& fields, Seen& seen) {
  while (text.size() > 2) {
    const std::string_view line = take_line(text);
    if (line.front() == ' ' || line.front() == '\t') return refuse(400, "http_folding", "a field stands on one line");
    std::size_t colon = 0;
    while (colon < line.size() && is_class(line[colon], kTokenByte)) ++colon;
    if (colon == 0 || colon == line.size() || line[colon] != ':') {
      return refuse(400, "http_field_name", "a field starts with a token and a colon");
    }
    const Field field{line.substr(0, colon), trim(line.substr(colon + 1))};
    if (!is_all(field.value, kValueByte)) {
      return refuse(400, "http_field_value", "a field value has no control characters");
    }
    fields.push_back(field);
    if (HeadResult noted = note_field(field, seen); noted.progress == Progress::kRefused) return noted;
  }
  return {};
}

HeadResult parse_framing(const Seen& seen, int minor_version, Framing& framing) {
  if (seen.transfer_encoding) {
    if (minor_version == 0) return refuse(400, "http_transfer_encoding", "HTTP/1.0 has no Transfer-Encoding");
    if (seen.content_length) return refuse(400, "http_two_framings", "a message has one framing field");
    if (!equals_ignoring_case(*seen.transfer_encoding, "chunked")) {
      if (is_token(*seen.transfer_encoding)) return refuse(501, "http_transfer_coding", "only chunked is known");
      return refuse(400, "http_transfer_encoding", "Transfer-Encoding is exactly chunked");
    }
    framing = {BodyKind::kChunked, 0};
  } else if (seen.content_length) {
    const std::string_view text = *seen.content_length;
    std::int64_t length = 0;
    const bool digits = !text.empty() && is_all(text, kDigitByte);
    if (!digits || std::from_chars(text.data(), text.data() + text.size(), length).ec != std::errc{}) {
      return refuse(400, "http_content_length", "Content-Length is digits, up to 2^63-1");
    }
    framing = {length == 0 ? BodyKind::kNone : BodyKind::kLength, static_cast<std::uint64_t>(length)};
  }
  return {};
}

// Path and query of origin form, checked byte by byte: RFC 3986 and complete escapes; %00 means nothing to anyone.
bool split_path(std::string_view text, RequestHead& head) {
  ByteClass wanted = kPathByte;
  std::size_t question = std::string_view::npos;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_class(text[i], wanted)) continue;
    if (text[i] == '%') {
      if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) return false;
      if (text[i + 1] == '0' && text[i + 2] == '0') return false;
      i += 2;
    } else if (text[i] == '?' && wanted == kPathByte) {
      wanted = kQueryByte;
      question = i;
    } else {
      return false;
    }
  }
  head.path = text.substr(0, question);
  head.query.reset();
  if (question != std::string_view::npos) head.query = text.substr(question + 1);
  return true;
}

HeadResult parse_target(RequestHead& head, std::string_view& authority) {
  std::string_view target = head.target;
  const HeadResult bad = refuse(400, "http_target", "the target is of no form of this method");
  if (target.size() > limits::kHttpTargetBytes) return refuse(414, "http_target_size", "the target is too long");
  if (target == "*") {
    if (head.method != "OPTIONS") return bad;
    head.form = TargetForm::kAsterisk;
    head.path = target;
    head.query.reset();
    return {};
  }
  if (target.starts_with('/')) {
    head.form = TargetForm::kOrigin;
    return split_path(target, head) ? HeadResult{} : bad;
  }
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return bad;
  if (!equals_ignoring_case(target.substr(0, scheme), "http") &&
      !equals_ignoring_case(target.substr(0, scheme), "https")) {
    return bad;
  }
  target.remove_prefix(scheme + 3);
  const std::size_t end = std::min(target.find_first_of("/?"), target.size());
  authority = target.substr(0, end);
  if (!is_authority(authority)) return bad;
  head.form = TargetForm::kAbsolute;
  target.remove_prefix(end);
  if (!split_path(target, head)) return bad;
  if (head.path.empty()) head.path = "/";
  return {};
}

// "HTTP/1.0" or "HTTP/1.1"; another well-formed version is 505.
HeadResult parse_version(std::string_view text, int& minor) {
  const bool formed = text.size() == 8 && text.starts_with("HTTP/") && is_class(text[5], kDigitByte) &&
                      text[6] == '.' && is_class(text[7], kDigitByte);
  if (!formed) return refuse(400, "http_version", "the version is HTTP/1.1 or HTTP/1.0");
  if (text[5] != '1' || text[7] > '1') return refuse(505, "http_version", "the version is HTTP/1.1 or HTTP/1.0");
  minor = text[7] - '0';
  return {};
}

HeadResult parse_request_line(std::string_view line, RequestHead& head, std::string_view& authority) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return refuse(400, "http_start_line", "a request line is method, target, version");
  }
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  if (head.method.size() > kMethodBytes || !is_token(head.method)) {
    return refuse(400, "http_method", "the method is a short token");
  }
  if (HeadResult r = parse_version(line.substr(last + 1), head.minor_version); r.progress == Progress::kRefused) {
    return r;
  }
  if (head.method == "CONNECT") return refuse(405, "http_connect", "CONNECT is served over HTTP/2 only");
  return parse_target(head, authority);
}

HeadResult check_host(const Seen& seen, std::string_view authority, RequestHead& head) {
  if (!seen.host && head.minor_version == 1) return refuse(400, "http_host", "Host occurs once");
  if (seen.host && !is_authority(*seen.host)) return refuse(400, "http_host", "Host is a name or address and a port");
  head.host = seen.host ? *seen.host : authority;
  // RFC 9112 would have the target win; a client that says two things is refused instead.
  if (seen.host && !authority.empty() && !equals_ignoring_case(authority, *seen.host)) {
    return refuse(400, "http_host", "Host and target name the same host");
  }
  return {};
}

HeadResult check_upgrade(const Seen& seen, RequestHead& head) {
  head.upgrade = Upgrade::kNone;
  if (!seen.upgrade || !seen.connection_upgrade || !equals_ignoring_case(*seen.upgrade, "websocket")) return {};
  if (head.method != "GET" || head.minor_version != 1 || head.framing.kind != BodyKind::kNone) {
    return refuse(400, "http_websocket", "a WebSocket opens with GET and without a body");
  }
  if (!seen.websocket_version || *seen.websocket_version != "13") {
    return refuse(426, "http_websocket_version", "the WebSocket version is 13");
  }
  const bool key = seen.websocket_key && seen.websocket_key->size() == 24 && decode_base64(*seen.websocket_key).ok();
  if (!key) return refuse(400, "http_websocket", "Sec-WebSocket-Key is 16 bytes in base64");
  head.upgrade = Upgrade::kWebSocket;
  return {};
}

HeadResult parse_request(std::string_view text, RequestHead& head) {
  Seen seen;
  std::string_view authority;
  HeadResult result = parse_request_line(take_line(text), head, authority);
  if (result.progress == Progress::kRefused) return result;
  result = parse_fields(text, head.fields, seen);
  if (result.progress == Progress::kRefused) return result;
  result = parse_framing(seen, head.minor_version, head.framing);
  if (result.progress == Progress::kRefused) return result;
  result = check_host(seen, authority, head);
  if (result.progress == Progress::kRefused) return result;
  head.keep_alive = !seen.close && (head.minor_version == 1 || seen.keep_alive);
  head.expects_continue = seen.expect.has_value() && head.minor_version == 1;
  if (seen.expect && !equals_ignoring_case(*seen.expect, "100-continue")) {
    return refuse(417, "http_expect", "only 100-continue can be expected");
  }
  return check_upgrade(seen, head);
}

HeadResult parse_response(std::string_view text, std::string_view request_method, ResponseHead& head) {
  const std::string_view line = take_line(text);
  HeadResult result = parse_version(line.substr(0, 8), head.minor_version);
  if (result.progress == Progress::kRefused) return result;
  const bool formed = line.size() >= 12 && line[8] == ' ' && is_all(line.substr(9, 3), kDigitByte) && line[9] >= '1' &&
                      line[9] <= '5' && (line.size() == 12 || line[12] == ' ') && is_all(line, kValueByte);
  if (!formed) return refuse(502, "http_status_line", "a status line is version, three digits, reason");
  head.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  head.reason = line.size() > 13 ? line.substr(13) : std::string_view{};
  Seen seen;
  result = parse_fields(text, head.fields, seen);
  if (result.progress == Progress::kRefused) return result;
  head.framing = {BodyKind::kUntilClose, 0};
  result = parse_framing(seen, head.minor_version, head.framing);
  if (result.progress == Progress::kRefused) return result;
  // RFC 9112 section 6.3: these never have a body, whatever their fields say.
  if (request_method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304) head.framing = {};
  head.keep_alive =
      !seen.close && (head.minor_version == 1 || seen.keep_alive) && head.framing.kind != BodyKind::kUntilClose;
  return result;
}

}  // namespace

HeadResult parse_request_head(std::string_view buffer, HeadScan& scan, RequestHead& head) {
  HeadResult end = find_end(buffer, scan, true);
  if (end.progress != Progress::kDone) return end;
  head.fields.clear();
  head.framing = {};
  std::string_view text = buffer.substr(0, end.consumed);
  if (text.starts_with("\r\n")) text.remove_prefix(2);
  const HeadResult result = parse_request(text, head);
  return result.progress == Progress::kRefused ? result : end;
}

HeadResult parse_response_head(std::string_view buffer, HeadScan& scan, std::string_view request_method,
                               ResponseHead& head) {
  HeadResult result = find_end(buffer, scan, false);
  if (result.progress == Progress::kDone) {
    head.fields.clear();
    const HeadResult parsed = parse_response(buffer.substr(0, result.consumed), request_method, head);
    if (parsed.progress == Progress::kRefused) result = parsed;
  }
  // Whatever is wrong with a response, it is the upstream's fault.
  if (result.progress == Progress::kRefused) result.refusal.status = 502;
  return result;
}

namespace {

HeadResult check_carried_fields(const std::vector<Field>& fields, Seen& seen) {
  if (fields.size() > limits::kHttpHeaderFields)
    return refuse(431, "http_fields_count", "the head has too many fields");
  for (const Field& field : fields) {
    if (!is_token(field.name)) return refuse(400, "http_field_name", "a field's name is a token");
    const bool trimmed = field.value.empty() || (field.value == trim(field.value));
    if (!is_all(field.value, kValueByte) || !trimmed) {
      return refuse(400, "http_field_value", "a field value has no control characters, and no white space around it");
    }
    if (equals_ignoring_case(field.name, "connection") || equals_ignoring_case(field.name, "transfer-encoding") ||
        equals_ignoring_case(field.name, "upgrade") || equals_ignoring_case(field.name, "keep-alive") ||
        equals_ignoring_case(field.name, "proxy-connection") ||
        (equals_ignoring_case(field.name, "te") && !equals_ignoring_case(field.value, "trailers"))) {
      return refuse(400, "http_connection_field", "a field of the connection's has no place in HTTP/2");
    }
    if (HeadResult noted = note_field(field, seen); noted.progress == Progress::kRefused) return noted;
  }
  return {};
}

HeadResult check_carried_method(const CarriedParts& parts, RequestHead& head) {
  if (head.method.size() > kMethodBytes || !is_token(head.method)) {
    return refuse(400, "http_method", "the method is a short token");
  }
  head.upgrade = Upgrade::kNone;
  if (parts.protocol.empty()) {
    if (head.method == "CONNECT") return refuse(405, "http_connect", "CONNECT without a protocol is not served here");
    return {};
  }
  if (head.method != "CONNECT") return refuse(400, "http_protocol", ":protocol belongs to CONNECT");
  if (parts.protocol != "websocket") return refuse(501, "http_protocol", "only WebSockets are tunnelled");
  head.upgrade = Upgrade::kWebSocket;
  head.method = "GET";
  return {};
}

}  // namespace

HeadResult check_carried_request(const CarriedParts& parts, RequestHead& head) {
  Seen seen;
  HeadResult result = check_carried_method(parts, head);
  if (result.progress == Progress::kRefused) return result;
  if (parts.scheme != "https" && parts.scheme != "http") return refuse(400, "http_scheme", "the scheme is https");
  std::string_view none;
  if (head.target != "*" && !head.target.starts_with('/')) {
    return refuse(400, "http_target", "the target is of no form of this method");
  }
  result = parse_target(head, none);
  if (result.progress == Progress::kRefused) return result;
  result = check_carried_fields(head.fields, seen);
  if (result.progress == Progress::kRefused) return result;
  if (!parts.authority.empty() && !is_authority(parts.authority)) {
    return refuse(400, "http_host", "the authority is a name or address and a port");
  }
  if (!seen.host && parts.authority.empty()) return refuse(400, "http_host", "a request names its host");
  result = check_host(seen, parts.authority, head);
  if (!seen.host) result = {};
  if (result.progress == Progress::kRefused) return result;
  head.host = seen.host ? *seen.host : parts.authority;
  result = parse_framing(seen, 1, head.framing);
  if (result.progress == Progress::kRefused) return result;
  if (!seen.content_length) head.framing.kind = parts.ends ? BodyKind::kNone : BodyKind::kChunked;
  head.keep_alive = true;
  head.expects_continue = seen.expect.has_value();
  if (seen.expect && !equals_ignoring_case(*seen.expect, "100-continue")) {
    return refuse(417, "http_expect", "only 100-continue can be expected");
  }
  if (head.upgrade != Upgrade::kWebSocket) return {};
  head.framing = {};
  if (!seen.websocket_version || *seen.websocket_version != "13" || seen.content_length) {
    return refuse(400, "http_websocket", "a WebSocket is of version 13 and has no length");
  }
  return {};
}

Error to_error(const Refusal& refusal) {
  return fail(refusal.status == 501 ? ErrorKind::kUnsupported : ErrorKind::kInvalid, refusal.code, refusal.message);
}

std::optional<std::string_view> find_field(const std::vector<Field>& fields, std::string_view name) {
  std::optional<std::string_view> found;
  for (const Field& field : fields) {
    if (!equals_ignoring_case(field.name, name)) continue;
    if (found) return std::nullopt;
    found = field.value;
  }
  return found;
}

bool has_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    if (equals_ignoring_case(trim(list.substr(0, end)), token)) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

bool is_token(std::string_view text) { return !text.empty() && is_all(text, kTokenByte); }
bool is_field_value(std::string_view text) { return is_all(text, kValueByte); }

bool is_hop_by_hop(std::string_view name) {
  const auto is = [&](std::string_view known) { return equals_ignoring_case(name, known); };
  switch (name.size()) {  // most are none of these: nothing is compared
    case 2: return is("te");
    case 7: return is("trailer") || is("upgrade");
    case 10: return is("connection") || is("keep-alive");
    case 14: return is("http2-settings");
    case 16: return is("proxy-connection");
    case 17: return is("transfer-encoding");
    case 18: return is("proxy-authenticate");
    case 19: return is("proxy-authorization");
    default: return false;
  }
}

}  // namespace wary::codec::http1
