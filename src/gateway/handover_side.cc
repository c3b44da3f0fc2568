#include "gateway/handover_side.h"

#include <algorithm>

namespace wary::gateway {

namespace {

using Kind = HandoverMessage::Kind;
using What = HandoverLine::Heard::What;

constexpr std::int64_t kWordTime = 5 * kNanosPerSecond;
constexpr std::int64_t kPrepareTime = 60 * kNanosPerSecond;

HandoverMessage word(Kind kind) {
  HandoverMessage message;
  message.kind = kind;
  return message;
}

HandoverMessage refusal_of(const Error& why) {
  HandoverMessage message = word(Kind::kRefused);
  message.code = why.code;
  message.message = why.message;
  return message;
}

Error handover_failed(std::string_view message) {
  return fail(ErrorKind::kUnavailable, "handover_failed", message)
      .next("the edge that ran goes on; read its log and the new one's in log/wary-edge.log");
}

}  // namespace

HandoverLine::HandoverLine(std::unique_ptr<io::Stream> stream, std::function<void(Heard)> on_heard)
    : stream_(std::move(stream)), pid_(stream_->peer_credentials().pid), on_heard_(std::move(on_heard)) {
  stream_->on_ready([this](bool, bool) { ready(); });
  stream_->want(true, false);
}

// The words are few and small: a socket that has no room for them has nobody who reads.
void HandoverLine::say(const HandoverMessage& message, std::span<const int> descriptors) {
  if (stream_) (void)stream_->write_with(encode_handover(message), descriptors);
}

void HandoverLine::hang_up() {
  stream_.reset();
  descriptors_.clear();
}

void HandoverLine::ready() {
  std::uint8_t buffer[4096];  // NOLINT: a read buffer
  const io::IoCount got = stream_->read_with(buffer, descriptors_);
  if (got.state == io::IoCount::State::kWouldBlock) return;
  if (got.state != io::IoCount::State::kSome) {
    hang_up();
    return on_heard_({What::kGone, {}, {}});
  }
  append(come_, {buffer, got.count});
  // Of several small pieces each could bring as many as a message may.
  if (descriptors_.size() > kHandoverSocketsMost) return on_heard_({What::kStrange, {}, std::move(descriptors_)});
  while (stream_) {
    auto message = take_handover(come_);
    if (!message) return on_heard_({What::kStrange, {}, {}});
    if (!*message) return;
    on_heard_({What::kMessage, std::move(**message), std::exchange(descriptors_, {})});
  }
}

HandoverGiver::HandoverGiver(io::Loop& loop, Log& log, HandoverOptions options, GiverHooks hooks)
    : loop_(loop), log_(log), options_(std::move(options)), hooks_(std::move(hooks)) {}

HandoverGiver::~HandoverGiver() { loop_.cancel(timer_); }

Status HandoverGiver::listen(int inherited) {
  WARY_ASSIGN_OR_RETURN(listener_,
                        loop_.listen(io::Address::unix_socket(options_.path), {.mode = 0600, .inherited = inherited},
                                     [this](std::unique_ptr<io::Stream> stream) { called(std::move(stream)); }));
  return {};
}

void HandoverGiver::leave() {
  if (listener_) listener_->leave_name();
  listener_.reset();
}

void HandoverGiver::turn_away(io::Stream& stream, const Error& why) {
  log_.warn("handover.refused", {{"code", why.code}});
  (void)stream.write_with(encode_handover(refusal_of(why)), {});
}

void HandoverGiver::called(std::unique_ptr<io::Stream> stream) {
  if (stream->peer_credentials().uid != options_.own) {
    return turn_away(*stream, fail(ErrorKind::kDenied, "handover_peer", "only the edge's own user takes over from it"));
  }
  if (const auto busy = hooks_.busy(); busy && state_ == GiverState::kServing) return turn_away(*stream, *busy);
  caller_ = std::move(stream);
  on_event(GiverEvent::kCalled);
  caller_.reset();
}

void HandoverGiver::heard(HandoverLine::Heard heard) {
  refusal_ = fail(ErrorKind::kInvalid, "handover_message", "this is not what follows in a handover");
  if (heard.what == What::kGone) return on_event(GiverEvent::kGone);
  if (heard.what == What::kStrange || !heard.descriptors.empty()) return on_event(GiverEvent::kStrange);
  switch (heard.message.kind) {
    case Kind::kHello:
      drain_seconds_ = heard.message.drain_seconds;
      if (heard.message.version != kHandoverVersion) {
        refusal_ = fail(ErrorKind::kUnsupported, "handover_version",
                        "the two programs' versions do not know each other's handover; start wary again instead");
        return on_event(GiverEvent::kUnfitHello);
      }
      if (heard.message.listen != options_.listen) {
        refusal_ = fail(ErrorKind::kConflict, "handover_address", "a handover keeps the address: start wary again");
        return on_event(GiverEvent::kUnfitHello);
      }
      return on_event(GiverEvent::kHello);
    case Kind::kReady: return on_event(GiverEvent::kReady);
    case Kind::kTaken: return on_event(GiverEvent::kTaken);
    default: return on_event(GiverEvent::kStrange);
  }
}

void HandoverGiver::on_event(GiverEvent event) {
  if (event == GiverEvent::kLate) {
    refusal_ = fail(ErrorKind::kTimeout, "handover_late", "the next word of the handover did not come in time");
  }
  const GiverStep next = step(state_, event);
  const bool moved = next.state != state_;
  state_ = next.state;
  if (moved) {
    loop_.cancel(timer_);
    const bool has_time =
        state_ != GiverState::kServing && state_ != GiverState::kGiving && state_ != GiverState::kGiven;
    if (has_time) {
      timer_ = loop_.after(state_ == GiverState::kOffered ? kPrepareTime : kWordTime,
                           [this] { on_event(GiverEvent::kLate); });
    }
  }
  act(next.action);
}

void HandoverGiver::hang_up() {
  if (line_) line_->hang_up();
  hooks_.partner(0);
}

void HandoverGiver::act(GiverAction action) {
  switch (action) {
    case GiverAction::kNothing: return;
    case GiverAction::kHear:
      ++attempt_;
      // The line before this one has hung up, and nobody stands in it.
      line_ = std::make_unique<HandoverLine>(std::move(caller_),
                                             [this](HandoverLine::Heard what) { heard(std::move(what)); });
      return;
    case GiverAction::kTurnAway:
      if (!caller_) return;
      return turn_away(*caller_, fail(ErrorKind::kConflict, "upgrade_in_progress", "another edge takes over already"));
    case GiverAction::kOffer: {
      hooks_.partner(line_->pid());  // who has said the hello, not who merely connects
      HandoverMessage message = word(Kind::kSockets);
      std::vector<int> descriptors;
      for (const auto& [name, descriptor] : hooks_.sockets()) {
        message.sockets.push_back(name);
        descriptors.push_back(descriptor);
      }
      log_.info("handover.offered", {{"sockets", std::int64_t(descriptors.size())}});
      return line_->say(message, descriptors);
    }
    case GiverAction::kRefuse:
    case GiverAction::kTakeBack:
      log_.warn("handover.refused", {{"code", refusal_.code}});
      line_->say(refusal_of(refusal_));
      if (action == GiverAction::kTakeBack) hooks_.take_back();
      return hang_up();
    case GiverAction::kForget: log_.warn("handover.gone"); return hang_up();
    case GiverAction::kLetGo:
      return hooks_.let_go([this, attempt = attempt_] {
        if (attempt == attempt_) on_event(GiverEvent::kLetGo);
      });
    case GiverAction::kGive: return line_->say(word(Kind::kYours));
    case GiverAction::kDrain: log_.info("handover.given"); return hooks_.drain(drain_seconds_);
  }
}

HandoverTaker::HandoverTaker(io::Loop& loop, HandoverOptions options, TakerHooks hooks)
    : loop_(loop), options_(std::move(options)), hooks_(std::move(hooks)) {}

HandoverTaker::~HandoverTaker() { loop_.cancel(timer_); }

void HandoverTaker::call() {
  timer_ = loop_.after(kWordTime, [this] { on_event(TakerEvent::kLate); });
  loop_.connect(io::Address::unix_socket(options_.path), kWordTime,
                [this, alive = std::weak_ptr<int>(alive_)](Result<std::unique_ptr<io::Stream>> stream) {
                  if (!alive.expired()) connected(std::move(stream));
                });
}

void HandoverTaker::connected(Result<std::unique_ptr<io::Stream>> stream) {
  if (state_ != TakerState::kAsking) return;
  if (!stream || (*stream)->peer_credentials().uid != options_.own) {
    why_ = stream ? fail(ErrorKind::kDenied, "handover_peer", "what listens there is not the edge's own user's")
                        .at(options_.path)
                  : std::move(stream).error();
    return on_event(TakerEvent::kStrange);
  }
  line_ = std::make_unique<HandoverLine>(std::move(stream).value(),
                                         [this](HandoverLine::Heard what) { heard(std::move(what)); });
  has_giver_ = true;
  hooks_.partner(line_->pid());
  HandoverMessage hello = word(Kind::kHello);
  hello.listen = options_.listen;
  hello.drain_seconds = options_.drain_seconds;
  line_->say(hello);
}

void HandoverTaker::heard(HandoverLine::Heard heard) {
  why_ = handover_failed("the edge that runs said what does not follow in a handover");
  if (heard.what == What::kGone) {
    has_giver_ = false;
    why_ = handover_failed("the edge that runs hung up");
    return on_event(TakerEvent::kGone);
  }
  if (heard.what == What::kStrange) return on_event(TakerEvent::kStrange);
  switch (heard.message.kind) {
    case Kind::kSockets: {
      std::vector<std::string>& names = heard.message.sockets;
      if (names.size() != heard.descriptors.size()) return on_event(TakerEvent::kStrange);
      sockets_.clear();
      for (std::size_t i = 0; i < names.size(); ++i) {
        sockets_.emplace_back(std::move(names[i]), std::move(heard.descriptors[i]));
      }
      return on_event(TakerEvent::kSockets);
    }
    case Kind::kYours: return on_event(TakerEvent::kYours);
    case Kind::kRefused:
      why_ = fail(ErrorKind::kConflict, heard.message.code, heard.message.message);
      return on_event(TakerEvent::kRefused);
    default: return on_event(TakerEvent::kStrange);
  }
}

void HandoverTaker::prepared() { on_event(TakerEvent::kPrepared); }

void HandoverTaker::on_event(TakerEvent event) {
  if (event == TakerEvent::kLate) why_ = handover_failed("the handover took too long");
  const TakerStep next = step(state_, event);
  const bool moved = next.state != state_;
  state_ = next.state;
  if (moved) {
    loop_.cancel(timer_);
    const bool prepares = state_ == TakerState::kPreparing || state_ == TakerState::kAlone;
    if (prepares || state_ == TakerState::kWaiting) {
      timer_ = loop_.after(prepares ? kPrepareTime : 2 * kWordTime, [this] { on_event(TakerEvent::kLate); });
    }
  }
  act(next.action);
}

void HandoverTaker::act(TakerAction action) {
  switch (action) {
    case TakerAction::kNothing: return;
    case TakerAction::kPrepare: return hooks_.prepare(std::move(sockets_));
    case TakerAction::kSayReady: return line_->say(word(Kind::kReady));
    case TakerAction::kTake:
    case TakerAction::kTakeAlone: return take(action);
    case TakerAction::kInherit: hooks_.partner(0); return hooks_.inherit();
    case TakerAction::kFail: return hooks_.fail(why_);
  }
}

void HandoverTaker::take(TakerAction action) {
  if (const Status taken = hooks_.take(); !taken) {
    state_ = TakerState::kFailed;
    line_->hang_up();  // without the word the giver begins again
    return hooks_.fail(taken.error());
  }
  if (action == TakerAction::kTake) return line_->say(word(Kind::kTaken));
  hooks_.partner(0);
  hooks_.inherit();
}

// By what would listen, on a copy, which is closed again before anything is accepted.
Status check_given(io::Loop& loop, const io::Descriptor& socket, const io::Address& address) {
  WARY_ASSIGN_OR_RETURN(const auto listens, loop.listen(address, {.inherited = socket.copy().release()},
                                                        [](std::unique_ptr<io::Stream>) {}));
  listens->leave_name();
  return {};
}

}  // namespace wary::gateway
