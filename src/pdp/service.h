// Service: the decision point's listener. Every plug answers on one unix socket; who asks is the kernel's word.
//
//   Service service(loop, authority, {.path = "run/edge/pdp.sock", .peers = {33}});
//   WARY_RETURN_IF_ERROR(service.listen());
//
// Paths: AuthZEN's (authzen.h), /forward-auth, /nginx, /envoy/ (forward.h), /kubernetes/authorize (kubernetes.h). Peers
// are this process's own user, root, and the users named; anybody else gets 401. Without named users the socket's mode
// is 0600. Thread rule: the loop's. Limits: http/server.h.
#pragma once

#include <memory>
#include <vector>

#include "http/server.h"
#include "pdp/authzen.h"

namespace wary::pdp {

struct ServiceOptions {
  std::string path;
  uid_t own = 0;
  std::vector<uid_t> peers;  // other users whose programs may ask
};

class Service {
 public:
  Service(io::Loop& loop, Authority& authority, ServiceOptions options);
  Status listen();

 private:
  bool is_known(const io::PeerCredentials& peer) const;
  void handle(http::Exchange& exchange);

  Authority& authority_;
  Authzen authzen_;
  ServiceOptions options_;
  http::Server server_;
};

}  // namespace wary::pdp
