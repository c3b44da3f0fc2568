#include "gateway/handover.h"

#include <doctest/doctest.h>

#include <array>

using namespace wary;
using namespace wary::gateway;

namespace {

using Kind = HandoverMessage::Kind;

HandoverMessage whole(Kind kind) {
  HandoverMessage message;
  message.kind = kind;
  if (kind == Kind::kHello) message.listen = "127.0.0.1:7443";
  if (kind == Kind::kHello) message.drain_seconds = 30;
  if (kind == Kind::kSockets) message.sockets = {"listen.0", "listen.1", "pdp"};
  if (kind == Kind::kRefused) message.code = "upgrade_in_progress";
  if (kind == Kind::kRefused) message.message = "another edge takes over";
  return message;
}

constexpr std::array kGiverEvents = {GiverEvent::kCalled,  GiverEvent::kHello, GiverEvent::kUnfitHello,
                                     GiverEvent::kReady,   GiverEvent::kLetGo, GiverEvent::kTaken,
                                     GiverEvent::kStrange, GiverEvent::kGone,  GiverEvent::kLate};
constexpr std::array kTakerEvents = {TakerEvent::kSockets, TakerEvent::kPrepared, TakerEvent::kYours,
                                     TakerEvent::kRefused, TakerEvent::kStrange,  TakerEvent::kGone,
                                     TakerEvent::kLate};

// What every event does in one state, in the order of kGiverEvents.
void check_giver(GiverState state, const std::array<GiverStep, kGiverEvents.size()>& expected) {
  for (std::size_t i = 0; i < kGiverEvents.size(); ++i) {
    CAPTURE(static_cast<int>(state));
    CAPTURE(i);
    CHECK(step(state, kGiverEvents[i]) == expected[i]);
  }
}
void check_taker(TakerState state, const std::array<TakerStep, kTakerEvents.size()>& expected) {
  for (std::size_t i = 0; i < kTakerEvents.size(); ++i) {
    CAPTURE(static_cast<int>(state));
    CAPTURE(i);
    CHECK(step(state, kTakerEvents[i]) == expected[i]);
  }
}

}  // namespace

TEST_CASE("what the giver does in each state at each event") {
  using S = GiverState;
  using A = GiverAction;
  constexpr GiverStep refuse = {S::kServing, A::kRefuse}, take_back = {S::kServing, A::kTakeBack};
  constexpr GiverStep forget = {S::kServing, A::kForget};
  const auto stay = [](S state) { return GiverStep{state, A::kNothing}; };
  const auto turn_away = [](S state) { return GiverStep{state, A::kTurnAway}; };
  const GiverStep s = stay(S::kServing), g = stay(S::kGiven);
  check_giver(S::kServing, {{{S::kGreeting, A::kHear}, s, s, s, s, s, s, s, s}});
  check_giver(S::kGreeting, {{turn_away(S::kGreeting),
                              {S::kOffered, A::kOffer},
                              refuse,
                              refuse,
                              stay(S::kGreeting),
                              refuse,
                              refuse,
                              forget,
                              refuse}});
  check_giver(S::kOffered, {{turn_away(S::kOffered),
                             refuse,
                             refuse,
                             {S::kLettingGo, A::kLetGo},
                             stay(S::kOffered),
                             refuse,
                             refuse,
                             forget,
                             refuse}});
  check_giver(S::kLettingGo, {{turn_away(S::kLettingGo),
                               take_back,
                               take_back,
                               take_back,
                               {S::kGiving, A::kGive},
                               take_back,
                               take_back,
                               take_back,
                               take_back}});
  check_giver(S::kGiving, {{turn_away(S::kGiving),
                            take_back,
                            take_back,
                            take_back,
                            stay(S::kGiving),
                            {S::kGiven, A::kDrain},
                            take_back,
                            take_back,
                            stay(S::kGiving)}});
  check_giver(S::kGiven, {{turn_away(S::kGiven), g, g, g, g, g, g, g, g}});
}

