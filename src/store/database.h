// SQLite in a few value types: a connection through a Vfs, and statements that are prepared once.
// Thread rule: one thread. Private to store/.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/vfs.h"

struct sqlite3;
struct sqlite3_stmt;

namespace wary::store {

// A prepared statement in use; it is reset when it goes.
class Query {
 public:
  Query(sqlite3* connection, sqlite3_stmt* statement) : connection_(connection), statement_(statement) {}
  Query(Query&& other) noexcept : connection_(other.connection_), statement_(other.statement_), at_(other.at_) {
    other.statement_ = nullptr;
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  Query& operator=(Query&&) = delete;
  ~Query();

  // Parameters in order. Texts must live until the query goes.
  Query& bind(std::string_view text);
  Query& bind_number(std::uint64_t value);
  Query& bind_nothing();
  Result<bool> step();  // whether there is a row
  Status run();         // to the end
  std::string text(int column) const;
  std::uint64_t number(int column) const;
  bool is_nothing(int column) const;

 private:
  sqlite3* connection_;
  sqlite3_stmt* statement_;
  int at_ = 0;
};

class Database {
 public:
  explicit Database(sqlite3* connection) : connection_(connection) {}  // takes it
  static Result<std::unique_ptr<Database>> open(Vfs& vfs, const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // `sql` is a literal: it is the key under which the statement is kept.
  Result<Query> query(std::string_view sql);
  Status run(const std::string& sql);  // any number of statements, no parameters

 private:
  sqlite3* connection_;
  std::map<std::string_view, sqlite3_stmt*> statements_;
};

}  // namespace wary::store
