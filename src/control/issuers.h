// Issuers: authorization servers whose tokens are believed: what may be applied of them, what the federation's process
// fetched of their keys, and how that went.
//
//   Issuers issuers(plane, {clock, log});
//   issuers.handle("federation/local", call, reply);      // jwks.fetched and jwks.failed of federation/issuer_keys.h
//   issuers.handle("edge/local", call, reply);            // {"op": "jwks.missing", "issuer"} -> {}
//   codec::Json status = issuers.status_of("corp");
//
// What was applied (Issuer) and what was fetched (FetchedKeys, no kind of its own) are two objects of one name, as with
// trust domains: the entity has the fetched keys, or the applied ones until there are any; other keys or another
// address applied, or deleting, takes the fetched ones away in the same change. A set without a key that can verify is
// refused, and the last good one stays. Every set that differs is a change with its event (issuer.keys_fetched), so
// that enforcement points decide again what stood on a key that is gone; failures are events too, one a minute at most.
// A token that names a key which the fetched set lacks makes them wanted (issuer.keys_missing), which the federation's
// process learns and fetches anew: once in 30 s of an issuer, for anybody can write such a token.
//
// Errors: issuer_unknown, issuer_keys_missing, issuer_taken (another has that `iss`), issuer_jwks_uri, issuer_listed
// (a value must mean a user or a workload), issuer_keys_size; those of enforce/jwt_issuer.h and crypto/jwk.h. Thread
// rule: the loop's. Limits: 192 KiB of keys as they are stored.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "control/plane.h"

namespace wary::control {

struct IssuersParts {
  Clock& clock;
  Log& log;
};

class Issuers {
 public:
  Issuers(Plane& plane, IssuersParts parts) : plane_(plane), parts_(parts) {}
  void handle(const std::string& node, const codec::Json& call, std::function<void(codec::Json)> reply);
  // As `status` of the resource, for people and programs.
  codec::Json status_of(const std::string& name) const;

 private:
  struct Attempt {
    std::string uri;             // that was asked
    std::int64_t succeeded = 0;  // wall clock, nanoseconds; 0: not since this process began
    std::int64_t failed = 0;
    std::int64_t recorded = 0;  // when a failure was last made an event, monotonic
    std::int64_t wanted = 0;    // when a key was last missing, monotonic
    Error error;
    bool is_failing = false;
  };
  void want(const std::string& node, const std::string& name);
  Status take(const std::string& node, const std::string& name, const codec::Json& call);
  void failed(const std::string& node, const std::string& name, Error error);

  Plane& plane_;
  IssuersParts parts_;
  std::map<std::string, Attempt> attempts_;
};

// An Issuer's own word of its keys, given as text or as JSON; empty without.
std::string applied_jwks(const codec::Json& spec);
// How its tokens are checked, as enforce/jwt_issuer.h reads it.
codec::Json issuer_rules(const codec::Json& spec, const Settings& settings);
// What a schema cannot say; the pointer and the error of the first thing that is wrong.
std::optional<std::pair<std::string, Error>> check_issuer(const Resource& resource, const Objects& next,
                                                          const Settings& settings);
// What changing or deleting it (no spec) does to what was fetched.
std::vector<Write> issuer_writes(const Objects& objects, const store::Key& key, const codec::Json* spec);

}  // namespace wary::control
