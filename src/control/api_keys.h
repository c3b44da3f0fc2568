// API keys as objects: what may be applied of them, and what goes with them into the store.
//
//   auto wrong = check_api_key(resource, next);
//   std::vector<Write> more = api_key_writes(objects, key, &spec);     // with the object's own write
//
// Who makes a key keeps it; here its hash alone arrives (POST /v1/apikeys, or an applied ApiKey). The object is found
// by name, and by hash through a second object ApiKeyHash, which comes and goes with it. Functions; the plane's thread.
// Errors: api_key_holder (one of user and workload), api_key_scope, api_key_taken (two objects of one key),
// reference_unknown; of POST also api_key_name, api_key_exists, api_key_life (1 s to 366 days).
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "control/plane.h"

namespace wary::control {

// What a schema cannot say; the pointer and the error of the first thing that is wrong.
std::optional<std::pair<std::string, Error>> check_api_key(const Resource& resource, const Objects& next);
// What changing or deleting it (no spec) does to the hash it is found by.
std::vector<Write> api_key_writes(const Objects& objects, const store::Key& key, const codec::Json* spec);
// As `status` of the resource: whose it is, what for, until when.
codec::Json api_key_status(const Objects& objects, const std::string& name, UnixTime now);

}  // namespace wary::control
