#include "http/http2.h"

#include <algorithm>
#include <limits>
#include <map>

#include "http/http2_session.h"

namespace wary::http {

using codec::http1::Field;

namespace {

constexpr std::size_t kNoisePerWrite = 100;  // it takes window updates to get it across

std::vector<Field> views_of(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::vector<Field> out;
  out.reserve(fields.size());
  for (const auto& [name, value] : fields) out.push_back({name, value});
  return out;
}

Http2SessionLimits session_limits(const Http2Limits& limits) {
  return {.streams = static_cast<std::uint32_t>(limits.streams),
          .header_bytes = limits.header_bytes,
          .header_fields = limits.header_fields,
          .noise = limits.noise,
          .websockets = false};
}

}  // namespace

std::string_view Http2Request::header(std::string_view name) const {
  std::string_view value;
  std::size_t count = 0;
  for (const auto& [key, text] : headers) {
    if (key != name) continue;
    value = text;
    ++count;
  }
  return count == 1 ? value : std::string_view{};
}

struct Http2::Impl final : Http2SessionEvents {
  struct Stream {
    Http2Request request;
    bool is_answered = false;
    bool stays_open = false;  // more of the answer comes
    bool is_refused = false;  // it was reset, and closes when that is sent
    bool goes_on = false;     // its body is given away as it comes
    bool has_ended = false;   // the client's side of it
  };

  Impl(Http2& connection, Handler handles, Http2Limits bounds)
      : owner(connection),
        handler(std::move(handles)),
        limits(bounds),
        session(Http2Role::kServer, *this, session_limits(bounds)) {}

  Stream* find(std::int32_t id) {
    const auto found = streams.find(id);
    return found == streams.end() ? nullptr : &found->second;
  }

  void on_block(std::int32_t id, const Http2Block& block, bool ends) override {
    if (block.is_trailer) {
      if (ends) on_end(id);
      return;
    }
    Stream& stream = streams[id];
    if (block.is_too_large || block.fields.size() > limits.header_fields) {
      return refuse(id, stream, kHttp2EnhanceYourCalm);
    }
    Http2Request& request = stream.request;
    request.stream = id;
    request.method = block.method;
    request.path = block.path;
    request.authority = block.authority;
    request.scheme = block.scheme;
    request.headers.reserve(block.fields.size());
    for (const Field& field : block.fields) request.headers.emplace_back(field.name, field.value);
    session.forget_block(id);
    stream.goes_on = owner.goes_on && owner.goes_on(request);
    stream.has_ended = ends;
    if (stream.goes_on || ends) answer(id, stream);
    if (stream.goes_on && ends) give(id, stream);
  }

  void on_data(std::int32_t id, std::string_view bytes) override {
    session.consume(id, bytes.size());
    Stream* stream = find(id);
    if (stream == nullptr || stream->is_refused) return;
    if (stream->goes_on && !stream->stays_open) return;  // nobody reads it any more
    body_bytes += bytes.size();
    stream->request.body += bytes;
    if (stream->goes_on) give(id, *stream);
    if (stream->request.body.size() > limits.body_bytes || body_bytes > limits.bodies_bytes) {
      refuse(id, *stream, kHttp2RefusedStream);
    }
  }

  void on_end(std::int32_t id) override {
    Stream* stream = find(id);
    if (stream == nullptr || stream->is_refused) return;
    stream->has_ended = true;
    if (!stream->goes_on) return answer(id, *stream);
    give(id, *stream);
  }

  void on_closed(std::int32_t id, std::uint32_t) override {
    const auto found = streams.find(id);
    if (found == streams.end()) return;
    body_bytes -= found->second.request.body.size();
    const bool was_handled = found->second.is_answered;
    streams.erase(found);
    if (was_handled && owner.on_closed) owner.on_closed(id);
  }

  void on_sent(std::int32_t) override {}

  // An answer is over before its request: the client need not go on.
  void on_sent_all(std::int32_t id) override {
    const Stream* stream = find(id);
    if (stream != nullptr && stream->goes_on && !stream->has_ended) session.reset(id, kHttp2NoError);
  }

  void refuse(std::int32_t id, Stream& stream, std::uint32_t error) {
    stream.is_refused = true;
    stream.stays_open = false;
    session.reset(id, error);
  }

  // What is unread of a body that goes on, to who reads it.
  void give(std::int32_t id, Stream& stream) {
    if (!stream.stays_open || !owner.on_body) return;
    std::string& unread = stream.request.body;
    const std::size_t taken = std::min(owner.on_body(id, unread, stream.has_ended), unread.size());
    unread.erase(0, taken);
    body_bytes -= taken;
  }

  void answer(std::int32_t id, Stream& stream) {
    stream.is_answered = true;
    const Http2Response response = handler(stream.request);
    stream.stays_open = response.stays_open;
    const bool has_body = !response.body.empty() || !response.trailers.empty() || response.stays_open;
    session.submit_answer(id, response.status, views_of(response.headers), !has_body);
    session.write(id, response.body);
    if (has_body && !response.stays_open) session.end(id, views_of(response.trailers));
  }

  Http2& owner;
  Handler handler;
  Http2Limits limits;
  std::map<std::int32_t, Stream> streams;
  std::size_t body_bytes = 0;
  Http2Session session;
};

Http2::Http2(Handler handler, Http2Limits limits) : impl_(std::make_unique<Impl>(*this, std::move(handler), limits)) {}

Http2::~Http2() = default;

std::string Http2::receive(std::string_view bytes) {
  if (is_over()) return {};
  impl_->session.receive(bytes);
  return flush();
}

std::string Http2::flush() {
  std::string out;
  impl_->session.flush(out, std::numeric_limits<std::size_t>::max());
  return out;
}

bool Http2::write(std::int32_t id, std::string_view bytes) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || !stream->stays_open) return false;
  if (impl_->session.queued(id) + bytes.size() > impl_->limits.unsent_bytes) {
    impl_->refuse(id, *stream, kHttp2Cancel);
    return false;
  }
  impl_->session.write(id, bytes);
  forgive(kNoisePerWrite);
  return true;
}

void Http2::end(std::int32_t id, std::vector<std::pair<std::string, std::string>> trailers) {
  Impl::Stream* stream = impl_->find(id);
  if (stream == nullptr || !stream->stays_open) return;
  stream->stays_open = false;
  impl_->session.end(id, views_of(trailers));
}

void Http2::forgive(std::size_t frames) { impl_->session.forgive(frames); }

bool Http2::is_over() const { return impl_->session.is_over(); }

}  // namespace wary::http
