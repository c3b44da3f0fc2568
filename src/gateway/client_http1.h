// Http1Client: what a client speaks that agreed on HTTP/1.1: requests one after the other, or a WebSocket at the end.
// Private to gateway/. Thread rule: its worker's. Limits: of codec/http1.h; 128 KiB of requests held.
#pragma once

#include <optional>
#include <string>

#include "gateway/connection.h"
#include "gateway/exchange.h"

namespace wary::gateway {

class Http1Client final : public ClientProtocol, private ClientSide {
 public:
  explicit Http1Client(Connection& connection);

  void receive(std::string_view bytes) override;
  bool drive() override;
  bool may_read() const override;
  void settle() override { exchange_.settle(); }
  bool outlives_client_end() override;
  void on_deadlines(std::int64_t now) override;
  void on_expired(UnixTime now) override;
  void on_idle() override;
  Exchange* exchange(std::int32_t) override { return &exchange_; }
  void give_up(bool reset) override { exchange_.give_up(reset); }
  void drain(Drain how) override;
  bool is_at_rest() const override { return exchange_.is_idle(); }
  std::size_t held_bytes() const override { return in_.capacity() + exchange_.held_bytes(); }
  void rest() override;

 private:
  Connection& connection() override { return connection_; }
  bool answer(const AnswerHead& head) override;
  void data(std::string_view bytes) override;
  void end(const std::vector<codec::http1::Field>& trailers) override;
  void abort() override;
  void cut() override;
  bool is_quiet() const override { return connection_.is_flushed(); }
  std::size_t room() const override;
  void ask_for_body() override;

  bool take_head();
  void pump_body();
  void say_going_away();
  codec::http1::Framing framing_of(const AnswerHead& head) const;

  Connection& connection_;
  std::string in_;  // from in_at_ on not yet used
  std::size_t in_at_ = 0;
  codec::http1::HeadScan scan_;
  codec::http1::RequestHead head_;
  std::string method_;
  std::string websocket_accept_;  // what the client's key is answered with
  bool is_1_1_ = true;
  bool keep_alive_ = true;
  bool leaving_ = false;   // the next answer is the last
  bool draining_ = false;  // and while there is none, nothing is waited for
  bool restarts_ = false;  // what a WebSocket hears then
  bool switched_ = false;  // to a WebSocket
  bool client_ended_ = false;
  std::optional<codec::http1::BodyReader> body_;
  bool body_told_end_ = false;
  bool answer_chunked_ = false;
  Exchange exchange_;
};

}  // namespace wary::gateway
