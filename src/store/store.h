// Store: revisioned objects under tenant/namespace/kind/name, in one directory.
//
//   WARY_ASSIGN_OR_RETURN(auto store, store::Store::open(files, "state/objects", clock));
//   store::Batch batch{.actor = "alice", .writes = {{key, text, store::Expect::exactly(revision)}}};
//   WARY_ASSIGN_OR_RETURN(std::uint64_t revision, store->commit(std::move(batch)));   // all of it or nothing, durable
//
// A batch is one revision; revisions go up by one and are the order of everything. Compare-and-set is on the revision
// of the object. submit() and flush() are the group commit: all batches that wait share one disk flush, each keeps its
// own revision and its own conflict. History is kept until compact(); a watch is changes_since() after the callback.
//
// Durable when commit returns or the callback is called: SQLite in WAL mode with synchronous=FULL through a VFS of ours
// over io::Files, so that the simulated file system tests it. After a failed write or sync the store refuses everything
// (store_failed) until it is opened again, because nothing may be assumed of unsynced bytes.
//
// Thread rule: one thread. Limits: values 256 KiB, 1,000 writes a batch, 10,000 batches waiting.
// Errors: store_conflict, store_not_found, store_locked, store_compacted, store_corrupt, store_format, store_key,
// store_too_large, store_batch, store_busy, store_no_space, store_failed.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/files.h"

namespace wary::store {

// Each part is 1 to 63 of letters, digits, '.', '_', '-'; a name may be 253 long.
struct Key {
  std::string tenant;
  std::string name_space;
  std::string kind;
  std::string name;
  auto operator<=>(const Key&) const = default;
  std::string to_string() const;  // "tenant/namespace/kind/name"
};
Result<Key> parse_key(std::string_view text);

struct Object {
  Key key;
  std::string value;
  std::uint64_t revision = 0;  // of its last change
  std::uint64_t created = 0;   // the revision that made it
  bool operator==(const Object&) const = default;
};

struct Change {
  std::uint64_t revision = 0;
  Key key;
  std::optional<std::string> value;  // nothing: removed
  UnixTime time;
  std::string actor;
  bool operator==(const Change&) const = default;
};

// What must hold of the object for a write to happen; otherwise store_conflict and the whole batch is left.
struct Expect {
  enum class Kind { kAny, kAbsent, kExact };
  static Expect any() { return {}; }
  static Expect absent() { return {Kind::kAbsent, 0}; }
  static Expect exactly(std::uint64_t revision) { return {Kind::kExact, revision}; }
  Kind kind = Kind::kAny;
  std::uint64_t revision = 0;
};

struct Write {
  Key key;
  std::optional<std::string> value;  // nothing removes; removing what is not there is store_not_found
  Expect expect = {};
};

struct MetaWrite {
  std::string name;
  std::string value;
};

struct Batch {
  std::string actor;
  std::vector<Write> writes;  // each key once
  std::vector<MetaWrite> meta = {};
};

// An empty part means any.
struct Selector {
  std::string tenant;
  std::string name_space;
  std::string kind;
};

struct StoreOptions {
  int checkpoint_pages = 1000;  // of the write-ahead log before it is folded into the database
};

class Store {
 public:
  // Makes the directory if it is missing (its parent must exist). One process at a time: store_locked.
  static Result<std::unique_ptr<Store>> open(io::Files& files, std::string directory, Clock& clock,
                                             const StoreOptions& options = {});
  virtual ~Store() = default;

  using Done = std::function<void(Result<std::uint64_t> revision)>;
  Result<std::uint64_t> commit(Batch batch);        // submit and flush
  virtual void submit(Batch batch, Done done) = 0;  // called back from flush, or at once when refused
  virtual std::size_t flush() = 0;                  // batches tried
  virtual std::size_t waiting() const = 0;

  virtual std::uint64_t revision() const = 0;   // the last
  virtual std::uint64_t compacted() const = 0;  // history before this is gone
  virtual Result<Object> get(const Key& key) = 0;
  // As it was at that revision; `created` is 0 there.
  virtual Result<Object> get_at(const Key& key, std::uint64_t revision) = 0;
  // In key order, starting after `after`.
  virtual Result<std::vector<Object>> list(const Selector& selector, std::size_t limit,
                                           const std::optional<Key>& after = {}) = 0;
  virtual Result<std::vector<Change>> history(const Key& key, std::size_t limit) = 0;  // newest first
  // Changes of later revisions, in order; whole revisions only, at least one if there is any.
  virtual Result<std::vector<Change>> changes_since(std::uint64_t revision, std::size_t limit) = 0;
  virtual Result<std::optional<std::string>> meta(std::string_view name) = 0;

  // Forgets what was replaced or removed at or before that revision; what is current stays.
  virtual Status compact(std::uint64_t revision) = 0;
  // Called from flush after new revisions are durable, with the last. Must not flush.
  virtual std::uint64_t watch(std::function<void(std::uint64_t revision)> callback) = 0;
  virtual void unwatch(std::uint64_t id) = 0;
};

}  // namespace wary::store
