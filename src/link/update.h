// Update: a signed step of what an enforcement point knows: a whole snapshot, or the delta from one revision to the
// next.
//
// The content is opaque here (canonical JSON of the view). The signature covers history, revisions, whose view this is
// and the content's hash, so that relays and disk caches need no trust: what is one node's is none for another.
// `history` names one store's life: revisions of two stores never mix.
//
//   WARY_RETURN_IF_ERROR(sign_together(steps, sign));   // one signature for a step of every view
//   Bytes wire = encode(update);
//   WARY_ASSIGN_OR_RETURN(Update update, decode_update(wire));
//   if (!verify(signed_part(update), update.signature)) ...
//
// What is signed is the root of a tree: a leaf is sha256(0, size of the view's name, name, sha256(content)), a node
// sha256(1, left, right), the last of an odd row goes up as it is; an update carries the way from its leaf to the root.
// Values; any thread. Limits: 64 MiB a content, a path of 16 steps.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/hash.h"

namespace wary::link {

// The next sibling on the way up.
struct PathStep {
  bool is_left = false;  // it stands on the left
  crypto::Digest digest{};
  bool operator==(const PathStep&) const = default;
};

struct Update {
  std::string history;     // 32 hex digits
  std::string view;        // "": the whole; else the name of whose it is
  std::uint64_t from = 0;  // 0: a whole snapshot
  std::uint64_t to = 0;
  std::int64_t published = 0;  // wall clock of the publisher, nanoseconds: time does not go behind it here
  std::int64_t committed = 0;  // the publisher's monotonic nanoseconds when the change was durable; 0 for a snapshot
  std::string content;
  std::vector<PathStep> path;  // of a signature that several share
  Bytes signature;             // Ed25519, 64 bytes
  bool is_snapshot() const { return from == 0; }
};

Bytes signed_part(const Update& update);
// Of one history, one pair of revisions, one time; each of another view. Sets path and signature of all.
Status sign_together(std::vector<Update>& updates, const std::function<Result<Bytes>(ByteView message)>& sign);
Bytes encode(const Update& update);
// Exactly one encoded update; error: update_syntax.
Result<Update> decode_update(ByteView bytes);

// What an enforcement point says first.
struct Hello {
  std::string node;     // "edge/NAME"
  std::string history;  // of the last good update, or empty
  std::uint64_t revision = 0;
};
Bytes encode(const Hello& hello);
Result<Hello> decode_hello(ByteView bytes);

// Events on their way up, in the order of their source; receipts come back by boot and sequence.
struct EventBatch {
  std::uint64_t boot = 0;
  std::uint64_t first_sequence = 0;  // the others follow without gaps
  std::vector<Bytes> events;         // contract::encode(Event)
};
Bytes encode(const EventBatch& batch);
Result<EventBatch> decode_event_batch(ByteView bytes);

struct Receipt {
  std::uint64_t boot = 0;
  std::uint64_t sequence = 0;  // this one and all before it are durable
};
Bytes encode(const Receipt& receipt);
Result<Receipt> decode_receipt(ByteView bytes);

enum Message : std::uint8_t {
  kHelloMessage = 1,        // up
  kUpdateMessage = 2,       // down
  kAckMessage = 3,          // up: u64 revision
  kNackMessage = 4,         // up: u64 revision, text why
  kEventsMessage = 5,       // up
  kReceiptMessage = 6,      // down
  kLedgerStateMessage = 7,  // down: u8, 1 = events can be made durable
  kCallMessage = 8,         // up: u64 id, JSON
  kReplyMessage = 9,        // down: u64 id, JSON
};

}  // namespace wary::link
