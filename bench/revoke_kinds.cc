// What a revocation does to everything that a person has open at the edge: idle HTTP/1.1 connections, WebSockets, and
// streams of HTTP/2 and of gRPC whose answers do not end, while somebody else keeps asking. Called by bench/revoke.mjs.
//
//   revoke_kinds upstream PORT                                           the application; until it is ended
//   revoke_kinds measure PORT CA.pem ADMIN_SOCKET COOKIES IDLE WEBSOCKETS CONNECTIONS GRPC STREAMS OTHERS
//
// COOKIES is a file: the cookie of who stays, then the name of who goes, and the cookies at site.localhost and
// grpc.localhost. CONNECTIONS of HTTP/2 and GRPC more of gRPC with STREAMS each. One line of JSON at the end: when each
// kind saw its end, from the call on, how many of gRPC in trailers, and what the others' requests took.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "codec/json.h"
#include "crypto/pem.h"
#include "http/client.h"
#include "http/tls_stream.h"
#include "http/websocket_stream.h"
#include "io/system.h"

using namespace wary;

namespace {

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::int64_t kEvery = 2 * kNanosPerMilli;     // between two requests of the others
constexpr std::int64_t kQuiet = 1000 * kNanosPerMilli;  // measured before
constexpr std::int64_t kWindow = 500 * kNanosPerMilli;  // and from the revocation on
constexpr std::int64_t kPatience = 5 * kNanosPerSecond;
constexpr std::size_t kOpeningMost = 32;

std::int64_t number(const char* text) {
  std::int64_t out = 0;
  const std::string_view all = text;
  (void)std::from_chars(all.data(), all.data() + all.size(), out);
  return out;
}
std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Answers at once, opens WebSockets and says nothing over them, and of /stream ever only the first piece.
class Upstream {
 public:
  explicit Upstream(io::Loop& loop) : loop_(loop) {}
  Status listen(std::uint16_t port) {
    WARY_ASSIGN_OR_RETURN(listener_, loop_.listen(io::Address::tcp("127.0.0.1", port), {}, [this](auto stream) {
      io::Stream* raw = stream.get();
      open_.emplace(raw, std::move(stream));
      raw->on_ready([this, raw](bool, bool) { turn(raw); });
      raw->want(true, false);
    }));
    return {};
  }

 private:
  static std::string answer_to(std::string_view head) {
    if (head.find("pgrade: websocket") != head.npos) {
      const std::size_t at = head.find("Sec-WebSocket-Key: ");
      if (at == head.npos) return {};
      const std::string_view key = head.substr(at + 19, 24);
      return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
             http::websocket_accept(key) + "\r\n\r\n";
    }
    if (head.starts_with("GET /stream"))
      return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\n\r\n";
    return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";
  }
  void turn(io::Stream* stream) {
    std::uint8_t room[4096];  // NOLINT: a buffer
    for (;;) {
      const io::IoCount got = stream->read(room);
      if (got.state == io::IoCount::State::kWouldBlock) return;
      if (got.state != io::IoCount::State::kSome) break;
      const std::string_view bytes = as_text(ByteView(room, got.count));
      // Requests of the edge are one short head each; anything else are frames.
      if (!bytes.ends_with("\r\n\r\n")) continue;
      const std::string answer = answer_to(bytes);
      if (stream->write(as_bytes(answer)).count != answer.size()) break;
    }
    open_.erase(stream);
  }
  io::Loop& loop_;
  std::unique_ptr<io::Listener> listener_;
  std::map<io::Stream*, std::unique_ptr<io::Stream>> open_;
};

// One connection at the edge. Its end is seen where it closes, or, of a stream, where that does.
class Session {
 public:
  enum class Kind { kIdle, kWebSocket, kHttp2, kGrpc };
  Session(io::Loop& loop, Clock& clock, Kind kind, std::string host, std::string cookie, std::size_t streams)
      : loop_(loop),
        clock_(clock),
        kind_(kind),
        host_(std::move(host)),
        cookie_(std::move(cookie)),
        streams_(streams) {}

