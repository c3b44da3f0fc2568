// Outgoing: a client's request written anew for an application, from the model alone. Private to gateway/.
//
// Functions of their arguments; any thread. False when it cannot be written as one message.
#pragma once

#include <string_view>
#include <vector>

#include "base/random.h"
#include "codec/http1.h"
#include "gateway/upstream.h"

namespace wary::gateway {

// `fields` are those that go on, ours among them; `path` is normalised.
bool write_http1_request(const codec::http1::RequestHead& head, std::string_view path,
                         std::vector<codec::http1::Field>& fields, Random& random, OutgoingRequest& out);
bool write_http2_request(const codec::http1::RequestHead& head, std::string_view path,
                         const std::vector<codec::http1::Field>& fields, bool is_grpc, OutgoingRequest& out);

}  // namespace wary::gateway
