#include "http/wire.h"

namespace wary::http {

namespace {

constexpr std::size_t kWireReadBytes = 16 * 1024;
constexpr std::size_t kWireUnsentMax = std::size_t{1} << 20;

}  // namespace

Wire::Wire(io::Loop& loop, std::unique_ptr<io::Stream> stream, std::function<void()> ended)
    : loop_(loop), heard_(loop.now()), stream_(std::move(stream)), ended_(std::move(ended)) {
  // Never called before the session is made: the loop's next turn is the first.
  stream_->on_ready([this](bool, bool) { turn(); });
  stream_->want(true, false);
}

void Wire::turn() {
  if (has_ended_) return;
  char buffer[kWireReadBytes];  // NOLINT: a read buffer
  bool open = send();
  while (open && !is_over() && out_.size() < kWireUnsentMax) {
    const io::IoCount got = stream_->read({reinterpret_cast<std::uint8_t*>(buffer), sizeof buffer});
    if (got.state == io::IoCount::State::kWouldBlock) break;
    open = got.state == io::IoCount::State::kSome;
    if (!open) break;
    heard_ = loop_.now();
    out_ += receive({buffer, got.count});
    open = send();
  }
  settle(open);
}

void Wire::push(std::string_view bytes) {
  if (has_ended_ || bytes.empty()) return;
  out_ += bytes;
  settle(send());
}

void Wire::settle(bool open) {
  if (has_ended_) return;
  if (!open || (is_over() && out_.empty())) {
    has_ended_ = true;
    stream_->want(false, false);
    return ended_();
  }
  stream_->want(!is_over() && out_.size() < kWireUnsentMax, !out_.empty());
}

bool Wire::send() {
  std::size_t sent = 0;
  bool open = true;
  while (open && sent < out_.size()) {
    const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(sent)));
    if (put.state == io::IoCount::State::kWouldBlock) break;
    open = put.state == io::IoCount::State::kSome;
    if (open) sent += put.count;
  }
  out_.erase(0, sent);
  return open;
}

}  // namespace wary::http
