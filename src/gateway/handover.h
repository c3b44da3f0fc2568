// Handover: how a new edge takes over from the one that runs: what the two say to each other, and what each does next.
// The giver goes on serving until the taker holds everything a gateway needs; whatever fails before that changes
// nothing.
//
//   taker → giver   hello      version, where it listens, how long what is open may last
//   giver → taker   sockets    with the listening sockets themselves, by name   (or refused, and why)
//   taker → giver   ready      has a whole snapshot and a certificate
//   giver → taker   yours      accepts nothing any more; what connects waits in the backlog
//   taker → giver   taken      accepts; now the giver closes its sockets and drains
//
// Until `taken` the giver can take everything back. When it dies on the way, a taker that has the sockets goes on
// alone. A message: u32 length of what follows (big-endian), u8 kind, and u16 lengths before texts. Values and pure
// functions; any thread. Limits: 8 KiB a message, 128 sockets, 64 bytes a socket's name, 300 s to drain.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::gateway {

constexpr std::uint16_t kHandoverVersion = 1;
constexpr std::size_t kHandoverBytesMost = 8 * 1024;
constexpr std::size_t kHandoverSocketsMost = 128;
constexpr std::size_t kSocketNameMost = 64;
constexpr std::uint32_t kDrainSecondsMost = 300;

struct HandoverMessage {
  enum class Kind : std::uint8_t { kHello = 1, kSockets, kRefused, kReady, kYours, kTaken };
  Kind kind = Kind::kHello;
  std::uint16_t version = kHandoverVersion;  // hello; of another one nothing else is read
  std::string listen;                        // hello: "127.0.0.1:7443"
  std::uint32_t drain_seconds = 0;           // hello
  std::vector<std::string> sockets;          // sockets: a name for each descriptor, in their order
  std::string code, message;                 // refused
  bool operator==(const HandoverMessage&) const = default;
};

Bytes encode_handover(const HandoverMessage& message);
// The message at the front of `bytes`, which it is taken from; nothing yet while it is not whole. Errors:
// handover_message.
Result<std::optional<HandoverMessage>> take_handover(Bytes& bytes);

enum class GiverState {
  kServing,    // nobody is there
  kGreeting,   // somebody connected
  kOffered,    // they have the sockets
  kLettingGo,  // they are ready; the workers stop accepting
  kGiving,     // it was said
  kGiven,      // they accept
};
enum class GiverEvent { kCalled, kHello, kUnfitHello, kReady, kLetGo, kTaken, kStrange, kGone, kLate };
enum class GiverAction {
  kNothing,
  kHear,      // what the caller says
  kTurnAway,  // a second caller
  kOffer,
  kRefuse,    // say why, and hang up
  kForget,    // hang up
  kLetGo,     // stop accepting
  kGive,      // say so
  kTakeBack,  // accept again, and hang up
  kDrain,
};
struct GiverStep {
  GiverState state;
  GiverAction action;
  bool operator==(const GiverStep&) const = default;
};
GiverStep step(GiverState state, GiverEvent event);

enum class TakerState {
  kAsking,     // for the sockets
  kPreparing,  // has them
  kAlone,      // and the giver has died
  kWaiting,    // is ready and said so
  kServing,
  kFailed,
};
enum class TakerEvent { kSockets, kPrepared, kYours, kRefused, kStrange, kGone, kLate };
enum class TakerAction {
  kNothing,
  kPrepare,
  kSayReady,
  kTake,       // accept, and say so
  kTakeAlone,  // accept; there is nobody to say it to, and what the giver left is ours
  kInherit,    // what the giver left is ours
  kFail,
};
struct TakerStep {
  TakerState state;
  TakerAction action;
  bool operator==(const TakerStep&) const = default;
};
TakerStep step(TakerState state, TakerEvent event);

}  // namespace wary::gateway
