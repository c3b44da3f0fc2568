#include "codec/uri.h"

#include <charconv>
#include <vector>

#include "base/limits.h"
#include "codec/http1_table.h"
#include "codec/text.h"

namespace wary::codec {

using http1::is_all;
using http1::is_class;

namespace {

Error refuse(std::string_view code, std::string_view message, std::size_t offset) {
  return fail(ErrorKind::kInvalid, code, message).at("byte " + std::to_string(offset));
}

// Bytes of host, or npos.
std::size_t host_length(std::string_view text) {
  if (text.empty() || text.size() > 255 + 6) return std::string_view::npos;
  std::size_t end = 0;
  if (text.front() == '[') {
    end = text.find(']');
    if (end == std::string_view::npos || end < 3 || end > 46) return std::string_view::npos;
    for (const char byte : text.substr(1, end - 1)) {
      if (hex_value(byte) < 0 && byte != ':' && byte != '.') return std::string_view::npos;
    }
    if (text.substr(0, end).find(':') == std::string_view::npos) return std::string_view::npos;
    return end + 1;
  }
  while (end < text.size() && is_class(text[end], http1::kHostByte)) ++end;
  const bool bad = end == 0 || text.front() == '.' || text.substr(0, end).find("..") != std::string_view::npos;
  return bad ? std::string_view::npos : end;
}

bool parse_port(std::string_view text, std::uint16_t& port) {
  return !text.empty() && text.size() <= 5 && is_all(text, http1::kDigitByte) &&
         std::from_chars(text.data(), text.data() + text.size(), port).ec == std::errc{};
}

// Splits at the dots that matter and puts together again; `path` is decoded as far as it may be.
Result<std::string> remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  bool directory = false;  // ends with a slash
  std::size_t at = 1;
  while (at <= path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    directory = segment.empty() || segment == "." || segment == "..";
    if (segment == "..") {
      if (kept.empty()) return refuse("path_escapes_root", "the path leaves the root", at);
      kept.pop_back();
    } else if (!directory) {
      kept.push_back(segment);
    }
    at = end + 1;
  }
  std::string out;
  for (const std::string_view segment : kept) out.append("/").append(segment);
  if (directory || out.empty()) out += '/';
  return out;
}

}  // namespace

std::string host_name(std::string_view authority) {
  std::string out;
  assign_host_name(out, authority);
  return out;
}

void assign_host_name(std::string& out, std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
  if (has_port) authority = authority.substr(0, colon);
  if (authority.ends_with('.')) authority.remove_suffix(1);
  out = authority;
  for (char& letter : out) letter = to_lower(letter);
}

bool is_authority(std::string_view text) {
  const std::size_t end = host_length(text);
  if (end == std::string_view::npos) return false;
  std::uint16_t port = 0;
  return end == text.size() || (text[end] == ':' && parse_port(text.substr(end + 1), port));
}

Result<Target> parse_origin_form(std::string_view text) {
  if (!text.starts_with('/')) return refuse("uri_path", "a path starts with a slash", 0);
  Target target{text, std::nullopt};
  http1::ByteClass wanted = http1::kPathByte;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_class(text[i], wanted)) continue;
    if (text[i] == '?' && wanted == http1::kPathByte) {
      wanted = http1::kQueryByte;
      target = {text.substr(0, i), text.substr(i + 1)};
    } else if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      i += 2;
    } else {
      return refuse("uri_path", "this byte does not stand in a path or query", i);
    }
  }
  return target;
}

Result<Uri> parse_uri(std::string_view text) {
  if (text.size() > limits::kHttpTargetBytes) return refuse("uri_size", "the URI is too long", text.size());
  Uri uri;
  const std::size_t colon = text.find("://");
  if (colon != std::string_view::npos) uri.scheme = to_lower(text.substr(0, colon));
  if (uri.scheme != "http" && uri.scheme != "https") return refuse("uri_scheme", "the scheme is http or https", 0);
  const std::size_t start = colon + 3;
  const std::size_t end = std::min(text.find_first_of("/?#", start), text.size());
  const std::string_view authority = text.substr(start, end - start);
  if (!is_authority(authority)) return refuse("uri_authority", "this is no host and port", start);
  const std::size_t length = host_length(authority);
  uri.host = to_lower(authority.substr(0, length));
  uri.port = uri.scheme == "https" ? 443 : 80;
  if (length < authority.size() && !parse_port(authority.substr(length + 1), uri.port)) {
    return refuse("uri_authority", "this is no port", start + length);
  }
  std::string rest(text.substr(end));
  if (!rest.starts_with('/')) rest.insert(0, 1, '/');
  WARY_ASSIGN_OR_RETURN(const Target target, parse_origin_form(rest));
  uri.path = target.path;
  if (target.query) uri.query = std::string(*target.query);
  return uri;
}

