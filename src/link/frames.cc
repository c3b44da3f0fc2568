#include "link/frames.h"

namespace wary::link {

namespace {

constexpr std::size_t kHeader = 5;
constexpr std::size_t kReadBytes = 64 * 1024;

}  // namespace

Result<Frame> decode_frame(ByteView bytes, std::size_t frame_bytes_max) {
  if (bytes.size() < kHeader) return Frame{};
  const auto length = read_big_endian<std::uint32_t>(bytes.data());
  if (length == 0 || length - 1 > frame_bytes_max) {
    return fail(ErrorKind::kInvalid, "frame_too_large", "a frame's length is out of bounds")
        .expected("1.." + std::to_string(frame_bytes_max + 1))
        .found(std::to_string(length));
  }
  const std::size_t size = std::size_t{4} + length;
  if (bytes.size() < size) return Frame{};
  return Frame{bytes[4], bytes.subspan(kHeader, length - 1), size};
}

void append_frame(Bytes& out, std::uint8_t type, ByteView payload) {
  append_big_endian(out, static_cast<std::uint32_t>(payload.size() + 1));
  out.push_back(type);
  append(out, payload);
}

FrameStream::FrameStream(std::unique_ptr<io::Stream> stream, const FrameLimits& limits)
    : stream_(std::move(stream)),
      peer_(stream_->peer_credentials()),
      limits_(limits),
      room_(std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes)) {}  // NOLINT: an array

FrameStream::~FrameStream() = default;

void FrameStream::start(OnFrame on_frame, OnClosed on_closed) {
  on_frame_ = std::move(on_frame);
  on_closed_ = std::move(on_closed);
  stream_->on_ready([this](bool, bool) { ready(); });
  stream_->want(true, out_at_ < out_.size());
}

Status FrameStream::send(std::uint8_t type, ByteView payload) {
  const bool idle = out_at_ == out_.size();
  Status queued = enqueue(type, payload);
  if (queued && idle) flush();
  return queued;
}

Status FrameStream::enqueue(std::uint8_t type, ByteView payload) {
  if (!is_open()) return fail(ErrorKind::kUnavailable, "link_closed", "the other side is gone");
  if (payload.size() > limits_.frame_bytes) {
    return fail(ErrorKind::kInvalid, "frame_too_large", "a frame's length is out of bounds");
  }
  if (queued_bytes() + payload.size() > limits_.queued_bytes) {
    return fail(ErrorKind::kExhausted, "link_queue_full", "the other side does not read");
  }
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
  }
  append_frame(out_, type, payload);
  return {};
}

void FrameStream::close() {
  closing_ = true;
  if (stream_) stream_->want(true, true);  // the owner learns it from the loop, not from inside its own call
}

void FrameStream::ready() {
  if (closing_) {
    fail_with(fail(ErrorKind::kUnavailable, "link_closed", "closed here"));
    return;
  }
  flush();
  if (!stream_) return;
  const bool open = read_some();
  if (!deliver()) return;
  if (!open && !closing_) {
    fail_with(fail(ErrorKind::kUnavailable, "link_closed", "the other side is gone"));
    return;
  }
  if (stream_) stream_->want(true, closing_ || out_at_ < out_.size());
}

bool FrameStream::read_some() {
  // One bounded read a turn, so that a busy link does not starve the loop.
  const io::IoCount got = stream_->read({room_.get(), kReadBytes});
  if (got.state == io::IoCount::State::kSome) append(in_, ByteView(room_.get(), got.count));
  return got.state == io::IoCount::State::kSome || got.state == io::IoCount::State::kWouldBlock;
}

// False when the connection failed and this object may be gone.
bool FrameStream::deliver() {
  while (!closing_) {
    auto frame = decode_frame(ByteView(in_).subspan(in_at_), limits_.taken_bytes);
    if (!frame) {
      fail_with(std::move(frame).error());
      return false;
    }
    if (frame->size == 0) break;
    in_at_ += frame->size;
    on_frame_(frame->type, frame->payload);
  }
  if (in_at_ > 0) {
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(in_at_));
    in_at_ = 0;
  }
  return true;
}

void FrameStream::flush() {
  while (stream_ && out_at_ < out_.size()) {
    const io::IoCount put = stream_->write(ByteView(out_).subspan(out_at_));
    if (put.state != io::IoCount::State::kSome) {
      // A failed write shows as a failed read in the same turn; only the interest matters here.
      stream_->want(true, true);
      return;
    }
    out_at_ += put.count;
  }
  out_.clear();
  out_at_ = 0;
}

void FrameStream::fail_with(Error why) {
  closing_ = true;
  stream_.reset();
  const OnClosed closed = std::move(on_closed_);
  if (closed) closed(why);
}

}  // namespace wary::link
