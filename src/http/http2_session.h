// Http2Session: HTTP/2 (RFC 9113), either side of one connection whose messages stream. Bytes in, bytes out; no I/O.
//
//   Http2Session session(Http2Role::kServer, events);       // events outlive the session
//   session.receive(bytes);                                  // calls events
//   session.submit_answer(stream, 200, fields, false); session.write(stream, "hello"); session.end(stream, {});
//   session.flush(out, 64 * 1024);                           // appends what is to be sent
//   session.consume(stream, n);                              // n bytes that on_data gave are used: the peer may send
//   more
//
// Framing, header compression, flow control and the checks of RFC 9113 section 8 are libnghttp2's; the bounds are ours.
// A request that is taken back by bytes of the same receive() is told to nobody (but a server's: http2_resets.h).
// A peer that makes noise (resets, pings, settings, priorities, window updates) instead of requests is ended with
// ENHANCE_YOUR_CALM. Events may call any function of the session but receive() and flush(), and must not destroy it.
// Thread rule: one thread's. Limits: Http2SessionLimits; what write() is given is the caller's to bound, by queued().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codec/http1.h"

namespace wary::http {

enum class Http2Role { kClient, kServer };

struct Http2SessionLimits {
  std::uint32_t streams = 100;                       // open at once, of the peer's
  std::size_t header_bytes = std::size_t{64} << 10;  // names and values of one message, as RFC 9113 counts
  std::size_t header_fields = 100;
  std::size_t noise = 200;                   // frames beyond a hundred for each request that was answered
  std::int32_t stream_window = 256 << 10;    // bytes of a body that may be unconsumed
  std::int32_t connection_window = 1 << 20;  // of all bodies together
  bool websockets = true;                    // a server offers extended CONNECT (RFC 8441)
};

// One block of fields. The views hold until the next block of the stream, or its end.
struct Http2Block {
  std::string_view method, scheme, authority, path, protocol;  // of a request
  int status = 0;                                              // of an answer
  std::vector<codec::http1::Field> fields;                     // without pseudo-header fields
  bool is_trailer = false;
  bool is_too_large = false;  // it was beyond the limits; what is here is a part
};

constexpr std::uint32_t kHttp2NoError = 0x0, kHttp2ProtocolError = 0x1, kHttp2InternalError = 0x2,
                        kHttp2RefusedStream = 0x7, kHttp2Cancel = 0x8, kHttp2EnhanceYourCalm = 0xb;

class Http2SessionEvents {
 public:
  virtual ~Http2SessionEvents() = default;
  // A request's head (server), an answer's, interim ones too (client), or trailers. `ends`: nothing more follows.
  virtual void on_block(std::int32_t stream, const Http2Block& block, bool ends) = 0;
  virtual void on_data(std::int32_t stream, std::string_view bytes) = 0;
  virtual void on_end(std::int32_t stream) = 0;  // of the peer's side, after data
  virtual void on_closed(std::int32_t stream, std::uint32_t error) = 0;
  // Bytes of this stream were framed, of its head or its body: queued() may be less than it was.
  virtual void on_sent(std::int32_t stream) = 0;
  // All of our side was framed, its end too; the peer's may go on.
  virtual void on_sent_all(std::int32_t /*stream*/) {}
};

class Http2Session {
 public:
  Http2Session(Http2Role role, Http2SessionEvents& events, Http2SessionLimits limits = {});
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  void receive(std::string_view bytes);
  // Appends frames until `out` has `most` bytes.
  void flush(std::string& out, std::size_t most);
  bool wants_to_send() const;

  // A client's request; `fields` begin with the pseudo-header fields. -1 when the connection takes no more.
  std::int32_t submit_request(const std::vector<codec::http1::Field>& fields, bool ends);
  // `ends`: the answer has no body.
  void submit_answer(std::int32_t stream, int status, const std::vector<codec::http1::Field>& fields, bool ends);
  void submit_interim(std::int32_t stream, int status);
  void write(std::int32_t stream, std::string_view bytes);
  void end(std::int32_t stream, const std::vector<codec::http1::Field>& trailers);
  void reset(std::int32_t stream, std::uint32_t error);
  void consume(std::int32_t stream, std::size_t bytes);
  // What on_block gave of it is used, and its memory is wanted back: streams may stay open for long.
  void forget_block(std::int32_t stream);
  std::size_t queued(std::int32_t stream) const;
  std::size_t queued() const;  // of all streams
  std::size_t unconsumed(std::int32_t stream) const;

  // Says that no new stream is taken; those that are open go on. Again, with `last` streams taken: the final word.
  void announce_shutdown();
  void shut_down(std::uint32_t error);
  bool is_shutting_down() const;  // either side said so
  // Nothing more comes of it: it failed, or both sides are done.
  bool is_over() const;
  std::size_t open_streams() const;
  std::uint32_t peer_max_streams() const;
  bool peer_has_websockets() const;  // of a client's session: extended CONNECT is offered
  void forgive(std::size_t frames);
  std::size_t held_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::http
