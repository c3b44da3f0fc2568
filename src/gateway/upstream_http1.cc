#include "gateway/upstream_http1.h"

#include <utility>

#include "gateway/upstream_lane.h"
#include "http/websocket_stream.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kInterimsMax = 100;
constexpr std::size_t kAnswerHeadHeld = 128 * 1024;
constexpr std::size_t kKeptBuffer = 4 * 1024;   // of a connection in the pool
constexpr int kReadsPerTurn = 8;                // of one answer, before others have their turn
constexpr std::size_t kResumeRoom = 64 * 1024;  // for an answer that had to wait
constexpr std::string_view kUnclear = "the application's answer cannot be understood in one way only";

}  // namespace

Http1Upstream::Http1Upstream(Worker& worker, UpstreamLane& lane, std::unique_ptr<io::Stream> stream, Spoke spoke)
    : worker_(worker),
      spoke_(std::move(spoke)),
      lane_(lane),
      held_(worker.upstream_descriptors()),
      stream_(std::move(stream)) {
  stream_->on_ready([this](bool readable, bool) { ready(readable); });
}

void Http1Upstream::use() {
  is_idle_ = false;
  if (!std::exchange(in_use_, true)) ++lane_.active;
}

void Http1Upstream::stop_using() {
  if (std::exchange(in_use_, false)) --lane_.active;
}

bool Http1Upstream::has_way() const { return any_left_ || !lane_.tls; }

const io::Address& Http1Upstream::place() const { return lane_.address; }

void Http1Upstream::begin(const OutgoingRequest& request, UpstreamEvents& events) {
  events_ = &events;
  method_ = request.method;
  upgrades_ = request.upgrades;
  websocket_accept_ = upgrades_ ? http::websocket_accept(request.websocket_key) : std::string();
  chunked_ = request.chunked;
  request_ended_ = !request.has_body;
  tunnel_ = paused_ = ended_ = broken_ = any_answer_ = reusable_ = is_whole_ = false;
  out_ = request.text;
  out_at_ = 0;
  in_.clear();
  scan_ = {};
  interims_ = 0;
  body_.reset();
  worker_.at_turn_end(*this);
}

void Http1Upstream::data(std::string_view bytes) {
  if (!stream_ || bytes.empty()) return;
  if (chunked_ && !tunnel_) http1::append_chunk_header(out_, bytes.size());
  out_ += bytes;
  if (chunked_ && !tunnel_) out_ += http1::kChunkEnd;
  worker_.at_turn_end(*this);
}

void Http1Upstream::end() {
  if (!stream_ || std::exchange(request_ended_, true)) return;
  if (chunked_) out_ += http1::kLastChunk;
  worker_.at_turn_end(*this);
}

void Http1Upstream::flush() {
  if (!stream_ || events_ == nullptr) return;
  events_->settle();
  if (events_ == nullptr) return;
  const std::size_t before = out_at_;
  while (out_at_ < out_.size()) {
    const io::IoCount put = stream_->write(as_bytes(std::string_view(out_).substr(out_at_)));
    if (put.state == io::IoCount::State::kWouldBlock) break;
    // The answer may be there already (an early refusal of a large body): reading decides.
    out_at_ = put.state == io::IoCount::State::kSome ? out_at_ + put.count : out_.size();
    any_left_ = true;
  }
  const bool moved = out_at_ != before;
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
  } else if (out_at_ > kAnswerHeadHeld / 2) {
    out_.erase(0, out_at_);
    out_at_ = 0;
  }
  interest();
  if (moved) events_->on_upstream_sent();
}

void Http1Upstream::interest() {
  if (stream_) stream_->want(!paused_ && !ended_, out_at_ < out_.size());
}

bool Http1Upstream::resume() {
  if (!paused_ || !stream_ || events_->answer_room() < kResumeRoom) return false;
  paused_ = false;
  interest();
  return true;
}

void Http1Upstream::ready(bool readable) {
  if (is_idle_) return spoke_(*this);
  if (out_at_ < out_.size()) flush();
  if (!readable || !stream_ || events_ == nullptr) return;
  const std::span<std::uint8_t> buffer = worker_.socket_buffer();
  for (int i = 0; i < kReadsPerTurn && stream_ && events_ != nullptr && !ended_; ++i) {
    if (events_->answer_room() == 0) {
      paused_ = true;
      break;
    }
    const io::IoCount got = stream_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      ended_ = true;
      broken_ = got.state == io::IoCount::State::kFailed;
      break;
    }
    take(as_text(buffer.first(got.count)));
    if (got.count < buffer.size()) break;
  }
  if (!stream_ || events_ == nullptr) return;
  interest();
  if (ended_) finish();
}

