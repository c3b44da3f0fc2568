#include "http/client.h"

#include <optional>

#include "codec/http1.h"
#include "codec/text.h"

namespace wary::http {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kAnswerBodyMax = std::size_t{64} << 20;
constexpr std::int64_t kConnectTimeout = 5 * kNanosPerSecond;

class Fetch {
 public:
  Fetch(io::Loop& loop, const ClientRequest& request, const OnData& on_data)
      : loop_(loop), request_(request), on_data_(on_data) {}

  Result<ClientResponse> run(const io::Address& address) {
    WARY_RETURN_IF_ERROR(write_request());
    if (request_.timeout_nanos > 0) {
      loop_.after(request_.timeout_nanos,
                  [this] { finish(fail(ErrorKind::kTimeout, "http_timeout", "no whole answer in time")); });
    }
    loop_.connect(address, kConnectTimeout, [this](Result<std::unique_ptr<io::Stream>> stream) {
      if (!stream) return finish(std::move(stream).error());
      stream_ = std::move(stream).value();
      stream_->on_ready([this](bool, bool) { ready(); });
      stream_->want(true, true);
    });
    loop_.run();
    stream_.reset();
    if (failed_) return *failed_;
    return std::move(response_);
  }

 private:
  Status write_request() {
    std::vector<http1::Field> fields;
    for (const auto& [name, value] : request_.headers) fields.push_back({name, value});
    http1::RequestParts parts;
    parts.method = request_.method;
    parts.path = request_.path;
    if (!request_.query.empty()) parts.query = request_.query;
    parts.host = request_.host;
    parts.keep_alive = false;
    if (!request_.body.empty() || request_.method == "POST" || request_.method == "PUT") {
      parts.framing = {http1::BodyKind::kLength, request_.body.size()};
    }
    WARY_RETURN_IF_ERROR(http1::append_request_head(out_, parts, fields));
    out_ += request_.body;
    return {};
  }

  void ready() {
    while (out_at_ < out_.size()) {
      const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(out_at_)));
      if (put.state != io::IoCount::State::kSome) break;
      out_at_ += put.count;
    }
    std::uint8_t buffer[16384];  // NOLINT: a read buffer
    for (;;) {
      const io::IoCount got = stream_->read(buffer);
      if (got.state == io::IoCount::State::kWouldBlock) break;
      if (got.state == io::IoCount::State::kSome) {
        in_.append(reinterpret_cast<const char*>(buffer), got.count);
        if (!advance()) return;
        continue;
      }
      const bool whole = body_ && (body_->is_done() || body_->finish());
      return whole ? finish(std::nullopt)
                   : finish(fail(ErrorKind::kUnavailable, "http_truncated", "the answer ended before it was whole"));
    }
    stream_->want(true, out_at_ < out_.size());
  }

  // False when the exchange is over.
  bool advance() {
    while (!body_) {
      http1::ResponseHead head;
      const http1::HeadResult result = http1::parse_response_head(in_, scan_, request_.method, head);
      if (result.progress == http1::Progress::kNeedMore) return true;
      if (result.progress == http1::Progress::kRefused) {
        finish(http1::to_error(result.refusal));
        return false;
      }
      if (!head.is_interim()) {
        response_.status = head.status;
        for (const http1::Field& field : head.fields) response_.headers.emplace_back(field.name, field.value);
        body_.emplace(head.framing);
      }
      in_.erase(0, result.consumed);
      scan_ = {};
    }
    while (!body_->is_done()) {
      const http1::BodyStep step = body_->step(in_);
      if (step.progress == http1::Progress::kRefused) {
        finish(http1::to_error(step.refusal));
        return false;
      }
      if (!step.data.empty() && !take(step.data)) return false;
      in_.erase(0, step.consumed);
      if (step.progress == http1::Progress::kNeedMore && step.consumed == 0) return true;
    }
    finish(std::nullopt);
    return false;
  }

  bool take(std::string_view data) {
    if (on_data_) {
      if (on_data_(data)) return true;
      finish(std::nullopt);
      return false;
    }
    if (response_.body.size() + data.size() > kAnswerBodyMax) {
      finish(fail(ErrorKind::kExhausted, "http_body_too_large", "the answer is larger than this client takes"));
      return false;
    }
    response_.body += data;
    return true;
  }

  void finish(std::optional<Error> error) {
    if (finished_) return;
    finished_ = true;
    failed_ = std::move(error);
    loop_.stop();
  }

  io::Loop& loop_;
  const ClientRequest& request_;
  const OnData& on_data_;
  std::unique_ptr<io::Stream> stream_;
  std::string out_;
  std::size_t out_at_ = 0;
  std::string in_;
  http1::HeadScan scan_;
  std::optional<http1::BodyReader> body_;
  ClientResponse response_;
  std::optional<Error> failed_;
  bool finished_ = false;
};

}  // namespace

std::string_view ClientResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (codec::equals_ignoring_case(key, name)) return value;
  }
  return {};
}

Result<ClientResponse> fetch(Clock& clock, const io::Address& address, const ClientRequest& request,
                             const OnData& on_data) {
  const auto loop = io::make_epoll_loop(clock);
  Fetch exchange(*loop, request, on_data);
  return exchange.run(address);
}

}  // namespace wary::http
