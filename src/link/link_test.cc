#include <doctest/doctest.h>

#include <algorithm>

#include "crypto/sign.h"
#include "io/sim_files.h"
#include "io/sim_loop.h"
#include "link/publisher.h"
#include "link/subscriber.h"

using namespace wary;
using namespace wary::link;

namespace {

// A control plane and an enforcement point in one simulated world.
struct World {
  explicit World(std::uint64_t seed) : sim(seed), files(seed) {
    REQUIRE(files.make_directory("edge").ok());
    open_publisher();
  }

  void open_publisher() {
    PublisherHooks hooks;
    hooks.history = history;
    hooks.revision = [this] { return revision; };
    hooks.now = [this] {
      return UnixTime{sim.clock().unix_time().nanos + ++clock_reads};
    };  // no two readings are alike
    hooks.snapshot = [this] { return "snapshot at " + std::to_string(revision); };
    hooks.sign = [this](ByteView message) -> Result<Bytes> {
      if (!signer_answers) return fail(ErrorKind::kUnavailable, "signer_unavailable", "no");
      return key.sign(message);
    };
    hooks.is_allowed = [this](const io::PeerCredentials&, std::string_view node) { return node != refused_node; };
    hooks.on_events = [this](const std::string& node, EventBatch batch, std::function<void(Result<Receipt>)> done) {
      CHECK(node == "edge/test");
      for (const Bytes& event : batch.events) events.push_back(std::string(as_text(event)));
      if (ledger_works)
        done(Receipt{batch.boot, batch.first_sequence + batch.events.size() - 1});
      else
        done(fail(ErrorKind::kUnavailable, "ledger_unavailable", "no"));
    };
    hooks.on_call = [](const std::string&, const codec::Json& call, std::function<void(codec::Json)> reply) {
      codec::Json answer = codec::Json::object();
      answer.set("echo", call);
      reply(std::move(answer));
    };
    if (has_views) {
      hooks.view_of = [](std::string_view node) { return std::string(node == "edge/test" ? "mine" : node); };
      hooks.snapshot_of = [this](const std::string& view) { return view + " at " + std::to_string(revision); };
      hooks.delta_of = [this](const std::string& view) -> std::optional<std::string> {
        if (view_begins_again) {
          ++revision;  // as it will be
          return std::nullopt;
        }
        return view + " to " + std::to_string(revision + 1);
      };
    }
    publisher = std::make_unique<Publisher>(*control, hooks, null_log(), metrics);
    REQUIRE(publisher->listen(address, {}).ok());
  }

  void open_subscriber() { subscriber = make_subscriber(true); }
  std::unique_ptr<Subscriber> make_subscriber(bool keeps) {
    return subscribe("edge/test", "edge", has_views ? own_view : "", seen, keeps);
  }

  std::unique_ptr<Subscriber> subscribe(const std::string& node, const std::string& directory, const std::string& view,
                                        std::vector<std::string>& contents, bool keeps = true) {
    SubscriberHooks hooks;
    hooks.verify = [this](ByteView message, ByteView signature) { return key.public_key().verify(message, signature); };
    hooks.on_update = [this, &contents](const Update& update) -> Status {
      if (refuse_updates) return fail(ErrorKind::kInvalid, "test_refused", "no");
      contents.push_back(update.content);
      return {};
    };
    hooks.on_receipt = [this](const Receipt& receipt) { receipts.push_back(receipt.sequence); };
    hooks.on_ledger_state = [this](bool available) { ledger_states.push_back(available); };
    hooks.on_connection = [this](bool connected) { connections.push_back(connected); };
    auto made = std::make_unique<Subscriber>(
        *edge, files, SubscriberOptions{node, address, directory, 8, nullptr, view, keeps}, hooks, null_log());
    REQUIRE(made->start().ok());
    return made;
  }

  void commit() {
    REQUIRE(publisher->commit(revision, revision + 1, {1}, "delta to " + std::to_string(revision + 1)).ok());
    ++revision;
  }
  void run(std::int64_t millis = 2000) { sim.run_for(millis * kNanosPerMilli); }

