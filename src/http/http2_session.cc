#include "http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/check.h"
#include "codec/text.h"
#include "http/http2_resets.h"

namespace wary::http {

using codec::http1::Field;

namespace {

constexpr std::size_t kNoisePerAnswer = 100;
constexpr std::size_t kNoisePerData = 8;  // it takes window updates to get an answer across
constexpr std::size_t kFrameHeader = 9;
constexpr std::size_t kPreface = 24;       // what a client says first
constexpr std::size_t kHeadsTooLarge = 4;  // so many times the limit of a head, the connection ends

// Never the same twice: in the table of what was sent before it would only push out what is.
bool is_ever_new(std::string_view name) { return codec::equals_ignoring_case(name, "wary-decision"); }

nghttp2_nv name_value(std::string_view name, std::string_view value) {
  const std::uint8_t flags = is_ever_new(name) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
  // The library copies both; its interface is not const.
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),   // NOLINT
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),  // NOLINT
          name.size(), value.size(), flags};
}

// Where the fields of one block lie in `text`, while it grows.
struct Span {
  std::size_t name_at, name_size, value_at, value_size;
};

struct OpenStream {
  std::int32_t id = 0;
  std::string text;  // of the block
  std::vector<Span> spans;
  Http2Block block;
  std::size_t counted = 0;  // as the setting counts
  std::string out;          // of the body, from out_at on not framed yet
  std::size_t out_at = 0;
  bool out_ended = false;
  bool deferred = false;
  std::vector<std::pair<std::string, std::string>> trailers;
  std::size_t unconsumed = 0;
  bool is_malformed = false;
  bool told_head = false;      // what comes next is trailers
  bool is_taken_back = false;  // before anybody heard of it

  void clear_block() {
    text.clear();
    spans.clear();
    counted = 0;
    std::vector<Field> fields = std::move(block.fields);  // their room stays
    fields.clear();
    block = {};
    block.fields = std::move(fields);
  }
};

}  // namespace

struct Http2Session::Impl {
  Http2Session* owner = nullptr;
  Http2Role role = Http2Role::kServer;
  Http2SessionEvents* events = nullptr;
  Http2SessionLimits limits;
  nghttp2_session* session = nullptr;
  using Streams = std::unordered_map<std::int32_t, std::unique_ptr<OpenStream>>;
  Streams streams;
  std::vector<Streams::node_type> spare;  // ended ones, for the next: their buffers have grown already
  std::size_t noise_left = 0;
  std::size_t queued = 0;  // of all streams
  std::string* sink = nullptr;
  std::size_t sink_most = 0;
  std::vector<nghttp2_nv> values;  // of a call
  Http2Resets resets{kPreface};
  bool failed = false;
  bool shutting_down = false;

  ~Impl() { nghttp2_session_del(session); }

