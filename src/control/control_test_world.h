// A control plane over simulated files, time and network, with a real ledger on its thread: what control/'s tests
// share.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <mutex>

#include "control/api.h"
#include "crypto/sign.h"
#include "io/sim_files.h"
#include "io/sim_loop.h"

namespace wary::control::test {

// The simulated loop belongs to one thread; the ledger's posts wait here for it.
class PostingLoop final : public io::Loop {
 public:
  explicit PostingLoop(std::unique_ptr<io::Loop> inner) : inner_(std::move(inner)) {}
  Monotonic now() override { return inner_->now(); }
  io::TimerId after(std::int64_t nanos, Task task) override { return inner_->after(nanos, std::move(task)); }
  void cancel(io::TimerId timer) override { inner_->cancel(timer); }
  void post(Task task) override {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  Result<std::unique_ptr<io::Listener>> listen(const io::Address& address, const io::ListenOptions& options,
                                               Accept accept) override {
    return inner_->listen(address, options, std::move(accept));
  }
  void connect(const io::Address& address, std::int64_t timeout, Connected connected) override {
    inner_->connect(address, timeout, std::move(connected));
  }
  Status watch(int descriptor, std::function<void()> readable) override {
    return inner_->watch(descriptor, std::move(readable));
  }
  void unwatch(int descriptor) override { inner_->unwatch(descriptor); }
  void run() override {}
  void stop() override {}
  bool drain() {
    std::vector<Task> tasks;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(posted_);
    }
    for (Task& task : tasks) task();
    return !tasks.empty();
  }

 private:
  std::unique_ptr<io::Loop> inner_;
  std::mutex mutex_;
  std::vector<Task> posted_;
};

class SeededRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out)
      byte = static_cast<std::uint8_t>((state_ = state_ * 6364136223846793005ULL + 1) >> 56);
  }

 private:
  std::uint64_t state_ = 42;
};

// An answer that is looked at.
class TestExchange final : public http::Exchange {
 public:
  explicit TestExchange(http::Request request) : request_(std::move(request)) {}
  const http::Request& request() const override { return request_; }
  void respond(int code, const std::vector<http::Header>& headers, std::string_view text) override {
    CHECK(status == 0);
    status = code;
    fields = headers;
    body = text;
  }
  void start(int code, const std::vector<http::Header>&) override { status = code; }
  bool write(std::string_view text) override { return body += text, true; }
  void end() override {}
  void on_closed(std::function<void()> closed) override { closed_ = std::move(closed); }
  codec::Json json() const {
    auto parsed = codec::parse_json(body);
    return parsed.ok() ? *parsed : codec::Json::object();
  }
  std::string code() const {
    const codec::Json parsed = json();
    const codec::Json* error = parsed.find("error");
    return error != nullptr ? std::string(error->string_or("code", "")) : "";
  }
  int status = 0;
  std::vector<http::Header> fields;
  std::string body;

 private:
  http::Request request_;
  std::function<void()> closed_;
};

struct World {
  io::SimWorld sim{5};
  PostingLoop loop{sim.make_loop()};
  SeededRandom random;
  Metrics metrics;
  Log* log = &null_log();
  io::SimFiles files{9}, ledger_files{10};
  crypto::PrivateKey key = *crypto::PrivateKey::generate(crypto::KeyType::kEd25519);
  std::unique_ptr<ledger::LedgerWriter> ledger;
  std::unique_ptr<Plane> plane;
  std::unique_ptr<SignIn> sign_in;
  std::unique_ptr<Api> api;

  explicit World(bool opened = true) {
    REQUIRE(ledger_files.make_directory("ledger").ok());
    open_ledger();
    if (!opened) return;
    REQUIRE(files.make_directory("waryd").ok());
    REQUIRE(open().ok());
    make_owner();
  }
  ~World() { close(); }