  io::SimWorld sim;
  io::SimFiles files;
  Metrics metrics;
  io::Address address = io::Address::unix_socket("/link");
  crypto::PrivateKey key = crypto::PrivateKey::generate(crypto::KeyType::kEd25519).value();
  std::string history = "one";
  std::uint64_t revision = 1;
  std::int64_t clock_reads = 0;
  bool ledger_works = true;
  bool signer_answers = true;
  bool refuse_updates = false;
  std::string refused_node = "nobody";
  bool has_views = false, view_begins_again = false;
  std::string own_view = "mine";
  std::vector<std::string> seen, events;
  std::vector<std::uint64_t> receipts;
  std::vector<bool> ledger_states, connections;
  std::unique_ptr<io::Loop> control = sim.make_loop();
  std::unique_ptr<io::Loop> edge = sim.make_loop();
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<Subscriber> subscriber;
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a new enforcement point gets a snapshot, then every commit as a delta") {
  World world(1);
  world.open_subscriber();
  world.run();
  world.commit();
  world.commit();
  world.run();
  CHECK(world.seen == Texts{"snapshot at 1", "delta to 2", "delta to 3"});
  CHECK(world.publisher->acknowledged() == 3);
  CHECK(world.publisher->enforcement_points() == 1);
}

TEST_CASE("who says it is a node that it may not be gets nothing") {
  World world(1);
  world.refused_node = "edge/test";
  world.open_subscriber();
  world.run();
  CHECK(world.seen.empty());
  CHECK(world.publisher->subscribers() == 0);
  world.refused_node = "nobody";
  world.run();
  CHECK(world.seen == Texts{"snapshot at 1"});
}

TEST_CASE("a node with a view of its own gets that and nothing else") {
  World world(3);
  world.publisher.reset();
  world.has_views = true;
  world.open_publisher();
  world.open_subscriber();
  world.run();
  world.commit();
  world.run();
  CHECK(world.seen == Texts{"mine at 1", "mine to 2"});
  // What it may see has changed as a whole.
  world.view_begins_again = true;
  REQUIRE(world.publisher->commit(2, 3, {1}, "delta to 3").ok());
  world.view_begins_again = false;
  world.run();
  CHECK(world.seen.back() == "mine at 3");
  world.commit();
  world.run();
  CHECK(world.seen.back() == "mine to 4");
  // While it is away its view is nobody's, and is not kept.
  world.subscriber.reset();
  world.run();
  world.commit();
  world.open_subscriber();
  world.run();
  CHECK(world.seen.back() == "mine at 5");
  CHECK(!world.publisher->acknowledged());  // it decides nothing by it: nobody waits for it
  CHECK(world.publisher->subscribers() == 1);
  CHECK(world.publisher->enforcement_points() == 0);
}

TEST_CASE("every view's subscriber takes each step as it comes, without beginning again") {
  World world(3);
  world.publisher.reset();
  world.has_views = true;
  world.open_publisher();
  std::vector<std::string> seen[3];  // NOLINT: three of a kind
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  for (int i = 0; i < 3; ++i) {
    const std::string name = "agent" + std::to_string(i);
    REQUIRE(world.files.make_directory(name).ok());
    subscribers.push_back(world.subscribe(name, name, name, seen[i]));
  }
  world.run();
  world.commit();
  world.commit();
  world.run();
  for (int i = 0; i < 3; ++i) {
    const std::string name = "agent" + std::to_string(i);
    CHECK(seen[i] == Texts{name + " at 1", name + " to 2", name + " to 3"});
  }
}

TEST_CASE("what is signed for one view is none for another, also when its contents are the same") {
  World world(3);
  world.publisher.reset();
  world.has_views = true;
  world.own_view = "another";
  world.open_publisher();
  world.open_subscriber();
  world.run();
  CHECK(world.seen.empty());
  CHECK(world.subscriber->revision() == 0);
}

TEST_CASE("one signature covers the step of every view, and each is checked by its own way to the root") {
  const auto key = *crypto::PrivateKey::generate(crypto::KeyType::kEd25519);
  std::size_t signatures = 0;
  const auto sign = [&](ByteView message) {
    ++signatures;
    return key.sign(message);
  };
  const auto is_good = [&](const Update& update) {
    return key.public_key().verify(signed_part(update), update.signature);
  };
  for (std::size_t count = 1; count <= 33; ++count) {
    std::vector<Update> updates;
    for (std::size_t i = 0; i < count; ++i) {
      updates.push_back({"h", "agent/" + std::to_string(i), 1, 2, 3, 4, "the same for all", {}, {}});
    }
    signatures = 0;
    REQUIRE(sign_together(updates, sign).ok());
    CHECK(signatures == 1);
    for (const Update& update : updates) {
      CHECK(is_good(update));
      const auto read = decode_update(encode(update));
      REQUIRE(read.ok());
      CHECK(read->path == update.path);
      CHECK(is_good(*read));
      Update other = update;
      other.view += "0";
      CHECK_FALSE(is_good(other));
      other = update;
      other.content += ".";
      CHECK_FALSE(is_good(other));
      other = update;
      other.to += 1;
      CHECK_FALSE(is_good(other));
      for (std::size_t i = 0; i < update.path.size(); ++i) {
        other = update;
        other.path[i].is_left = !other.path[i].is_left;
        CHECK_FALSE(is_good(other));
        other = update;
        other.path[i].digest[5] ^= 1;
        CHECK_FALSE(is_good(other));
      }
    }
    // A way of another leaf leads elsewhere.
    if (count > 1) {
      std::swap(updates[0].path, updates[1].path);
      CHECK_FALSE(is_good(updates[0]));
    }
  }
  Update long_way{"h", "v", 1, 2, 3, 4, "c", std::vector<PathStep>(17), {}};
  CHECK(decode_update(encode(long_way)).error().code == "update_syntax");
  std::vector<Update> refused(2);
  const auto away = [](ByteView) -> Result<Bytes> { return fail(ErrorKind::kUnavailable, "away", "no"); };
  CHECK(sign_together(refused, away).error().code == "away");
  refused[1].published = 1;  // what one signature cannot cover is not signed
  CHECK(sign_together(refused, away).error().code == "update_together");
}

TEST_CASE("a connection that is adopted is that node and no other, and takes the place of the one before") {
  World world(4);
  world.refused_node = "edge/test";  // on the socket
  std::vector<std::unique_ptr<io::Listener>> listeners;
  std::string known_as = "edge/test";
  auto listener = world.control->listen(
      io::Address::unix_socket("/relay"), {},
      [&](std::unique_ptr<io::Stream> stream) { world.publisher->adopt(std::move(stream), known_as); });
  world.address = io::Address::unix_socket("/relay");
  world.open_subscriber();
  world.run();
  CHECK(world.seen == Texts{"snapshot at 1"});
  auto before = std::move(world.subscriber);
  world.open_subscriber();
  world.sim.run_for(10 * kNanosPerMilli);
  CHECK(world.publisher->subscribers() == 1);
  before.reset();
  known_as = "agent/other";
  world.subscriber.reset();
  world.run();
  const std::size_t seen = world.seen.size();
  world.open_subscriber();
  world.run();
  CHECK(world.seen.size() == seen + 1);  // what lies on its own disk
  CHECK(world.publisher->subscribers() == 0);
}

TEST_CASE("what a node that is adopted may say at once is small") {
  World world(5);
  auto listener = world.control->listen(
      io::Address::unix_socket("/relay"), {},
      [&](std::unique_ptr<io::Stream> stream) { world.publisher->adopt(std::move(stream), "agent/a"); });
  for (const std::uint32_t size : {std::uint32_t{1} << 20, (std::uint32_t{1} << 20) + 1}) {
    std::unique_ptr<io::Stream> stream;
    world.edge->connect(io::Address::unix_socket("/relay"), kNanosPerSecond,
                        [&](Result<std::unique_ptr<io::Stream>> made) { stream = std::move(made).value(); });
    world.run();
    REQUIRE(stream);
    Bytes head;
    append_big_endian(head, size + 1);
    head.push_back(kHelloMessage);
    (void)stream->write(head);
    world.run();
    CHECK(world.publisher->subscribers() == (size > std::uint32_t{1} << 20 ? 0 : 1));
  }
}

TEST_CASE("one that was away gets the deltas it lacks, and starts from its disk without anybody") {
  World world(2);
  world.open_subscriber();
  world.run();
  world.commit();
  world.run();
  world.subscriber.reset();
  world.run();
  world.commit();
  world.commit();
  world.publisher.reset();  // the control plane is away
  world.files.crash();
  world.seen.clear();
  world.open_subscriber();
  CHECK(world.seen == Texts{"snapshot at 1"});  // a delta that was not synced is asked for again
  world.seen.clear();
  world.subscriber.reset();
  world.open_publisher();
  world.open_subscriber();
  world.run();
  // A publisher that started again has no deltas: a whole snapshot.
  CHECK(world.seen.back() == "snapshot at 4");
}

TEST_CASE("of two at one directory one keeps the updates at a time, and what is kept is whole") {
  World world(2);
  world.open_subscriber();
  world.run();
  world.commit();
  world.run();
  const auto kept = [&] {
    const auto file = io::read_file(world.files, "edge/updates", 1 << 20);
    return file ? file->size() : std::size_t{0};
  };
  const std::size_t before = kept();
  // The next one begins with what is there, and follows without writing.
  auto next = world.make_subscriber(false);
  world.run();
  world.subscriber->stop_keeping();
  world.commit();
  world.run();
  CHECK(kept() == before);
  CHECK(next->revision() == world.revision);
  next->start_keeping();
  world.subscriber.reset();
  CHECK(kept() > before);
  world.commit();
  world.run();
  next.reset();
  world.publisher.reset();
  world.seen.clear();
  world.open_subscriber();
  CHECK(world.subscriber->revision() == world.revision);
  CHECK(world.seen == Texts{"snapshot at 1", "delta to 2", "delta to 3", "delta to 4"});
}

TEST_CASE("who keeps again after it had stopped asks for everything anew") {
  World world(2);
  world.open_subscriber();
  world.run();
  world.subscriber->stop_keeping();
  world.commit();
  world.run();
  world.subscriber->start_keeping();
  world.run();
  world.commit();
  world.run();
  world.subscriber.reset();
  world.publisher.reset();
  world.seen.clear();
  world.open_subscriber();
  CHECK(world.seen == Texts{"snapshot at 2", "delta to 3"});
}

TEST_CASE("deltas are kept for those who come back soon") {
  World world(3);
  world.open_subscriber();
  world.run();
  world.commit();
  world.run();
  world.subscriber.reset();
  world.commit();
  world.seen.clear();
  world.open_subscriber();
  world.run();
  CHECK(world.seen == Texts{"snapshot at 1", "delta to 2", "delta to 3"});
}

TEST_CASE("another store's life is not mixed with this one's") {
  World world(4);
  world.open_subscriber();
  world.run();
  world.publisher.reset();
  world.history = "two";
  world.open_publisher();
  world.seen.clear();
  world.run(5000);
  CHECK(world.seen == Texts{"snapshot at 1"});
}

TEST_CASE("an update that is not signed by the control plane's key changes nothing") {
  World world(5);
  world.open_subscriber();
  world.run();
  const crypto::PrivateKey honest = std::move(world.key);
  world.key = crypto::PrivateKey::generate(crypto::KeyType::kEd25519).value();
  // The publisher signs with the new key, the subscriber still trusts the old one.
  world.subscriber.reset();
  world.seen.clear();
  SubscriberHooks hooks;
  hooks.verify = [&](ByteView m, ByteView s) { return honest.public_key().verify(m, s); };
  hooks.on_update = [&](const Update& update) -> Status {
    world.seen.push_back(update.content);
    return {};
  };
  hooks.on_receipt = [](const Receipt&) {};
  hooks.on_ledger_state = [](bool) {};
  hooks.on_connection = [](bool) {};
  Subscriber subscriber(*world.edge, world.files, {"edge/test", world.address, "edge", 8}, hooks, null_log());
  REQUIRE(subscriber.start().ok());
  CHECK(world.seen == Texts{"snapshot at 1"});  // from its disk, signed by the honest key
  world.commit();
  world.run();
  CHECK(world.seen == Texts{"snapshot at 1"});
  CHECK(subscriber.revision() != 2);
}

TEST_CASE("a step that could not be signed is known by all as soon as something can be signed again") {
  World world(3);
  world.open_subscriber();
  world.run();
  world.commit();
  world.run();
  world.signer_answers = false;
  CHECK(world.publisher->commit(2, 3, {1}, "delta to 3").error().code == "signer_unavailable");
  world.revision = 3;
  world.run();
  CHECK(world.seen == Texts{"snapshot at 1", "delta to 2"});
  world.signer_answers = true;
  world.run();  // without another commit
  CHECK(world.seen == Texts{"snapshot at 1", "delta to 2", "snapshot at 3"});
  world.commit();
  world.run();
  CHECK(world.seen.back() == "delta to 4");
}

TEST_CASE("what the enforcement point cannot apply is refused, and what decided before goes on") {
  World world(6);
  world.open_subscriber();
  world.run();
  world.refuse_updates = true;
  world.commit();
  world.run(100);
  CHECK(world.seen == Texts{"snapshot at 1"});
  world.refuse_updates = false;
  world.run(5000);
  CHECK(world.seen == Texts{"snapshot at 1", "snapshot at 2"});
}

TEST_CASE("events go up and receipts come down; without a receipt nothing is claimed") {
  World world(7);
  world.open_subscriber();
  world.run();
  REQUIRE(world.subscriber->send_events({9, 1, {to_bytes("a"), to_bytes("b")}}).ok());
  world.run();
  CHECK(world.events == Texts{"a", "b"});
  CHECK(world.receipts == std::vector<std::uint64_t>{2});
  world.ledger_works = false;
  REQUIRE(world.subscriber->send_events({9, 3, {to_bytes("c")}}).ok());
  world.run();
  CHECK(world.receipts.size() == 1);
  world.publisher->set_ledger_available(false);
  world.run();
  CHECK(world.ledger_states == std::vector<bool>{true, false});
}

TEST_CASE("a call is answered, and fails when the control plane is away") {
  World world(8);
  world.open_subscriber();
  world.run();
  std::string answers;
  const auto call = [&] {
    world.subscriber->call(codec::Json(7), [&](Result<codec::Json> reply) {
      answers += reply ? reply->to_string() : reply.error().code;
      answers += ' ';
    });
  };
  call();
  world.run();
  call();
  world.publisher.reset();
  world.run();
  call();
  CHECK(answers == "{\"echo\":7} link_closed link_closed ");
}

TEST_CASE("a connection that breaks at any byte comes back to the same state") {
  for (std::uint64_t bytes = 1; bytes < 700; bytes += 13) {
    World world(100 + bytes);
    world.sim.break_streams_after(bytes);
    world.open_subscriber();
    world.run(100);
    world.commit();
    world.run(5000);
    CHECK(world.subscriber->revision() == 2);
    CHECK(world.publisher->acknowledged() == 2);
  }
}

TEST_CASE("a cache with a flipped byte anywhere is not trusted") {
  World world(9);
  world.open_subscriber();
  world.run();
  world.subscriber.reset();
  world.publisher.reset();
  const std::uint64_t size = world.files.status("edge/updates")->size;
  for (std::uint64_t at = 0; at < size; at += 3) {
    world.files.flip_bit("edge/updates", at);
    world.seen.clear();
    world.open_subscriber();
    CHECK(world.seen.empty());
    world.subscriber.reset();
    world.files.flip_bit("edge/updates", at);
  }
  world.open_subscriber();
  CHECK(world.seen == Texts{"snapshot at 1"});
}

TEST_CASE("what is no frame ends the connection") {
  CHECK(decode_frame(to_bytes(std::string("\0\0\0\0", 4)), 100).ok());
  CHECK(decode_frame(to_bytes(std::string("\0\0\0\0\1", 5)), 100).error().code == "frame_too_large");
  CHECK(decode_frame(to_bytes(std::string("\0\0\1\0\1", 5)), 100).error().code == "frame_too_large");
  CHECK(decode_frame(to_bytes(std::string("\0\0\0\2\1", 5)), 100)->size == 0);
  CHECK(decode_update(to_bytes("WUP2")).error().code == "update_syntax");
  CHECK(decode_hello(Bytes(100)).error().code == "update_syntax");
  CHECK(decode_event_batch(Bytes(20, 0xff)).error().code == "update_syntax");
  CHECK(decode_receipt(Bytes(17)).error().code == "update_syntax");
}