  void open() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* option = nullptr;
    WARY_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, close);
    nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, framed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, sent);
    nghttp2_session_callbacks_set_send_callback(callbacks, send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_option_set_max_outbound_ack(option, 100);
    nghttp2_option_set_max_settings(option, 32);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, 100);
    const int made = role == Http2Role::kServer ? nghttp2_session_server_new2(&session, callbacks, this, option)
                                                : nghttp2_session_client_new2(&session, callbacks, this, option);
    WARY_CHECK(made == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    std::vector<nghttp2_settings_entry> settings = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, role == Http2Role::kServer ? limits.streams : 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<std::uint32_t>(limits.stream_window)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits.header_bytes)}};
    if (role == Http2Role::kClient) settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
    if (role == Http2Role::kServer && limits.websockets) {
      settings.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
    }
    WARY_CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0);
    WARY_CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, limits.connection_window) == 0);
  }

  OpenStream* find(std::int32_t id) const {
    // A client's stream is the library's only once its head was sent.
    if (role == Http2Role::kServer) return static_cast<OpenStream*>(nghttp2_session_get_stream_user_data(session, id));
    const auto found = streams.find(id);
    return found == streams.end() ? nullptr : found->second.get();
  }

  OpenStream* make(std::int32_t id) {
    OpenStream* stream = nullptr;
    if (spare.empty()) {
      auto& slot = streams[id];
      slot = std::make_unique<OpenStream>();
      stream = slot.get();
    } else {
      stream = spare.back().mapped().get();
      spare.back().key() = id;
      auto taken = streams.insert(std::move(spare.back()));
      spare.pop_back();
      WARY_CHECK(taken.inserted);  // the library takes no number twice
    }
    stream->id = id;
    return stream;
  }

  static int begin(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Impl*>(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    OpenStream* stream = self.find(frame->hd.stream_id);
    if (stream == nullptr && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      stream = self.make(frame->hd.stream_id);
      nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    }
    if (stream != nullptr) stream->clear_block();
    return 0;
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                    void* user) {
    auto& self = *static_cast<Impl*>(user);
    OpenStream* stream = self.find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->counted += name_size + value_size + 32;
    if (stream->counted > self.limits.header_bytes || stream->spans.size() >= self.limits.header_fields + 5) {
      stream->block.is_too_large = true;
      if (stream->counted <= kHeadsTooLarge * self.limits.header_bytes) return 0;
      // A few bytes can name a large field of the table thousands of times, and the library reads each of them whole.
      // Whoever was told the limit and goes so far beyond it means no request.
      self.failed = true;
      (void)nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    const std::size_t at = stream->text.size();
    stream->text.append(reinterpret_cast<const char*>(name), name_size);
    stream->text.append(reinterpret_cast<const char*>(value), value_size);
    stream->spans.push_back({at, name_size, at + name_size, value_size});
    return 0;
  }

  // The library would leave such a field out in silence, and what was decided would not be what was sent.
  static int invalid_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t*, std::size_t,
                            const std::uint8_t*, std::size_t, std::uint8_t, void* user) {
    if (OpenStream* stream = static_cast<Impl*>(user)->find(frame->hd.stream_id)) stream->is_malformed = true;
    return 0;
  }

  // The views, now that the text moves no more.
  static void settle(OpenStream& stream, bool is_trailer) {
    Http2Block& block = stream.block;
    const std::string_view text = stream.text;
    block.is_trailer = is_trailer;
    block.fields.clear();
    for (const Span& span : stream.spans) {
      const std::string_view name = text.substr(span.name_at, span.name_size);
      const std::string_view value = text.substr(span.value_at, span.value_size);
      if (!name.starts_with(':')) {
        block.fields.push_back({name, value});
      } else if (name == ":method") {
        block.method = value;
      } else if (name == ":path") {
        block.path = value;
      } else if (name == ":authority") {
        block.authority = value;
      } else if (name == ":scheme") {
        block.scheme = value;
      } else if (name == ":protocol") {
        block.protocol = value;
      } else if (name == ":status") {
        std::from_chars(value.data(), value.data() + value.size(), block.status);
      }
    }
  }

  static int data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
    auto& self = *static_cast<Impl*>(user);
    OpenStream* stream = self.find(id);
    if (stream == nullptr || stream->is_taken_back) {
      nghttp2_session_consume_connection(session, size);
      return 0;
    }
    stream->unconsumed += size;
    self.events->on_data(id, {reinterpret_cast<const char*>(bytes), size});
    return 0;
  }

  static int frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Impl*>(user);
    const std::int32_t id = frame->hd.stream_id;
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS || (frame->hd.type == NGHTTP2_DATA && (ends || frame->hd.length > 0))) {
      OpenStream* stream = self.find(id);
      if (stream == nullptr) return 0;
      if (frame->hd.type == NGHTTP2_HEADERS) {
        if (stream->is_malformed) {
          return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR);
        }
        // Its end lies behind it already: whoever asks so in a loop moves nobody else.
        if (!stream->told_head && self.resets.has(id)) stream->is_taken_back = true;
        if (stream->is_taken_back) return 0;
        const bool is_trailer = stream->told_head;
        settle(*stream, is_trailer);
        stream->told_head = stream->told_head || stream->block.status == 0 || stream->block.status >= 200;
        self.events->on_block(id, stream->block, ends);
      } else if (ends && !stream->is_taken_back) {
        self.events->on_end(id);
      }
      return 0;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) self.shutting_down = true;
    if (self.role == Http2Role::kClient) return 0;
    if (self.noise_left == 0) {
      self.failed = true;
      return nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    --self.noise_left;
    return 0;
  }

  static int close(nghttp2_session* session, std::int32_t id, std::uint32_t error, void* user) {
    auto& self = *static_cast<Impl*>(user);
    const auto found = self.streams.find(id);
    if (found == self.streams.end()) return 0;
    Streams::node_type node = self.streams.extract(found);
    OpenStream* const stream = node.mapped().get();
    self.queued -= stream->out.size() - stream->out_at;
    if (stream->unconsumed > 0) nghttp2_session_consume_connection(session, stream->unconsumed);
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    if (!stream->is_taken_back) self.events->on_closed(id, error);
    constexpr std::size_t kSpareMost = 16, kSpareBytes = 16 * 1024;
    if (self.spare.size() < kSpareMost && stream->out.capacity() + stream->text.capacity() < kSpareBytes) {
      std::string out = std::move(stream->out), text = std::move(stream->text);
      std::vector<Span> spans = std::move(stream->spans);
      std::vector<Field> fields = std::move(stream->block.fields);
      *stream = {};
      out.clear();
      text.clear();
      spans.clear();
      fields.clear();
      stream->out = std::move(out);
      stream->text = std::move(text);
      stream->spans = std::move(spans);
      stream->block.fields = std::move(fields);
      self.spare.push_back(std::move(node));
    }
    return 0;
  }

  // Told when a head is encoded and again when it is out: in between it may wait for room.
  static int framed(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS) static_cast<Impl*>(user)->events->on_sent(frame->hd.stream_id);
    return 0;
  }

  static int sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    framed(session, frame, user);
    const bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      static_cast<Impl*>(user)->events->on_sent_all(frame->hd.stream_id);
    }
    return 0;
  }

  static ssize_t send(nghttp2_session*, const std::uint8_t* bytes, std::size_t size, int, void* user) {
    auto& self = *static_cast<Impl*>(user);
    if (self.sink->size() >= self.sink_most) return NGHTTP2_ERR_WOULDBLOCK;
    self.sink->append(reinterpret_cast<const char*>(bytes), size);
    return static_cast<ssize_t>(size);
  }

  static ssize_t read_body(nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t size,
                           std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<OpenStream*>(source->ptr);
    const std::size_t count = std::min(size, stream.out.size() - stream.out_at);
    if (count == 0 && !stream.out_ended) {
      stream.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (stream.out_at + count < stream.out.size() || !stream.out_ended) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream.trailers.empty()) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    std::vector<nghttp2_nv> trailers;
    trailers.reserve(stream.trailers.size());
    for (const auto& [name, value] : stream.trailers) trailers.push_back(name_value(name, value));
    if (nghttp2_submit_trailer(session, id, trailers.data(), trailers.size()) != 0) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return static_cast<ssize_t>(count);
  }

  static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* header, std::size_t size,
                       nghttp2_data_source* source, void* user) {
    auto& self = *static_cast<Impl*>(user);
    auto& stream = *static_cast<OpenStream*>(source->ptr);
    if (self.sink->size() >= self.sink_most) return NGHTTP2_ERR_WOULDBLOCK;
    // We never pad, so what follows the frame's header is the body's alone.
    WARY_CHECK(frame->data.padlen == 0);
    // The stream was reset between the frame's measure and its turn.
    if (stream.out.size() - stream.out_at < size) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    self.sink->append(reinterpret_cast<const char*>(header), kFrameHeader);
    self.sink->append(stream.out, stream.out_at, size);
    stream.out_at += size;
    self.queued -= size;
    if (stream.out_at == stream.out.size()) {
      stream.out.clear();
      stream.out_at = 0;
    }
    self.owner->forgive(kNoisePerData);
    if (size > 0) self.events->on_sent(stream.id);
    return 0;
  }
};

