#include "store/store.h"

#include <doctest/doctest.h>

#include <map>

#include "io/sim_files.h"

using namespace wary;
using namespace wary::store;

namespace {

class TestClock final : public Clock {
 public:
  UnixTime unix_time() override { return {++now_ * kNanosPerSecond}; }
  Monotonic monotonic() override { return {++now_}; }

 private:
  std::int64_t now_ = 1'700'000'000;
};

Key key(std::string name, std::string kind = "App") { return {"local", "shop", std::move(kind), std::move(name)}; }
Batch put(std::string name, std::string value, Expect expect = {}) {
  return {.actor = "alice", .writes = {{key(std::move(name)), std::move(value), expect}}};
}
std::unique_ptr<Store> opened(io::Files& files, Clock& clock) {
  auto store = Store::open(files, "store", clock, {.checkpoint_pages = 8});
  REQUIRE_MESSAGE(store.ok(), (store.ok() ? "" : store.error().to_string()));
  return *std::move(store);
}

}  // namespace

TEST_CASE("what is put is there, with its revision, and also after it was closed") {
  io::SimFiles files(1);
  TestClock clock;
  {
    auto store = opened(files, clock);
    CHECK(store->revision() == 0);
    CHECK(store->commit(put("a", "one")).value() == 1);
    CHECK(store->commit(put("b", "two")).value() == 2);
    CHECK(store->commit(put("a", "three")).value() == 3);
    CHECK(store->get(key("a")).value() == Object{key("a"), "three", 3, 1});
    CHECK(Store::open(files, "store", clock).error().code == "store_locked");
  }
  auto store = opened(files, clock);
  CHECK(store->revision() == 3);
  CHECK(store->get(key("b")).value().value == "two");
  CHECK(store->get(key("c")).error().code == "store_not_found");
}

TEST_CASE("compare-and-set changes nothing of a batch whose expectation does not hold") {
  io::SimFiles files(1);
  TestClock clock;
  auto store = opened(files, clock);
  REQUIRE(store->commit(put("a", "one", Expect::absent())).ok());
  CHECK(store->commit(put("a", "x", Expect::absent())).error().code == "store_conflict");
  CHECK(store->commit(put("a", "x", Expect::exactly(7))).error().found_text == "revision 1");
  CHECK(store->commit(put("b", "x", Expect::exactly(1))).error().found_text == "no object");
  Batch two{.actor = "bob", .writes = {{key("b"), "new"}, {key("a"), "x", Expect::exactly(9)}}};
  CHECK(store->commit(two).error().code == "store_conflict");
  CHECK(store->get(key("b")).error().code == "store_not_found");
  CHECK(store->revision() == 1);
  two.writes[1].expect = Expect::exactly(1);
  CHECK(store->commit(two).value() == 2);
  CHECK(store->get(key("a")).value().revision == 2);
  CHECK(store->commit({.actor = "bob", .writes = {{key("zz"), std::nullopt}}}).error().code == "store_not_found");
}

TEST_CASE("a group commit gives every batch its own revision and its own conflict, in order") {
  io::SimFiles files(1);
  TestClock clock;
  auto store = opened(files, clock);
  std::vector<std::string> answers;
  const auto note = [&](Result<std::uint64_t> result) {
    answers.push_back(result.ok() ? std::to_string(*result) : result.error().code);
  };
  std::vector<std::uint64_t> seen;
  const auto watcher = store->watch([&](std::uint64_t revision) { seen.push_back(revision); });
  store->submit(put("a", "1", Expect::absent()), note);
  store->submit(put("a", "2", Expect::absent()), note);
  store->submit(put("a", "3", Expect::exactly(1)), note);
  store->submit({.actor = "x", .writes = {}}, note);
  CHECK(answers == std::vector<std::string>{"store_batch"});
  CHECK(store->waiting() == 3);
  const std::uint64_t calls = files.calls();
  CHECK(store->flush() == 3);
  CHECK(files.calls() - calls < 40);
  CHECK(answers == std::vector<std::string>{"store_batch", "1", "store_conflict", "2"});
  CHECK(seen == std::vector<std::uint64_t>{2});
  CHECK(store->flush() == 0);
  store->unwatch(watcher);
  CHECK(store->commit(put("b", "1")).ok());
  CHECK(seen.size() == 1);
}

TEST_CASE("history, old versions and changes are there until they are compacted") {
  io::SimFiles files(1);
  TestClock clock;
  auto store = opened(files, clock);
  REQUIRE(store->commit(put("a", "1")).ok());
  REQUIRE(store->commit({.actor = "bob", .writes = {{key("a"), "2"}, {key("b"), "1"}}}).ok());
  REQUIRE(store->commit({.actor = "bob", .writes = {{key("b"), std::nullopt}}}).ok());
  REQUIRE(store->commit(put("a", "4")).ok());
  const auto history = store->history(key("a"), 10).value();
  REQUIRE(history.size() == 3);
  CHECK(history[0].value == "4");
  CHECK(history[1].actor == "bob");
  CHECK(history[2].revision == 1);
  CHECK(history[2].time < history[0].time);
  CHECK(store->get_at(key("a"), 3).value().value == "2");
  CHECK(store->get_at(key("b"), 3).error().code == "store_not_found");
  CHECK(store->get_at(key("b"), 2).value().value == "1");
  CHECK(store->changes_since(0, 100).value().size() == 5);
  CHECK(store->changes_since(1, 1).value().size() == 2);  // a revision is not cut
  CHECK(store->changes_since(4, 10).value().empty());
  CHECK_FALSE(store->changes_since(2, 1).value()[0].value);

  CHECK(store->compact(9).error().code == "store_batch");
  REQUIRE(store->compact(3).ok());
  CHECK(store->compacted() == 3);
  CHECK(store->get_at(key("a"), 3).value().value == "2");
  CHECK(store->get_at(key("a"), 2).error().code == "store_compacted");
  CHECK(store->changes_since(2, 10).error().code == "store_compacted");
  CHECK(store->changes_since(3, 10).value().size() == 1);
  CHECK(store->history(key("b"), 10).value().empty());
  store.reset();
  CHECK(opened(files, clock)->compacted() == 3);
}

