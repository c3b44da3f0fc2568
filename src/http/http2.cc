#include "http/http2.h"

#include <nghttp2/nghttp2.h>

#include <cstring>
#include <map>

#include "base/check.h"

namespace wary::http {

namespace {

constexpr std::size_t kNoisePerRequest = 100;

nghttp2_nv field_of(const std::string& name, const std::string& value) {
  // The library copies both; its interface is not const.
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),   // NOLINT
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),  // NOLINT
          name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
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

struct Http2::Impl {
  struct Stream {
    Http2Request request;
    std::size_t header_bytes = 0;
    Http2Response response;
    std::size_t sent = 0;
    bool is_answered = false;
    bool is_too_large = false;
    bool goes_on = false;    // its body is given away as it comes
    bool has_ended = false;  // the client's side of it
  };

  Http2* owner = nullptr;
  Handler handler;
  Http2Limits limits;
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, Stream> streams;
  std::size_t body_bytes = 0;
  std::size_t noise_left = 0;
  bool failed = false;

  ~Impl() { nghttp2_session_del(session); }

  void open(Impl* self) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* option = nullptr;
    WARY_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, close);
    nghttp2_option_set_max_outbound_ack(option, 100);
    nghttp2_option_set_max_settings(option, 32);
    WARY_CHECK(nghttp2_session_server_new2(&session, callbacks, self, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        // NOLINT: the library's interface wants an array
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<std::uint32_t>(limits.streams)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits.header_bytes)},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0}};
    WARY_CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 3) == 0);
  }

  Stream* find(std::int32_t id) {
    const auto found = streams.find(id);
    return found == streams.end() ? nullptr : &found->second;
  }

  static int begin(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Impl*>(user);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      self.streams[frame->hd.stream_id] = Stream{};
      self.streams[frame->hd.stream_id].request.stream = frame->hd.stream_id;
    }
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    auto& self = *static_cast<Impl*>(user);
    Stream* stream = self.find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    stream->header_bytes += name_size + value_size + 32;  // as the setting counts
    if (stream->header_bytes > self.limits.header_bytes ||
        stream->request.headers.size() >= self.limits.header_fields) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // the stream ends
    }
    Http2Request& request = stream->request;
    if (key == ":method")
      request.method = text;
    else if (key == ":path")
      request.path = text;
    else if (key == ":authority")
      request.authority = text;
    else if (key == ":scheme")
      request.scheme = text;
    else if (!key.starts_with(':'))
      request.headers.emplace_back(key, text);
    return 0;
  }

  static int data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
    auto& self = *static_cast<Impl*>(user);
    Stream* stream = self.find(id);
    if (stream == nullptr || stream->is_too_large) return 0;
    if (stream->goes_on && !stream->response.stays_open) return 0;  // nobody reads it any more
    self.body_bytes += size;
    stream->request.body.append(reinterpret_cast<const char*>(bytes), size);
    if (stream->goes_on) self.give(id, *stream);
    if (stream->request.body.size() > self.limits.body_bytes || self.body_bytes > self.limits.bodies_bytes) {
      stream->is_too_large = true;
      return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    }
    return 0;
  }

  // What is unread of a body that goes on, to who reads it.
  void give(std::int32_t id, Stream& stream) {
    if (!stream.response.stays_open || !owner->on_body) return;
    std::string& unread = stream.request.body;
    const std::size_t taken = std::min(owner->on_body(id, unread, stream.has_ended), unread.size());
    unread.erase(0, taken);
    body_bytes -= taken;
  }

  int heard(const nghttp2_frame* frame, bool ends) {
    const std::int32_t id = frame->hd.stream_id;
    Stream* stream = find(id);
    if (stream == nullptr) return 0;
    stream->has_ended = stream->has_ended || ends;
    if (!stream->is_answered && owner->goes_on && owner->goes_on(stream->request)) {
      stream->goes_on = true;
      if (const int result = answer(id); result != 0) return result;
    }
    if (!ends) return 0;
    if (!stream->goes_on) return answer(id);
    give(id, *stream);
    return 0;
  }

  static int frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Impl*>(user);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    const bool begins = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    if (begins || (carries && ends)) return self.heard(frame, ends);
    // An empty frame of data that ends nothing is noise like the rest.
    if (frame->hd.type == NGHTTP2_HEADERS || (frame->hd.type == NGHTTP2_DATA && frame->hd.length > 0)) return 0;
    if (self.noise_left == 0) {
      self.failed = true;
      return nghttp2_session_terminate_session(self.session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    --self.noise_left;
    return 0;
  }

  // An answer is over before its request: the client need not go on.
  static int sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Impl*>(user);
    const bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!carries || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const Stream* stream = self.find(frame->hd.stream_id);
    if (stream == nullptr || !stream->goes_on || stream->has_ended) return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  }

  static int close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
    auto& self = *static_cast<Impl*>(user);
    Stream* stream = self.find(id);
    if (stream == nullptr) return 0;
    self.body_bytes -= stream->request.body.size();
    const bool was_handled = stream->is_answered;
    self.streams.erase(id);
    if (was_handled && self.owner->on_closed) self.owner->on_closed(id);
    return 0;
  }

  static ssize_t read_body(nghttp2_session* session, std::int32_t id, std::uint8_t* out, std::size_t size,
                           std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const std::size_t count = std::min(size, stream.response.body.size() - stream.sent);
    std::memcpy(out, stream.response.body.data() + stream.sent, count);
    stream.sent += count;
    if (stream.sent < stream.response.body.size()) return static_cast<ssize_t>(count);
    if (stream.response.stays_open) {
      stream.response.body.clear();
      stream.sent = 0;
      return count == 0 ? static_cast<ssize_t>(NGHTTP2_ERR_DEFERRED) : static_cast<ssize_t>(count);
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream.response.trailers.empty()) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    std::vector<nghttp2_nv> trailers;
    for (const auto& [name, value] : stream.response.trailers) trailers.push_back(field_of(name, value));
    if (nghttp2_submit_trailer(session, id, trailers.data(), trailers.size()) != 0) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return static_cast<ssize_t>(count);
  }

  int answer(std::int32_t id) {
    Stream* stream = find(id);
    if (stream == nullptr || stream->is_answered || stream->is_too_large) return 0;
    stream->is_answered = true;
    owner->forgive(kNoisePerRequest);
    stream->response = handler(stream->request);
    const std::string status_name = ":status", status = std::to_string(stream->response.status);
    std::vector<nghttp2_nv> fields = {field_of(status_name, status)};
    for (const auto& [name, value] : stream->response.headers) fields.push_back(field_of(name, value));
    nghttp2_data_provider provider{};
    provider.source.ptr = stream;  // a map's elements stay where they are
    provider.read_callback = read_body;
    const bool has_body =
        !stream->response.body.empty() || !stream->response.trailers.empty() || stream->response.stays_open;
    return nghttp2_submit_response(session, id, fields.data(), fields.size(), has_body ? &provider : nullptr);
  }
};

