#include "http/layered_stream.h"

#include <algorithm>
#include <array>

namespace wary::http {

namespace {

constexpr std::size_t kPlainMost = std::size_t{256} << 10;
constexpr std::size_t kLayerWriteMost = std::size_t{64} << 10;
constexpr std::size_t kBelowBytes = std::size_t{16} << 10;

}  // namespace

LayeredStream::LayeredStream(io::Loop& loop, std::unique_ptr<io::Stream> below)
    : loop_(loop), below_(std::move(below)) {}

LayeredStream::~LayeredStream() = default;

void LayeredStream::on_ready(Ready ready) {
  ready_ = std::move(ready);
  below_->on_ready([this](bool readable, bool writable) { below_ready(readable, writable); });
}

void LayeredStream::want(bool readable, bool writable) {
  wants_read_ = readable;
  wants_write_ = writable;
  interest();
  if (readable && (plain_at_ < plain_.size() || is_over())) call_again();
}

// Below is read also while the owner wants nothing, so that a handshake or a ping is answered.
void LayeredStream::interest() {
  below_->want(!is_over() && plain_.size() < kPlainMost, wants_write_ || out_at_ < out_.size());
}

// Below may be quiet while there is something to read here: the loop tells of it in below's place.
void LayeredStream::call_again() {
  if (called_) return;
  called_ = true;
  loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    called_ = false;
    if (wants_read_ && ready_) ready_(true, wants_write_ && out_.empty());
  });
}

void LayeredStream::below_ready(bool readable, bool writable) {
  flush();
  const bool may_write = writable && wants_write_ && out_.empty();
  if (readable && plain_.size() < kPlainMost && read_below()) progressed();
  const bool may_read = wants_read_ && (plain_at_ < plain_.size() || is_over());
  interest();
  if ((may_read || may_write) && ready_) ready_(may_read, may_write);
}

// False when nothing came.
bool LayeredStream::read_below() {
  if (below_ended_ || failure_) return false;
  std::array<std::uint8_t, kBelowBytes> buffer;
  const io::IoCount got = below_->read(buffer);
  if (got.state == io::IoCount::State::kWouldBlock) return false;
  if (got.state != io::IoCount::State::kSome) {
    below_ended_ = true;
    return true;
  }
  if (const Status taken = take(ByteView(buffer).first(got.count)); !taken) failure_ = taken.error();
  flush();
  return true;
}

io::IoCount LayeredStream::read(std::span<std::uint8_t> out) {
  if (plain_at_ == plain_.size()) {
    plain_.clear();
    plain_at_ = 0;
    if (!ended_) (void)read_below();
  }
  const std::size_t count = std::min(out.size(), plain_.size() - plain_at_);
  if (count > 0) {
    std::copy_n(plain_.begin() + static_cast<std::ptrdiff_t>(plain_at_), count, out.begin());
    plain_at_ += count;
    if (plain_at_ == plain_.size()) {
      plain_.clear();
      plain_at_ = 0;
    }
    return {io::IoCount::State::kSome, count, 0};
  }
  if (failure_) return {io::IoCount::State::kFailed, 0, 0};
  if (ended_ || below_ended_) return {io::IoCount::State::kEnd, 0, 0};
  return {io::IoCount::State::kWouldBlock, 0, 0};
}

io::IoCount LayeredStream::write(ByteView bytes) {
  if (failure_ || below_ended_) return {io::IoCount::State::kFailed, 0, 0};
  flush();
  if (!out_.empty()) return {io::IoCount::State::kWouldBlock, 0, 0};
  const ByteView part = bytes.first(std::min(bytes.size(), kLayerWriteMost));
  put(part);
  flush();
  return {io::IoCount::State::kSome, part.size(), 0};
}

io::IoCount LayeredStream::write_two(ByteView first, ByteView second) {
  return first.empty() ? write(second) : write(first);
}

void LayeredStream::shutdown_write() {
  end();
  flush();
}

void LayeredStream::flush() {
  while (out_at_ < out_.size()) {
    const io::IoCount put = below_->write(ByteView(out_).subspan(out_at_));
    if (put.state == io::IoCount::State::kWouldBlock) return interest();
    if (put.state != io::IoCount::State::kSome) {
      below_ended_ = true;
      break;
    }
    out_at_ += put.count;
  }
  out_.clear();
  out_at_ = 0;
}

}  // namespace wary::http
