// Who am I? Prints each identity that the Workload API gives this program, and again when one is renewed or taken away.
//
//   SPIFFE_ENDPOINT_SOCKET=unix:///var/lib/wary/run/agent/api.sock workload_example
#include <cstdio>
#include <cstdlib>

#include "io/system.h"
#include "workload/client.h"

int main() {
  using namespace wary;
  const char* named = std::getenv("SPIFFE_ENDPOINT_SOCKET");
  const auto address = workload::endpoint(named != nullptr ? named : "");
  if (!address) {
    std::fprintf(stderr, "%s\n", address.error().to_string().c_str());
    return 2;
  }
  const auto clock = io::make_system_clock();
  const auto loop = io::make_epoll_loop(*clock);
  workload::ClientEvents events;
  events.on_x509 = [](workload::X509Context context) {
    for (const workload::X509Identity& one : context.identities) {
      // one.chain and one.key go to the TLS library, one.bundle is what peers are verified by.
      std::printf("%s until %s, %zu authorities\n", one.spiffe_id.c_str(), to_rfc3339(one.not_after).c_str(),
                  one.bundle.size());
    }
    std::fflush(stdout);
  };
  events.on_error = [](const Error& why) { std::fprintf(stderr, "%s\n", why.to_string().c_str()); };
  workload::Client client(*loop, *address, std::move(events));
  client.start();
  loop->run();
}
