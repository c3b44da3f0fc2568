// What the services of the Workload API's socket tell of themselves by gRPC reflection: the specification's
// workload.proto, and of Envoy's files the fields that are read or written here.
//
//   WARY_ASSIGN_OR_RETURN(const std::string reply, api_files().reply(message));
//
// Any thread; made once.
#pragma once

#include "http/grpc_reflection.h"

namespace wary::workload {

const http::GrpcReflection& api_files();

}  // namespace wary::workload
