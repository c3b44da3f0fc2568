#include "http/server.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "codec/http1.h"
#include "codec/json.h"
#include "codec/text.h"

namespace wary::http {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kConnectionsMax = 256;
constexpr std::size_t kRequestBodyMax = std::size_t{2} << 20;
constexpr std::size_t kBodiesMax = std::size_t{64} << 20;  // of all connections
constexpr std::size_t kStrangersMax = 16;
constexpr std::size_t kQueuedMax = std::size_t{1} << 20;
constexpr std::int64_t kRequestTimeout = 10 * kNanosPerSecond;
constexpr std::size_t kReadBytes = 16 * 1024;

}  // namespace

std::string_view Request::header(std::string_view name) const {
  std::string_view value;
  std::size_t count = 0;
  for (const auto& [key, text] : headers) {
    if (!codec::equals_ignoring_case(key, name)) continue;
    value = text;
    ++count;
  }
  return count == 1 ? value : std::string_view{};
}

std::string Request::parameter(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) != name) continue;
    auto value = codec::decode_percent(pair.substr(std::min(equals + 1, pair.size())));
    return value ? std::move(value).value() : std::string();
  }
  return {};
}

class Server::Connection final : public Exchange, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Server& server, std::unique_ptr<io::Stream> stream) : server_(&server), stream_(std::move(stream)) {
    request_.peer = stream_->peer_credentials();
  }
  ~Connection() override {
    if (timer_ != 0 && server_ != nullptr) server_->loop_.cancel(timer_);
    release_body();
  }

  const io::PeerCredentials& peer() const { return request_.peer; }
  // Since when it waits for a request, or nothing while one is handled.
  std::optional<std::uint64_t> waits_since() const { return timer_ != 0 ? std::optional(armed_) : std::nullopt; }

  void begin() {
    // The raw pointer is valid while the stream is, and this object owns the stream.
    stream_->on_ready([this](bool, bool) { ready(); });
    stream_->want(true, false);
    arm();
  }
  // The server goes away before its exchanges do.
  void detach() {
    disarm();
    release_body();
    stream_.reset();
    server_ = nullptr;
  }

  const Request& request() const override { return request_; }
  void make_way() { drop(); }

  void respond(int status, const std::vector<Header>& headers, std::string_view body) override {
    if (!stream_ || state_ != State::kHandling) return;
    write_head(status, headers, {http1::BodyKind::kLength, body.size()});
    if (request_.method != "HEAD") out_ += body;
    finish();
  }

  void start(int status, const std::vector<Header>& headers) override {
    if (!stream_ || state_ != State::kHandling) return;
    write_head(status, headers, {http1::BodyKind::kChunked, 0});
    state_ = State::kStreaming;
    flush();
  }

  bool write(std::string_view data) override {
    if (!stream_ || state_ != State::kStreaming) return false;
    if (data.empty()) return true;
    if (out_.size() - out_at_ + data.size() > kQueuedMax) return false;
    http1::append_chunk_header(out_, data.size());
    out_ += data;
    out_ += http1::kChunkEnd;
    flush();
    return stream_ != nullptr;
  }

  void end() override {
    if (!stream_ || state_ != State::kStreaming) return;
    out_ += http1::kLastChunk;
    finish();
  }

  void on_closed(std::function<void()> closed) override { closed_ = std::move(closed); }

  bool upgrade(const std::vector<Header>& headers, Taken taken) override {
    if (!stream_ || state_ != State::kHandling || !is_upgrade_) return false;
    std::vector<http1::Field> fields;
    for (const auto& [name, value] : headers) fields.push_back({name, value});
    const Status written =
        http1::append_response_head(out_, {.status = 101, .upgrade = http1::Upgrade::kWebSocket}, fields);
    WARY_CHECK(written.ok());  // headers are this program's own
    state_ = State::kLeaving;
    flush();
    if (!stream_) return true;
    // From the loop: this may run inside the stream's own call.
    server_->loop_.post([self = shared_from_this(), taken = std::move(taken)] { self->leave(taken); });
    return true;
  }

 private:
  enum class State { kHead, kBody, kHandling, kStreaming, kLeaving };

  void release_body() {
    if (server_ != nullptr) server_->body_bytes_ -= std::exchange(counted_, 0);
  }

  void arm() {
    armed_ = ++server_->armed_;
    timer_ = server_->loop_.after(kRequestTimeout, [this] {
      timer_ = 0;
      drop();
    });
  }
  void disarm() {
    if (timer_ != 0) server_->loop_.cancel(timer_);
    timer_ = 0;
  }

  void ready() {
    const auto self = shared_from_this();  // a handler or drop() may let go of the last other reference
    flush();
    if (!stream_) return;
    char buffer[kReadBytes];  // NOLINT: a read buffer
    for (int i = 0; i < 4 && stream_; ++i) {
      const io::IoCount got = stream_->read({reinterpret_cast<std::uint8_t*>(buffer), sizeof buffer});
      if (got.state == io::IoCount::State::kWouldBlock) break;
      if (got.state != io::IoCount::State::kSome) return drop();
      in_.append(buffer, got.count);
      // While one request is handled, at most one read of the next is taken.
      if (state_ != State::kHead && state_ != State::kBody) break;
      advance();
      if (got.count < sizeof buffer) break;  // that was all there is; the loop tells of more
    }
    interest();
  }

  void advance() {
    while (stream_) {
      if (state_ == State::kHead && !take_head()) return;
      if (state_ == State::kBody && !take_body()) return;
      if (state_ != State::kHead && state_ != State::kBody) return;
    }
  }

  bool take_head() {
    http1::RequestHead head;
    const http1::HeadResult result = http1::parse_request_head(in_, scan_, head);
    if (result.progress == http1::Progress::kNeedMore) return false;
    if (result.progress == http1::Progress::kRefused) {
      refuse(result.refusal);
      return false;
    }
    request_.method = head.method;
    request_.path = head.path;
    request_.query = head.query.value_or("");
    request_.host = head.host;
    request_.headers.clear();
    request_.headers.reserve(head.fields.size());
    for (const http1::Field& field : head.fields) request_.headers.emplace_back(field.name, field.value);
    release_body();
    std::string().swap(request_.body);
    keep_alive_ = head.keep_alive && !server_->leaving_;
    is_upgrade_ = head.upgrade == http1::Upgrade::kWebSocket;
    body_.emplace(head.framing);
    in_.erase(0, result.consumed);
    scan_ = {};
    state_ = State::kBody;
    return true;
  }

  bool take_body() {
    while (!body_->is_done()) {
      const http1::BodyStep step = body_->step(in_);
      if (step.progress == http1::Progress::kRefused) {
        refuse(step.refusal);
        return false;
      }
      request_.body += step.data;
      in_.erase(0, step.consumed);
      counted_ += step.data.size();
      server_->body_bytes_ += step.data.size();
      if (server_->body_bytes_ > kBodiesMax) {
        refuse({503, "http_busy", "too many large requests at once"});
        return false;
      }
      if (request_.body.size() > kRequestBodyMax) {
        refuse({413, "http_body_too_large", "the body is larger than this API takes"});
        return false;
      }
      if (step.progress == http1::Progress::kNeedMore && step.consumed == 0) return false;
    }
    disarm();
    state_ = State::kHandling;
    server_->handler_(shared_from_this());
    return true;
  }

  void leave(const Taken& taken) {
    if (!stream_) return;
    // A head is smaller than any socket's buffer; a peer that takes not even that is not worth waiting for.
    if (out_at_ < out_.size()) return drop();
    auto stream = std::move(stream_);
    stream->want(false, false);
    stream->on_ready([](bool, bool) {});  // the taker's from here on
    disarm();
    release_body();
    if (server_ != nullptr) server_->connections_.erase(shared_from_this());
    server_ = nullptr;
    closed_ = nullptr;
    taken(std::move(stream), std::move(in_));
  }

  void refuse(const http1::Refusal& refusal) {
    state_ = State::kHandling;
    keep_alive_ = false;
    std::string body = "{\"error\":{\"code\":";
    codec::append_json_string(body, refusal.code);
    body += ",\"message\":";
    codec::append_json_string(body, refusal.message);
    respond(refusal.status, {{"Content-Type", "application/json"}}, body + "}}");
  }

  void write_head(int status, const std::vector<Header>& headers, http1::Framing framing) {
    std::vector<http1::Field> fields;
    fields.reserve(headers.size());
    for (const auto& [name, value] : headers) fields.push_back({name, value});
    const Status written =
        http1::append_response_head(out_, {.status = status, .framing = framing, .keep_alive = keep_alive_}, fields);
    WARY_CHECK(written.ok());  // headers are this program's own
  }

  void finish() {
    state_ = State::kHead;
    closed_ = nullptr;
    closing_ = !keep_alive_;
    // For the next request, or for a peer that does not read this answer.
    disarm();
    arm();
    flush();
    if (!stream_ || closing_) return;
    const auto self = shared_from_this();
    // From the loop, not from inside the handler of the request before.
    server_->loop_.post([self] {
      if (!self->stream_) return;
      if (self->state_ == State::kHead) {
        self->release_body();
        std::string().swap(self->request_.body);  // an idle connection holds nothing
      }
      self->advance();
      self->interest();
    });
  }

  void flush() {
    while (stream_ && out_at_ < out_.size()) {
      const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(out_at_)));
      if (put.state == io::IoCount::State::kWouldBlock) {
        // A reader that is never quite done must not make the queue grow.
        if (out_at_ >= kReadBytes) out_.erase(0, std::exchange(out_at_, 0));
        return interest();
      }
      if (put.state != io::IoCount::State::kSome) return drop();
      out_at_ += put.count;
    }
    out_.clear();
    out_at_ = 0;
    if (closing_) drop();
  }

  void interest() {
    if (stream_) stream_->want(in_.size() < kReadBytes * 4, out_at_ < out_.size());
  }

  void drop() {
    if (!stream_) return;
    const auto self = shared_from_this();
    disarm();
    release_body();
    stream_.reset();
    if (server_ != nullptr) server_->connections_.erase(self);
    server_ = nullptr;  // an exchange that is kept outlives the server
    const auto closed = std::move(closed_);
    closed_ = nullptr;
    if (closed) closed();
  }

  Server* server_;
  std::unique_ptr<io::Stream> stream_;
  State state_ = State::kHead;
  std::string in_;
  std::string out_;
  std::size_t out_at_ = 0;
  http1::HeadScan scan_;
  std::optional<http1::BodyReader> body_;
  Request request_;
  std::function<void()> closed_;
  io::TimerId timer_ = 0;
  std::uint64_t armed_ = 0;
  std::size_t counted_ = 0;  // of its body, in the server's sum
  bool keep_alive_ = true;
  bool is_upgrade_ = false;
  bool closing_ = false;
};

