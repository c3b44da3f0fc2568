// Listener: this trust domain's bundle for others, by profile https_spiffe: an HTTPS server whose certificate is an
// SVID.
//
//   Listener listener({loop, clock, log}, "a.example", issue);
//   WARY_RETURN_IF_ERROR(listener.listen(io::Address::tcp("127.0.0.1", 8443)));
//   listener.serve(document);              // what GET /.well-known/spiffe-bundle answers from now on
//
// The key is made here; `issue` has it certified. Renewed at half its life, and at once when the document no longer has
// the root it is below. When the document changed otherwise it waits up to three refresh hints: a new root may sign
// already, and who is to learn of it by this endpoint knows the old one. Nobody is served before there are a
// certificate and a document. Nobody needs a certificate to ask. Thread rule: the loop's; `issue` answers from it.
// Limits: those of http/server.h; TLS 1.3 alone.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "crypto/tls.h"
#include "http/server.h"

namespace wary::federation {

struct ListenerParts {
  io::Loop& loop;
  Clock& clock;
  Log& log;
};

class Listener {
 public:
  using Issued = std::function<void(Result<std::vector<Bytes>> chain)>;
  using Issue = std::function<void(ByteView csr, Issued done)>;
  Listener(ListenerParts parts, std::string trust_domain, Issue issue);
  ~Listener();
  Status listen(const io::Address& address);
  void serve(std::string document);

 private:
  void answer(const std::shared_ptr<http::Exchange>& exchange) const;
  void renew();
  void renew_as_needed();
  Status take(const std::vector<Bytes>& chain, std::shared_ptr<const crypto::PrivateKey> key);
  void renew_after(std::int64_t nanos);

  ListenerParts parts_;
  std::string trust_domain_;
  Issue issue_;
  std::string document_;
  std::vector<Bytes> chain_;  // shown now
  std::optional<crypto::TlsServerContext> context_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<io::Listener> socket_;
  io::TimerId timer_ = 0;
  std::int64_t retry_after_ = 0;
  std::uint64_t asked_ = 0;  // of several requests for a certificate the newest counts
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace wary::federation
