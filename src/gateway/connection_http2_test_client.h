// A client that speaks HTTP/2 to the gateway of a simulated world, and an application that speaks it behind it.
#pragma once

#include <map>

#include "gateway/connection_test_world.h"
#include "http/http2_session.h"

namespace wary::gateway::test {

class Http2TestClient final : private http::Http2SessionEvents {
 public:
  struct Answer {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> fields, trailers;
    std::string body;
    bool whole = false;
    bool closed = false;
    std::uint32_t error = 0;
    std::string field(std::string_view name) const;
    std::string trailer(std::string_view name) const;
  };
  using Fields = std::vector<codec::http1::Field>;
  Http2TestClient(World& world, const std::string& name = "site.test", bool as_workload = false);
  // On a connection without TLS.
  Http2TestClient(World& world, std::unique_ptr<Client> plain);
  // The head of a request with alice's cookie for this host.
  Fields head(std::string_view method, std::string_view path, std::string_view cookie = "");
  std::int32_t send(const Fields& fields, std::string_view body = "", bool ends = true);
  void write(std::int32_t stream, std::string_view bytes, bool ends = false);
  void reset(std::int32_t stream);
  void run(std::int64_t millis);  // the world, and what comes and goes
  Answer& answer(std::int32_t stream) { return answers_[stream]; }
  bool is_over() const { return session_.is_over(); }
  http::Http2Session& session() { return session_; }
  Client& client() { return *client_; }
  bool consumes = true;  // false: answers are not taken

 private:
  void on_block(std::int32_t stream, const http::Http2Block& block, bool ends) override;
  void on_data(std::int32_t stream, std::string_view bytes) override;
  void on_end(std::int32_t stream) override { answers_[stream].whole = true; }
  void on_closed(std::int32_t stream, std::uint32_t error) override;
  void on_sent(std::int32_t) override {}
  void turn();

  World& world_;
  std::string name_, cookie_;
  std::unique_ptr<Client> client_;
  http::Http2Session session_;
  std::map<std::int32_t, Answer> answers_;
  std::size_t taken_ = 0;
};

class Http2TestApp {
 public:
  struct Call {
    std::string method, path, authority, protocol, scheme;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;
    bool ended = false;
    bool closed = false;
    std::uint32_t error = 0;
    std::string field(std::string_view name) const;
  };
  // Over TLS with a context, which outlives it.
  Http2TestApp(io::Loop& loop, const io::Address& address, const crypto::TlsServerContext* tls = nullptr);
  ~Http2TestApp();
  struct Peer;
  // The default answers a call, once it is whole, with its path.
  std::function<void(Peer&, std::int32_t stream, Call&)> on_head, on_end;
  std::vector<std::unique_ptr<Peer>> peers;
  Call& call(std::size_t peer, std::int32_t stream);

 private:
  io::Loop& loop_;
  std::unique_ptr<io::Listener> listener_;
};

struct Http2TestApp::Peer final : http::Http2SessionEvents {
  Peer(Http2TestApp& app, std::unique_ptr<io::Stream> stream);
  void on_block(std::int32_t stream, const http::Http2Block& block, bool ends) override;
  void on_data(std::int32_t stream, std::string_view bytes) override;
  void on_end(std::int32_t stream) override;
  void on_closed(std::int32_t stream, std::uint32_t error) override;
  void on_sent(std::int32_t) override {}
  void ready();
  void flush();
  Http2TestApp& app;
  std::unique_ptr<io::Stream> stream;
  http::Http2Session session;
  std::map<std::int32_t, Call> calls;
  std::string out;
  bool consumes = true;
  bool was_reset = false;
};

}  // namespace wary::gateway::test
