#include "http/http2_client.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "base/check.h"

namespace wary::http {

namespace {

constexpr std::size_t kAnswerHeaderBytes = std::size_t{64} << 10;

nghttp2_nv request_field(const std::string& name, const std::string& value) {
  // The library copies both; its interface is not const.
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),   // NOLINT
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),  // NOLINT
          name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

struct Http2Client::Impl {
  struct Stream {
    std::string body;
    std::size_t sent = 0;
    Http2Fields fields;
    std::size_t field_bytes = 0;
  };
  Http2ClientEvents events;
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, Stream> streams;
  bool failed = false;

  ~Impl() { nghttp2_session_del(session); }

  void open() {
    nghttp2_session_callbacks* callbacks = nullptr;
    WARY_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, close);
    WARY_CHECK(nghttp2_session_client_new(&session, callbacks, this) == 0);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        // NOLINT: the library's interface wants an array
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(kAnswerHeaderBytes)}};
    WARY_CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2) == 0);
  }

  Stream* find(std::int32_t id) {
    const auto found = streams.find(id);
    return found == streams.end() ? nullptr : &found->second;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    Stream* stream = static_cast<Impl*>(user)->find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->field_bytes += name_size + value_size + 32;
    if (stream->field_bytes > kAnswerHeaderBytes) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->fields.emplace_back(std::string(reinterpret_cast<const char*>(name), name_size),
                                std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }

  static int frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Impl*>(user);
    Stream* stream = self.find(frame->hd.stream_id);
    if (frame->hd.type != NGHTTP2_HEADERS || stream == nullptr) return 0;
    const Http2Fields fields = std::move(stream->fields);
    stream->fields.clear();
    if (self.events.on_headers) self.events.on_headers(frame->hd.stream_id, fields);
    return 0;
  }

  static int data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
    auto& self = *static_cast<Impl*>(user);
    if (self.find(id) != nullptr && self.events.on_data) {
      self.events.on_data(id, {reinterpret_cast<const char*>(bytes), size});
    }
    return 0;
  }

  static int close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
    auto& self = *static_cast<Impl*>(user);
    if (self.streams.erase(id) != 0 && self.events.on_closed) self.events.on_closed(id, error);
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* out, std::size_t size, std::uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const std::size_t count = std::min(size, stream.body.size() - stream.sent);
    std::memcpy(out, stream.body.data() + stream.sent, count);
    stream.sent += count;
    if (stream.sent == stream.body.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }
};

Http2Client::Http2Client(Http2ClientEvents events) : impl_(std::make_unique<Impl>()) {
  impl_->events = std::move(events);
  impl_->open();
}

Http2Client::~Http2Client() = default;

std::int32_t Http2Client::start(const Http2Fields& fields, std::string body) {
  if (is_over()) return -1;
  std::vector<nghttp2_nv> sent;
  for (const auto& [name, value] : fields) sent.push_back(request_field(name, value));
  // The stream's number is known only afterwards; a map's elements move with their node.
  auto stream = std::map<std::int32_t, Impl::Stream>();
  stream[0].body = std::move(body);
  nghttp2_data_provider provider{};
  provider.source.ptr = &stream[0];
  provider.read_callback = Impl::read_body;
  const std::int32_t id = nghttp2_submit_request(impl_->session, nullptr, sent.data(), sent.size(), &provider, nullptr);
  if (id < 0) return -1;
  auto node = stream.extract(0);
  node.key() = id;
  impl_->streams.insert(std::move(node));
  return id;
}

void Http2Client::cancel(std::int32_t stream) {
  nghttp2_submit_rst_stream(impl_->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

std::string Http2Client::receive(std::string_view bytes) {
  if (is_over()) return {};
  const ssize_t taken =
      nghttp2_session_mem_recv(impl_->session, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) impl_->failed = true;
  return flush();
}

std::string Http2Client::flush() {
  std::string out;
  for (;;) {
    const std::uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(impl_->session, &data);
    if (size < 0) impl_->failed = true;
    if (size <= 0) return out;
    out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  }
}

bool Http2Client::is_over() const {
  return impl_->failed ||
         (nghttp2_session_want_read(impl_->session) == 0 && nghttp2_session_want_write(impl_->session) == 0);
}

}  // namespace wary::http
