#include "pdp/wire.h"

namespace wary::pdp {

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kUnsentMax = std::size_t{1} << 20;

}  // namespace

Wire::Wire(io::Loop& loop, std::unique_ptr<io::Stream> stream, std::function<void()> ended)
    : loop_(loop), heard_(loop.now()), stream_(std::move(stream)), ended_(std::move(ended)) {
  // Never called before the session is made: the loop's next turn is the first.
  stream_->on_ready([this](bool, bool) { turn(); });
  stream_->want(true, false);
}

void Wire::turn() {
  char buffer[kReadBytes];  // NOLINT: a read buffer
  bool open = send();
  while (open && !is_over() && out_.size() < kUnsentMax) {
    const io::IoCount got = stream_->read({reinterpret_cast<std::uint8_t*>(buffer), sizeof buffer});
    if (got.state == io::IoCount::State::kWouldBlock) break;
    open = got.state == io::IoCount::State::kSome;
    if (!open) break;
    heard_ = loop_.now();
    out_ += receive({buffer, got.count});
    open = send();
  }
  if (!open || (is_over() && out_.empty())) {
    stream_->want(false, false);
    return ended_();
  }
  stream_->want(!is_over() && out_.size() < kUnsentMax, !out_.empty());
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

}  // namespace wary::pdp
