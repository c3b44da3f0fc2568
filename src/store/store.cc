#include "store/store.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "base/limits.h"
#include "store/database.h"

namespace wary::store {

namespace {

constexpr std::size_t kBatchWrites = 1000;
constexpr std::size_t kWaiting = 10'000;
constexpr std::size_t kNameMax = 253;
constexpr std::size_t kWalMax = std::size_t{1} << 30;
constexpr std::size_t kSmallDatabase = 64 * 1024;

// Format 1. `digest` covers the row's key, revision and value: SQLite has no checksum over its pages.
constexpr std::string_view kSchema = R"(
  CREATE TABLE objects(tenant TEXT, namespace TEXT, kind TEXT, name TEXT, revision INTEGER, created INTEGER, value TEXT,
    digest INTEGER, PRIMARY KEY(tenant, namespace, kind, name)) WITHOUT ROWID;
  CREATE TABLE changes(revision INTEGER, position INTEGER, tenant TEXT, namespace TEXT, kind TEXT, name TEXT,
    value TEXT,
    digest INTEGER, time INTEGER, actor TEXT, PRIMARY KEY(revision, position)) WITHOUT ROWID;
  CREATE INDEX changes_of_key ON changes(tenant, namespace, kind, name, revision);
  CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
  CREATE TABLE state(one INTEGER PRIMARY KEY, revision INTEGER, compacted INTEGER);
  INSERT INTO state VALUES(1, 0, 0);
  PRAGMA application_id = 1463898713;
  PRAGMA user_version = 1;)";

Error refuse(ErrorKind kind, std::string_view code, std::string_view message, std::string where = "") {
  return fail(kind, code, message).at(std::move(where));
}

bool is_part(std::string_view part, std::size_t most) {
  if (part.empty() || part.size() > most) return false;
  return part.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
         std::string_view::npos;
}

bool is_key(const Key& key) {
  return is_part(key.tenant, limits::kNameBytes) && is_part(key.name_space, limits::kNameBytes) &&
         is_part(key.kind, limits::kNameBytes) && is_part(key.name, kNameMax);
}

// FNV-1a, 64 bits: finds damage, not malice.
std::uint64_t digest_of(const Key& key, std::uint64_t revision, std::string_view value) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](std::string_view text) {
    for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  };
  add(key.to_string());
  add("@" + std::to_string(revision) + "=");
  add(value);
  return hash;
}

Query& bind_key(Query& query, const Key& key) {
  return query.bind(key.tenant).bind(key.name_space).bind(key.kind).bind(key.name);
}

Key key_at(const Query& query, int column) {
  return {query.text(column), query.text(column + 1), query.text(column + 2), query.text(column + 3)};
}

Status check_digest(const Query& query, int column, const Key& key, std::uint64_t revision, std::string_view value) {
  if (query.number(column) == digest_of(key, revision, value)) return {};
  return refuse(ErrorKind::kDataLoss, "store_corrupt", "the stored object is not what was written", key.to_string());
}

Status check_batch(const Batch& batch) {
  if (batch.writes.size() > kBatchWrites || (batch.writes.empty() && batch.meta.empty()) ||
      batch.meta.size() > kBatchWrites) {
    return refuse(ErrorKind::kInvalid, "store_batch", "a batch has 1 to 1,000 writes");
  }
  std::set<Key> seen;
  for (const Write& write : batch.writes) {
    if (!is_key(write.key)) {
      return refuse(ErrorKind::kInvalid, "store_key", "a key is tenant/namespace/kind/name", write.key.to_string());
    }
    if (!seen.insert(write.key).second) {
      return refuse(ErrorKind::kInvalid, "store_batch", "a batch writes an object once", write.key.to_string());
    }
    if (write.value && write.value->size() > limits::kObjectBytes) {
      return refuse(ErrorKind::kInvalid, "store_too_large", "an object is at most 256 KiB", write.key.to_string());
    }
  }
  for (const MetaWrite& meta : batch.meta) {
    if (meta.name.empty() || meta.name.size() > kNameMax || meta.value.size() > limits::kObjectBytes) {
      return refuse(ErrorKind::kInvalid, "store_too_large", "a meta value is at most 256 KiB", meta.name);
    }
  }
  return batch.actor.size() <= kNameMax ? Status()
                                        : Status(refuse(ErrorKind::kInvalid, "store_batch", "the actor is too long"));
}

