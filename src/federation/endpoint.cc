#include "federation/endpoint.h"

namespace wary::federation {

namespace {

constexpr std::string_view kWebName = "https_web";
constexpr std::string_view kSpiffeName = "https_spiffe";

Error refuse_endpoint(std::string_view code, std::string_view message, std::string_view member) {
  return fail(ErrorKind::kInvalid, code, message).at(std::string(member));
}

}  // namespace

Result<Endpoint> endpoint_from(const codec::Json& json) {
  Endpoint endpoint;
  const std::string_view url = json.string_or("url", ""), profile = json.string_or("profile", "");
  auto parsed = codec::parse_uri(url);
  if (!parsed || parsed->scheme != "https" || parsed->port == 0) {
    return refuse_endpoint("federation_url", "a bundle endpoint is an https URL", "url")
        .expected("https://HOST[:PORT]/PATH, without user information and fragment")
        .found(url);
  }
  endpoint.url = std::move(parsed).value();
  if (profile != kWebName && profile != kSpiffeName) {
    return refuse_endpoint("federation_profile", "this profile is not known", "profile")
        .expected("https_web or https_spiffe")
        .found(profile);
  }
  endpoint.profile = profile == kWebName ? Profile::kWeb : Profile::kSpiffe;
  const std::string_view id = json.string_or("spiffeId", "");
  if (endpoint.profile == Profile::kWeb) {
    if (json.find("spiffeId") == nullptr) return endpoint;
    return refuse_endpoint("federation_spiffe_id", "a server of profile https_web is known by its name", "spiffeId")
        .expected("profile https_spiffe, or no SPIFFE ID");
  }
  auto spiffe_id = crypto::parse_spiffe_id(id);
  if (!spiffe_id || spiffe_id->path.empty()) {
    return refuse_endpoint("federation_spiffe_id", "profile https_spiffe needs the server's SPIFFE ID", "spiffeId")
        .expected("spiffe://TRUST-DOMAIN/PATH")
        .found(id);
  }
  endpoint.spiffe_id = std::move(spiffe_id).value();
  return endpoint;
}

codec::Json to_json(const Endpoint& endpoint) {
  codec::Json out = codec::Json::object();
  out.set("url", endpoint.url.to_string());
  out.set("profile", endpoint.profile == Profile::kWeb ? kWebName : kSpiffeName);
  if (endpoint.profile == Profile::kSpiffe) out.set("spiffeId", endpoint.spiffe_id.to_string());
  return out;
}

std::string authority_of(const codec::Uri& url) {
  return url.port == 443 ? url.host : url.host + ":" + std::to_string(url.port);
}

Result<codec::Uri> redirect_target(const codec::Uri& from, std::string_view location) {
  const std::string_view target = location.substr(0, location.find('#'));
  std::string whole(target);
  if (target.starts_with("//")) {
    whole = "https:" + whole;
  } else if (target.starts_with('/')) {
    whole = "https://" + authority_of(from) + whole;
  }
  auto parsed = codec::parse_uri(whole);
  if (parsed && parsed->scheme == "https" && parsed->port != 0) return parsed;
  return fail(ErrorKind::kDenied, "federation_redirect", "the endpoint redirects to where no bundle is fetched")
      .at(from.to_string())
      .expected("an https URL")
      .found(location);
}

}  // namespace wary::federation
