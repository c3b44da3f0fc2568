// Client: a program's end of the SPIFFE Workload API, this one's or another's.
//
//   workload::Client client(loop, clock, *workload::endpoint(text_of_SPIFFE_ENDPOINT_SOCKET), {
//       .on_x509 = [&](const workload::X509Context& context) { ... the newest SVIDs and bundles, whole ... },
//       .on_error = [&](const Error& why) { ... no stream now; it is tried again ... }});
//   client.start();
//
// See examples/workload. A stream that ends is opened again after 1 s, doubling to 30 s. What a server sends is checked
// for its form and for its keys (the leaf's key is the private key; the leaf is an SVID of the ID it is named by); a
// message that fails is dropped whole and the stream opened anew. Thread rule: the loop's. Limits: 4 MiB a message, 256
// SVIDs. Errors: workload_endpoint, workload_unavailable, workload_denied, workload_message, and those of x509.h.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/secret.h"
#include "crypto/x509.h"
#include "io/loop.h"

namespace wary::workload {

struct X509Identity {
  std::string spiffe_id;
  std::vector<Bytes> chain;  // DER, leaf first
  Secret key;                // PKCS#8
  std::vector<Bytes> bundle;
  std::string hint;
  UnixTime not_after;
};
struct X509Context {
  std::vector<X509Identity> identities;                 // the first is the default
  std::map<std::string, std::vector<Bytes>> federated;  // by SPIFFE ID of the trust domain
};

// unix:///absolute/path, or tcp://IP:PORT (SPIFFE_Workload_Endpoint.md section 4). Error: workload_endpoint.
Result<io::Address> endpoint(std::string_view text);
// An X509SVIDResponse.
Result<X509Context> decode_x509_context(std::string_view message);

struct ClientEvents {
  std::function<void(X509Context context)> on_x509;
  std::function<void(const Error& why)> on_error;
};

class Client {
 public:
  Client(io::Loop& loop, io::Address address, ClientEvents events);
  ~Client();
  void start();

 private:
  class Connection;
  void connect();
  void ended(const Error& why);
  io::Loop& loop_;
  io::Address address_;
  ClientEvents events_;
  std::unique_ptr<Connection> connection_;
  std::int64_t backoff_ = 0;
  io::TimerId retry_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace wary::workload