// After a sync that failed, the kernel may show bytes the disk does not have and will never write again. Written once
// more they are either durable or an error, before anything is built on them.
Status write_again(io::Files& files, const std::string& path, std::size_t size_max) {
  const Result<io::FileStatus> status = files.status(path);
  if (!status.ok() || status->size == 0 || status->size > size_max) return {};
  WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(files, path, size_max));
  WARY_ASSIGN_OR_RETURN(const auto file, files.open(path, io::OpenMode::kReadWrite));
  WARY_RETURN_IF_ERROR(file->write_at(0, bytes));
  return file->sync();
}

class SqliteStore final : public Store {
 public:
  SqliteStore(std::unique_ptr<io::File> lock, std::unique_ptr<Vfs> vfs, Clock& clock)
      : lock_(std::move(lock)), vfs_(std::move(vfs)), clock_(clock) {}

  ~SqliteStore() override {
    if (database_ && !check_alive().ok()) database_->leave_files();
  }

  Status start(const std::string& path, const StoreOptions& options) {
    WARY_ASSIGN_OR_RETURN(database_, Database::open(*vfs_, path));
    WARY_RETURN_IF_ERROR(database_->run(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
        "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA wal_autocheckpoint=" +
        std::to_string(options.checkpoint_pages)));
    WARY_ASSIGN_OR_RETURN(const std::uint64_t application, number("PRAGMA application_id"));
    WARY_ASSIGN_OR_RETURN(const std::uint64_t version, number("PRAGMA user_version"));
    WARY_ASSIGN_OR_RETURN(const std::uint64_t tables, number("SELECT count(*) FROM sqlite_schema"));
    if (tables == 0) {
      WARY_RETURN_IF_ERROR(database_->run("BEGIN IMMEDIATE;" + std::string(kSchema) + "COMMIT;"));
    } else if (application != 1463898713 || version != 1) {
      return refuse(ErrorKind::kUnsupported, "store_format", "this is no store of format 1", path);
    }
    return load_state();
  }

  void submit(Batch batch, Done done) override {
    Status checked = check_batch(batch);
    if (checked.ok() && queue_.size() >= kWaiting) {
      checked = refuse(ErrorKind::kExhausted, "store_busy", "too many changes wait");
    }
    if (!checked.ok()) return done(std::move(checked).error());
    queue_.push_back({std::move(batch), std::move(done), 0});
  }

  std::size_t waiting() const override { return queue_.size(); }

  std::size_t flush() override {
    if (queue_.empty() || flushing_) return 0;
    flushing_ = true;
    std::deque<Pending> group = std::exchange(queue_, {});
    std::uint64_t last = revision_;
    const Status status = commit_group(group, last);
    if (status.ok()) {
      const bool moved = last != revision_;
      revision_ = last;
      answer(group, nullptr);
      if (moved) notify();
    } else {
      answer(group, &status.error());
    }
    flushing_ = false;
    return group.size();
  }

  std::uint64_t revision() const override { return revision_; }
  std::uint64_t compacted() const override { return compacted_; }

  Result<Object> get(const Key& key) override {
    WARY_RETURN_IF_ERROR(check_alive());
    WARY_ASSIGN_OR_RETURN(std::optional<Object> object, find(key));
    if (!object) return refuse(ErrorKind::kNotFound, "store_not_found", "there is no such object", key.to_string());
    return *std::move(object);
  }

  Result<Object> get_at(const Key& key, std::uint64_t revision) override {
    WARY_RETURN_IF_ERROR(check_alive());
    if (revision < compacted_) return compacted_error(key.to_string());
    WARY_ASSIGN_OR_RETURN(
        Query query,
        database_->query(
            "SELECT revision, value, digest FROM changes WHERE tenant=? AND namespace=? AND kind=? AND name=? AND "
            "revision<=? ORDER BY revision DESC LIMIT 1"));
    bind_key(query, key).bind_number(revision);
    WARY_ASSIGN_OR_RETURN(const bool row, query.step());
    if (!row || query.is_nothing(1)) {
      return refuse(ErrorKind::kNotFound, "store_not_found", "there was no such object then", key.to_string());
    }
    Object object{key, query.text(1), query.number(0), 0};
    WARY_RETURN_IF_ERROR(check_digest(query, 2, key, object.revision, object.value));
    return object;
  }

