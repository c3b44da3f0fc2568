// Headers: which fields of a client's request and of an upstream's answer go on. Identity comes from wary alone: what a
// client says about itself is dropped first, then hop-by-hop fields, then ours are set.
//
// Tokens and API keys are for wary where it knew somebody by them; what it did not take for its own is the
// application's.
//
// Functions of their arguments; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/http1.h"
#include "enforce/subject.h"

namespace wary::gateway {

constexpr std::string_view kSessionCookie = "__Host-wary_session";
constexpr std::string_view kStateCookie = "__Host-wary_state";

// A field that only wary may set, however it is spelled: case, and '_' for '-' (CGI and WSGI fold them).
bool is_reserved(std::string_view name);

// Appends what of a request goes on. `cookies` holds the rewritten Cookie value and outlives `out`.
void forward_request_fields(const codec::http1::RequestHead& head, std::string& cookies,
                            std::vector<codec::http1::Field>& out);
// The fields of a request that may hold a credential; views of the head.
enforce::Presented credentials_of(const codec::http1::RequestHead& head);
// Takes those out that wary knew the subject by, and the proof that came with them.
void drop_credentials(const enforce::Subject& subject, std::vector<codec::http1::Field>& fields);
// Appends what of a response goes on: no hop-by-hop field, and no cookie of ours but from the console, which signs in.
void forward_response_fields(const codec::http1::ResponseHead& head, bool is_console,
                             std::vector<codec::http1::Field>& out);
// Appends what of an answer's trailers goes on: nothing that a head would have had to say.
void forward_trailers(const std::vector<codec::http1::Field>& trailers, std::vector<codec::http1::Field>& out);
// A Cookie value without the cookies of ours.
std::string strip_own_cookies(std::string_view value);

}  // namespace wary::gateway