std::string Uri::to_string() const {
  std::string out = scheme + "://" + host;
  if (port != (scheme == "https" ? 443 : 80)) out += ":" + std::to_string(port);
  out += path;
  if (query) out += "?" + *query;
  return out;
}

Result<std::string> normalise_path(std::string_view path) {
  if (!path.starts_with('/')) return refuse("path_syntax", "a path starts with a slash", 0);
  std::string decoded;  // with the escapes that stay
  std::string plain;    // wholly decoded, to see whether it is text
  decoded.reserve(path.size());
  for (std::size_t i = 0; i < path.size(); ++i) {
    char byte = path[i];
    const bool escaped = byte == '%';
    if (escaped) {
      const int high = i + 1 < path.size() ? hex_value(path[i + 1]) : -1;
      const int low = i + 2 < path.size() ? hex_value(path[i + 2]) : -1;
      if (high < 0 || low < 0) return refuse("path_syntax", "a percent sign is followed by two hexadecimal digits", i);
      byte = static_cast<char>(high << 4 | low);
    } else if (byte != '\\' && !is_class(byte, http1::kPathByte)) {
      return refuse("path_syntax", "this byte does not stand in a path", i);
    }
    const auto code = static_cast<unsigned char>(byte);
    if (byte == '\\' || byte == ';' || (escaped && byte == '/') || code < 0x20 || code == 0x7f) {
      return refuse("path_ambiguous", "servers read this part of a path differently", i);
    }
    plain += byte;
    // What may stand in a path unescaped is so: servers read "%3A" and ":" as the same resource, and so must a policy.
    if (!escaped || is_class(byte, http1::kPathByte)) {
      decoded += byte;
    } else {
      decoded += encode_percent(std::string_view(&byte, 1));
    }
    if (escaped) i += 2;
  }
  // Seen on the decoded path, where "%25%36%31" has become what a second decoding would read as "a".
  for (std::size_t at = decoded.find("%25"); at != std::string::npos; at = decoded.find("%25", at + 1)) {
    if (at + 4 < decoded.size() && hex_value(decoded[at + 3]) >= 0 && hex_value(decoded[at + 4]) >= 0) {
      return refuse("path_ambiguous", "servers that decode twice read another path", at);
    }
  }
  if (!is_utf8(plain)) return refuse("path_ambiguous", "the path is no UTF-8", 0);
  return remove_dot_segments(decoded);
}

bool is_normal_path(std::string_view path) {
  if (!path.starts_with('/')) return false;
  char before = 'x';
  for (const char byte : path) {
    if (!is_class(byte, http1::kPathByte) || byte == ';') return false;
    // A segment that is empty or begins with a dot may be one that goes: normalise_path tells.
    if (before == '/' && (byte == '/' || byte == '.')) return false;
    before = byte;
  }
  return true;
}

std::string SpiffeId::to_string() const { return "spiffe://" + trust_domain + path; }

Result<SpiffeId> parse_spiffe_id(std::string_view text) {
  constexpr std::string_view kScheme = "spiffe://";
  if (text.size() > 2048) return refuse("spiffe_id_size", "a SPIFFE ID is at most 2,048 bytes", 2048);
  if (!text.starts_with(kScheme)) return refuse("spiffe_id_scheme", "a SPIFFE ID starts with spiffe://", 0);
  const auto allowed = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' || byte == '_';
  };
  std::size_t at = kScheme.size();
  while (at < text.size() && allowed(text[at])) ++at;
  SpiffeId id;
  id.trust_domain = text.substr(kScheme.size(), at - kScheme.size());
  if (id.trust_domain.empty() || id.trust_domain.size() > 255 || (at < text.size() && text[at] != '/')) {
    return refuse("spiffe_id_trust_domain", "a trust domain is 1 to 255 of a-z 0-9 . - _", at);
  }
  id.path = text.substr(at);
  while (at < text.size()) {
    const std::size_t start = ++at;
    while (at < text.size() && (allowed(text[at]) || (text[at] >= 'A' && text[at] <= 'Z'))) ++at;
    const std::string_view segment = text.substr(start, at - start);
    const bool bad = segment.empty() || segment == "." || segment == ".." || (at < text.size() && text[at] != '/');
    if (bad) return refuse("spiffe_id_path", "a path segment is of a-z A-Z 0-9 . - _ and not empty, . or ..", at);
  }
  return id;
}

}  // namespace wary::codec
