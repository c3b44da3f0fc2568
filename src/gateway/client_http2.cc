#include "gateway/client_http2.h"

#include <algorithm>

#include "codec/text.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kStreamHeld = 128 * 1024;    // of one answer
constexpr std::size_t kFlushedAtOnce = 64 * 1024;  // framed and encrypted, so that a cut has little to hold back
constexpr std::int64_t kStopAfter = kNanosPerSecond;
constexpr std::int64_t kStalledTime = 300 * kNanosPerSecond;  // of a whole answer, none of which is taken
constexpr std::size_t kLeavingMost = 100;
constexpr std::size_t kStopBeyond = 64 * 1024;                        // of a request that was answered already
constexpr std::string_view kGoingAwayFrame{"\x88\x02\x03\xe9", 4};    // RFC 6455: close, code 1001
constexpr std::string_view kRestartingFrame{"\x88\x02\x03\xf4", 4};   // close, code 1012
constexpr std::int64_t kLeaveTime = kNanosPerSecond;                  // for the word that we leave, there and back
constexpr std::string_view kPolicyCloseFrame{"\x88\x02\x03\xf0", 4};  // RFC 6455: close, code 1008

}  // namespace

namespace {

// RFC 9113 section 8.2.3: a client may send its cookies in several fields, which mean one.
void join_cookies(std::vector<http1::Field>& fields, std::string& text) {
  const auto is_cookie = [](const http1::Field& field) { return codec::equals_ignoring_case(field.name, "cookie"); };
  if (std::count_if(fields.begin(), fields.end(), is_cookie) < 2) return;
  for (const http1::Field& field : fields) {
    if (!is_cookie(field)) continue;
    if (!text.empty()) text += "; ";
    text += field.value;
  }
  std::erase_if(fields, is_cookie);
  fields.push_back({"cookie", text});
}

}  // namespace

class Http2Client::Stream final : public ClientSide {
 public:
  Stream(Http2Client& owner, std::int32_t id)
      : exchange(owner.connection_.worker(), *this, owner.connection_.id(), id), owner_(owner), id_(id) {}

  Connection& connection() override { return owner_.connection_; }
  bool answer(const AnswerHead& head) override;
  void data(std::string_view bytes) override {
    owner_.session_.write(id_, bytes);
    owner_.connection_.mark();
  }
  void end(const std::vector<http1::Field>& trailers) override {
    if (!ended_) {
      ended_ = true;
      owner_.session_.end(id_, trailers);
    }
    owner_.connection_.set_deadline(kKeepAliveTime);
    owner_.connection_.mark();
  }
  void abort() override {
    exchange.give_up(true);
    owner_.session_.reset(id_, is_websocket_ ? http::kHttp2Cancel : http::kHttp2InternalError);
    owner_.connection_.keep_for(kStopAfter);  // for that to leave
    owner_.connection_.mark();
  }
  void cut() override;
  bool is_quiet() const override { return !owner_.may_be_queued(*this) && owner_.session_.queued(id_) == 0; }
  std::size_t room() const override {
    const std::size_t held = owner_.session_.queued(id_);
    const bool full = owner_.session_.queued() >= kAnswerHeld * 4;
    return held < kStreamHeld && !full ? kStreamHeld - held : 0;
  }
  void ask_for_body() override {
    owner_.session_.submit_interim(id_, 100);
    owner_.connection_.mark();
  }
  // A WebSocket hears that the server goes away, once no frame is under way.
  void say_going_away(bool comes_back) {
    if (!exchange.may_speak()) return;
    exchange.give_up(false);
    data(comes_back ? kRestartingFrame : kGoingAwayFrame);
    end({});
  }
  // For another request; the last one is over.
  void recycle(std::int32_t id) {
    exchange.recycle(id);
    id_ = id;
    pending.clear();
    body_ended = opens_websocket = waits = told_body_end_ = ended_ = is_websocket_ = false;
    sent_at = 0;
    stop_at = held_at = 0;
  }
  std::size_t held_bytes() const { return pending.capacity() + exchange.held_bytes(); }
  // The answer is whole, and what the client still sends of its request is thrown away.
  bool is_answered() const { return ended_; }
  // What came of the body and was not taken yet. True when something moved.
  bool pump();

