// URIs (RFC 3986) as far as decisions need them: absolute http and https, origin-form targets, one path for one
// resource, and SPIFFE IDs.
//
//   WARY_ASSIGN_OR_RETURN(codec::Uri uri, codec::parse_uri("https://a.example/b?c"));
//   WARY_ASSIGN_OR_RETURN(std::string path, codec::normalise_path("/a/./b%2Dc"));   // "/a/b-c"
//
// Values; any thread. Limits: 8 KiB a URI, 2,048 bytes a SPIFFE ID.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wary::codec {

struct Uri {
  std::string scheme;      // "http" or "https"
  std::string host;        // lower case; an IPv6 literal keeps its brackets
  std::uint16_t port = 0;  // the scheme's own if none is written
  std::string path;        // starts with '/', still percent-encoded
  std::optional<std::string> query;
  bool operator==(const Uri&) const = default;
  std::string to_string() const;
};
// No user information, no fragment. Errors: uri_size, uri_scheme, uri_authority, uri_path.
Result<Uri> parse_uri(std::string_view text);

struct Target {
  std::string_view path;
  std::optional<std::string_view> query;
};
// Views into `text`. Error: uri_path.
Result<Target> parse_origin_form(std::string_view text);

// host[:port]: a name of letters, digits, '-', '_' and single dots, an IPv4 address, or an IPv6 literal in brackets.
bool is_authority(std::string_view text);
// The one spelling of its name: lower case, without the port and a last dot. For any text; "a:x" is "a".
std::string host_name(std::string_view authority);
void assign_host_name(std::string& out, std::string_view authority);  // the same, into room that is there

// The one spelling a policy sees, and that is sent on: what may stand unescaped does, other escapes in upper case, dot
// segments and empty segments gone. Refused, because servers read them differently: encoded slash, backslash, control
// or percent before two digits, raw backslash, path parameters (';'), bytes that are no UTF-8, and leaving the root.
// Errors: path_syntax, path_ambiguous, path_escapes_root, with the byte offset.
Result<std::string> normalise_path(std::string_view path);
// True only of a path that is its one spelling already, as most are: then there is nothing to be made of it.
bool is_normal_path(std::string_view path);

struct SpiffeId {
  std::string trust_domain;
  std::string path;  // empty or starts with '/'
  auto operator<=>(const SpiffeId&) const = default;
  std::string to_string() const;
};
// The SPIFFE ID standard, section 2. Errors: spiffe_id_scheme, spiffe_id_trust_domain, spiffe_id_path, spiffe_id_size.
Result<SpiffeId> parse_spiffe_id(std::string_view text);

}  // namespace wary::codec
