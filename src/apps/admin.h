// What a process says of itself, to its own user and to root: counters at /metrics, and at /livez that its main loop
// turns. On admin.sock in its directory. Thread rule: the loop's.
#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "http/server.h"

namespace wary::apps {

Result<std::unique_ptr<http::Server>> serve_metrics(io::Loop& loop, Metrics& metrics, const std::string& directory,
                                                    int inherited = -1);

}  // namespace wary::apps