Http2::Http2(Handler handler, Http2Limits limits) : impl_(std::make_unique<Impl>()) {
  impl_->owner = this;
  impl_->handler = std::move(handler);
  impl_->limits = limits;
  impl_->noise_left = limits.noise;
  impl_->open(impl_.get());
}

Http2::~Http2() = default;

std::string Http2::receive(std::string_view bytes) {
  if (is_over()) return {};
  const ssize_t taken =
      nghttp2_session_mem_recv(impl_->session, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  // What was no HTTP/2 at all: a GOAWAY may be waiting to be sent.
  if (taken < 0) impl_->failed = true;
  return flush();
}

std::string Http2::flush() {
  std::string out;
  for (;;) {
    const std::uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(impl_->session, &data);
    if (size < 0) impl_->failed = true;
    if (size <= 0) return out;
    out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  }
}

bool Http2::write(std::int32_t stream, std::string_view bytes) {
  Impl::Stream* found = impl_->find(stream);
  if (found == nullptr || !found->response.stays_open) return false;
  if (found->response.body.size() - found->sent + bytes.size() > impl_->limits.unsent_bytes) {
    nghttp2_submit_rst_stream(impl_->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    return false;
  }
  found->response.body.erase(0, found->sent);
  found->sent = 0;
  found->response.body += bytes;
  forgive(kNoisePerRequest);  // it takes window updates to get it across
  nghttp2_session_resume_data(impl_->session, stream);
  return true;
}

void Http2::end(std::int32_t stream, std::vector<std::pair<std::string, std::string>> trailers) {
  Impl::Stream* found = impl_->find(stream);
  if (found == nullptr || !found->response.stays_open) return;
  found->response.stays_open = false;
  found->response.trailers = std::move(trailers);
  nghttp2_session_resume_data(impl_->session, stream);
}

void Http2::forgive(std::size_t frames) {
  impl_->noise_left = std::min(impl_->noise_left + frames, impl_->limits.noise + kNoisePerRequest);
}

bool Http2::is_over() const {
  return impl_->failed ||
         (nghttp2_session_want_read(impl_->session) == 0 && nghttp2_session_want_write(impl_->session) == 0);
}

}  // namespace wary::http
