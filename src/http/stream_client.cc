#include "http/stream_client.h"

#include <array>
#include <optional>

#include "codec/http1.h"

namespace wary::http {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kReplyBodyMost = std::size_t{1} << 20;

class Asking : public std::enable_shared_from_this<Asking> {
 public:
  Asking(io::Loop& loop, std::unique_ptr<io::Stream> stream, std::string method,
         std::function<void(Result<StreamReply>)> done)
      : loop_(loop), stream_(std::move(stream)), method_(std::move(method)), done_(std::move(done)) {}
  ~Asking() { loop_.cancel(timer_); }

  void begin(const ClientRequest& request) {
    timer_ = loop_.after(request.timeout_nanos, [this] {
      timer_ = 0;
      finish(fail(ErrorKind::kTimeout, "http_timeout", "no whole answer in time"));
    });
    if (Status written = write(request); !written) return finish(std::move(written).error());
    stream_->on_ready([this](bool, bool) { ready(); });
    stream_->want(true, true);
  }

 private:
  Status write(const ClientRequest& request) {
    std::vector<http1::Field> fields;
    http1::RequestParts parts;
    parts.method = request.method;
    parts.path = request.path;
    if (!request.query.empty()) parts.query = request.query;
    parts.host = request.host;
    for (const auto& [name, value] : request.headers) {
      if (name == "Sec-WebSocket-Key") parts.upgrade = http1::Upgrade::kWebSocket;
      fields.push_back({name, value});
    }
    parts.keep_alive = parts.upgrade != http1::Upgrade::kNone;
    if (request.method == "POST") parts.framing = {http1::BodyKind::kLength, request.body.size()};
    WARY_RETURN_IF_ERROR(http1::append_request_head(out_, parts, fields));
    out_ += request.body;
    return {};
  }

  void ready() {
    if (over_) return;
    while (out_at_ < out_.size()) {
      const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(out_at_)));
      if (put.state != io::IoCount::State::kSome) break;
      out_at_ += put.count;
    }
    std::array<std::uint8_t, 16384> buffer;
    const io::IoCount got = stream_->read(buffer);
    if (got.state == io::IoCount::State::kSome) {
      in_.append(as_text(ByteView(buffer).first(got.count)));
      if (Status taken = advance(); !taken) return finish(std::move(taken).error());
    } else if (got.state != io::IoCount::State::kWouldBlock) {
      if (!body_ || !(body_->is_done() || body_->finish())) {
        return finish(fail(ErrorKind::kUnavailable, "http_truncated", "the answer ended before it was whole"));
      }
    }
    if (body_ && (body_->is_done() || got.state == io::IoCount::State::kEnd)) return finish(std::nullopt);
    stream_->want(true, out_at_ < out_.size());
  }

  Status advance() {
    while (!body_) {
      http1::ResponseHead head;
      const http1::HeadResult result = http1::parse_response_head(in_, scan_, method_, head);
      if (result.progress == http1::Progress::kNeedMore) return {};
      if (result.progress == http1::Progress::kRefused) return http1::to_error(result.refusal);
      if (!head.is_interim()) {
        reply_.response.status = head.status;
        for (const http1::Field& field : head.fields) reply_.response.headers.emplace_back(field.name, field.value);
        // Behind 101 there is no body but another protocol.
        body_.emplace(head.status == 101 ? http1::Framing{} : head.framing);
      }
      in_.erase(0, result.consumed);
      scan_ = {};
    }
    while (!body_->is_done()) {
      const http1::BodyStep step = body_->step(in_);
      if (step.progress == http1::Progress::kRefused) return http1::to_error(step.refusal);
      if (reply_.response.body.size() + step.data.size() > kReplyBodyMost) {
        return fail(ErrorKind::kExhausted, "http_body_too_large", "the answer is larger than this client takes");
      }
      reply_.response.body += step.data;
      in_.erase(0, step.consumed);
      if (step.consumed == 0) return {};
    }
    return {};
  }

  void finish(std::optional<Error> error) {
    if (std::exchange(over_, true)) return;
    loop_.cancel(timer_);
    timer_ = 0;
    // From the loop: this may run inside the stream's own call.
    loop_.post([self = weak_from_this(), error = std::move(error)] {
      const auto held = self.lock();
      if (!held || !held->done_) return;
      const auto done = std::move(held->done_);
      held->done_ = nullptr;
      if (error) {
        held->stream_.reset();
        return done(*error);
      }
      if (held->reply_.response.status == 101) {
        held->reply_.stream = std::move(held->stream_);
        held->reply_.rest = std::move(held->in_);
      }
      held->stream_.reset();
      done(std::move(held->reply_));
    });
  }

  io::Loop& loop_;
  std::unique_ptr<io::Stream> stream_;
  std::string method_;
  std::function<void(Result<StreamReply>)> done_;
  std::string out_;
  std::size_t out_at_ = 0;
  std::string in_;
  http1::HeadScan scan_;
  std::optional<http1::BodyReader> body_;
  StreamReply reply_;
  io::TimerId timer_ = 0;
  bool over_ = false;
};

}  // namespace

std::shared_ptr<void> ask(io::Loop& loop, std::unique_ptr<io::Stream> stream, const ClientRequest& request,
                          std::function<void(Result<StreamReply>)> done) {
  auto asking = std::make_shared<Asking>(loop, std::move(stream), request.method, std::move(done));
  asking->begin(request);
  return asking;
}

}  // namespace wary::http
