// Subject: who asks, how that is known, and what their credential says beside it; and what becomes of it in a request.
//
//   Subject who = point.identify({.session_token = cookie, .host = host, .authorization = header, ...});
//   describe(who, request);                       // principal, and context.session, .token or .api_key
//
// A credential of wary's that is wrong is a refusal, never nobody: whoever shows one means it. Values; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "contract/decision.h"
#include "enforce/jwt_issuer.h"

namespace wary::enforce {

// What a request shows of who sends it; views of the caller's.
struct Presented {
  std::string_view session_token = {};  // the cookie
  std::string_view host = {};           // host[:port] that was asked for
  std::string_view spiffe_id = {};      // of the client's certificate, verified
  std::string_view authorization = {};  // values of the fields, empty without one
  std::string_view api_key = {};        // X-Api-Key
  std::string_view dpop = {};
  std::string_view method = {};
  std::string_view path = {};        // normalised, of the address that a DPoP proof is for
  ByteView client_certificate = {};  // DER, verified
  bool has_repeated_field = false;   // one of the three fields came twice: which is meant, programs read differently
};

enum class How { kNobody, kSvid, kSession, kToken, kApiKey };
std::string_view to_string(How how);  // "svid"

// What to answer with. `authenticate` is the value of WWW-Authenticate (RFC 6750, 9449, 9470); may be empty.
struct Challenge {
  int status = 401;
  std::string code;
  std::string message;
  std::string authenticate;
};

struct Subject {
  contract::EntityId principal;
  std::optional<contract::EntityId> session = {};
  bool is_anonymous = true;
  How how = How::kNobody;
  std::optional<contract::EntityId> api_key = {};
  std::optional<contract::EntityId> api_key_hash = {};
  std::optional<contract::EntityId> device = {};    // the Node whose certificate the connection has
  std::shared_ptr<const VerifiedToken> token = {};  // shared with the cache
  bool is_dpop = false;                             // the token came with a proof
  // Fields that held a credential of wary's, which nobody else is to see.
  bool owns_authorization = false;
  bool owns_api_key = false;
  std::optional<Challenge> refusal = {};  // the credential is wrong: nothing is allowed, whatever nobody may do
  std::string hint = {};                  // code of why what was shown is no credential here; empty without
};

void describe(const Subject& subject, contract::Request& request);
// What a token says, as `context.token`.
codec::Json token_facts(const VerifiedToken& token);

// RFC 6750 section 3: `scheme`, then the error and its description where there is one; `more` as it is.
std::string authenticate_value(std::string_view scheme, std::string_view error, std::string_view description,
                               std::string_view more = {});

}  // namespace wary::enforce
