// Ledger: the log that nobody can quietly change. Events go in, receipts come out once they are durable; a signed
// checkpoint commits to all of them; proofs show anybody that an event is in and that the log only grew.
//
//   WARY_ASSIGN_OR_RETURN(auto ledger, Ledger::open(files, "/var/lib/wary/ledger", clock, signer, {.vkey = vkey}));
//   WARY_ASSIGN_OR_RETURN(auto receipts, ledger->append_batch(events));   // durable: one disk flush for all of them
//   WARY_ASSIGN_OR_RETURN(std::string note, ledger->checkpoint());        // signed; size and root persisted first
//   WARY_ASSIGN_OR_RETURN(std::string proof, ledger->proof(index));       // a .tlog-proof file
//
// One thread (LedgerWriter is the front for many). After an error of append_batch none of its events has a receipt;
// they may be in the log after a crash, and sending them again is always right: an event's id is stored once.
//
// Errors: ledger_locked (another process has it), ledger_unavailable (disk full, I/O error, a file replaced: try again,
// nothing needs a restart), ledger_truncated, ledger_corrupt, ledger_inconsistent (stored bytes are not what was
// written: refused until restored), ledger_range, ledger_sequence, ledger_origin, and those of contract::encode.
// Limits: 65,535 bytes an event; 16,384 events and 64 MiB a batch; LedgerOptions has the others. FORMAT.md has the
// files.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "contract/event.h"
#include "io/files.h"
#include "ledger/note.h"

namespace wary::ledger {

// Signs the text of a checkpoint (Ed25519); the key lives in the signer process.
using SignCheckpoint = std::function<Result<Bytes>(ByteView text)>;

struct LedgerOptions {
  std::string vkey;  // name+id+key of the signing key; the name is the log's origin
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;
  std::size_t streams_max = 4096;       // (source, boot) pairs whose sequences are known; the one longest silent goes
  std::size_t sequence_window = 4096;   // how far ahead of a gap a sequence may run
  std::size_t recent_max = 65'536;      // events whose index is still known when they are sent again
  std::size_t decisions_max = 262'144;  // newest decision ids found without reading segments
};

constexpr std::uint64_t kIndexUnknown = UINT64_MAX;
struct Receipt {
  std::uint64_t index = 0;  // kIndexUnknown for a duplicate of long ago
  bool duplicate = false;
};

// An event made ready in the thread that has it: encoded and hashed.
struct PreparedEvent {
  contract::EventId id;
  std::string decision_id;
  Bytes entry;
  Hash leaf{};
};
Result<PreparedEvent> prepare_event(const contract::Event& event, UnixTime receive_time);

struct StoredEvent {
  std::uint64_t index = 0;
  contract::Event event;
};
// Empty fields match everything.
struct EventFilter {
  std::string tenant;
  std::string actor;
  std::string decision_id;
  std::string resource;
  UnixTime from{INT64_MIN};  // event_time, both ends included
  UnixTime to{INT64_MAX};
};

struct CheckFinding {
  std::string file;
  std::uint64_t offset = 0;
  std::uint64_t index = kIndexUnknown;  // of the entry, where one is concerned
  std::string tile;                     // of the hash, where one is concerned
  std::string what;
  std::string to_string() const;
};
struct CheckReport {
  std::uint64_t entries = 0;
  std::uint64_t segments = 0;
  std::vector<CheckFinding> findings;  // at most 100; empty: every stored byte is what it must be
};

class Ledger {
 public:
  static Result<std::unique_ptr<Ledger>> open(io::Files& files, std::string directory, Clock& clock,
                                              SignCheckpoint sign, LedgerOptions options);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // All or none; receipts in the order of the events. A receive_time of 0 is set.
  Result<std::vector<Receipt>> append_batch(std::span<const contract::Event> events);
  Result<std::vector<Receipt>> append_prepared(std::span<const PreparedEvent* const> events);

  TreeHead head() const;             // of what is durable
  Result<std::string> checkpoint();  // the signed note for head(); the same text while nothing was added
  const NoteVerifier& verifier() const;

  Result<Bytes> read_entry(std::uint64_t index);
  Result<contract::Event> read(std::uint64_t index);
  Result<std::vector<StoredEvent>> read_range(std::uint64_t first, std::size_t count_max);
  // Newest first, at most `count_max`. Without a decision id, or for one that is no longer in memory, segments are
  // read.
  Result<std::vector<StoredEvent>> select(const EventFilter& filter, std::size_t count_max);

  Result<Hash> root_at(std::uint64_t size);
  Result<std::vector<Hash>> inclusion_proof(std::uint64_t index, std::uint64_t size);
  Result<std::vector<Hash>> consistency_proof(std::uint64_t old_size, std::uint64_t new_size);
  Result<std::string> proof(std::uint64_t index);  // against the newest checkpoint, made if need be

  // Reads every stored byte and says where one is wrong.
  Result<CheckReport> check();
  // Writes the static tlog-tiles layout (checkpoint, tile/...) into an empty or older export directory.
  Status export_static(const std::string& directory);

  struct Impl;  // private to ledger/
  explicit Ledger(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::ledger
