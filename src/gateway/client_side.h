// ClientSide: what an exchange gives its answer to: one request of a client, whatever protocol it came by. In order:
// head, data, end; or abort. Private to gateway/. Thread rule: its worker's.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "codec/http1.h"

namespace wary::gateway {

class Connection;

struct AnswerHead {
  int status = 200;
  const std::vector<codec::http1::Field>& fields;  // no framing, nothing hop-by-hop
  std::optional<std::uint64_t> length;             // of the body; of an answer to HEAD: of the one that GET would have
  bool has_body = true;                            // false: the answer ends here
  bool switches = false;                           // to a WebSocket: what follows are its bytes
  bool is_ours = false;                            // the gateway answers by itself; the request's body is not read
  bool closes = false;                             // nothing more is taken of a connection that has no streams
};

class ClientSide {
 public:
  virtual ~ClientSide() = default;
  virtual Connection& connection() = 0;
  // False when it cannot be written as one message of this protocol; nothing was written then.
  virtual bool answer(const AnswerHead& head) = 0;
  virtual void data(std::string_view bytes) = 0;
  virtual void end(const std::vector<codec::http1::Field>& trailers) = 0;
  // The answer stops here, and must not look whole.
  virtual void abort() = 0;
  // Access has ended: nothing that is queued goes out. Where it can be said why, it is.
  virtual void cut() = 0;
  // Nothing of this request's, nor of one before it, waits for the kernel.
  virtual bool is_quiet() const = 0;
  // How many bytes of an answer are taken now.
  virtual std::size_t room() const = 0;
  // The application wants the body that the client announced (100).
  virtual void ask_for_body() = 0;
};

}  // namespace wary::gateway
