// The PROXY protocol, version 2: what a load balancer says ahead of a connection's own bytes about whose it is.
//
//   auto header = codec::parse_proxy_v2(bytes);        // nothing: more bytes are needed
//   if (!header) refuse; else if (*header) use (*header)->source, drop (*header)->size bytes
//
// Only a peer that is configured to say it is believed: to anyone else these bytes are no protocol at all. Version 1 is
// not read: its text form has been read differently by different programs. Source: the HAProxy project's specification,
// section 2.2. Pure; any thread. Limits: 4 KiB after the fixed part; 128 bytes of a unique id. Error: proxy_header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::codec {

struct ProxyHeader {
  std::size_t size = 0;  // of the header, all of it
  std::string source;    // "192.0.2.1:5000" or "[2001:db8::1]:5000"; empty: the connection's own address counts
  std::string destination;
  std::string unique_id;     // as it was given: bytes
  bool came_by_tls = false;  // the balancer says that the client's connection was, and ended it there
};

Result<std::optional<ProxyHeader>> parse_proxy_v2(ByteView bytes);

}  // namespace wary::codec
