#include "gateway/headers.h"

#include <algorithm>
#include <array>

#include "codec/text.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

// Prefixes and whole names, lower case with '-'.
constexpr auto kReservedPrefixes =
    std::to_array<std::string_view>({"wary-", "x-wary-", "x-forwarded-", "x-auth-request-", "x-ssl-", "x-webauth-",
                                     "x-remote-", "remote-", "ssl-client-", "x-client-cert", "client-cert",
                                     "x-authenticated-", "x-goog-iap-", "x-amzn-oidc-", "cf-access-", "x-pomerium-"});
constexpr auto kReservedNames = std::to_array<std::string_view>({"forwarded",
                                                                 "x-real-ip",
                                                                 "x-user",
                                                                 "x-username",
                                                                 "x-userid",
                                                                 "x-user-id",
                                                                 "x-email",
                                                                 "x-groups",
                                                                 "x-user-groups",
                                                                 "x-original-url",
                                                                 "x-original-uri",
                                                                 "x-rewrite-url",
                                                                 "x-http-method-override",
                                                                 "x-http-method",
                                                                 "x-method-override",
                                                                 "true-client-ip",
                                                                 "x-client-ip",
                                                                 "x-cluster-client-ip",
                                                                 "x-spiffe-id",
                                                                 "proxy-authorization"});

bool matches(std::string_view name, std::string_view lower) {
  for (std::size_t i = 0; i < lower.size(); ++i) {
    // What is neither letter nor digit becomes '_' on the way into some programs' environments.
    const char byte = codec::to_lower(name[i]);
    const char folded = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ? byte : '-';
    if (folded != lower[i]) return false;
  }
  return true;
}

// Framing and authority follow from the model; the writer sets them.
bool is_written_by_us(std::string_view name) {
  return codec::equals_ignoring_case(name, "host") || codec::equals_ignoring_case(name, "content-length") ||
         codec::equals_ignoring_case(name, "expect") || codec::equals_ignoring_case(name, "traceparent");
}

// Whether the message's Connection fields name this one. Most messages have none, and most of the rest one.
class ConnectionLists {
 public:
  explicit ConnectionLists(const std::vector<http1::Field>& fields) : fields_(fields) {
    any_ = std::ranges::any_of(fields, is_connection);
  }
  bool name(std::string_view name) const {
    return any_ && std::ranges::any_of(fields_, [&](const http1::Field& field) {
             return is_connection(field) && http1::has_token(field.value, name);
           });
  }

 private:
  static bool is_connection(const http1::Field& field) { return codec::equals_ignoring_case(field.name, "connection"); }
  const std::vector<http1::Field>& fields_;
  bool any_ = false;
};

bool is_websocket_field(std::string_view name) {
  return name.size() > 14 && codec::equals_ignoring_case(name.substr(0, 14), "sec-websocket-");
}

// A cookie without a name comes back from some browsers as its value alone: "=__Host-wary_session=x" would be ours.
bool sets_own_cookie(std::string_view value) {
  value.remove_prefix(std::min(value.find_first_not_of("= \t"), value.size()));
  return value.starts_with(kSessionCookie) || value.starts_with(kStateCookie);
}

}  // namespace

bool is_reserved(std::string_view name) {
  for (const std::string_view prefix : kReservedPrefixes) {
    if (name.size() >= prefix.size() && matches(name.substr(0, prefix.size()), prefix)) return true;
  }
  for (const std::string_view reserved : kReservedNames) {
    if (name.size() == reserved.size() && matches(name, reserved)) return true;
  }
  return false;
}

std::string strip_own_cookies(std::string_view value) {
  std::string kept;
  while (!value.empty()) {
    const std::size_t end = std::min(value.find(';'), value.size());
    const std::string_view pair = codec::trim(value.substr(0, end));
    value.remove_prefix(std::min(end + 1, value.size()));
    const std::string_view name = codec::trim(pair.substr(0, std::min(pair.find('='), pair.size())));
    if (pair.empty() || name == kSessionCookie || name == kStateCookie) continue;
    if (!kept.empty()) kept += "; ";
    kept += pair;
  }
  return kept;
}

void forward_request_fields(const http1::RequestHead& head, std::string& cookies, std::vector<http1::Field>& out) {
  const ConnectionLists connection(head.fields);
  cookies.clear();
  for (const http1::Field& field : head.fields) {
    const bool websocket = head.upgrade == http1::Upgrade::kWebSocket && is_websocket_field(field.name);
    if (is_reserved(field.name) || is_written_by_us(field.name) || http1::is_hop_by_hop(field.name)) continue;
    if (connection.name(field.name) && !websocket) continue;
    if (codec::equals_ignoring_case(field.name, "cookie")) {
      const std::string kept = strip_own_cookies(field.value);
      if (!cookies.empty() && !kept.empty()) cookies += "; ";
      cookies += kept;
      continue;
    }
    out.push_back(field);
  }
  if (!cookies.empty()) out.push_back({"Cookie", cookies});
}

enforce::Presented credentials_of(const http1::RequestHead& head) {
  enforce::Presented out;
  const std::array<std::pair<std::string_view, std::string_view*>, 3> kept = {
      {{"authorization", &out.authorization}, {"x-api-key", &out.api_key}, {"dpop", &out.dpop}}};
  std::array<int, 3> seen = {};
  for (const http1::Field& field : head.fields) {
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (!codec::equals_ignoring_case(field.name, kept[i].first)) continue;
      *kept[i].second = field.value;
      if (++seen[i] > 1) out.has_repeated_field = true;
    }
  }
  return out;
}

void drop_credentials(const enforce::Subject& subject, std::vector<http1::Field>& fields) {
  std::erase_if(fields, [&](const http1::Field& field) {
    const auto is = [&](std::string_view name) { return codec::equals_ignoring_case(field.name, name); };
    if (subject.owns_authorization && (is("authorization") || is("dpop"))) return true;
    return subject.owns_api_key && is("x-api-key");
  });
}

// The gateway's own words to the client.
bool is_reserved_response(std::string_view name) { return name.size() >= 5 && matches(name.substr(0, 5), "wary-"); }

void forward_response_fields(const http1::ResponseHead& head, bool is_console, std::vector<http1::Field>& out) {
  const ConnectionLists connection(head.fields);
  for (const http1::Field& field : head.fields) {
    if (codec::equals_ignoring_case(field.name, "content-length") || http1::is_hop_by_hop(field.name)) continue;
    if (connection.name(field.name)) continue;
    if (is_reserved_response(field.name)) continue;
    if (!is_console && codec::equals_ignoring_case(field.name, "set-cookie") && sets_own_cookie(field.value)) continue;
    out.push_back(field);
  }
}

void forward_trailers(const std::vector<http1::Field>& trailers, std::vector<http1::Field>& out) {
  for (const http1::Field& field : trailers) {
    const bool routes = codec::equals_ignoring_case(field.name, "content-length") ||
                        codec::equals_ignoring_case(field.name, "host") ||
                        codec::equals_ignoring_case(field.name, "set-cookie");
    if (!routes && !http1::is_hop_by_hop(field.name) && !is_reserved_response(field.name)) out.push_back(field);
  }
}

}  // namespace wary::gateway