  void open(std::uint16_t port, const crypto::TlsClientContext& context, std::function<void(bool good)> opened) {
    answered_ = std::move(opened);
    loop_.connect(io::Address::tcp("127.0.0.1", port), kPatience, [this, &context](auto stream) {
      if (!stream) return finish(false);
      stream_ = std::make_unique<http::TlsStream>(loop_, std::move(stream).value(),
                                                  crypto::TlsSession(context, host_.substr(0, host_.find(':'))));
      stream_->on_ready([this](bool, bool) { turn(); });
      out_ = request();
      stream_->want(true, true);
      turn();
    });
  }
  void ask(std::function<void(bool good)> answered) {
    answered_ = std::move(answered);
    in_.clear();
    out_ = request();
    stream_->want(true, true);
    turn();
  }
  bool is_open() const { return stream_ != nullptr && closed_at_ == 0; }
  bool is_busy() const { return answered_ != nullptr; }
  std::int64_t trailers() const { return trailers_; }
  // Of each stream, or of the one connection; 0: it is open.
  std::vector<std::int64_t> ends() const {
    if (!has_streams()) return {closed_at_};
    std::vector<std::int64_t> out;
    for (std::size_t i = 0; i < streams_; ++i) {
      const auto ended = ended_.find(static_cast<std::uint32_t>(2 * i + 1));
      out.push_back(ended != ended_.end() ? ended->second : closed_at_);
    }
    return out;
  }

 private:
  bool has_streams() const { return kind_ == Kind::kHttp2 || kind_ == Kind::kGrpc; }
  std::string request() const {
    if (has_streams()) return http2_requests();
    const std::string more = kind_ != Kind::kWebSocket
                                 ? ""
                                 : "Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: https://" + host_ +
                                       "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + std::string(kKey) +
                                       "\r\n";
    return "GET /page HTTP/1.1\r\nHost: " + host_ + "\r\nCookie: " + cookie_ + "\r\n" + more + "\r\n";
  }
  static void put_frame(std::string& out, char type, char flags, std::uint32_t stream, std::string_view payload) {
    const auto byte = [](std::size_t value) { return static_cast<char>(value & 0xff); };
    out += {byte(payload.size() >> 16), byte(payload.size() >> 8), byte(payload.size()), type, flags};
    out += {byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)};
    out += payload;
  }
  // Fields without a table and without Huffman (RFC 7541 section 6.2.2); each text shorter than 127.
  static void put_field(std::string& out, std::string_view name, std::string_view value) {
    out += '\0';
    out += static_cast<char>(name.size());
    out += name;
    out += static_cast<char>(value.size());
    out += value;
  }
  std::string http2_requests() const {
    std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", block;
    put_frame(out, 4, 0, 0, "");
    const bool is_grpc = kind_ == Kind::kGrpc;
    for (const auto& [name, value] :
         {std::pair<std::string_view, std::string_view>{":method", is_grpc ? "POST" : "GET"},
          {":scheme", "https"},
          {":path", is_grpc ? "/bench.Stream/Watch" : "/stream"},
          {":authority", host_},
          {"cookie", cookie_},
          {"te", "trailers"},
          {"content-type", is_grpc ? "application/grpc" : "text/plain"}}) {
      put_field(block, name, value);
    }
    // A call of gRPC goes on saying something: its side stays open.
    const char flags = is_grpc ? 4 : 5;
    for (std::size_t i = 0; i < streams_; ++i) put_frame(out, 1, flags, static_cast<std::uint32_t>(2 * i + 1), block);
    return out;
  }

