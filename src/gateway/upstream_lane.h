// UpstreamLane: one place of an application, as one worker sees it: its connections and how it does. Private to
// gateway/. Thread rule: its worker's.
#pragma once

#include <memory>
#include <vector>

#include "gateway/site.h"
#include "gateway/upstream_pool.h"
#include "http/tls_stream.h"

namespace wary::gateway {

class Http1Upstream;
class Http2Upstream;

struct UpstreamLane {
  io::Address address;
  bool is_http2 = false;
  std::shared_ptr<const crypto::TlsClientContext> tls;  // of the newest application that it serves
  std::string server_name;
  std::size_t active = 0;  // calls on it
  std::vector<std::unique_ptr<Http1Upstream>> idle;
  std::vector<std::shared_ptr<Http2Upstream>> shared;
  std::vector<UpstreamWaiter> waiting;  // for a shared connection that is on its way

  int failures = 0;  // to connect, in a row
  int ejections = 0;
  std::int64_t ejected_until = 0;

  bool is_healthy = true;  // as its health check finds it
  bool is_probed = false;  // just now
  int streak = 0;          // of answers that speak against is_healthy
  std::int64_t next_probe = 0;

  // What speaks to the place over this connection.
  std::unique_ptr<io::Stream> secure(io::Loop& loop, std::unique_ptr<io::Stream> stream) const {
    if (!tls) return stream;
    return std::make_unique<http::TlsStream>(loop, std::move(stream), crypto::TlsSession(*tls, server_name));
  }
  // Whether it ended because the other end could not be verified, and not by itself.
  bool has_failed_identity(const io::Stream* stream) const {
    const auto* secured = tls ? dynamic_cast<const http::TlsStream*>(stream) : nullptr;
    return secured != nullptr && secured->failure() && secured->failure()->code != "tls_truncated";
  }
  bool is_well(std::int64_t now) const { return is_healthy && ejected_until <= now; }
  void note_probe(bool well, const HealthCheck& check) {
    streak = well == is_healthy ? 0 : streak + 1;
    if (streak < (is_healthy ? check.unhealthy : check.healthy)) return;
    is_healthy = well;
    streak = 0;
  }
};

}  // namespace wary::gateway
