// Service: the decision point's listeners. What speaks HTTP asks at pdp.sock, HAProxy at spop.sock (spop.h); who asks
// is the kernel's word.
//
//   Service service(loop, authority, {.directory = "run/edge", .peers = {33}});
//   WARY_RETURN_IF_ERROR(service.listen());
//
// Paths: AuthZEN's (authzen.h), /forward-auth, /nginx, /envoy/ (forward.h), /kubernetes/authorize (kubernetes.h). Peers
// are this process's own user, root, and the users named; anybody else gets 401. Without named users the socket's mode
// is 0600. What comes from this very process is the gateway's, with an App of
// somebody's in front: then the Wary-Principal that the gateway verified and set asks, and needs `pdp.evaluate` on
// Wary::Platform::"wary" (403 otherwise). Thread rule: the loop's. Limits: http/server.h; 256 connections at the other
// two, of which the one that was silent longest makes way for the next.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "http/server.h"
#include "http/wire.h"
#include "pdp/authzen.h"

namespace wary::pdp {

struct ServiceOptions {
  std::string directory;
  uid_t own = 0;
  pid_t own_process = 0;
  std::vector<uid_t> peers;  // other users whose programs may ask
};

class Service {
 public:
  Service(io::Loop& loop, Authority& authority, ServiceOptions options);
  ~Service();
  Status listen();
  // On these sockets, which another process of this gateway listened on (io/loop.h), in the order of descriptors().
  Status listen(const std::vector<int>& inherited);
  std::vector<int> descriptors() const;
  void pause();
  void resume();
  void leave();
  // Of HTTP, open: whoever keeps one has its last answer on it to come, after leave().
  std::size_t connections() const { return server_.connections(); }
  // While two processes are the gateway, what comes from the other is the gateway's as well; 0: there is none.
  void set_other_process(pid_t pid) { other_process_ = pid; }

 private:
  void drop_most_silent();
  void offload(std::unique_ptr<io::Stream> stream, bool is_grpc);
  bool is_known(const io::PeerCredentials& peer) const;
  void handle(http::Exchange& exchange);
  bool may_evaluate(const std::string& principal);

  io::Loop& loop_;
  Authority& authority_;
  Authzen authzen_;
  bool is_gateway(pid_t pid) const {
    return pid == options_.own_process || (other_process_ != 0 && pid == other_process_);
  }

  ServiceOptions options_;
  pid_t other_process_ = 0;
  http::Server server_;
  std::unique_ptr<io::Listener> grpc_listener_, spop_listener_;
  std::map<std::uint64_t, std::unique_ptr<http::Wire>> wires_;
  std::uint64_t last_wire_ = 0;
};

}  // namespace wary::pdp
