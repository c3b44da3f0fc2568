// Sessions at the edge, and what a revocation does to them. Called by bench/identity.mjs.
//
//   revoke_sessions upstream PORT                                    answers every request; until it is ended
//   revoke_sessions measure PORT CA.pem ADMIN_SOCKET OTHERS EACH COOKIES
//
// COOKIES is a file: the first line is the cookie of those who stay, each further one a user's name and cookie. OTHERS
// sessions are opened for who stays, each asked once, and from then on asked in turn, a thousand requests a second, by
// the clock. For each user EACH sessions are opened, then the user is revoked; every close is seen here. One line of
// JSON at the end.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>

#include "codec/json.h"
#include "crypto/pem.h"
#include "http/client.h"
#include "http/tls_stream.h"
#include "io/system.h"

using namespace wary;

namespace {

constexpr std::string_view kAnswerText = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";
constexpr std::int64_t kEvery = kNanosPerMilli;        // between two requests of the load
constexpr std::int64_t kQuiet = 500 * kNanosPerMilli;  // measured before each revocation
constexpr std::int64_t kWindow = 50 * kNanosPerMilli;  // and from it on
constexpr std::int64_t kPatience = 2 * kNanosPerSecond;
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

// The application behind the edge.
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
  void turn(io::Stream* stream) {
    std::uint8_t room[4096];  // NOLINT: a buffer
    for (;;) {
      const io::IoCount got = stream->read(room);
      if (got.state == io::IoCount::State::kWouldBlock) return;
      if (got.state != io::IoCount::State::kSome) break;
      // Requests of the edge are one short head each.
      if (!as_text(ByteView(room, got.count)).ends_with("\r\n\r\n")) continue;
      if (stream->write(as_bytes(kAnswerText)).count != kAnswerText.size()) break;
    }
    open_.erase(stream);
  }
  io::Loop& loop_;
  std::unique_ptr<io::Listener> listener_;
  std::map<io::Stream*, std::unique_ptr<io::Stream>> open_;
};

// A connection that stays: one request at a time, and the moment it was closed.
class Session {
 public:
  Session(io::Loop& loop, Clock& clock, std::string request)
      : loop_(loop), clock_(clock), request_(std::move(request)) {}
  void open(std::uint16_t port, const crypto::TlsClientContext& context, std::function<void(bool good)> answered) {
    loop_.connect(io::Address::tcp("127.0.0.1", port), kPatience,
                  [this, &context, answered = std::move(answered)](Result<std::unique_ptr<io::Stream>> stream) mutable {
                    if (!stream) return answered(false);
                    stream_ = std::make_unique<http::TlsStream>(loop_, std::move(stream).value(),
                                                                crypto::TlsSession(context, "site.localhost"));
                    stream_->on_ready([this](bool, bool) { turn(); });
                    ask(std::move(answered));
                  });
  }
  void ask(std::function<void(bool good)> answered) {
    answered_ = std::move(answered);
    written_ = false;
    in_.clear();
    stream_->want(true, true);
    turn();
  }
  bool is_open() const { return stream_ != nullptr && closed_at == 0; }
  bool is_busy() const { return answered_ != nullptr; }
  std::int64_t closed_at = 0;

 private:
  void turn() {
    if (answered_ && !written_ && stream_->write(as_bytes(request_)).state == io::IoCount::State::kSome) {
      written_ = true;
      stream_->want(true, false);
    }
    std::uint8_t room[4096];  // NOLINT: a buffer
    for (;;) {
      const io::IoCount got = stream_->read(room);
      if (got.state == io::IoCount::State::kWouldBlock) return;
      if (got.state != io::IoCount::State::kSome) break;
      in_ += as_text(ByteView(room, got.count));
      if (in_.find("\r\n\r\n") == std::string::npos || !in_.ends_with("ok\n")) continue;
      finish(in_.starts_with("HTTP/1.1 200"));
    }
    closed_at = clock_.monotonic().nanos;
    stream_->want(false, false);
    if (answered_) finish(false);
  }
  void finish(bool good) {
    const auto answered = std::move(answered_);
    answered_ = nullptr;
    if (answered) answered(good);
  }
  io::Loop& loop_;
  Clock& clock_;
  std::string request_, in_;
  std::unique_ptr<io::Stream> stream_;
  std::function<void(bool)> answered_;
  bool written_ = false;
};