  Exchange exchange;
  std::string pending;
  bool body_ended = false;  // by the client
  bool opens_websocket = false;
  bool waits = false;         // is in waiting_
  std::uint64_t sent_at = 0;  // flushes_ when its last bytes were framed
  std::int64_t stop_at = 0;   // when a client that goes on after its answer is told to stop
  std::int64_t held_at = 0;   // since when nothing of its answer was taken

 private:
  Http2Client& owner_;
  std::int32_t id_;
  bool told_body_end_ = false;
  bool ended_ = false;
  bool is_websocket_ = false;
};

bool Http2Client::Stream::answer(const AnswerHead& head) {
  std::vector<http1::Field>& fields = owner_.connection_.worker().framed_fields();
  for (const http1::Field& field : head.fields) {
    if (!http1::is_token(field.name) || !http1::is_field_value(field.value)) return false;
    if (head.switches && codec::equals_ignoring_case(field.name, "sec-websocket-accept")) continue;
    fields.push_back(field);
  }
  if (head.status < 200 && !head.switches) return false;
  // To this client any 2xx says that its WebSocket is open (RFC 8441 section 5): an application's page is none.
  if (opens_websocket && !head.switches && !head.is_ours && head.status < 300) return false;
  is_websocket_ = head.switches;
  std::string length;
  const bool bodiless = head.status < 200 || head.status == 204 || head.status == 304;
  if (head.length && !bodiless) {
    length = std::to_string(*head.length);
    fields.push_back({"content-length", length});
  }
  ended_ = !head.has_body && !head.switches;
  owner_.session_.submit_answer(id_, head.switches ? 200 : head.status, fields, ended_);
  owner_.connection_.mark();
  return true;
}

// Access has ended. A gRPC call and a WebSocket hear why in their own words, where nothing waits in a queue; what may
// be queued ends with the whole connection, for a record that is encrypted cannot be taken apart. What is said goes out
// with all that waits on the connection: what else of it a change concerns is decided before, whatever slice it is in.
void Http2Client::Stream::cut() {
  http::Http2Session& session = owner_.session_;
  Connection& connection = owner_.connection_;
  if (owner_.may_be_queued(*this)) return connection.end_now(true);
  if (owner_.find(id_) != this) {
    connection.settle();
    if (connection.state() == Connection::State::kEnded) return;
    if (!owner_.resting_ || owner_.resting_.mapped().get() != this || !owner_.streams_.empty()) return;
    owner_.say_goodbye();
    return connection.end_saying({});
  }
  const bool quiet = session.queued(id_) == 0 && !ended_;
  const bool speaks = exchange.may_speak();
  const bool answered = exchange.has_answered();
  const bool is_grpc = exchange.is_grpc();
  exchange.give_up(true);
  const std::vector<http1::Field> why = {{"grpc-status", "7"}, {"grpc-message", "access has ended"}};
  if (quiet && speaks) {
    session.write(id_, kPolicyCloseFrame);
    session.end(id_, {});
  } else if (quiet && is_grpc && answered) {
    session.end(id_, why);
  } else if (quiet && is_grpc) {
    std::vector<http1::Field> fields = why;
    fields.push_back({"content-type", "application/grpc"});
    session.submit_answer(id_, 200, fields, true);
  } else {
    session.reset(id_, http::kHttp2Cancel);
  }
  connection.settle();
  if (connection.state() == Connection::State::kEnded) return;
  owner_.drive();
  // What it still has to say is not wanted.
  if (owner_.find(id_) == this && !body_ended) {
    session.reset(id_, http::kHttp2NoError);
    owner_.drive();
  }
  connection.worker().flush_cut(connection);
}

