// Call: one HTTP/1.1 request over a stream that is open, without waiting: the loop tells when the answer is whole.
//
//   http::Call call({.path = "/bundle", .host = "b.example"}, {.body_bytes = 1 << 20}, done);
//   WARY_RETURN_IF_ERROR(call.prepare());
//   loop.connect(address, timeout, [&](auto stream) { ... call.begin(std::move(*stream)); });
//
// `done` comes once, from inside the stream's turn: it must not destroy the call (post that). on_data, where given,
// gets the body as it comes; returning false ends the exchange in good order. How long it may take is the caller's to
// say. Thread rule: the stream's loop. Errors: http_truncated, http_body_too_large, and what the parser refuses.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "codec/http1.h"
#include "http/client.h"

namespace wary::http {

struct CallLimits {
  std::size_t body_bytes = std::size_t{64} << 20;  // of a collected body
};

class Call {
 public:
  using Done = std::function<void(Result<ClientResponse>)>;
  Call(ClientRequest request, CallLimits limits, Done done, OnData on_data = nullptr);
  ~Call();
  Status prepare();
  void begin(std::unique_ptr<io::Stream> stream);
  // After an answer of 101: the connection is the taker's, with what came behind the head. Not from inside `done`.
  std::unique_ptr<io::Stream> take_stream(std::string& rest);
  // The first end counts; what comes later changes nothing.
  void finish(std::optional<Error> error);

 private:
  void ready();
  bool advance();
  bool take(std::string_view data);

  ClientRequest request_;
  CallLimits limits_;
  Done done_;
  OnData on_data_;
  std::unique_ptr<io::Stream> stream_;
  std::string out_;
  std::size_t out_at_ = 0;
  std::string in_;
  codec::http1::HeadScan scan_;
  std::optional<codec::http1::BodyReader> body_;
  ClientResponse response_;
  bool finished_ = false;
};

}  // namespace wary::http
