// SignIn: how a person gets a session: a one-time link, then a one-time code for each application's host. Nothing else
// signs a person in.
//
//   Link link = sign_in.create_link(by, "alice")           // `wary session create alice`
//   Token token = sign_in.redeem_link(code)                // the console's page posts the code: a session begins
//   std::string code = sign_in.create_code(session, host, state)   // on the way to an application
//   Token token = sign_in.redeem_code(code, host, state)   // the edge, for that host and that browser only
//
// Links and tokens are 128 random bits; only their SHA-256 is stored. A link lives 10 minutes, a code 30 seconds, a
// session 8 hours; each link and code works once. Codes are in memory: a restart asks the browser to go round again.
// Thread rule: the plane's. Limits: 10,000 codes.
// Errors: sign_in_refused (unknown, used, too old, or another host or browser: all answered alike), user_unknown,
// user_disabled.
#pragma once

#include <map>
#include <string>

#include "control/plane.h"

namespace wary::control {

struct Issued {
  std::string secret;   // the code or token
  std::string session;  // its id, where one exists
  UnixTime expires;
  std::uint64_t revision = 0;  // that decides by it, where anything was committed
};

class SignIn {
 public:
  SignIn(Plane& plane, Clock& clock, Random& random) : plane_(plane), clock_(clock), random_(random) {}
  Result<Issued> create_link(const contract::EntityId& by, const std::string& user);
  Result<Issued> redeem_link(const std::string& code);
  // `host` is the name of an App alone, without port: whoever writes the address it goes to, writes it from this.
  Result<Issued> create_code(const std::string& session, const std::string& host, const std::string& state);
  Result<Issued> redeem_code(const std::string& code, const std::string& host, const std::string& state);
  // Removes what is too old; called now and then.
  void sweep();

 private:
  struct Code {
    std::string session;
    std::string host;
    std::string state;
    std::int64_t expires;
  };
  Write credential(const std::string& token, const std::string& session, const std::string& host) const;
  Status check_user(const std::string& user) const;
  void drop_oldest_code(const std::string& session);
  void retire_credentials(const std::string& session, const std::string& host, Change& change) const;

  Plane& plane_;
  Clock& clock_;
  Random& random_;
  std::map<std::string, Code> codes_;  // by hash
};

}  // namespace wary::control
