#include "store/database.h"

#include <sqlite3.h>

namespace wary::store {

namespace {

Error error_of(int code, sqlite3* connection) {
  const std::string text = connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return fail(ErrorKind::kDataLoss, "store_corrupt", "the stored bytes are damaged").found(text);
    case SQLITE_FULL: return fail(ErrorKind::kUnavailable, "store_no_space", "the disk is full").found(text);
    default: return fail(ErrorKind::kUnavailable, "store_failed", "the disk does not do what it is asked").found(text);
  }
}

}  // namespace

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::bind(std::string_view text) {
  WARY_CHECK(sqlite3_bind_text64(statement_, ++at_, text.data() == nullptr ? "" : text.data(), text.size(),
                                 SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}
Query& Query::bind_number(std::uint64_t value) {
  WARY_CHECK(sqlite3_bind_int64(statement_, ++at_, static_cast<sqlite3_int64>(value)) == SQLITE_OK);
  return *this;
}
Query& Query::bind_nothing() {
  WARY_CHECK(sqlite3_bind_null(statement_, ++at_) == SQLITE_OK);
  return *this;
}

Result<bool> Query::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return error_of(code, connection_);
}

Status Query::run() {
  while (true) {
    WARY_ASSIGN_OR_RETURN(const bool row, step());
    if (!row) return {};
  }
}

std::string Query::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
}
std::uint64_t Query::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_, column));
}
bool Query::is_nothing(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Result<std::unique_ptr<Database>> Database::open(Vfs& vfs, const std::string& path) {
  sqlite3* connection = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &connection, flags, vfs.name().c_str());
  if (code != SQLITE_OK) {
    Error error = error_of(code, connection);
    sqlite3_close(connection);
    return error;
  }
  sqlite3_extended_result_codes(connection, 1);
  return std::make_unique<Database>(connection);
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

Result<Query> Database::query(std::string_view sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(connection_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return error_of(code, connection_);
  }
  return Query(connection_, statement);
}

Status Database::run(const std::string& sql) {
  const int code = sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Status() : Status(error_of(code, connection_));
}

}  // namespace wary::store
