#include "http/tls_stream.h"

#include <array>

namespace wary::http {

TlsStream::TlsStream(io::Loop& loop, std::unique_ptr<io::Stream> below, crypto::TlsSession session)
    : LayeredStream(loop, std::move(below)), session_(std::move(session)) {}

void TlsStream::begin() {
  move_output();
  flush();
}

void TlsStream::move_output() {
  append(out_, session_.output());
  session_.consume_output(session_.output().size());
}

Status TlsStream::take(ByteView below) {
  const Status fed = session_.feed(below);
  move_output();  // also an alert
  WARY_RETURN_IF_ERROR(fed);
  if (session_.is_handshaking()) return {};
  std::array<std::uint8_t, 16384> buffer;
  for (;;) {
    WARY_ASSIGN_OR_RETURN(const std::size_t count, session_.read(buffer));
    if (count == 0) break;
    append(plain_, ByteView(buffer).first(count));
  }
  move_output();
  ended_ = session_.is_closed_by_peer();
  return {};
}

void TlsStream::put(ByteView plain) {
  if (const Status written = session_.write(plain); !written) failure_ = written.error();
  move_output();
}

void TlsStream::end() {
  session_.close();
  move_output();
}

void TlsStream::progressed() {
  if (on_progress) on_progress();
}

namespace {

// One attempt; alive while its caller holds it.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(io::Loop& loop, crypto::TlsSession session, Connected connected)
      : loop_(loop), session_(std::move(session)), connected_(std::move(connected)) {}
  ~Attempt() { loop_.cancel(timer_); }

  void begin(const io::Address& address, std::int64_t timeout) {
    const std::weak_ptr<Attempt> self = weak_from_this();
    timer_ = loop_.after(timeout, [this] {
      timer_ = 0;
      finish(fail(ErrorKind::kTimeout, "tls_timeout", "the server did not finish the handshake in time"));
    });
    loop_.connect(address, timeout, [self](Result<std::unique_ptr<io::Stream>> stream) {
      if (const auto held = self.lock()) held->connected(std::move(stream));
    });
  }

 private:
  void connected(Result<std::unique_ptr<io::Stream>> stream) {
    if (!connected_) return;
    if (!stream) return finish(std::move(stream).error());
    stream_ = std::make_unique<TlsStream>(loop_, std::move(stream).value(), std::move(session_));
    stream_->on_progress = [this] { look(); };
    stream_->on_ready([this](bool, bool) { look(); });  // at an end or a failure
    stream_->want(true, false);
    stream_->begin();
  }

  void look() {
    if (!stream_ || !connected_) return;
    if (stream_->failure()) return finish(*stream_->failure());
    if (stream_->session().is_handshaking()) {
      if (!stream_->is_over()) return;
      return finish(fail(ErrorKind::kUnavailable, "tls_closed", "the server closed the connection in the handshake"));
    }
    loop_.cancel(timer_);
    timer_ = 0;
    if (handed_) return;
    handed_ = true;
    stream_->want(false, false);
    // From the loop: this runs inside the stream's own call.
    loop_.post([self = weak_from_this()] {
      const auto held = self.lock();
      if (!held || !held->connected_) return;
      const Connected done = std::move(held->connected_);
      held->connected_ = nullptr;
      held->stream_->on_progress = nullptr;
      done(std::unique_ptr<io::Stream>(std::move(held->stream_)));
    });
  }

  void finish(Error error) {
    if (!connected_) return;
    loop_.cancel(timer_);
    timer_ = 0;
    loop_.post([self = weak_from_this(), error = std::move(error)] {
      const auto held = self.lock();
      if (!held || !held->connected_) return;
      const Connected done = std::move(held->connected_);
      held->connected_ = nullptr;
      held->stream_.reset();
      done(error);
    });
  }

  io::Loop& loop_;
  crypto::TlsSession session_;
  Connected connected_;
  std::unique_ptr<TlsStream> stream_;
  io::TimerId timer_ = 0;
  bool handed_ = false;
};

}  // namespace

std::shared_ptr<void> connect_tls(io::Loop& loop, const io::Address& address, const crypto::TlsClientContext& context,
                                  const std::string& server_name, std::int64_t timeout_nanos, Connected connected) {
  auto attempt = std::make_shared<Attempt>(loop, crypto::TlsSession(context, server_name), std::move(connected));
  attempt->begin(address, timeout_nanos);
  return attempt;
}

}  // namespace wary::http