  void open_ledger() {
    ledger::LedgerOptions options;
    options.vkey = ledger::NoteVerifier::of("wary.local/log", key.public_key())->to_vkey();
    options.segment_bytes = std::uint64_t{1} << 20;
    auto made = ledger::Ledger::open(
        ledger_files, "ledger", sim.clock(), [this](ByteView text) { return key.sign(text); }, options);
    REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().to_string()));
    ledger = std::make_unique<ledger::LedgerWriter>(std::move(*made), sim.clock(), ledger::LedgerWriterOptions{});
  }
  Status open() {
    PlaneParts parts{loop,
                     sim.clock(),
                     random,
                     files,
                     *log,
                     metrics,
                     *ledger,
                     [this](ByteView message) { return key.sign(message); },
                     [](const io::PeerCredentials&, std::string_view) { return true; }};
    WARY_ASSIGN_OR_RETURN(plane, Plane::open(parts, {"local", "console.localhost", "/run/console.sock"}, "waryd"));
    sign_in = std::make_unique<SignIn>(*plane, sim.clock(), random);
    ApiParts api_parts{
        loop,
        sim.clock(),
        random,
        null_log(),
        metrics,
        "vkey",
        {},
        "https://console.localhost:7443",
        [](const std::string&, const std::string&) -> Result<codec::Json> { return codec::Json::object(); }};
    api = std::make_unique<Api>(*plane, *sign_in, std::move(api_parts));
    return {};
  }
  void close() {
    api.reset();
    sign_in.reset();
    settle();
    plane.reset();
    loop.drain();
  }
  // Until the ledger has answered everything it was given.
  void settle() {
    if (!ledger) return;
    for (int i = 0; i < 3; ++i) {
      std::promise<void> done;
      if (ledger->run([&](ledger::Ledger&) { done.set_value(); }).ok()) done.get_future().wait();
      while (loop.drain()) {
      }
    }
  }
  void run(std::int64_t millis) {
    for (std::int64_t at = 0; at < millis; at += 10) {
      settle();
      sim.run_for(10 * kNanosPerMilli);
    }
    settle();
  }

  static codec::Json spec(std::string_view text) { return codec::Json::object({{"spec", *codec::parse_json(text)}}); }
  static contract::Event event(std::string_view action) {
    contract::Event event;
    event.class_uid = contract::EventClass::kEntityManagement;
    event.action = action;
    event.detail = "{}";
    return event;
  }
  Result<Committed> put(const store::Key& at, std::string_view json, std::string_view action = "test") {
    Change change;
    change.writes.push_back({at, spec(json)});
    change.event = event(action);
    return plane->commit(std::move(change));
  }
  void make_owner() {
    Change change;
    change.writes.push_back({key_of(kTenantWide, "Group", "owners"), spec("{}")});
    change.writes.push_back({key_of(kTenantWide, "User", "owner"), spec(R"({"groups":["owners"]})")});
    change.writes.push_back({key_of(kTenantWide, "User", "alice"), spec("{}")});
    change.writes.push_back(
        {key_of("demo", "App", "site"), spec(R"({"hosts":["site.localhost"],"upstream":"http://127.0.0.1:1"})")});
    change.event = event("platform.initialise");
    REQUIRE(plane->commit(std::move(change)).ok());
    settle();
  }
  std::vector<contract::Event> events() {
    std::vector<contract::Event> out;
    std::promise<void> done;
    REQUIRE(ledger
                ->run([&](ledger::Ledger& opened) {
                  auto stored = opened.read_range(0, 10'000);
                  if (stored.ok())
                    for (const auto& each : *stored) out.push_back(each.event);
                  done.set_value();
                })
                .ok());
    done.get_future().wait();
    return out;
  }
  std::size_t count(std::string_view action) {
    std::size_t found = 0;
    for (const auto& each : events()) found += each.action == action ? 1U : 0U;
    return found;
  }
  std::shared_ptr<TestExchange> call(const Caller& caller, const std::string& method, const std::string& path,
                                     const std::string& body = "", const std::string& query = "") {
    http::Request request;
    request.method = method;
    request.path = path;
    request.body = body;
    request.query = query;
    auto exchange = std::make_shared<TestExchange>(std::move(request));
    api->handle(caller, exchange);
    run(400);
    return exchange;
  }
};

inline Caller owner() { return {{"Wary::User", "owner"}, "", ""}; }

}  // namespace wary::control::test