  Result<std::vector<Object>> list(const Selector& selector, std::size_t limit,
                                   const std::optional<Key>& after) override {
    WARY_RETURN_IF_ERROR(check_alive());
    WARY_ASSIGN_OR_RETURN(
        Query query,
        database_->query("SELECT tenant, namespace, kind, name, revision, created, value, digest FROM objects WHERE "
                         "(tenant, namespace, kind, name) > (?1, ?2, ?3, ?4) AND (?5='' OR tenant=?5) AND (?6='' OR "
                         "namespace=?6) AND "
                         "(?7='' OR kind=?7) ORDER BY tenant, namespace, kind, name LIMIT ?8"));
    const Key start = after.value_or(Key{selector.tenant, "", "", ""});
    bind_key(query, start).bind(selector.tenant).bind(selector.name_space).bind(selector.kind).bind_number(limit);
    std::vector<Object> out;
    while (true) {
      WARY_ASSIGN_OR_RETURN(const bool row, query.step());
      if (!row) return out;
      Object object{key_at(query, 0), query.text(6), query.number(4), query.number(5)};
      WARY_RETURN_IF_ERROR(check_digest(query, 7, object.key, object.revision, object.value));
      out.push_back(std::move(object));
    }
  }

  Result<std::vector<Change>> history(const Key& key, std::size_t limit) override {
    WARY_RETURN_IF_ERROR(check_alive());
    WARY_ASSIGN_OR_RETURN(Query query,
                          database_->query("SELECT revision, tenant, namespace, kind, name, value, digest, time, actor "
                                           "FROM changes WHERE tenant=? AND "
                                           "namespace=? AND kind=? AND name=? ORDER BY revision DESC LIMIT ?"));
    bind_key(query, key).bind_number(limit);
    return read_changes(query, SIZE_MAX);
  }

  Result<std::vector<Change>> changes_since(std::uint64_t revision, std::size_t limit) override {
    WARY_RETURN_IF_ERROR(check_alive());
    if (revision < compacted_) return compacted_error(std::to_string(revision));
    WARY_ASSIGN_OR_RETURN(
        Query query,
        database_->query(
            "SELECT revision, tenant, namespace, kind, name, value, digest, time, actor FROM changes WHERE revision>? "
            "ORDER BY revision, position"));
    query.bind_number(revision);
    return read_changes(query, limit);
  }

  Result<std::optional<std::string>> meta(std::string_view name) override {
    WARY_RETURN_IF_ERROR(check_alive());
    WARY_ASSIGN_OR_RETURN(Query query, database_->query("SELECT value FROM meta WHERE name=?"));
    query.bind(name);
    WARY_ASSIGN_OR_RETURN(const bool row, query.step());
    std::optional<std::string> value;
    if (row) value = query.text(0);
    return value;
  }

  Status compact(std::uint64_t revision) override {
    WARY_RETURN_IF_ERROR(check_alive());
    if (revision > revision_) return refuse(ErrorKind::kInvalid, "store_batch", "that revision is not there yet");
    if (revision <= compacted_) return {};
    const Status status = in_transaction([&]() -> Status {
      // The last version of each object stays, so that get_at works from here on.
      WARY_ASSIGN_OR_RETURN(
          Query remove,
          database_->query(
              "DELETE FROM changes WHERE revision<=?1 AND (value IS NULL OR EXISTS(SELECT 1 FROM changes AS later "
              "WHERE "
              "later.tenant=changes.tenant AND later.namespace=changes.namespace AND later.kind=changes.kind AND "
              "later.name=changes.name AND later.revision>changes.revision AND later.revision<=?1))"));
      WARY_RETURN_IF_ERROR(remove.bind_number(revision).run());
      WARY_ASSIGN_OR_RETURN(Query mark, database_->query("UPDATE state SET compacted=?"));
      return mark.bind_number(revision).run();
    });
    if (status.ok()) compacted_ = revision;
    return status;
  }

  std::uint64_t watch(std::function<void(std::uint64_t)> callback) override {
    watchers_[++last_watcher_] = std::move(callback);
    return last_watcher_;
  }
  void unwatch(std::uint64_t id) override { watchers_.erase(id); }

 private:
  struct Pending {
    Batch batch;
    Done done;
    std::uint64_t revision = 0;
    std::optional<Error> error = {};
  };

  static Error compacted_error(std::string where) {
    return refuse(ErrorKind::kGone, "store_compacted", "the history before this is gone", std::move(where));
  }

  Status check_alive() const {
    if (!broken_ && !vfs_->has_failed()) return {};
    return refuse(ErrorKind::kUnavailable, "store_failed", "a write failed; the store must be opened again");
  }

  Result<std::uint64_t> number(std::string_view sql) {
    WARY_ASSIGN_OR_RETURN(Query query, database_->query(sql));
    WARY_ASSIGN_OR_RETURN(const bool row, query.step());
    return row ? query.number(0) : 0;
  }

  Status load_state() {
    WARY_ASSIGN_OR_RETURN(revision_, number("SELECT revision FROM state"));
    WARY_ASSIGN_OR_RETURN(compacted_, number("SELECT compacted FROM state"));
    return {};
  }