Server::Server(io::Loop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}

Server::~Server() {
  for (const auto& connection : connections_) connection->detach();
}

// Who has waited longest without a request makes place for who comes: opening connections and saying nothing keeps
// nobody out. Strangers share a few places.
bool Server::make_place(const io::PeerCredentials& peer) {
  if (is_known && !is_known(peer)) {
    const auto strangers = std::count_if(connections_.begin(), connections_.end(),
                                         [&](const auto& one) { return !is_known(one->peer()); });
    if (static_cast<std::size_t>(strangers) >= kStrangersMax) return false;
  }
  if (connections_.size() < kConnectionsMax) return true;
  std::shared_ptr<Connection> oldest;
  for (const auto& connection : connections_) {
    if (!connection->waits_since()) continue;
    if (!oldest || *connection->waits_since() < *oldest->waits_since()) oldest = connection;
  }
  if (!oldest) return false;
  oldest->make_way();
  return true;
}

void Server::serve(std::unique_ptr<io::Stream> stream) {
  if (!make_place(stream->peer_credentials())) return;  // closed at once: a bounded number are served
  const auto connection = std::make_shared<Connection>(*this, std::move(stream));
  connections_.insert(connection);
  connection->begin();
}

Status Server::listen(const io::Address& address, const io::ListenOptions& options) {
  WARY_ASSIGN_OR_RETURN(auto listener, loop_.listen(address, options, [this](std::unique_ptr<io::Stream> stream) {
    serve(std::move(stream));
  }));
  listeners_.push_back(std::move(listener));
  return {};
}

std::vector<int> Server::descriptors() const {
  std::vector<int> out;
  for (const auto& listener : listeners_) out.push_back(listener->descriptor());
  return out;
}

void Server::pause() {
  for (const auto& listener : listeners_) listener->pause();
}

void Server::resume() {
  for (const auto& listener : listeners_) listener->resume();
}

void Server::leave() {
  leaving_ = true;
  for (const auto& listener : listeners_) listener->leave_name();
  listeners_.clear();
}

}  // namespace wary::http
