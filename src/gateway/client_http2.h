// Http2Client: what a client speaks that agreed on HTTP/2: many requests at once, WebSockets among them (RFC 8441).
// Private to gateway/. Thread rule: its worker's. Limits: http/http2_session.h; 128 KiB of an answer held a stream, 1
// MiB a connection.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/connection.h"
#include "gateway/exchange.h"
#include "http/http2_session.h"

namespace wary::gateway {

class Http2Client final : public ClientProtocol, private http::Http2SessionEvents {
 public:
  explicit Http2Client(Connection& connection);
  ~Http2Client() override;

  void receive(std::string_view bytes) override;
  bool drive() override;
  bool may_read() const override;
  void settle() override;
  bool outlives_client_end() override { return false; }
  void on_deadlines(std::int64_t now) override;
  void on_expired(UnixTime now) override;
  void on_idle() override;
  Exchange* exchange(std::int32_t stream) override;
  void give_up(bool reset) override;
  void drain(Drain how) override;
  bool is_at_rest() const override;
  bool holds_answers() const override { return !streams_.empty(); }
  void say_goodbye() override;
  std::size_t held_bytes() const override;

 private:
  class Stream;
  using Streams = std::unordered_map<std::int32_t, std::unique_ptr<Stream>>;
  void on_block(std::int32_t stream, const http::Http2Block& block, bool ends) override;
  void on_data(std::int32_t stream, std::string_view bytes) override;
  void on_end(std::int32_t stream) override;
  void on_closed(std::int32_t stream, std::uint32_t error) override;
  void on_sent(std::int32_t stream) override;
  Stream* find(std::int32_t id);
  void take_request(Stream& stream, const http::Http2Block& block, bool ends);
  void stop_answered(std::int64_t now);
  Stream& make(std::int32_t id);
  void retire(Streams::node_type node);
  // Bytes of this stream may lie between here and the kernel.
  bool may_be_queued(const Stream& stream) const;

  Connection& connection_;
  http::Http2Session session_;
  Streams streams_;
  Streams::node_type resting_;               // the last that ended: the connection is open under its decision
  std::vector<Streams::node_type> leaving_;  // ended before it, while bytes of theirs may be queued
  std::vector<Streams::node_type> spare_;    // that nothing of waits any more: for the next requests
  std::vector<std::int32_t> waiting_;        // streams that have something to do at the end of the turn
  std::vector<std::int32_t> working_;        // those, while it is done; its room stays
  std::uint64_t flushes_ = 0;                // how often all that was put was with the kernel
  std::int64_t leave_at_ = 0;  // when a client that was told so has stopped to begin streams; 0: it was not
  bool draining_ = false;
  bool tells_ = false, restarts_ = false;  // WebSockets, and of what
};

}  // namespace wary::gateway
