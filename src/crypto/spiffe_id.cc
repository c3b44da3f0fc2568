#include "crypto/spiffe_id.h"

#include "base/bytes.h"

namespace wary::crypto {

namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::size_t kIdMax = 2048;
constexpr std::size_t kTrustDomainMax = 255;

bool is_domain_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}
bool is_path_byte(char c) { return is_domain_byte(c) || (c >= 'A' && c <= 'Z'); }

Error syntax(std::size_t offset, std::string_view message) {
  return fail(ErrorKind::kInvalid, "spiffe_id_syntax", message).at("offset " + std::to_string(offset));
}

}  // namespace

Result<SpiffeId> parse_spiffe_id(std::string_view text) {
  if (text.size() > kIdMax) return syntax(kIdMax, "a SPIFFE ID has at most 2048 bytes");
  // The scheme is case-insensitive in URIs; one spelling is accepted, so that equal names are equal bytes.
  if (!text.starts_with(kScheme)) return syntax(0, "a SPIFFE ID starts with spiffe://");
  const std::size_t slash = text.find('/', kScheme.size());
  const std::string_view domain = text.substr(kScheme.size(), slash == text.npos ? text.npos : slash - kScheme.size());
  if (domain.empty() || domain.size() > kTrustDomainMax) {
    return syntax(kScheme.size(), "a trust domain has 1 to 255 bytes");
  }
  for (std::size_t i = 0; i < domain.size(); ++i) {
    if (!is_domain_byte(domain[i])) return syntax(kScheme.size() + i, "a trust domain has a-z, 0-9, '.', '-' and '_'");
  }
  const std::string_view path = slash == text.npos ? std::string_view() : text.substr(slash);
  std::size_t start = 1;
  for (std::size_t i = 1; !path.empty() && i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/') {
      if (!is_path_byte(path[i])) return syntax(slash + i, "a path has a-z, A-Z, 0-9, '.', '-' and '_'");
      continue;
    }
    const std::string_view segment = path.substr(start, i - start);
    if (segment.empty() || segment == "." || segment == "..") {
      return syntax(slash + start, "a path segment is neither empty nor '.' nor '..'");
    }
    start = i + 1;
  }
  return SpiffeId{std::string(domain), std::string(path)};
}

}  // namespace wary::crypto