struct User {
  std::string name, cookie;
};

class Measurement {
 public:
  Measurement(io::Loop& loop, Clock& clock, const crypto::TlsClientContext& context, std::uint16_t port,
              std::string admin)
      : loop_(loop), clock_(clock), context_(context), port_(port), admin_(std::move(admin)) {}
  void run(const std::string& stays, std::deque<User> users, std::size_t others, std::size_t each) {
    users_ = std::move(users);
    each_ = each;
    open(others_, others, stays, [this] {
      load();
      next();
    });
    loop_.run();
  }
  codec::Json figures() const;
  bool failed = false;

 private:
  using Sessions = std::vector<std::unique_ptr<Session>>;
  void open(Sessions& sessions, std::size_t count, const std::string& cookie, std::function<void()> done);
  void open_one(Sessions& sessions, const std::function<void()>& done);
  void load();
  void next();
  void revoke();
  void look();
  void fail_with(const char* why) {
    std::fprintf(stderr, "revoke_sessions: %s\n", why);
    failed = true;
    loop_.stop();
  }

  io::Loop& loop_;
  Clock& clock_;
  const crypto::TlsClientContext& context_;
  std::uint16_t port_;
  std::string admin_;
  std::deque<User> users_;
  std::size_t each_ = 0;
  Sessions others_, theirs_;
  std::string request_;
  std::size_t wanted_ = 0, opening_ = 0, answered_ = 0;
  std::size_t turn_ = 0;
  std::int64_t due_ = 0, window_begin_ = 0, window_end_ = 0, revoked_at_ = 0, quiet_since_ = 0;
  std::int64_t revocations_ = 0, seen_closed_ = 0, missed_ = 0, busy_ = 0, most_open_ = 0;
  std::vector<std::int64_t> before_, during_, closed_;
};

void Measurement::open(Sessions& sessions, std::size_t count, const std::string& cookie, std::function<void()> done) {
  sessions.clear();
  request_ =
      "GET /page HTTP/1.1\r\nHost: site.localhost:" + std::to_string(port_) + "\r\nCookie: " + cookie + "\r\n\r\n";
  wanted_ = count;
  opening_ = answered_ = 0;
  const auto shared = std::make_shared<std::function<void()>>(std::move(done));  // of every session that opens
  for (std::size_t i = 0; i < std::min(kOpeningMost, count); ++i) open_one(sessions, [shared] { (*shared)(); });
}

void Measurement::open_one(Sessions& sessions, const std::function<void()>& done) {
  if (opening_ == wanted_) return;
  ++opening_;
  sessions.push_back(std::make_unique<Session>(loop_, clock_, request_));
  sessions.back()->open(port_, context_, [this, &sessions, done](bool good) {
    if (!good) return fail_with("a session was not opened, or its request not allowed");
    ++answered_;
    if (answered_ == wanted_) return loop_.post(done);
    open_one(sessions, done);
  });
}

// By the clock: a request that is late counts from when it was due.
void Measurement::load() {
  if (due_ == 0) due_ = clock_.monotonic().nanos;
  for (const std::int64_t now = clock_.monotonic().nanos; due_ <= now; due_ += kEvery) {
    Session& session = *others_[turn_++ % others_.size()];
    if (!session.is_open()) return fail_with("a session of somebody else was closed");
    if (session.is_busy()) {
      ++busy_;
      continue;
    }
    session.ask([this, due = due_](bool good) {
      if (!good) return fail_with("a request of somebody else was not answered");
      const std::int64_t took = clock_.monotonic().nanos - due;
      if (due >= window_begin_ && due < window_end_)
        during_.push_back(took);
      else if (quiet_since_ != 0 && due >= quiet_since_ && window_begin_ < quiet_since_)
        before_.push_back(took);
    });
  }
  loop_.after(std::max<std::int64_t>(due_ - clock_.monotonic().nanos, 1), [this] { load(); });
}

void Measurement::next() {
  if (users_.empty()) return loop_.stop();
  open(theirs_, each_, users_.front().cookie, [this] {
    most_open_ = std::max(most_open_, std::ssize(others_) + std::ssize(theirs_));
    loop_.after(kQuiet / 5, [this] {
      quiet_since_ = clock_.monotonic().nanos;
      loop_.after(kQuiet, [this] { revoke(); });
    });
  });
}

