// Http1Upstream: a connection to an application that speaks HTTP/1.1, and the one call on it. Private to gateway/.
// Thread rule: its worker's. Limits: of codec/http1.h; 128 KiB of an answer's head held; a hundred interim answers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gateway/upstream.h"
#include "gateway/worker.h"

namespace wary::gateway {

struct UpstreamLane;

class Http1Upstream final : public UpstreamCall, public TurnEnd {
 public:
  // `spoke`: in the pool, it ended or said what nobody asked for; it is not used again then.
  using Spoke = std::function<void(Http1Upstream&)>;
  Http1Upstream(Worker& worker, UpstreamLane& lane, std::unique_ptr<io::Stream> stream, Spoke spoke);
  ~Http1Upstream() override { stop_using(); }
  void begin(const OutgoingRequest& request, UpstreamEvents& events) override;
  void data(std::string_view bytes) override;
  void end() override;
  std::size_t queued() const override { return out_.size() - out_at_; }
  bool has_way() const override;
  bool resume() override;
  bool release(bool reset) override;
  std::size_t held_bytes() const override { return in_.capacity() + out_.capacity(); }
  const io::Address& place() const override;
  void turn_end() override { flush(); }

  // In the pool: false when it cannot be used again.
  bool is_quiet();
  UpstreamLane& lane() { return lane_; }
  void use();
  std::int64_t idle_since = 0;
  bool was_used = false;  // for an earlier request: it may be closing while we write
  void watch_idle();

 private:
  void ready(bool readable);
  void flush();
  void take(std::string_view bytes);
  bool take_head(std::string_view& bytes);
  void fail(std::string_view code, std::string_view message);
  void finish();
  void interest();

  void stop_using();

  Worker& worker_;
  Spoke spoke_;
  UpstreamLane& lane_;
  const HeldDescriptor held_;
  bool in_use_ = false;
  bool is_idle_ = false;  // in the pool
  std::unique_ptr<io::Stream> stream_;
  UpstreamEvents* events_ = nullptr;
  std::string method_;
  std::string websocket_accept_;
  bool upgrades_ = false;
  bool chunked_ = false;
  bool request_ended_ = false;
  bool tunnel_ = false;
  bool paused_ = false;
  bool ended_ = false;   // the application said its last byte
  bool broken_ = false;  // or the connection did not last as long
  bool any_answer_ = false;
  bool any_left_ = false;  // over TLS: its handshake is done
  std::string out_;
  std::size_t out_at_ = 0;
  std::string in_;  // a head that is not whole yet
  codec::http1::HeadScan scan_;
  codec::http1::ResponseHead head_;
  std::size_t interims_ = 0;
  std::optional<codec::http1::BodyReader> body_;
  bool reusable_ = false;
  bool is_whole_ = false;  // the answer
};

}  // namespace wary::gateway
