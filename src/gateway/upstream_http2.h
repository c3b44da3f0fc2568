// Http2Upstream: a connection to an application that speaks HTTP/2, and the calls that share it. Private to gateway/.
// Thread rule: its worker's. Limits: http/http2_session.h; 128 KiB of a request queued a call is the exchange's.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "gateway/upstream.h"
#include "gateway/worker.h"
#include "http/http2_session.h"

namespace wary::gateway {

struct UpstreamLane;
class Http2Call;

// Shared by the pool and the calls on it, whichever goes last.
class Http2Upstream final : public TurnEnd,
                            private http::Http2SessionEvents,
                            public std::enable_shared_from_this<Http2Upstream> {
 public:
  Http2Upstream(Worker& worker, UpstreamLane& lane, std::unique_ptr<io::Stream> stream);
  void start();
  bool takes_calls() const;
  bool is_idle() const { return calls_.empty(); }
  bool has_way() const;
  std::unique_ptr<UpstreamCall> make_call();
  void turn_end() override;
  void close();
  std::int64_t idle_since = 0;

 private:
  friend class Http2Call;
  void on_block(std::int32_t stream, const http::Http2Block& block, bool ends) override;
  void on_data(std::int32_t stream, std::string_view bytes) override;
  void on_end(std::int32_t stream) override;
  void on_closed(std::int32_t stream, std::uint32_t error) override;
  void on_sent(std::int32_t stream) override;
  void ready(bool readable);
  void settle();
  void lose(std::string_view code, std::string_view message);
  Http2Call* find(std::int32_t stream);
  void mark() {
    if (stream_) worker_.at_turn_end(*this);
  }

  Worker& worker_;
  UpstreamLane& lane_;
  const HeldDescriptor held_;
  std::unique_ptr<io::Stream> stream_;
  http::Http2Session session_;
  std::unordered_map<std::int32_t, Http2Call*> calls_;
  std::string out_;
  std::size_t out_at_ = 0;
  bool ended_ = false;
  bool refuses_ = false;   // new calls
  bool any_left_ = false;  // over TLS: its handshake is done
};

class Http2Call final : public UpstreamCall {
 public:
  explicit Http2Call(std::shared_ptr<Http2Upstream> upstream);
  ~Http2Call() override { (void)release(true); }
  void begin(const OutgoingRequest& request, UpstreamEvents& events) override;
  void data(std::string_view bytes) override;
  void end() override;
  std::size_t queued() const override { return upstream_ && stream_ >= 0 ? upstream_->session_.queued(stream_) : 0; }
  bool has_way() const override { return !upstream_ || upstream_->has_way(); }
  bool resume() override;
  bool release(bool reset) override;
  std::size_t held_bytes() const override { return held_.capacity(); }
  const io::Address& place() const override;

 private:
  friend class Http2Upstream;
  void take_block(const http::Http2Block& block, bool ends);
  void take_data(std::string_view bytes);
  void take_end();
  void take_closed(std::uint32_t error);
  void finish();

  std::shared_ptr<Http2Upstream> upstream_;
  UpstreamEvents* events_ = nullptr;
  std::int32_t stream_ = -1;
  bool in_use_ = true;
  std::string method_;
  bool upgrades_ = false;
  bool request_ended_ = false;
  bool ended_ = false;
  std::size_t interims_ = 0;
  std::string held_;  // of the answer, that the client has no room for
  std::vector<std::pair<std::string, std::string>> trailers_;
};

}  // namespace wary::gateway
