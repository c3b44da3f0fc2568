// Connection: one client of the gateway: its TLS, and the protocol that was agreed on over it. Private to gateway/.
//
// States: (proxy header, of a peer that says one, to) handshake to open to ending (what is queued goes out) to draining
// (the client hangs up first, or its last bytes would reset what it has not read yet). Without TLS there is no
// handshake, but the first bytes, which say the protocol. What is put for the client is encrypted and sent once at the
// end of the worker's turn. Thread rule: its worker's. Limits: 128 KiB of requests and 256 KiB of answers held here;
// backpressure beyond.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gateway/client_side.h"
#include "gateway/crowd.h"
#include "gateway/transport.h"
#include "gateway/worker.h"

namespace wary::gateway {

constexpr std::int64_t kKeepAliveTime = 75 * kNanosPerSecond;  // between two requests
constexpr std::size_t kAnswerHeld = 256 * 1024;                // of answers, not yet with the kernel

class Exchange;

// What a client speaks inside its transport.
class ClientProtocol {
 public:
  virtual ~ClientProtocol() = default;
  // Plaintext that came; what cannot be used yet is kept.
  virtual void receive(std::string_view bytes) = 0;
  // What can be done now, after something came or went. True when something moved.
  virtual bool drive() = 0;
  virtual bool may_read() const = 0;
  virtual void settle() = 0;  // what a change concerns is decided again now
  // The client will send no more. True: the connection goes on without (a tunnel).
  virtual bool outlives_client_end() = 0;
  virtual void on_deadlines(std::int64_t now) = 0;
  virtual void on_expired(UnixTime now) = 0;  // decides again what is open under a decision that has ended
  // The connection's own deadline passed.
  virtual void on_idle() = 0;
  virtual Exchange* exchange(std::int32_t stream) = 0;
  virtual void give_up(bool reset) = 0;                 // the connection ends now
  virtual void drain(Drain how) = 0;                    // what runs goes on
  virtual bool is_at_rest() const = 0;                  // nothing runs; of a request that is not whole nothing is known
  virtual bool holds_answers() const { return false; }  // whole ones, of which the client takes nothing
  virtual void say_goodbye() {}                         // puts what the protocol says at its end
  virtual std::size_t held_bytes() const = 0;
  // Now and then: what nothing is at work for gives its memory back.
  virtual void rest() {}
};

// "127.0.0.1:5000" and "[::1]:5000" without the port.
std::string host_of(std::string_view address);

class Connection final : public TurnEnd, public Crowd::Member {
 public:
  enum class State { kProxyHeader, kHandshake, kPreface, kOpen, kEnding, kDraining, kEnded };
  Connection(Worker& worker, std::uint64_t id, std::unique_ptr<io::Stream> stream, Transport transport);
  ~Connection() override;
  void begin();

  // From the worker.
  void sweep(std::int64_t now, UnixTime wall);
  void turn_end() override;  // sends what was put
  void drain(Drain how);
  // Since when nothing has moved on one on which nothing runs: at its beginning, between two requests, at its end, or
  // while its client takes nothing of an answer that is whole.
  std::optional<std::int64_t> rests_since() const override;
  bool has_asked() const override { return has_asked_; }
  void give_way();  // ends now, at rest, for another
  // What a change concerns of it is decided again before anything else happens to it. It may have ended then.
  void settle();
  Exchange* exchange(std::int32_t stream);
  std::size_t held_bytes() const;
  State state() const { return state_; }

  // From the protocol and its exchanges.
  void note_request() { has_asked_ = true; }
  Worker& worker() { return worker_; }
  std::uint64_t id() const { return id_; }
  const Transport& transport() const { return transport_; }
  bool speaks_http2() const { return speaks_http2_; }
  // What the client's own way was, as far as it is known: over TLS to here, or to the load balancer that said so.
  bool was_secure() const { return transport_.is_secure() || proxied_tls_; }
  // Numeric, without a port.
  const std::string& client_address() const { return address_; }
  // Plaintext for the client: append, then mark().
  std::string& out() { return plain_; }
  void mark();
  // The same of a body: a large piece is encrypted from where it lies and sent as soon as there is enough of it, and
  // the room for that stays until the answer is said to have ended.
  void put(std::string_view bytes);
  void answer_ended() { keeps_room_ = false; }
  std::size_t unsent() const { return plain_.size() + transport_.output().size(); }
  // All that was put is with the kernel.
  bool is_flushed() const { return plain_.empty() && transport_.output().empty(); }
  void set_deadline(std::int64_t nanos);
  void keep_for(std::int64_t nanos);  // at least
  void end_gracefully();              // send what is queued, close_notify, then close
  void end_now(bool reset);
  void end_saying(std::string_view last);  // what was put, this and the end, in one: for a queue that is empty
  void flush();
  // It has not said yet what it speaks.
  bool begins() const {
    return state_ == State::kProxyHeader || state_ == State::kHandshake || state_ == State::kPreface;
  }
  bool is_over() const { return state_ == State::kEnding || state_ == State::kDraining || state_ == State::kEnded; }

 private:
  void ready();
  bool read();
  bool take_proxy_header();
  bool take_preface();
  bool take(ByteView bytes);
  bool feed(ByteView bytes);
  void open(bool http2);
  void drain_client();
  void interest();
  bool write(std::string_view bytes);
  void send_some();
  void drop_room();
  void on_deadline();
  bool client_may_read() const;

  Worker& worker_;
  const std::uint64_t id_;
  std::unique_ptr<io::Stream> client_;
  Transport transport_;
  State state_;
  std::size_t drained_ = 0;   // thrown away after the last answer
  Bytes first_bytes_;         // while a proxy header or the preface is not whole
  bool proxied_tls_ = false;  // the load balancer has ended it
  bool speaks_http2_ = false;
  std::string address_;  // whose connection it is
  std::int64_t deadline_ = 0;
  std::int64_t active_at_ = 0;  // when the deadline was set, or bytes went to the kernel
  bool client_ended_ = false;
  bool has_asked_ = false;
  std::string plain_;        // plaintext for the client, encrypted once a turn
  bool broken_ = false;      // found while something was put: the turn's end ends it
  bool keeps_room_ = false;  // a body streams
  std::unique_ptr<ClientProtocol> protocol_;
};

}  // namespace wary::gateway
