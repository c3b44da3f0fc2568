// IssuerKeys: fetches the keys of authorization servers (RFC 7517 sets) whose Issuer objects say where, and hands them
// up.
//
//   IssuerKeys keys({loop, clock, random, log, resolver, web_roots, call}, metrics);
//   keys.learn(entity);  keys.forget("corp");          // Wary::Issuer, as the link tells
//
// Calls up the link: {"op": "jwks.fetched", "issuer", "uri", "jwks"} -> {} or {"error"}; {"op": "jwks.failed",
// "issuer", "uri", "error": {"code", "message", "where", "found"}} -> {}.
//
// Each set is fetched when its address is learned or changes, then when the answer's Cache-Control says (max-age; 300 s
// without one; 60 s to 24 h, a tenth less at random); after a failure in 10 s, doubling up to that; and when a key that
// it lacks is wanted (the entity says since when), 10 s after the last time at the earliest. Whether a set is taken is
// the control plane's to say; here it is parsed first, in the process that holds nothing. Thread rule: the loop's.
// Limits: 256 issuers, 4 fetches at a time, 1 MiB a call, those of fetch.h. Errors of fetches: those of fetch.h and
// crypto/jwk.h, jwks_size.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "contract/entity.h"
#include "federation/fetch.h"

namespace wary::federation {

// https, or http of a loopback address, for a server beside this one. Error: issuer_jwks_uri.
Result<codec::Uri> parse_jwks_uri(std::string_view text);

struct IssuerKeysParts {
  io::Loop& loop;
  Clock& clock;
  Random& random;
  Log& log;
  io::Resolver& resolver;
  std::function<Result<crypto::TrustRoots>()> web_roots;
  std::function<void(const codec::Json& call, std::function<void(Result<codec::Json>)> reply)> call;
};

class IssuerKeys {
 public:
  IssuerKeys(IssuerKeysParts parts, Metrics& metrics);
  ~IssuerKeys();
  void learn(const contract::Entity& entity);
  void forget(const std::string& name);
  std::vector<std::string> names() const;

 private:
  struct Issuer {
    std::string uri;
    codec::Uri url;
    io::TimerId timer = 0;
    std::unique_ptr<Fetch> fetch;
    int failures = 0;  // one after another
    std::int64_t refresh_s = 0;
    std::int64_t wanted = 0;  // as the entity says: a time
    std::int64_t asked = 0;   // when the last fetch began, monotonic
  };
  void fetch_after(const std::string& name, std::int64_t nanos);
  void fetch(const std::string& name);
  void fetched(const std::string& name, Result<std::string> document);
  void failed(const std::string& name, const Error& error, bool is_told);

  IssuerKeysParts parts_;
  std::map<std::string, Issuer> issuers_;
  std::size_t fetching_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // an answer on its way holds a weak reference
  Metric& fetched_metric_;
  Metric& failed_metric_;
};

}  // namespace wary::federation
