// A gateway worker in a simulated world, a real TLS client in front of it and a scripted application behind it: what
// the tests of a client's connection share.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codec/http1.h"
#include "contract/event.h"
#include "crypto/tls.h"
#include "gateway/test_needs.h"
#include "gateway/worker.h"
#include "io/mapped_file.h"
#include "io/sim_loop.h"
#include "policy/snapshot.h"

namespace wary::gateway::test {

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  void fill(std::span<std::uint8_t> out) override;

 private:
  std::uint64_t state_;
};

// Keys and certificates are made once: they cost more than all else here.
struct Authority {
  crypto::PrivateKey key;
  Bytes ca;
  crypto::TlsIdentity server;
  crypto::TlsIdentity workload;  // spiffe://local/demo/reader
  static const Authority& get();
};

// One connection of the application.
struct AppStream {
  std::unique_ptr<io::Stream> stream;
  std::string received;
  std::string out;
  std::size_t parsed = 0;  // of `received`, by whole requests
  bool reads = true;
  bool ended = false;
  bool was_reset = false;
  bool close_when_sent = false;
  void send(std::string_view text);
  void flush();
  void close();
  void reset();
};

struct AppRequest {
  std::string method, target, host, body;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string field(std::string_view name) const;
};

// An application that speaks HTTP/1.1 as strictly as our own parser: bytes it cannot parse are counted as garbage.
class TestApp {
 public:
  // Over TLS with a context, which outlives it.
  TestApp(io::Loop& loop, const io::Address& address, const crypto::TlsServerContext* tls = nullptr);
  // Answers a whole request; the default says 200 with the target as its body.
  std::function<void(AppStream&, const AppRequest&)> on_request;
  // Instead of parsing: what comes, raw.
  std::function<void(AppStream&)> on_bytes;
  bool accepts = true;  // false: hangs up at once
  std::vector<std::unique_ptr<AppStream>> streams;
  std::vector<AppRequest> requests;
  std::size_t garbage = 0;
  std::string everything() const;

 private:
  void ready(AppStream& stream);
  void parse(AppStream& stream);
  std::unique_ptr<io::Listener> listener_;
};

class Client {
 public:
  Client(io::Loop& loop, const crypto::TlsClientContext& context, std::string name);
  explicit Client(io::Loop& loop) : loop_(loop) {}  // without TLS
  void connect(const io::Address& address);
  void send(std::string_view plaintext);
  void send_raw(std::string_view bytes);  // beside TLS
  std::size_t unsent() const { return raw_.size(); }
  void close();        // close_notify and end
  void say_goodbye();  // close_notify, and reads on
  void half_close();   // the end without a word, and reads on
  void reset();
  void pause() {
    reads_ = false;
    interest();
  }
  void resume() {
    reads_ = true;
    interest();
  }
  bool is_open() const { return stream_ != nullptr && !ended_ && (!tls_ || tls_->is_open()); }

  struct Answer {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;
    bool whole = false;
    std::string field(std::string_view name) const;
    std::size_t count(std::string_view name) const;
  };
  // What came, parsed as answers to these methods in order (GET for the rest).
  std::vector<Answer> answers(std::vector<std::string> methods = {}) const;
  std::string received;  // plaintext
  bool ended_ = false;   // no more bytes
  bool was_reset = false;
  bool said_goodbye() const { return tls_ && tls_->is_closed_by_peer(); }

 private:
  void ready();
  void interest();
  void take(ByteView bytes);
  bool wants_to_send() const { return (tls_ && !tls_->output().empty()) || !raw_.empty(); }
  io::Loop& loop_;
  std::optional<crypto::TlsSession> tls_;
  std::unique_ptr<io::Stream> stream_;
  std::string raw_;
  bool reads_ = true;
  bool closing_ = false;
};

class World {
 public:
  explicit World(std::uint64_t seed = 1, std::vector<std::string> proxy_peers = {},
                 std::size_t slice_sessions = WorkerOptions{}.slice_sessions,
                 std::size_t connections_max = WorkerOptions{}.connections_max,
                 std::size_t descriptors_max = WorkerOptions{}.descriptors_max);
  ~World();
  void run(std::int64_t millis) { sim.run_for(millis * kNanosPerMilli); }
  std::unique_ptr<Client> client(const std::string& name = "site.test", bool as_workload = false);
  std::unique_ptr<Client> http2_client(const std::string& name = "site.test", bool as_workload = false);
  std::unique_ptr<Client> plain_client();  // without TLS
  // From the first of these on, the edge has a key.
  const crypto::TlsClientContext& context(bool speaks_http2, bool as_workload);
  // GET /path with alice's cookie, on a connection of its own that has shaken hands.
  std::unique_ptr<Client> ask(const std::string& path, const std::string& more = "");
  static std::string get(const std::string& path, const std::string& more = "",
                         const std::string& cookie = "alice-token");

  // Changes entities or policies as the link does.
  void change(std::vector<contract::Entity> upserts, std::vector<contract::EntityId> removals = {});
  bool tells_worker = true;  // of changes; false: the test says what is to be decided again
  void set_policies(const std::string& text);
  void revoke(const std::string& user);
  std::vector<contract::Event> events() const;  // everything in the ring
  void give_receipts() { worker->post_receipt(ring->boot(), ring->next_sequence() - 1); }
  // Every answer that the application was asked for has an allowing event in the ring.
  void check_recorded() const;

  io::SimWorld sim;
  std::unique_ptr<io::Loop> edge_loop, client_loop, app_loop;
  SeededRandom random;
  Metrics metrics;
  enforce::Shared shared;
  std::unique_ptr<io::MappedFile> memory;
  std::unique_ptr<enforce::EventRing> ring;
  std::unique_ptr<TestApp> site, chat;
  std::vector<std::string> redeemed;  // code|host|state of each call
  std::function<void(Result<Redeemed>)> redeem_later;
  bool redeem_holds = false;
  std::unique_ptr<Worker> worker;
  std::unique_ptr<crypto::TlsClientContext> anonymous_context, workload_context, http2_context, http2_workload_context;
  std::string policies;

 private:
  void serve_tls();
  bool serves_tls_ = false;
};

contract::Entity make_entity(std::string_view type, std::string_view id, std::vector<contract::Fact> facts = {},
                             std::vector<contract::EntityId> parents = {});
contract::Fact make_fact(std::string_view name, codec::Json value);
codec::Json make_reference(std::string_view type, std::string_view id);
contract::Entity make_user(std::string_view name, bool revoked);

}  // namespace wary::gateway::test
