#include "link/subscriber.h"

#include <algorithm>

#include "base/limits.h"

namespace wary::link {

namespace {

constexpr std::int64_t kBackoffMin = 20 * kNanosPerMilli;
constexpr std::int64_t kBackoffMax = kNanosPerSecond;
constexpr std::int64_t kDialBackoffMax = 15 * kNanosPerSecond;  // of a way over a network
constexpr std::int64_t kConnectTimeout = 2 * kNanosPerSecond;
constexpr std::int64_t kCallTimeout = 2 * kNanosPerSecond;
constexpr std::size_t kCallsMax = 1024;
constexpr std::string_view kUpdatesFile = "updates";

}  // namespace

Subscriber::Subscriber(io::Loop& loop, io::Files& files, SubscriberOptions options, SubscriberHooks hooks, Log& log)
    : loop_(loop), files_(files), options_(std::move(options)), hooks_(std::move(hooks)), log_(log) {}

// What the loop still holds of this object must find out that it is gone.
Subscriber::~Subscriber() {
  loop_.cancel(retry_);
  for (const auto& [id, call] : calls_) loop_.cancel(call.timer);
}

Status Subscriber::start() {
  const Status loaded = load();
  // A damaged cache is not a reason to stay down: the control plane has the truth. It is said, and made anew.
  if (!loaded) log_.warn("link.cache_unusable", {{"code", loaded.error().code}, {"where", loaded.error().where}});
  connect();
  return {};
}

void Subscriber::connect() {
  const auto connected_to = [this, alive = std::weak_ptr<int>(alive_)](Result<std::unique_ptr<io::Stream>> stream) {
    if (!alive.expired()) connected(std::move(stream));
  };
  if (options_.dial) {
    dialling_ = options_.dial(connected_to);
  } else {
    loop_.connect(options_.address, kConnectTimeout, connected_to);
  }
}

void Subscriber::connected(Result<std::unique_ptr<io::Stream>> stream) {
  if (!stream) {
    if (options_.dial) log_.warn("link.not_reached", {{"code", stream.error().code}, {"why", stream.error().message}});
    backoff_ = std::clamp(backoff_ * 2, kBackoffMin, options_.dial ? kDialBackoffMax : kBackoffMax);
    retry_ = loop_.after(backoff_, [this] { connect(); });
    return;
  }
  frames_ = std::make_unique<FrameStream>(std::move(stream).value(), FrameLimits{});
  frames_->start([this](std::uint8_t type, ByteView payload) { on_frame(type, payload); },
                 [this](const Error& why) { closed(why); });
  (void)frames_->send(kHelloMessage, encode(Hello{options_.node, history_, revision_}));
  hooks_.on_connection(true);
}

void Subscriber::closed(const Error& why) {
  log_.warn("link.closed", {{"code", why.code}});
  frames_.reset();
  auto calls = std::move(calls_);
  calls_.clear();
  for (auto& [id, call] : calls) {
    loop_.cancel(call.timer);
    call.done(fail(ErrorKind::kUnavailable, "link_closed", "the control plane is away"));
  }
  hooks_.on_connection(false);
  backoff_ = std::clamp(backoff_ * 2, kBackoffMin, kBackoffMax);
  retry_ = loop_.after(backoff_, [this] { connect(); });
}

void Subscriber::on_frame(std::uint8_t type, ByteView payload) {
  switch (type) {
    case kUpdateMessage: return on_update(payload);
    case kReceiptMessage: {
      const auto receipt = decode_receipt(payload);
      if (!receipt) return frames_->close();
      return hooks_.on_receipt(*receipt);
    }
    case kLedgerStateMessage:
      if (payload.size() == 1) hooks_.on_ledger_state(payload[0] == 1);
      return;
    case kReplyMessage: {
      if (payload.size() < 8) return frames_->close();
      return finish_call(read_big_endian<std::uint64_t>(payload.data()),
                         codec::parse_json(as_text(payload.subspan(8))));
    }
    default: frames_->close();
  }
}

void Subscriber::on_update(ByteView payload) {
  auto update = decode_update(payload);
  Status applied = update ? apply(*update) : Status(update.error());
  Bytes answer;
  append_big_endian(answer, update ? update->to : std::uint64_t{0});
  if (applied) {
    backoff_ = 0;
    (void)frames_->send(kAckMessage, answer);
    const Status kept = keep(*update, payload);
    if (!kept) log_.warn("link.cache_not_written", {{"code", kept.error().code}, {"where", kept.error().where}});
    return;
  }
  log_.error("link.update_refused", {{"code", applied.error().code}, {"why", applied.error().message}});
  append(answer, as_bytes(applied.error().code));
  (void)frames_->send(kNackMessage, answer);
  // Start over from a whole snapshot; what decided until now goes on deciding.
  history_.clear();
  revision_ = 0;
  frames_->close();
}

Status Subscriber::apply(const Update& update) {
  if (!hooks_.verify(signed_part(update), update.signature)) {
    return fail(ErrorKind::kDenied, "update_signature", "an update is not signed by the control plane's key");
  }
  if (update.view != options_.view) {
    return fail(ErrorKind::kDenied, "update_view", "an update is of somebody else's view")
        .expected(options_.view)
        .found(update.view);
  }
  if (!update.is_snapshot() && (update.history != history_ || update.from != revision_ || update.to <= update.from)) {
    return fail(ErrorKind::kConflict, "update_order", "a delta does not follow what is known here")
        .expected("from " + std::to_string(revision_))
        .found("from " + std::to_string(update.from));
  }
  WARY_RETURN_IF_ERROR(hooks_.on_update(update));
  history_ = update.history;
  revision_ = update.to;
  return {};
}

// The cache is a row of frames, each one signed update: a snapshot, then deltas. A torn last frame is cut off.
Status Subscriber::load() {
  const std::string path = options_.directory + "/" + std::string(kUpdatesFile);
  WARY_ASSIGN_OR_RETURN(kept_, files_.open(path, options_.keeps ? io::OpenMode::kCreate : io::OpenMode::kRead));
  WARY_ASSIGN_OR_RETURN(const std::uint64_t size, kept_->size());
  if (size > 2 * limits::kFrameBytes) {
    return fail(ErrorKind::kDataLoss, "link_cache_size", "the cache of updates is larger than it can be").at(path);
  }
  Bytes bytes(size);
  WARY_ASSIGN_OR_RETURN(const std::size_t got, kept_->read_at(0, bytes));
  bytes.resize(got);
  while (kept_bytes_ < bytes.size()) {
    WARY_ASSIGN_OR_RETURN(const Frame frame, decode_frame(ByteView(bytes).subspan(kept_bytes_), limits::kFrameBytes));
    if (frame.size == 0) break;
    WARY_ASSIGN_OR_RETURN(const Update update, decode_update(frame.payload));
    WARY_RETURN_IF_ERROR(apply(update));
    kept_bytes_ += frame.size;
    if (!update.is_snapshot()) ++kept_deltas_;
  }
  if (!options_.keeps) {
    kept_.reset();
    bytes.resize(kept_bytes_);
    held_ = std::move(bytes);
  }
  return {};
}

Status Subscriber::keep(const Update& update, ByteView wire) {
  Bytes frame;
  append_frame(frame, kUpdateMessage, wire);
  if (update.is_snapshot()) kept_deltas_ = 0;
  if (!options_.keeps) {
    if (update.is_snapshot()) held_.clear();
    if (update.is_snapshot() || !held_.empty()) append(held_, frame);
    if (!update.is_snapshot() && ++kept_deltas_ >= options_.deltas_kept_max) begin_again();
    return {};
  }
  if (update.is_snapshot()) return keep_whole(frame);
  if (!kept_) {
    return fail(ErrorKind::kUnavailable, "link_cache_missing", "no cache to add to").at(options_.directory);
  }
  WARY_RETURN_IF_ERROR(kept_->write_at(kept_bytes_, frame));
  // Not synced: a lost tail is asked for again. Order holds, since a torn frame ends the cache.
  kept_bytes_ += frame.size();
  if (++kept_deltas_ >= options_.deltas_kept_max) begin_again();
  return {};
}

Status Subscriber::keep_whole(ByteView frames) {
  const std::string path = options_.directory + "/" + std::string(kUpdatesFile);
  WARY_RETURN_IF_ERROR(io::write_file_atomically(files_, path, frames));
  WARY_ASSIGN_OR_RETURN(kept_, files_.open(path, io::OpenMode::kReadWrite));
  kept_bytes_ = frames.size();
  return {};
}

// Said as unknown, the next connection brings a whole snapshot and with it a short cache.
void Subscriber::begin_again() {
  kept_deltas_ = 0;
  history_.clear();
  if (frames_) frames_->close();
}

void Subscriber::stop_keeping() {
  options_.keeps = false;
  kept_.reset();
  held_.clear();
}

void Subscriber::start_keeping() {
  options_.keeps = true;
  if (held_.empty()) return begin_again();
  const Status kept = keep_whole(held_);
  Bytes().swap(held_);
  if (kept) return;
  log_.warn("link.cache_not_written", {{"code", kept.error().code}, {"where", kept.error().where}});
  begin_again();
}

Status Subscriber::send_events(const EventBatch& batch) {
  if (!is_connected()) return fail(ErrorKind::kUnavailable, "link_closed", "the control plane is away");
  return frames_->send(kEventsMessage, encode(batch));
}

void Subscriber::call(const codec::Json& request, std::function<void(Result<codec::Json>)> done) {
  if (!is_connected() || calls_.size() >= kCallsMax) {
    done(fail(ErrorKind::kUnavailable, "link_closed", "the control plane is away"));
    return;
  }
  const std::uint64_t id = ++last_call_;
  Bytes out;
  append_big_endian(out, id);
  append(out, as_bytes(request.to_string()));
  const io::TimerId timer = loop_.after(kCallTimeout, [this, id] {
    finish_call(id, fail(ErrorKind::kTimeout, "link_timeout", "the control plane did not answer in time"));
  });
  calls_.emplace(id, Call{std::move(done), timer});
  const Status sent = frames_->send(kCallMessage, out);
  if (!sent) finish_call(id, sent.error());
}

void Subscriber::finish_call(std::uint64_t id, Result<codec::Json> reply) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  loop_.cancel(found->second.timer);
  const auto done = std::move(found->second.done);
  calls_.erase(found);
  done(std::move(reply));
}

}  // namespace wary::link
