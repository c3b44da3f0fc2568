// Wire: one connection whose protocol is bytes in, bytes out: a stream and a session of Spop or http::Http2.
//
//   auto wire = std::make_unique<WireOf<Spop>>(loop, std::move(stream), [] { ... erase it ... }, authority, pep);
//
// Thread rule: the loop's; `ended` must not destroy the wire before this turn is over, and is called once. Limits: 1
// MiB unsent, beyond which nothing is read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/loop.h"

namespace wary::http {

class Wire {
 public:
  virtual ~Wire() = default;
  Monotonic heard() const { return heard_; }  // when bytes last came, or it was opened

 protected:
  Wire(io::Loop& loop, std::unique_ptr<io::Stream> stream, std::function<void()> ended);
  virtual std::string receive(std::string_view bytes) = 0;
  virtual bool is_over() const = 0;
  // Sends what the session has to say by itself.
  void push(std::string_view bytes);
  io::Stream& stream() { return *stream_; }

 private:
  void turn();
  void settle(bool open);
  bool send();
  io::Loop& loop_;
  Monotonic heard_;
  std::unique_ptr<io::Stream> stream_;
  std::function<void()> ended_;
  std::string out_;
  bool has_ended_ = false;
};

template <typename Session>
class WireOf final : public Wire {
 public:
  template <typename... Arguments>
  WireOf(io::Loop& loop, std::unique_ptr<io::Stream> stream, std::function<void()> ended, Arguments&&... arguments)
      : Wire(loop, std::move(stream), std::move(ended)), session_(std::forward<Arguments>(arguments)...) {}

 private:
  std::string receive(std::string_view bytes) override { return session_.receive(bytes); }
  bool is_over() const override { return session_.is_over(); }
  Session session_;
};

}  // namespace wary::http