Http2Session::Http2Session(Http2Role role, Http2SessionEvents& events, Http2SessionLimits limits)
    : impl_(std::make_unique<Impl>()) {
  impl_->owner = this;
  impl_->role = role;
  impl_->events = &events;
  impl_->limits = limits;
  impl_->noise_left = limits.noise;
  impl_->open();
}

Http2Session::~Http2Session() = default;

void Http2Session::receive(std::string_view bytes) {
  if (impl_->failed) return;
  if (impl_->role == Http2Role::kServer) impl_->resets.look(bytes);
  const ssize_t taken =
      nghttp2_session_mem_recv(impl_->session, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  // What was no HTTP/2 at all: a GOAWAY may be waiting to be sent.
  if (taken < 0) impl_->failed = true;
}

void Http2Session::flush(std::string& out, std::size_t most) {
  impl_->sink = &out;
  impl_->sink_most = most;
  if (nghttp2_session_send(impl_->session) != 0) impl_->failed = true;
  impl_->sink = nullptr;
}

bool Http2Session::wants_to_send() const { return nghttp2_session_want_write(impl_->session) != 0; }

std::int32_t Http2Session::submit_request(const std::vector<Field>& fields, bool ends) {
  if (is_over() || impl_->shutting_down) return -1;
  impl_->values.clear();
  for (const Field& field : fields) impl_->values.push_back(name_value(field.name, field.value));
  // Its number is known only afterwards.
  OpenStream* stream = impl_->make(0);
  nghttp2_data_provider provider{};
  provider.source.ptr = stream;
  provider.read_callback = Impl::read_body;
  const std::int32_t id = nghttp2_submit_request(impl_->session, nullptr, impl_->values.data(), impl_->values.size(),
                                                 ends ? nullptr : &provider, stream);
  auto node = impl_->streams.extract(0);
  if (id < 0) return -1;
  node.key() = id;
  stream->id = id;
  impl_->streams.insert(std::move(node));
  return id;
}

void Http2Session::submit_answer(std::int32_t id, int status, const std::vector<Field>& fields, bool ends) {
  OpenStream* stream = impl_->find(id);
  if (stream == nullptr) return;
  forgive(kNoisePerAnswer);
  char digits[3] = {static_cast<char>('0' + status / 100), static_cast<char>('0' + status / 10 % 10),  // NOLINT
                    static_cast<char>('0' + status % 10)};
  impl_->values.clear();
  impl_->values.push_back(name_value(":status", {digits, 3}));
  for (const Field& field : fields) impl_->values.push_back(name_value(field.name, field.value));
  nghttp2_data_provider provider{};
  provider.source.ptr = stream;
  provider.read_callback = Impl::read_body;
  if (nghttp2_submit_response(impl_->session, id, impl_->values.data(), impl_->values.size(),
                              ends ? nullptr : &provider) != 0) {
    reset(id, kHttp2InternalError);
  }
}

void Http2Session::submit_interim(std::int32_t id, int status) {
  const std::string text = std::to_string(status);
  const nghttp2_nv value = name_value(":status", text);
  nghttp2_submit_headers(impl_->session, NGHTTP2_FLAG_NONE, id, nullptr, &value, 1, nullptr);
}

void Http2Session::write(std::int32_t id, std::string_view bytes) {
  OpenStream* stream = impl_->find(id);
  if (stream == nullptr || stream->out_ended || bytes.empty()) return;
  if (stream->out_at > 0 && stream->out_at >= stream->out.size() / 2) {
    stream->out.erase(0, stream->out_at);
    stream->out_at = 0;
  }
  stream->out += bytes;
  impl_->queued += bytes.size();
  if (std::exchange(stream->deferred, false)) nghttp2_session_resume_data(impl_->session, id);
}

void Http2Session::end(std::int32_t id, const std::vector<Field>& trailers) {
  OpenStream* stream = impl_->find(id);
  if (stream == nullptr || stream->out_ended) return;
  stream->out_ended = true;
  for (const Field& field : trailers) stream->trailers.emplace_back(field.name, field.value);
  if (std::exchange(stream->deferred, false)) nghttp2_session_resume_data(impl_->session, id);
}

void Http2Session::reset(std::int32_t id, std::uint32_t error) {
  if (OpenStream* stream = impl_->find(id)) {
    impl_->queued -= stream->out.size() - stream->out_at;
    stream->out.clear();
    stream->out_at = 0;
    stream->out_ended = true;
  }
  nghttp2_submit_rst_stream(impl_->session, NGHTTP2_FLAG_NONE, id, error);
}

void Http2Session::consume(std::int32_t id, std::size_t bytes) {
  OpenStream* stream = impl_->find(id);
  if (stream == nullptr || bytes == 0) return;  // what was unused at its end was given back then
  WARY_CHECK(bytes <= stream->unconsumed);
  stream->unconsumed -= bytes;
  nghttp2_session_consume(impl_->session, id, bytes);
}

void Http2Session::forget_block(std::int32_t id) {
  constexpr std::size_t kKeptBytes = 1024;
  OpenStream* stream = impl_->find(id);
  if (stream == nullptr || stream->text.capacity() <= kKeptBytes) return;
  stream->clear_block();
  std::string().swap(stream->text);
  std::vector<Span>().swap(stream->spans);
}

std::size_t Http2Session::queued(std::int32_t id) const {
  const OpenStream* stream = impl_->find(id);
  return stream == nullptr ? 0 : stream->out.size() - stream->out_at;
}

std::size_t Http2Session::unconsumed(std::int32_t id) const {
  const OpenStream* stream = impl_->find(id);
  return stream == nullptr ? 0 : stream->unconsumed;
}

std::size_t Http2Session::queued() const { return impl_->queued; }

void Http2Session::announce_shutdown() {
  impl_->shutting_down = true;
  nghttp2_submit_shutdown_notice(impl_->session);
}

void Http2Session::shut_down(std::uint32_t error) {
  impl_->shutting_down = true;
  nghttp2_submit_goaway(impl_->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(impl_->session),
                        error, nullptr, 0);
}

bool Http2Session::is_shutting_down() const { return impl_->shutting_down; }

bool Http2Session::is_over() const {
  return impl_->failed ||
         (nghttp2_session_want_read(impl_->session) == 0 && nghttp2_session_want_write(impl_->session) == 0);
}

std::size_t Http2Session::open_streams() const { return impl_->streams.size(); }

std::uint32_t Http2Session::peer_max_streams() const {
  return nghttp2_session_get_remote_settings(impl_->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool Http2Session::peer_has_websockets() const {
  return nghttp2_session_get_remote_settings(impl_->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

void Http2Session::forgive(std::size_t frames) {
  impl_->noise_left = std::min(impl_->noise_left + frames, impl_->limits.noise + kNoisePerAnswer);
}

std::size_t Http2Session::held_bytes() const {
  std::size_t held = 0;
  for (const auto& [id, stream] : impl_->streams) held += stream->out.capacity() + stream->text.capacity();
  for (const auto& node : impl_->spare) held += node.mapped()->out.capacity() + node.mapped()->text.capacity();
  return held;
}

}  // namespace wary::http