bool Http2Client::Stream::pump() {
  bool moved = false;
  if (!pending.empty()) {
    const std::size_t size = std::min(exchange.body_room(), pending.size());
    if (size > 0) {
      exchange.body(std::string_view(pending).substr(0, size));
      pending.erase(0, size);
      owner_.session_.consume(id_, size);
      moved = true;
    }
  }
  if (body_ended && pending.empty() && !told_body_end_ && !exchange.is_idle() && exchange.body_room() > 0) {
    told_body_end_ = true;
    exchange.body_end();
    moved = true;
  }
  return moved;
}

Http2Client::Http2Client(Connection& connection) : connection_(connection), session_(http::Http2Role::kServer, *this) {
  connection_.mark();  // our settings go first
}

Http2Client::~Http2Client() = default;

Http2Client::Stream* Http2Client::find(std::int32_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

Exchange* Http2Client::exchange(std::int32_t stream) {
  Stream* found = find(stream);
  return found == nullptr ? nullptr : &found->exchange;
}

void Http2Client::receive(std::string_view bytes) {
  session_.receive(bytes);
  connection_.mark();
}

bool Http2Client::may_read() const {
  // Flow control bounds what bodies bring; answers that nobody reads bound what requests may ask.
  return connection_.unsent() < kAnswerHeld && leaving_.size() < kLeavingMost;
}

void Http2Client::settle() {
  std::vector<std::int32_t> open;
  open.reserve(streams_.size());
  for (const auto& [id, stream] : streams_) open.push_back(id);
  for (const std::int32_t id : open) {
    if (connection_.is_over()) return;
    if (Stream* stream = find(id)) stream->exchange.settle();
  }
  if (resting_ && !connection_.is_over()) resting_.mapped()->exchange.settle();
  for (std::size_t i = 0; i < leaving_.size() && !connection_.is_over(); ++i) leaving_[i].mapped()->exchange.settle();
}

bool Http2Client::may_be_queued(const Stream& stream) const {
  return stream.sent_at == flushes_ && !connection_.is_flushed();
}

bool Http2Client::drive() {
  if (connection_.is_flushed()) {
    ++flushes_;
    for (auto& node : leaving_) retire(std::move(node));
    leaving_.clear();
  }
  bool moved = false;
  for (auto& [id, stream] : streams_) {
    if (tells_) stream->say_going_away(restarts_);
    if (stream->exchange.is_idle()) continue;
    if (!stream->pending.empty() || stream->body_ended) moved = stream->pump() || moved;
    if (connection_.is_over()) return false;
  }
  working_.swap(waiting_);
  for (const std::int32_t id : working_) {
    Stream* stream = find(id);
    if (stream == nullptr) continue;
    stream->waits = false;
    moved = stream->exchange.client_has_room() || moved;
  }
  working_.clear();
  if (connection_.unsent() < kFlushedAtOnce) {
    const std::size_t before = connection_.out().size();
    session_.flush(connection_.out(), kFlushedAtOnce);
    moved = moved || connection_.out().size() != before;
  }
  if (session_.is_over() || (draining_ && streams_.empty() && !session_.wants_to_send())) {
    connection_.end_gracefully();
    return false;
  }
  return moved;
}

void Http2Client::on_block(std::int32_t id, const http::Http2Block& block, bool ends) {
  if (block.is_trailer) {
    if (ends) on_end(id);
    return;
  }
  Stream& stream = make(id);
  stream.body_ended = ends;
  stream.sent_at = ~std::uint64_t{0};
  take_request(stream, block, ends);
  session_.forget_block(id);
}

Http2Client::Stream& Http2Client::make(std::int32_t id) {
  if (spare_.empty()) {
    auto& slot = streams_[id];
    slot = std::make_unique<Stream>(*this, id);
    return *slot;
  }
  Streams::node_type node = std::move(spare_.back());
  spare_.pop_back();
  node.key() = id;
  node.mapped()->recycle(id);
  return *streams_.insert(std::move(node)).position->second;
}

// Nothing of it waits for the kernel. It may be the one that is calling, so it is neither destroyed nor used before the
// next request comes.
void Http2Client::retire(Streams::node_type node) {
  constexpr std::size_t kSpareMost = 16, kSpareBytes = 16 * 1024;
  Stream& stream = *node.mapped();
  stream.exchange.give_up(false);
  if (spare_.size() < kSpareMost && stream.held_bytes() < kSpareBytes) {
    spare_.push_back(std::move(node));
  } else {
    connection_.worker().bury(std::move(node.mapped()));
  }
}

void Http2Client::take_request(Stream& stream, const http::Http2Block& block, bool ends) {
  if (block.is_too_large) return stream.exchange.refuse({431, "http_head_size", "the head is too long"});
  http1::RequestHead& head = connection_.worker().head_room();
  head.method = block.method;
  head.target = block.path;
  head.fields.assign(block.fields.begin(), block.fields.end());
  std::string cookies;
  join_cookies(head.fields, cookies);
  head.minor_version = 1;
  const http1::HeadResult checked =
      http1::check_carried_request({block.authority, block.scheme, block.protocol, ends}, head);
  if (checked.progress == http1::Progress::kRefused) return stream.exchange.refuse(checked.refusal);
  stream.opens_websocket = head.upgrade == http1::Upgrade::kWebSocket;
  stream.exchange.begin(head);
}

void Http2Client::on_data(std::int32_t id, std::string_view bytes) {
  Stream* stream = find(id);
  if (stream == nullptr) return session_.consume(id, bytes.size());
  if (stream->exchange.is_idle() && stream->exchange.has_answered())
    return;  // nobody reads it, and no more is asked for
  // Straight on where nothing waits before it.
  if (stream->pending.empty() && stream->exchange.body_room() >= bytes.size()) {
    stream->exchange.body(bytes);
    return session_.consume(id, bytes.size());
  }
  stream->pending += bytes;
}

void Http2Client::on_end(std::int32_t id) {
  if (Stream* stream = find(id)) stream->body_ended = true;
  connection_.mark();
}

void Http2Client::on_closed(std::int32_t id, std::uint32_t error) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Streams::node_type node = streams_.extract(found);
  Exchange& exchange = node.mapped()->exchange;
  if (!exchange.is_idle()) exchange.give_up(error != http::kHttp2NoError);
  std::swap(resting_, node);
  if (node && may_be_queued(*node.mapped())) {
    leaving_.push_back(std::move(node));
  } else if (node) {
    retire(std::move(node));
  }
  if (streams_.empty()) connection_.set_deadline(kKeepAliveTime);
}