TEST_CASE("what the taker does in each state at each event") {
  using S = TakerState;
  using A = TakerAction;
  constexpr TakerStep fails = {S::kFailed, A::kFail};
  const auto stay = [](S state) { return TakerStep{state, A::kNothing}; };
  const TakerStep a = stay(S::kAlone), s = stay(S::kServing), f = stay(S::kFailed);
  check_taker(S::kAsking, {{{S::kPreparing, A::kPrepare}, fails, fails, fails, fails, fails, fails}});
  check_taker(S::kPreparing, {{fails, {S::kWaiting, A::kSayReady}, fails, fails, fails, stay(S::kAlone), fails}});
  check_taker(S::kAlone, {{a, {S::kServing, A::kTakeAlone}, a, a, a, a, fails}});
  check_taker(S::kWaiting,
              {{fails, stay(S::kWaiting), {S::kServing, A::kTake}, fails, fails, {S::kServing, A::kTakeAlone}, fails}});
  check_taker(S::kServing, {{s, s, s, fails, s, {S::kServing, A::kInherit}, s}});
  check_taker(S::kFailed, {{f, f, f, f, f, f, f}});
}

TEST_CASE("from every state one of the two accepts again, whatever comes") {
  // The giver accepts in the first three states, and from there on takes back at anything but the right word.
  for (const GiverState state : {GiverState::kLettingGo, GiverState::kGiving}) {
    for (const GiverEvent event : kGiverEvents) {
      const GiverStep next = step(state, event);
      const bool goes_on = next.state == GiverState::kGiving || next.state == GiverState::kGiven || next.state == state;
      CHECK((goes_on || next == GiverStep{GiverState::kServing, GiverAction::kTakeBack}));
    }
  }
}

TEST_CASE("messages come back as they were sent, in pieces and in a row") {
  Bytes all;
  for (int kind = 1; kind <= 6; ++kind) append(all, encode_handover(whole(static_cast<Kind>(kind))));
  Bytes come;
  int seen = 0;
  for (const std::uint8_t byte : all) {
    come.push_back(byte);
    const auto taken = take_handover(come);
    REQUIRE(taken.ok());
    if (!*taken) continue;
    CHECK(**taken == whole(static_cast<Kind>(++seen)));
    CHECK(come.empty());
  }
  CHECK(seen == 6);
}

TEST_CASE("a hello of another version is taken for its number alone") {
  HandoverMessage hello = whole(Kind::kHello);
  hello.version = 2;
  Bytes bytes = encode_handover(hello);
  const auto taken = take_handover(bytes);
  REQUIRE(taken.ok());
  REQUIRE(taken->has_value());
  CHECK((*taken)->version == 2);
  CHECK((*taken)->listen.empty());
}

TEST_CASE("what is no message is refused, and nothing is taken") {
  const auto is_refused = [](Bytes bytes) {
    const Bytes before = bytes;
    const auto taken = take_handover(bytes);
    return !taken && taken.error().code == "handover_message" && bytes == before;
  };
  CHECK(is_refused({0, 0, 0, 0}));
  CHECK(is_refused({0, 0, 0x20, 1, 1}));
  CHECK(is_refused({0, 0, 0, 1, 0}));
  CHECK(is_refused({0, 0, 0, 1, 7}));
  CHECK(is_refused({0, 0, 0, 2, 4, 0}));     // something behind it
  CHECK(is_refused({0, 0, 0, 3, 2, 0, 0}));  // no socket
  CHECK(is_refused({0, 0, 0, 3, 2, 0, 129}));
  HandoverMessage message = whole(Kind::kHello);
  message.drain_seconds = kDrainSecondsMost + 1;
  CHECK(is_refused(encode_handover(message)));
  message = whole(Kind::kHello);
  message.listen = "a\nb";
  CHECK(is_refused(encode_handover(message)));
  message = whole(Kind::kSockets);
  message.sockets = {std::string(kSocketNameMost + 1, 'x')};
  CHECK(is_refused(encode_handover(message)));
  message.sockets = {""};
  CHECK(is_refused(encode_handover(message)));
}
