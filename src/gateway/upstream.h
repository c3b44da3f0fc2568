// UpstreamCall: one request on its way to an application, and its answer, whatever protocol the application speaks.
// Private to gateway/. Thread rule: its worker's. Events may end the call: a call looks whether it is over after each.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "codec/http1.h"
#include "io/loop.h"

namespace wary::gateway {

// A request as it goes on, written while the client's bytes were at hand; kept for one more try.
struct OutgoingRequest {
  std::string method;
  bool has_body = false;
  bool upgrades = false;                                    // to a WebSocket
  bool is_http2 = false;                                    // which of the two below is written
  bool is_secure = false;                                   // over TLS
  std::string text;                                         // HTTP/1.1: the head
  std::vector<std::pair<std::string, std::string>> fields;  // HTTP/2: pseudo-header fields first
  std::string websocket_key;                                // what Sec-WebSocket-Accept must answer
  bool chunked = false;                                     // HTTP/1.1: how the body is framed
};

class UpstreamEvents {
 public:
  virtual ~UpstreamEvents() = default;
  // Asked before more of the request goes on: what a change concerns is decided again now. The call may be over then.
  virtual void settle() = 0;
  // The final head; interim ones are dropped. `has_body` false: on_answer_end follows at once.
  virtual void on_answer(const codec::http1::ResponseHead& head, bool has_body) = 0;
  virtual void on_answer_data(std::string_view bytes) = 0;
  virtual void on_answer_end(const std::vector<codec::http1::Field>& trailers) = 0;
  // No (whole) answer comes. `is_repeatable`: the application has certainly not begun to work on it.
  virtual void on_upstream_failed(std::string_view code, std::string_view message, bool is_repeatable) = 0;
  // queued() became less.
  virtual void on_upstream_sent() = 0;
  // How many bytes of an answer are taken now.
  virtual std::size_t answer_room() const = 0;
};

class UpstreamCall {
 public:
  virtual ~UpstreamCall() = default;
  virtual void begin(const OutgoingRequest& request, UpstreamEvents& events) = 0;
  virtual void data(std::string_view bytes) = 0;
  virtual void end() = 0;
  virtual std::size_t queued() const = 0;
  // False while nothing can leave: TLS shakes hands.
  virtual bool has_way() const = 0;
  // The client takes more of the answer again. True when something moved.
  virtual bool resume() = 0;
  // The exchange is done with it, at whatever point; no event comes after. True when it can serve another one: the pool
  // takes it back. `reset`: what is queued must not arrive.
  virtual bool release(bool reset) = 0;
  virtual std::size_t held_bytes() const = 0;
  virtual const io::Address& place() const = 0;
};

}  // namespace wary::gateway