  void turn() {
    if (!out_.empty()) {
      const io::IoCount put = stream_->write(as_bytes(out_));
      if (put.state == io::IoCount::State::kSome) out_.erase(0, put.count);
      stream_->want(true, !out_.empty());
    }
    std::uint8_t room[16384];  // NOLINT: a buffer
    for (;;) {
      const io::IoCount got = stream_->read(room);
      if (got.state == io::IoCount::State::kWouldBlock) return;
      if (got.state != io::IoCount::State::kSome) break;
      in_ += as_text(ByteView(room, got.count));
      took();
    }
    closed_at_ = clock_.monotonic().nanos;
    stream_->want(false, false);
    finish(false);
  }
  void took() {
    if (has_streams()) return take_frames();
    const bool whole = kind_ == Kind::kIdle ? in_.ends_with("ok\n") : in_.find("\r\n\r\n") != std::string::npos;
    if (whole && answered_) finish(in_.starts_with(kind_ == Kind::kIdle ? "HTTP/1.1 200" : "HTTP/1.1 101"));
  }
  void take_frames() {
    const auto byte = [this](std::size_t at) {
      return static_cast<std::uint32_t>(static_cast<unsigned char>(in_[at]));
    };
    while (in_.size() >= 9) {
      const std::size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
      if (in_.size() < 9 + size) return;
      const std::uint32_t type = byte(3), flags = byte(4);
      const std::uint32_t stream = byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
      in_.erase(0, 9 + size);
      if (type == 4 && flags == 0) {
        put_frame(out_, 4, 1, 0, "");
        stream_->want(true, true);
      }
      if (type == 0 && size > 0) begun_.insert(stream);
      if (type == 1 && (flags & 1) != 0 && begun_.contains(stream)) ++trailers_;
      if (type == 3 || (type <= 1 && (flags & 1) != 0)) ended_.emplace(stream, clock_.monotonic().nanos);
      if (begun_.size() == streams_ && answered_) finish(ended_.empty());
    }
  }
  void finish(bool good) {
    const auto answered = std::move(answered_);
    answered_ = nullptr;
    if (answered) answered(good);
  }

  io::Loop& loop_;
  Clock& clock_;
  const Kind kind_;
  const std::string host_, cookie_;
  const std::size_t streams_;
  std::string in_, out_;
  std::unique_ptr<io::Stream> stream_;
  std::function<void(bool)> answered_;
  std::set<std::uint32_t> begun_;
  std::map<std::uint32_t, std::int64_t> ended_;
  std::int64_t trailers_ = 0;  // answers that ended with some
  std::int64_t closed_at_ = 0;
};

struct Plan {
  std::uint16_t port = 0;
  std::string admin, stays, name, goes, goes_grpc;
  std::size_t idle = 0, websockets = 0, connections = 0, grpc = 0, streams = 0, others = 0;
};

codec::Json spread(std::vector<std::int64_t> values) {
  codec::Json out = codec::Json::object();
  std::sort(values.begin(), values.end());
  out.set("count", std::ssize(values));
  if (values.empty()) return out;
  const auto at = [&](std::size_t percent) {
    return static_cast<double>(values[(values.size() - 1) * percent / 100]) / 1e6;
  };
  return out.set("p50_ms", at(50)).set("p99_ms", at(99)).set("max_ms", at(100));
}