void Http2Client::on_sent(std::int32_t id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->sent_at = flushes_;
  stream->held_at = 0;
  connection_.set_deadline(kKeepAliveTime);
  if (stream->waits) return;
  stream->waits = true;
  waiting_.push_back(id);
}

// Who goes on sending after the answer came is told to stop (RFC 9113 section 8.1), but not at once: common clients
// take that for an error while they are at it. And who takes nothing of an answer that is whole does not keep it here.
void Http2Client::stop_answered(std::int64_t now) {
  std::vector<std::int32_t> late, stalled;
  for (const auto& [id, stream] : streams_) {
    if (!stream->is_answered()) continue;
    if (session_.queued(id) > 0 || !connection_.is_flushed()) {
      if (stream->held_at == 0) stream->held_at = now;
      if (now - stream->held_at >= kStalledTime) stalled.push_back(id);
      continue;
    }
    if (stream->body_ended) continue;
    if (stream->stop_at == 0) stream->stop_at = now + kStopAfter;
    if (stream->stop_at <= now || session_.unconsumed(id) > kStopBeyond) late.push_back(id);
  }
  for (const std::int32_t id : late) session_.reset(id, http::kHttp2NoError);
  for (const std::int32_t id : stalled) session_.reset(id, http::kHttp2Cancel);
  if (!late.empty() || !stalled.empty()) connection_.mark();
}