void Http1Upstream::take(std::string_view bytes) {
  any_answer_ = true;
  if (tunnel_) return events_->on_answer_data(bytes);
  std::string held = std::move(in_);
  in_.clear();
  if (!held.empty()) {
    held += bytes;
    bytes = held;
  }
  while (!body_) {
    if (!take_head(bytes)) return;
  }
  if (tunnel_) {
    if (!bytes.empty()) events_->on_answer_data(bytes);
    return;
  }
  while (!body_->is_done()) {
    const http1::BodyStep step = body_->step(bytes);
    if (step.progress == http1::Progress::kRefused) return fail("upstream_answer_invalid", "its body is malformed");
    bytes.remove_prefix(step.consumed);
    if (!step.data.empty()) events_->on_answer_data(step.data);
    if (events_ == nullptr) return;
    if (step.consumed == 0) break;
  }
  if (!body_->is_done()) {
    in_ = bytes;  // less than the reader could use
    return;
  }
  // Bytes that nobody asked for must not open the next one's answer.
  reusable_ = reusable_ && bytes.empty() && !ended_ && request_ended_ && queued() == 0;
  is_whole_ = true;
  events_->on_answer_end({});
}

// True when there may be more to take: a final head was taken, or an interim one.
bool Http1Upstream::take_head(std::string_view& bytes) {
  const http1::HeadResult result = http1::parse_response_head(bytes, scan_, method_, head_);
  if (result.progress == http1::Progress::kNeedMore) {
    if (bytes.size() > kAnswerHeadHeld) {
      fail("upstream_head", "its head is too long");
    } else {
      in_ = bytes;
    }
    return false;
  }
  scan_ = {};
  const bool switches = head_.status == 101;
  // HTTP/1.0 has no upgrade (RFC 9110 section 7.8).
  if (result.progress == http1::Progress::kRefused || (switches && (!upgrades_ || head_.minor_version == 0))) {
    fail(switches ? "upstream_switched" : result.refusal.code, kUnclear);
    return false;
  }
  if (switches && http1::find_field(head_.fields, "sec-websocket-accept").value_or("") != websocket_accept_) {
    fail("upstream_websocket", kUnclear);
    return false;
  }
  bytes.remove_prefix(result.consumed);
  if (head_.is_interim()) {
    if (++interims_ <= kInterimsMax) return true;
    fail("upstream_interims", "the application promises answers and gives none");
    return false;
  }
  reusable_ = head_.keep_alive && !switches;
  tunnel_ = switches;
  body_.emplace(head_.framing);
  events_->on_answer(head_, !body_->is_done());
  return events_ != nullptr;
}

// The application said its last byte.
void Http1Upstream::finish() {
  // One that lasts until the connection's end is whole only where that was meant: no reset, and TLS closed as well.
  if (tunnel_ || (body_ && !broken_ && body_->finish())) {
    is_whole_ = true;
    return events_->on_answer_end({});
  }
  // In the middle of an answer the client must see that too, never a shorter one that looks whole.
  fail("upstream_closed", "the application closed the connection without an answer");
}

void Http1Upstream::fail(std::string_view code, std::string_view message) {
  if (code == "upstream_closed" && !any_answer_ && lane_.has_failed_identity(stream_.get())) {
    code = "upstream_identity";
    message = "who answers there is not who is expected";
  }
  const bool is_stale = code == "upstream_closed" && was_used && !any_answer_;
  events_->on_upstream_failed(code, message, is_stale);
}

bool Http1Upstream::release(bool reset) {
  events_ = nullptr;
  stop_using();
  if (!stream_) return false;
  if (!reset && is_whole_ && reusable_ && !ended_) {
    was_used = true;
    out_.clear();
    if (out_.capacity() > kKeptBuffer) out_.shrink_to_fit();
    return true;
  }
  // Whoever buries it says when it goes: closing thousands waits until what must end for clients has.
  if (reset) stream_->reset_on_close();
  return false;
}

bool Http1Upstream::is_quiet() {
  // Bytes that came after its last answer belong to nobody: they must not open the next one's.
  std::uint8_t unasked = 0;
  return stream_->read({&unasked, 1}).state == io::IoCount::State::kWouldBlock;
}

void Http1Upstream::watch_idle() {
  // Whatever an idle application says, its end or bytes nobody asked for, it is not used again.
  is_idle_ = true;
  stream_->want(true, false);
}

}  // namespace wary::gateway