TEST_CASE("lists by prefix, in key order, page by page") {
  io::SimFiles files(1);
  TestClock clock;
  auto store = opened(files, clock);
  for (const char* text :
       {"local/shop/App/b", "local/shop/App/a", "local/shop/Route/a", "local/bank/App/a", "other/shop/App/a"}) {
    REQUIRE(store->commit({.actor = "x", .writes = {{parse_key(text).value(), text}}}).ok());
  }
  const auto names = [&](const Selector& selector, std::size_t limit = 10, std::optional<Key> after = {}) {
    std::string out;
    const auto objects = store->list(selector, limit, after).value();
    for (const Object& object : objects) out += object.key.to_string() + " ";
    return out;
  };
  CHECK(names({"local", "", ""}) == "local/bank/App/a local/shop/App/a local/shop/App/b local/shop/Route/a ");
  CHECK(names({"local", "shop", "App"}) == "local/shop/App/a local/shop/App/b ");
  CHECK(names({"local", "", "App"}, 2) == "local/bank/App/a local/shop/App/a ");
  CHECK(names({"local", "", "App"}, 2, parse_key("local/shop/App/a").value()) == "local/shop/App/b ");
  CHECK(names({"", "", "App"}, 10, parse_key("local/shop/App/b").value()) == "other/shop/App/a ");
}

TEST_CASE("meta values change together with objects") {
  io::SimFiles files(1);
  TestClock clock;
  auto store = opened(files, clock);
  CHECK_FALSE(store->meta("fence").value());
  Batch batch = put("a", "1", Expect::absent());
  batch.meta = {{"fence", "7"}};
  REQUIRE(store->commit(batch).ok());
  CHECK(store->meta("fence").value() == "7");
  batch.meta = {{"fence", "8"}};
  CHECK_FALSE(store->commit(batch).ok());
  CHECK(store->meta("fence").value() == "7");
}

TEST_CASE("refuses keys, values and batches beyond their limits") {
  io::SimFiles files(1);
  TestClock clock;
  auto store = opened(files, clock);
  for (const char* text : {"", "a/b/c", "a/b/c/", "a//c/d", "a/b/c/d/e", "a/b/c/d e"}) {
    CHECK(parse_key(text).error().code == "store_key");
  }
  CHECK(store->commit(put("", "x")).error().code == "store_key");
  CHECK(store->commit(put("a", std::string(256 * 1024, 'x'))).ok());
  CHECK(store->commit(put("a", std::string(256 * 1024 + 1, 'x'))).error().code == "store_too_large");
  CHECK(store->commit({.actor = "x", .writes = {{key("a"), "1"}, {key("a"), "2"}}}).error().code == "store_batch");
  CHECK(store->commit({.actor = std::string(254, 'x'), .writes = {{key("a"), "1"}}}).error().code == "store_batch");
  Batch many{.actor = "x", .writes = {}};
  for (int i = 0; i < 1001; ++i) many.writes.push_back({key("n" + std::to_string(i)), "1"});
  CHECK(store->commit(many).error().code == "store_batch");
  many.writes.pop_back();
  CHECK(store->commit(many).ok());
}

TEST_CASE("a full disk refuses the change and the store goes on when there is room") {
  io::SimFiles files(1);
  TestClock clock;
  auto store = opened(files, clock);
  REQUIRE(store->commit(put("a", "1")).ok());
  files.set_capacity(0);
  CHECK(store->commit(put("b", std::string(100'000, 'x'))).error().code == "store_no_space");
  CHECK(store->get(key("a")).ok());
  files.set_capacity(UINT64_MAX);
  CHECK(store->commit(put("b", "2")).value() == 2);
}

TEST_CASE("damage to a stored value is seen") {
  io::SimFiles files(1);
  TestClock clock;
  {
    REQUIRE(opened(files, clock)->commit(put("a", "a value that is easy to find 0123456789")).ok());
  }
  const Bytes bytes = io::read_file(files, "store/objects.db", 1 << 20).value();
  const std::size_t at = as_text(bytes).find("easy to find");
  REQUIRE(at != std::string_view::npos);
  for (std::size_t from = at; from != std::string_view::npos; from = as_text(bytes).find("easy to find", from + 1)) {
    files.flip_bit("store/objects.db", from);
  }
  auto store = opened(files, clock);
  CHECK(store->get(key("a")).error().code == "store_corrupt");
  CHECK(store->list({}, 10).error().code == "store_corrupt");
  CHECK(store->changes_since(0, 10).error().code == "store_corrupt");
}