void Http2Client::on_deadlines(std::int64_t now) {
  if (streams_.empty()) spare_.clear();
  stop_answered(now);
  if (leave_at_ != 0 && leave_at_ <= now && !std::exchange(draining_, true)) {
    session_.shut_down(http::kHttp2NoError);
    connection_.mark();
  }
  std::vector<std::int32_t> late;
  for (const auto& [id, stream] : streams_) {
    if (!stream->exchange.is_idle() && stream->exchange.deadline() <= now) late.push_back(id);
  }
  for (const std::int32_t id : late) {
    if (Stream* stream = find(id)) stream->exchange.on_deadline();
  }
}

void Http2Client::on_expired(UnixTime now) {
  std::vector<std::int32_t> expired;
  for (const auto& [id, stream] : streams_) {
    if (stream->exchange.valid_until() && *stream->exchange.valid_until() <= now) expired.push_back(id);
  }
  for (const std::int32_t id : expired) {
    Stream* stream = connection_.is_over() ? nullptr : find(id);
    if (stream != nullptr) stream->exchange.reconsider(0);
  }
  const auto expire = [&](Stream& stream) {
    if (stream.exchange.valid_until() && *stream.exchange.valid_until() <= now) stream.exchange.reconsider(0);
  };
  if (resting_ && !connection_.is_over()) expire(*resting_.mapped());
  for (std::size_t i = 0; i < leaving_.size() && !connection_.is_over(); ++i) expire(*leaving_[i].mapped());
}

void Http2Client::on_idle() {
  if (streams_.empty()) {
    drain(Drain::kNow);
    // Behind all that waits, however much: who reads nothing would else keep the last word from being put, for ever.
    session_.flush(connection_.out(), kFlushedAtOnce);
    return connection_.end_gracefully();
  }
  // Requests have their own time limits. Answers alone, of which nothing could be sent for so long, have nobody who
  // reads them.
  for (const auto& [id, stream] : streams_) {
    if (!stream->exchange.is_idle()) return;
  }
  connection_.end_now(true);
}

bool Http2Client::is_at_rest() const {
  return std::ranges::all_of(streams_, [](const auto& one) { return one.second->exchange.is_idle(); });
}

void Http2Client::give_up(bool reset) {
  for (auto& [id, stream] : streams_) stream->exchange.give_up(reset);
  if (resting_) resting_.mapped()->exchange.give_up(reset);
  for (const auto& node : leaving_) node.mapped()->exchange.give_up(reset);
}

// RFC 9113 section 6.8: leaving, first the word that no stream should begin, and which was the last when all that were
// on their way have come. Streams go on, WebSockets among them.
void Http2Client::drain(Drain how) {
  connection_.mark();
  if (how == Drain::kLeave) {
    if (leave_at_ == 0 && !draining_) session_.announce_shutdown();
    if (leave_at_ == 0) leave_at_ = connection_.worker().loop().now().nanos + kLeaveTime;
    return;
  }
  if (!std::exchange(draining_, true)) session_.shut_down(http::kHttp2NoError);
  tells_ = true;
  restarts_ = how == Drain::kRestart;
}

void Http2Client::say_goodbye() {
  session_.shut_down(http::kHttp2NoError);
  session_.flush(connection_.out(), kFlushedAtOnce);
}

std::size_t Http2Client::held_bytes() const {
  std::size_t held = session_.held_bytes();
  for (const auto& [id, stream] : streams_) held += stream->held_bytes();
  for (const auto& node : leaving_) held += node.mapped()->held_bytes();
  for (const auto& node : spare_) held += node.mapped()->held_bytes();
  return held;
}

}  // namespace wary::gateway