  // A rollback that itself fails leaves nothing to trust.
  template <typename Body>
  Status in_transaction(Body body) {
    WARY_RETURN_IF_ERROR(database_->run("BEGIN IMMEDIATE"));
    Status status = body();
    if (status.ok()) status = database_->run("COMMIT");
    if (status.ok()) return status;
    // An error inside COMMIT may have rolled back already; then this says so and nothing is open.
    (void)database_->run("ROLLBACK");
    broken_ = broken_ || status.error().code != "store_no_space" || vfs_->has_failed();
    return status;
  }

  // Each batch in a savepoint of its own: a conflict leaves the others alone.
  Status commit_group(std::deque<Pending>& group, std::uint64_t& last) {
    WARY_RETURN_IF_ERROR(check_alive());
    return in_transaction([&]() -> Status {
      for (Pending& pending : group) {
        WARY_RETURN_IF_ERROR(database_->run("SAVEPOINT batch"));
        const Status written = write_batch(pending.batch, last + 1);
        if (written.ok()) {
          pending.revision = ++last;
        } else if (written.error().kind == ErrorKind::kConflict || written.error().kind == ErrorKind::kNotFound) {
          pending.error = written.error();
          WARY_RETURN_IF_ERROR(database_->run("ROLLBACK TO batch"));
        } else {
          return written;
        }
        WARY_RETURN_IF_ERROR(database_->run("RELEASE batch"));
      }
      WARY_ASSIGN_OR_RETURN(Query query, database_->query("UPDATE state SET revision=?"));
      return query.bind_number(last).run();
    });
  }

  Status write_batch(const Batch& batch, std::uint64_t revision) {
    const UnixTime now = clock_.unix_time();
    for (std::size_t i = 0; i < batch.writes.size(); ++i) {
      WARY_RETURN_IF_ERROR(write_object(batch.writes[i], revision));
      WARY_RETURN_IF_ERROR(write_change(batch, i, revision, now));
    }
    for (const MetaWrite& meta : batch.meta) {
      WARY_ASSIGN_OR_RETURN(Query query, database_->query("INSERT OR REPLACE INTO meta VALUES(?, ?)"));
      WARY_RETURN_IF_ERROR(query.bind(meta.name).bind(meta.value).run());
    }
    return {};
  }

  Status write_object(const Write& write, std::uint64_t revision) {
    WARY_ASSIGN_OR_RETURN(const std::optional<Object> before, find(write.key));
    const std::uint64_t found = before ? before->revision : 0;
    const bool holds =
        write.expect.kind == Expect::Kind::kAny ||
        (write.expect.kind == Expect::Kind::kAbsent ? !before : found == write.expect.revision && before);
    if (!holds) {
      const std::string wanted = write.expect.kind == Expect::Kind::kAbsent
                                     ? "no object"
                                     : "revision " + std::to_string(write.expect.revision);
      return refuse(ErrorKind::kConflict, "store_conflict", "someone else changed the object", write.key.to_string())
          .expected(wanted)
          .found(before ? "revision " + std::to_string(found) : "no object");
    }
    if (!write.value) {
      if (!before)
        return refuse(ErrorKind::kNotFound, "store_not_found", "there is no such object", write.key.to_string());
      WARY_ASSIGN_OR_RETURN(
          Query query, database_->query("DELETE FROM objects WHERE tenant=? AND namespace=? AND kind=? AND name=?"));
      return bind_key(query, write.key).run();
    }
    WARY_ASSIGN_OR_RETURN(Query query,
                          database_->query("INSERT OR REPLACE INTO objects VALUES(?, ?, ?, ?, ?, ?, ?, ?)"));
    return bind_key(query, write.key)
        .bind_number(revision)
        .bind_number(before ? before->created : revision)
        .bind(*write.value)
        .bind_number(digest_of(write.key, revision, *write.value))
        .run();
  }