// Somebody else, on a thread of its own: what the clients of whom it concerns have to do is not what others wait for.
class Others {
 public:
  Others(Clock& clock, const crypto::TlsClientContext& context, const Plan& plan)
      : clock_(clock), context_(context), plan_(plan), loop_(io::make_epoll_loop(clock)) {}
  ~Others() {
    if (thread_.joinable()) thread_.join();
  }
  // Opens its sessions and begins to ask; `ready` and `failed` come on its thread.
  void start(std::function<void()> ready, std::function<void(const char* why)> failed) {
    ready_ = std::move(ready);
    failed_ = std::move(failed);
    const std::string host = "site.localhost:" + std::to_string(plan_.port);
    for (std::size_t i = 0; i < plan_.others; ++i) {
      sessions_.push_back(
          std::make_unique<Session>(*loop_, clock_, Session::Kind::kIdle, host, plan_.stays, plan_.streams));
    }
    loop_->post([this] { open_next(); });
    thread_ = std::thread([this] { loop_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    loop_->stop();
    thread_.join();
  }
  std::atomic<std::int64_t> quiet_since{0}, revoked_at{0};
  std::vector<std::int64_t> before, during;  // after stop()

 private:
  void open_next() {
    if (opened_ == sessions_.size()) {
      load();
      return ready_();
    }
    sessions_[opened_]->open(plan_.port, context_, [this](bool good) {
      if (!good) return failed_("a session of somebody else was not opened");
      ++opened_;
      loop_->post([this] { open_next(); });
    });
  }
  // By the clock: a request that is late counts from when it was due.
  void load() {
    if (due_ == 0) due_ = clock_.monotonic().nanos;
    for (const std::int64_t now = clock_.monotonic().nanos; due_ <= now; due_ += kEvery) {
      Session& session = *sessions_[turn_++ % sessions_.size()];
      if (!session.is_open()) return failed_("a session of somebody else was closed");
      if (session.is_busy()) continue;
      session.ask([this, due = due_](bool good) {
        if (!good) return failed_("a request of somebody else was not answered");
        const std::int64_t took = clock_.monotonic().nanos - due, at = revoked_at;
        if (at != 0 && due >= at && due < at + kWindow) during.push_back(took);
        if (at == 0 && quiet_since != 0) before.push_back(took);
      });
    }
    loop_->after(std::max<std::int64_t>(due_ - clock_.monotonic().nanos, 1), [this] { load(); });
  }

  Clock& clock_;
  const crypto::TlsClientContext& context_;
  const Plan& plan_;
  std::unique_ptr<io::Loop> loop_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::size_t opened_ = 0, turn_ = 0;
  std::int64_t due_ = 0;
  std::function<void()> ready_;
  std::function<void(const char*)> failed_;
  std::thread thread_;
};

class Measurement {
 public:
  Measurement(io::Loop& loop, Clock& clock, const crypto::TlsClientContext& plain,
              const crypto::TlsClientContext& http2, Plan plan)
      : loop_(loop),
        clock_(clock),
        plain_(plain),
        http2_(http2),
        plan_(std::move(plan)),
        others_(clock, plain, plan_) {}
  bool run() {
    plan_sessions(idle_, plan_.idle, Session::Kind::kIdle, plan_.goes);
    plan_sessions(websockets_, plan_.websockets, Session::Kind::kWebSocket, plan_.goes);
    plan_sessions(http2_sessions_, plan_.connections, Session::Kind::kHttp2, plan_.goes);
    plan_sessions(grpc_sessions_, plan_.grpc, Session::Kind::kGrpc, plan_.goes_grpc);
    for (std::size_t i = 0; i < kOpeningMost; ++i) open_next();
    loop_.run();
    others_.stop();
    return !failed_;
  }
  codec::Json figures() const {
    codec::Json out = codec::Json::object();
    std::int64_t open = 0;
    const auto add = [&](const char* name, const Sessions& sessions) {
      std::vector<std::int64_t> took;
      for (const auto& session : sessions) {
        for (const std::int64_t end : session->ends()) {
          if (end == 0)
            ++open;
          else
            took.push_back(end - revoked_at_);
        }
      }
      out.set(name, spread(std::move(took)));
    };
    add("idle", idle_);
    add("websocket", websockets_);
    add("http2_stream", http2_sessions_);
    add("grpc_stream", grpc_sessions_);
    std::int64_t trailers = 0;
    for (const auto& session : grpc_sessions_) trailers += session->trailers();
    out.set("grpc_trailers", trailers);
    return out.set("not_closed", open)
        .set("load_before", spread(others_.before))
        .set("load_during", spread(others_.during));
  }

 private:
  using Sessions = std::vector<std::unique_ptr<Session>>;
  void plan_sessions(Sessions& into, std::size_t count, Session::Kind kind, const std::string& cookie) {
    const bool is_grpc = kind == Session::Kind::kGrpc;
    const std::string host = (is_grpc ? "grpc.localhost:" : "site.localhost:") + std::to_string(plan_.port);
    for (std::size_t i = 0; i < count; ++i) {
      into.push_back(std::make_unique<Session>(loop_, clock_, kind, host, cookie, plan_.streams));
      queue_.emplace_back(into.back().get(), is_grpc || kind == Session::Kind::kHttp2);
    }
  }
  void open_next() {
    if (next_ == queue_.size()) return;
    const auto [session, speaks_http2] = queue_[next_++];
    session->open(plan_.port, speaks_http2 ? http2_ : plain_, [this](bool good) {
      if (!good) return fail_with("a session was not opened, or its request not allowed");
      if (++opened_ < queue_.size()) return loop_.post([this] { open_next(); });
      others_.start(
          [this] {
            loop_.post([this] {
              loop_.after(kQuiet / 5, [this] {
                others_.quiet_since = clock_.monotonic().nanos;
                loop_.after(kQuiet, [this] { revoke(); });
              });
            });
          },
          [this](const char* why) { loop_.post([this, why] { fail_with(why); }); });
    });
  }
  void revoke() {
    codec::Json body = codec::Json::object();
    body.set("kind", "user").set("name", std::string_view(plan_.name)).set("reason", "bench");
    others_.revoked_at = revoked_at_ = clock_.monotonic().nanos;
    // The call waits for its answer, and the load does not wait for it.
    std::thread([this, text = body.to_string()] {
      http::ClientRequest request;
      request.method = "POST";
      request.path = "/v1/revoke";
      request.headers.emplace_back("Content-Type", "application/json");
      request.body = text;
      const auto answer = http::fetch(clock_, io::Address::unix_socket(plan_.admin), request);
      if (!answer || answer->status != 200) loop_.post([this] { fail_with("the user was not revoked"); });
    }).detach();
    loop_.after(kPatience, [this] { loop_.stop(); });
  }
  void fail_with(const char* why) {
    std::fprintf(stderr, "revoke_kinds: %s (%zu of %zu open)\n", why, opened_, queue_.size());
    failed_ = true;
    loop_.stop();
  }

  io::Loop& loop_;
  Clock& clock_;
  const crypto::TlsClientContext &plain_, &http2_;
  const Plan plan_;
  Others others_;
  Sessions idle_, websockets_, http2_sessions_, grpc_sessions_;
  std::vector<std::pair<Session*, bool>> queue_;
  std::size_t next_ = 0, opened_ = 0;
  std::int64_t revoked_at_ = 0;
  bool failed_ = false;
};

Result<crypto::TlsClientContext> context_for(const std::string& authority, const char* protocol, Clock& clock) {
  WARY_ASSIGN_OR_RETURN(const auto blocks, crypto::decode_pem(authority));
  std::vector<Bytes> roots;
  for (const crypto::PemBlock& block : blocks) roots.push_back(block.bytes);
  WARY_ASSIGN_OR_RETURN(crypto::TrustRoots trusted, crypto::TrustRoots::build(roots));
  crypto::TlsClientOptions options;
  options.verify_server = crypto::verify_server_name(std::move(trusted), clock);
  options.alpn = {protocol};
  return crypto::TlsClientContext::build(std::move(options));
}

int measure(const std::vector<const char*>& words) {
  rlimit most{};
  getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = most.rlim_max;
  setrlimit(RLIMIT_NOFILE, &most);
  const auto clock = io::make_system_clock();
  const auto loop = io::make_epoll_loop(*clock);
  const std::string authority = read_text(words[3]);
  const auto plain = context_for(authority, "http/1.1", *clock), http2 = context_for(authority, "h2", *clock);
  if (!plain || !http2) return 1;
  Plan plan;
  plan.port = static_cast<std::uint16_t>(number(words[2]));
  plan.admin = words[4];
  std::ifstream cookies(words[5]);
  std::getline(cookies, plan.stays);
  cookies >> plan.name;
  std::getline(cookies >> std::ws, plan.goes);
  std::getline(cookies >> std::ws, plan.goes_grpc);
  std::size_t at = 6;
  for (std::size_t* count :
       {&plan.idle, &plan.websockets, &plan.connections, &plan.grpc, &plan.streams, &plan.others}) {
    *count = static_cast<std::size_t>(number(words[at++]));
  }
  Measurement measurement(*loop, *clock, *plain, *http2, std::move(plan));
  if (!measurement.run()) return 1;
  std::printf("%s\n", measurement.figures().to_string().c_str());
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<const char*> words(arguments, arguments + count);
  if (count == 12 && std::string_view(words[1]) == "measure") return measure(words);
  if (count != 3) return 2;
  const auto clock = io::make_system_clock();
  const auto loop = io::make_epoll_loop(*clock);
  Upstream upstream(*loop);
  rlimit most{};
  getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = most.rlim_max;
  setrlimit(RLIMIT_NOFILE, &most);
  if (const Status listening = upstream.listen(static_cast<std::uint16_t>(number(words[2]))); !listening) {
    std::fprintf(stderr, "%s\n", listening.error().to_string().c_str());
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  loop->run();
}
