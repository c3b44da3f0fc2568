// Endpoint: where another trust domain serves its bundle, and how its server is known (SPIFFE_Federation.md section 5).
//
//   WARY_ASSIGN_OR_RETURN(Endpoint endpoint, endpoint_from(*spec.find("bundleEndpoint")));
//   WARY_ASSIGN_OR_RETURN(codec::Uri next, redirect_target(endpoint.url, location));   // of a 307, for instance
//
// https_web: the server has the URL's name or address, by the web's CAs. https_spiffe: it is `spiffe_id`, by the bundle
// of that one's trust domain. A redirect changes where the bundle is fetched once, never how its server is known.
// Values; any thread. Limits: those of codec/uri.h. Errors: federation_url, federation_profile, federation_spiffe_id,
// federation_redirect.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "codec/json.h"
#include "codec/uri.h"
#include "crypto/spiffe_id.h"

namespace wary::federation {

// Where wary serves its own bundle, on either door.
constexpr std::string_view kBundlePath = "/.well-known/spiffe-bundle";
// How often a bundle is fetched at most and at least, whatever its hint; seconds.
constexpr std::int64_t kRefreshLeast = 10, kRefreshMost = 24 * 3600;

enum class Profile { kWeb, kSpiffe };

struct Endpoint {
  codec::Uri url;  // https
  Profile profile = Profile::kWeb;
  crypto::SpiffeId spiffe_id;  // with kSpiffe
  bool operator==(const Endpoint&) const = default;
};

// {"url", "profile": "https_web" | "https_spiffe", "spiffeId"}. `where` of an error is the member.
Result<Endpoint> endpoint_from(const codec::Json& json);
codec::Json to_json(const Endpoint& endpoint);

// An absolute URL, one without scheme, or an absolute path, of a Location field; https alone.
Result<codec::Uri> redirect_target(const codec::Uri& from, std::string_view location);

// The host and port of a Host field.
std::string authority_of(const codec::Uri& url);

}  // namespace wary::federation
