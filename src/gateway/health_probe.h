// HealthProbe: asks one place of an application whether it is well, once. Private to gateway/.
//
// An application of HTTP/1.1 is well when it answers the path with 200 to 399 in time; one of HTTP/2 when it takes a
// connection. Thread rule: its worker's. Limit: 16 KiB of an answer's heads, interim ones
// among them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gateway/site.h"

namespace wary::gateway {

class HealthProbe {
 public:
  using Done = std::function<void(bool well)>;
  HealthProbe(io::Loop& loop, const io::Address& address, const HealthCheck& check, std::string host,
              bool connects_only, std::int64_t now, Done done);
  ~HealthProbe();
  void start();
  void sweep(std::int64_t now);
  bool is_over() const { return !done_; }
  std::function<std::unique_ptr<io::Stream>(std::unique_ptr<io::Stream>)> secure;

 private:
  void connected(Result<std::unique_ptr<io::Stream>> stream);
  void ready();
  std::optional<int> final_status() const;
  void finish(bool well);

  io::Loop& loop_;
  io::Address address_;
  HealthCheck check_;
  std::string host_;
  bool connects_only_;
  std::int64_t deadline_;
  Done done_;
  std::unique_ptr<io::Stream> stream_;
  std::string out_, in_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // a connection that comes late finds nobody
};

}  // namespace wary::gateway