  Status write_change(const Batch& batch, std::size_t position, std::uint64_t revision, UnixTime now) {
    const Write& write = batch.writes[position];
    WARY_ASSIGN_OR_RETURN(Query query, database_->query("INSERT INTO changes VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    bind_key(query.bind_number(revision).bind_number(position), write.key);
    if (write.value) {
      query.bind(*write.value);
    } else {
      query.bind_nothing();
    }
    query.bind_number(digest_of(write.key, revision, write.value.value_or(std::string())));
    return query.bind_number(static_cast<std::uint64_t>(now.nanos)).bind(batch.actor).run();
  }

  Result<std::optional<Object>> find(const Key& key) {
    WARY_ASSIGN_OR_RETURN(Query query, database_->query("SELECT revision, created, value, digest FROM objects WHERE "
                                                        "tenant=? AND namespace=? AND kind=? AND name=?"));
    WARY_ASSIGN_OR_RETURN(const bool row, bind_key(query, key).step());
    std::optional<Object> object;
    if (!row) return object;
    object = Object{key, query.text(2), query.number(0), query.number(1)};
    WARY_RETURN_IF_ERROR(check_digest(query, 3, key, object->revision, object->value));
    return object;
  }

  // Stops after `limit` changes, but never inside a revision.
  Result<std::vector<Change>> read_changes(Query& query, std::size_t limit) {
    std::vector<Change> out;
    while (true) {
      WARY_ASSIGN_OR_RETURN(const bool row, query.step());
      if (!row || (!out.empty() && out.size() >= limit && query.number(0) != out.back().revision)) return out;
      Change change{
          query.number(0), key_at(query, 1), std::nullopt, {static_cast<std::int64_t>(query.number(7))}, query.text(8)};
      if (!query.is_nothing(5)) change.value = query.text(5);
      WARY_RETURN_IF_ERROR(check_digest(query, 6, change.key, change.revision, change.value.value_or(std::string())));
      out.push_back(std::move(change));
    }
  }

  static void answer(std::deque<Pending>& group, const Error* error) {
    for (Pending& pending : group) {
      if (error != nullptr) {
        pending.done(*error);
      } else if (pending.error) {
        pending.done(*pending.error);
      } else {
        pending.done(pending.revision);
      }
    }
  }

  void notify() {
    const auto watchers = watchers_;  // a callback may unwatch
    for (const auto& [id, callback] : watchers) {
      if (watchers_.contains(id)) callback(revision_);
    }
  }

  std::unique_ptr<io::File> lock_;
  std::unique_ptr<Vfs> vfs_;
  Clock& clock_;
  std::unique_ptr<Database> database_;  // goes before the VFS it uses
  std::uint64_t revision_ = 0;
  std::uint64_t compacted_ = 0;
  std::deque<Pending> queue_;
  std::map<std::uint64_t, std::function<void(std::uint64_t)>> watchers_;
  std::uint64_t last_watcher_ = 0;
  bool flushing_ = false;
  bool broken_ = false;
};

}  // namespace

std::string Key::to_string() const { return tenant + "/" + name_space + "/" + kind + "/" + name; }

Result<Key> parse_key(std::string_view text) {
  Key key;
  std::size_t at = 0;
  for (std::string* part : {&key.tenant, &key.name_space, &key.kind}) {
    const std::size_t slash = std::min(text.find('/', at), text.size());
    *part = text.substr(at, slash - at);
    at = std::min(slash + 1, text.size());
  }
  key.name = text.substr(at);
  if (is_key(key)) return key;
  return refuse(ErrorKind::kInvalid, "store_key", "a key is tenant/namespace/kind/name").found(text);
}

Result<std::uint64_t> Store::commit(Batch batch) {
  Result<std::uint64_t> out = refuse(ErrorKind::kInternal, "store_failed", "the change was not tried");
  submit(std::move(batch), [&out](Result<std::uint64_t> result) { out = std::move(result); });
  flush();
  return out;
}

Result<std::unique_ptr<Store>> Store::open(io::Files& files, std::string directory, Clock& clock,
                                           const StoreOptions& options) {
  WARY_RETURN_IF_ERROR(files.make_directory(directory));
  const std::size_t slash = directory.rfind('/');
  WARY_RETURN_IF_ERROR(
      files.sync_directory(slash == std::string::npos ? "." : directory.substr(0, std::max<std::size_t>(slash, 1))));
  WARY_ASSIGN_OR_RETURN(auto lock, files.open(directory + "/lock", io::OpenMode::kCreate));
  if (const Status locked = lock->lock(); !locked.ok()) {
    if (locked.error().code != "file_locked") return locked.error();
    return refuse(ErrorKind::kConflict, "store_locked", "another process has this store open", directory);
  }
  const std::string path = directory + "/objects.db";
  WARY_RETURN_IF_ERROR(write_again(files, path, kSmallDatabase));
  WARY_RETURN_IF_ERROR(write_again(files, path + "-wal", kWalMax));
  WARY_RETURN_IF_ERROR(files.sync_directory(directory));  // their names too
  auto vfs = std::make_unique<Vfs>(files, directory, clock);
  auto store = std::make_unique<SqliteStore>(std::move(lock), std::move(vfs), clock);
  WARY_RETURN_IF_ERROR(store->start(path, options));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace wary::store