void Measurement::revoke() {
  codec::Json body = codec::Json::object();
  body.set("kind", "user").set("name", std::string_view(users_.front().name)).set("reason", "bench");
  window_begin_ = revoked_at_ = clock_.monotonic().nanos;
  window_end_ = window_begin_ + kWindow;
  // The call waits for its answer, and the load does not wait for it.
  std::thread([this, text = body.to_string()] {
    http::ClientRequest request;
    request.method = "POST";
    request.path = "/v1/revoke";
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = text;
    const auto answer = http::fetch(clock_, io::Address::unix_socket(admin_), request);
    if (answer && answer->status == 200) return;
    std::fprintf(stderr, "revoke: %s\n", answer ? answer->body.c_str() : answer.error().to_string().c_str());
    loop_.post([this] { fail_with("a user was not revoked"); });
  }).detach();
  loop_.after(2 * kWindow, [this] { look(); });
}

void Measurement::look() {
  const auto open = std::count_if(theirs_.begin(), theirs_.end(), [](const auto& one) { return one->closed_at == 0; });
  if (open > 0 && clock_.monotonic().nanos - revoked_at_ < kPatience)
    return (void)loop_.after(kWindow, [this] { look(); });
  ++revocations_;
  missed_ += open;
  for (const auto& one : theirs_) {
    if (one->closed_at == 0) continue;
    ++seen_closed_;
    closed_.push_back(one->closed_at - revoked_at_);
  }
  users_.pop_front();
  next();
}

codec::Json spread(std::vector<std::int64_t> values) {
  codec::Json out = codec::Json::object();
  std::sort(values.begin(), values.end());
  out.set("count", std::ssize(values));
  if (values.empty()) return out;
  const auto at = [&](std::size_t percent) {
    return static_cast<double>(values[(values.size() - 1) * percent / 100]) / 1e6;
  };
  out.set("p50_ms", at(50)).set("p99_ms", at(99)).set("max_ms", at(100));
  return out;
}

codec::Json Measurement::figures() const {
  codec::Json out = codec::Json::object();
  out.set("sessions", most_open_)
      .set("revocations", revocations_)
      .set("closed_seen", seen_closed_)
      .set("not_closed", missed_);
  out.set("from_call_to_close_seen", spread(closed_))
      .set("load_before", spread(before_))
      .set("load_during", spread(during_));
  out.set("load_not_asked", busy_);
  return out;
}

int measure(const std::vector<const char*>& words) {
  const rlimit most = [] {
    rlimit now{};
    getrlimit(RLIMIT_NOFILE, &now);
    now.rlim_cur = now.rlim_max;
    return now;
  }();
  setrlimit(RLIMIT_NOFILE, &most);
  const auto clock = io::make_system_clock();
  const auto loop = io::make_epoll_loop(*clock);
  const auto pem = crypto::decode_pem(read_text(words[3]));
  if (!pem) return 1;
  std::vector<Bytes> authorities;
  for (const crypto::PemBlock& block : *pem) authorities.push_back(block.bytes);
  crypto::TlsClientOptions options;
  options.verify_server = crypto::verify_server_name(crypto::TrustRoots::build(authorities).value(), *clock);
  const auto context = crypto::TlsClientContext::build(std::move(options)).value();
  std::ifstream cookies(words[7]);
  std::string stays;
  std::getline(cookies, stays);
  std::deque<User> users;
  for (User user; cookies >> user.name >> user.cookie;) users.push_back(user);
  Measurement measurement(*loop, *clock, context, static_cast<std::uint16_t>(number(words[2])), words[4]);
  measurement.run(stays, std::move(users), static_cast<std::size_t>(number(words[5])),
                  static_cast<std::size_t>(number(words[6])));
  std::printf("%s\n", measurement.figures().to_string().c_str());
  return measurement.failed ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<const char*> words(arguments, arguments + count);
  if (count == 8 && std::string_view(words[1]) == "measure") return measure(words);
  if (count != 3) return 2;
  const auto clock = io::make_system_clock();
  const auto loop = io::make_epoll_loop(*clock);
  Upstream upstream(*loop);
  if (const Status listening = upstream.listen(static_cast<std::uint16_t>(number(words[2]))); !listening) {
    std::fprintf(stderr, "%s\n", listening.error().to_string().c_str());
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  loop->run();
}
