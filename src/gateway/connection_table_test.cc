// Every state of a connection with everything that can happen to it from outside, over HTTP/1.1 and HTTP/2: what its
// client sees, what the application and the ledger have, and the state it is in then. What is done with requests has a
// table of its own (exchange_table_test.cc).
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "gateway/connection.h"
#include "gateway/connection_test_world.h"
#include "gateway/test_table.h"
#include "http/http2_session.h"

using namespace wary;
using namespace wary::gateway::test;
using gateway::Connection;

namespace {

enum class Link {
  kProxy,       // a peer that says the PROXY header: nothing came yet
  kProxyHalf,   // half of it did
  kSilent,      // handshake: nothing came yet
  kHello,       // half of the client's first word did
  kUnfinished,  // the server's words are with the client, which does not say its last
  kPlain,       // at the listener without TLS: nothing came yet
  kOpen,        // nothing was asked
  kHalfHead,    // half a head came, of HTTP/2 half a frame
  kBusy,        // a request is with the application
  kKept,        // it was answered
  kEnding,      // nothing more is taken of it, and what is queued waits for a client that does not read
  kDraining,    // all of that is with the client, which does not hang up
  kEnded,       // by the client
  kCount
};

enum class Happens {
  kGoesOn,         // the client does what comes next: shakes hands, asks, reads, hangs up; the application answers
  kGarbage,        // a record that is none of TLS's keys
  kGarbageWithin,  // inside
  kFlood,          // far more than is read of a client that should hang up
  kHalfClose,      // no more bytes, without a word
  kGoodbye,        // and with one (close_notify)
  kReset,
  kDeadline,  // nothing
  kAllows,    // a change of what was decided by; it is allowed still
  kDenies,    // and it is not
  kDrainLeave,
  kDrainNow,
  kDrainRestart,
  kContext,  // another certificate of the gateway's, and then it goes on
  kCount
};

constexpr auto kLinks = static_cast<std::size_t>(Link::kCount), kHappenings = static_cast<std::size_t>(Happens::kCount);
constexpr std::size_t kAnswerSize = 100'000;  // more than a connection takes at once
constexpr std::size_t kFlooded = std::size_t{4} << 20;
constexpr std::string_view kNothingMore = "after-the-end-77c1";
const std::string kAlice = "__Host-wary_session=alice-token";

using enum Link;

// An outcome: what the client sees (answers; alert; goaway; the connection's end: . in order, ~ without close_notify, !
// by a reset) / the application (w a whole request, x its connection was ended, ! reset) / the ledger (a allowed, c
// cut) / the connection. "=" is the state's own; "A || B": A over HTTP/1.1, B over HTTP/2; "never: ..." is not
// possible, and why.
struct LinkRow {
  Happens event;
  TableCells<Link> cells;
};

constexpr std::string_view kNoTls = "never: TLS is not spoken yet (kGarbage)",
                           kPeerEnded = "never: the client has had the end of it",
                           kIsRead = "never: what comes is read, and none of it kept beyond its limits (kGarbage)",
                           kNeverTls = "never: TLS is not spoken there (kGarbage)",
                           kHungUp = "never: the client has hung up";

constexpr TableCells<Link> kLinkReached = {{
    {on(kProxy, kProxyHalf), "- / - / - / proxy"},
    {on(kSilent, kHello, kUnfinished), "- / - / - / handshake"},
    {on(kPlain), "- / - / - / preface"},
    {on(kOpen, kHalfHead), "- / - / - / open"},
    {on(kBusy), "- / w / a / open"},
    {on(kKept), "200 / w / a / open"},
    {on(kEnding), "- / w / a / ending"},
    {on(kDraining), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
    {on(kEnded), "- / - / - / gone"},
}};

constexpr std::array<LinkRow, kHappenings> kLinkTable = {{
    {Happens::kGoesOn,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished), "- / - / - / open"},
         {on(kPlain, kOpen, kHalfHead), "- / w / a / open"},
         {on(kBusy), "200 / w / a / open"},
         {on(kKept), "200 / ww / aa / open || 200,- / ww / aa / open"},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kDraining), "200 . / w / a / gone || 200 goaway . / w / a / gone"},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kGarbage,
     {{
         {on(kProxy, kProxyHalf), "- ~ / - / - / gone"},
         {on(kPlain), "- / - / - / open"},
         {on(kSilent, kUnfinished, kOpen, kHalfHead), "- alert ~ / - / - / gone"},
         {on(kHello, kDraining), "="},
         {on(kBusy), "- alert ~ / wx / a / gone"},
         {on(kKept), "200 alert ~ / w / a / gone"},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kGarbageWithin,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished), kNoTls},
         {on(kPlain), kNeverTls},
         {on(kOpen, kHalfHead), "400 . / - / - / draining || - . / - / - / draining"},
         {on(kBusy), "= || - goaway . / wx / a / draining"},
         {on(kKept), "200,400 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kDraining), kPeerEnded},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kFlood,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain, kOpen, kHalfHead, kBusy, kKept), kIsRead},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kDraining), "="},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kHalfClose,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain, kOpen, kHalfHead), "- ~ / - / - / gone"},
         {on(kBusy), "- ~ / wx / a / gone"},
         {on(kKept), "200 ~ / w / a / gone"},
         {on(kEnding, kDraining), "200 . / w / a / gone || 200 goaway . / w / a / gone"},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kGoodbye,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished), kNoTls},
         {on(kPlain), kNeverTls},
         {on(kOpen, kHalfHead), "- ~ / - / - / gone"},
         {on(kBusy), "- ~ / wx / a / gone"},
         {on(kKept), "200 ~ / w / a / gone"},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kDraining), kPeerEnded},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kReset,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain, kOpen, kHalfHead), "- / - / - / gone"},
         {on(kBusy), "- / wx / a / gone"},
         {on(kKept), "200 / w / a / gone"},
         {on(kEnding), "- / w / a / gone"},
         {on(kDraining), "200 . / w / a / gone || 200 goaway . / w / a / gone"},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kDeadline,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain), "- ~ / - / - / gone 5s"},
         {on(kOpen), "- . / - / - / draining 10s || - goaway . / - / - / draining 10s"},
         {on(kHalfHead), "408 . / - / - / draining 10s || - goaway . / - / - / draining 10s"},
         {on(kBusy), "504 . / w! / a / draining 135s || 504 goaway . / w! / a / draining 135s"},
         {on(kKept), "200 . / wx / a / draining 75s || 200 goaway . / wx / a / draining 75s"},
         {on(kEnding), "- / w / a / gone 5s"},
         {on(kDraining), "200 . / w / a / gone 2s || 200 goaway . / w / a / gone 2s"},
         {on(kEnded), kHungUp},
     }}},
    {Happens::kAllows,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain, kOpen, kHalfHead, kBusy, kKept, kDraining,
             kEnded),
          "="},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
     }}},
    {Happens::kDenies,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain, kOpen, kHalfHead, kDraining, kEnded), "="},
         {on(kBusy), "403 . / w! / ac / draining || 403 / w! / ac / open"},
         {on(kKept), "200 ! / w / ac / gone || 200 goaway . / w / ac / gone"},
         {on(kEnding), "- ! / w / ac / gone"},
     }}},
    {Happens::kDrainLeave,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain, kDraining, kEnded), "="},
         {on(kOpen, kHalfHead), "= || - goaway . / - / - / draining"},
         {on(kBusy), "= || - goaway / w / a / open"},
         {on(kKept), "= || 200 goaway . / w / a / draining"},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
     }}},
    {Happens::kDrainNow,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain), "- ~ / - / - / gone"},
         {on(kOpen), "- . / - / - / draining || - goaway . / - / - / draining"},
         {on(kHalfHead), "= || - goaway . / - / - / draining"},
         {on(kBusy), "= || - goaway / w / a / open"},
         {on(kKept, kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kDraining, kEnded), "="},
     }}},
    {Happens::kDrainRestart,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished, kPlain), "- ~ / - / - / gone"},
         {on(kOpen), "- . / - / - / draining || - goaway . / - / - / draining"},
         {on(kHalfHead), "= || - goaway . / - / - / draining"},
         {on(kBusy), "= || - goaway / w / a / open"},
         {on(kKept, kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kDraining, kEnded), "="},
     }}},
    {Happens::kContext,
     {{
         {on(kProxy, kProxyHalf, kSilent, kHello, kUnfinished), "- / - / - / open"},
         {on(kPlain, kOpen, kHalfHead), "- / w / a / open"},
         {on(kBusy), "200 / w / a / open"},
         {on(kKept), "200 / ww / aa / open || 200,- / ww / aa / open"},
         {on(kEnding), "200 . / w / a / draining || 200 goaway . / w / a / draining"},
         {on(kDraining), "200 . / w / a / gone || 200 goaway . / w / a / gone"},
         {on(kEnded), kHungUp},
     }}},
}};
static_assert(is_complete(kLinkTable) && is_complete(kLinkReached), "a state and an event have no cell, or two");
constexpr auto kLinkNames = all_spelled<Link>();
constexpr auto kHappensNames = all_spelled<Happens>();

// One client of the gateway, which sends no more of its TLS than it is let.
class Peer final : private http::Http2SessionEvents {
 public:
  Peer(World& world, bool http2, bool plain)
      : tls_(world.context(http2, false), "site.test"), http2_(http2), plain_(plain) {
    world.client_loop->connect(io::Address::tcp("127.0.0.1", plain ? 8080 : 7443), 0,
                               [this](Result<std::unique_ptr<io::Stream>> made) {
                                 stream_ = std::move(*made);
                                 stream_->on_ready([this](bool, bool) { move(); });
                                 move();
                               });
  }
  void move() {
    read();
    if (speaks && stream_ && !plain_) {
      out_ += as_text(tls_.output());
      tls_.consume_output(tls_.output().size());
    }
    while (stream_ && !out_.empty()) {
      const io::IoCount put = stream_->write(as_bytes(out_));
      if (put.state == io::IoCount::State::kFailed) out_.clear();
      if (put.state != io::IoCount::State::kSome) break;
      out_.erase(0, put.count);
    }
    if (stream_) stream_->want(reads && !ended_, !out_.empty());
  }
  void send_raw(std::string_view bytes) {
    out_ += bytes;
    move();
  }
  // Of what TLS has to say next.
  void say(std::size_t most) {
    const std::size_t size = std::min(most, tls_.output().size());
    out_ += as_text(tls_.output().first(size));
    tls_.consume_output(size);
    move();
  }
  void send(std::string_view plain) {
    if (plain_) return send_raw(plain);
    REQUIRE(tls_.write(as_bytes(plain)).ok());
    move();
  }
  void ask(const std::string& path, bool is_last) {
    if (!http2_) return send(World::get(path, is_last ? "Connection: close\r\n" : ""));
    http::Http2SessionEvents& events = *this;
    if (!session_) session_.emplace(http::Http2Role::kClient, events);
    const auto stream = session_->submit_request({{":method", "GET"},
                                                  {":scheme", plain_ ? "http" : "https"},
                                                  {":authority", "site.test"},
                                                  {":path", path},
                                                  {"cookie", kAlice}},
                                                 true);
    REQUIRE(stream > 0);
    streams_.push_back({stream, "-"});
    turn();
  }
  // What HTTP/2 has to answer to what came.
  void turn() {
    if (!session_) return;
    const std::string bytes = received_.substr(taken_);
    taken_ = received_.size();
    if (!bytes.empty()) session_->receive(bytes);
    std::string out;
    session_->flush(out, 1 << 20);
    if (!out.empty() && is_open()) send(out);
  }
  void half_close() { stream_->shutdown_write(); }
  void say_goodbye() {
    tls_.close();
    move();
  }
  void hang_up() { stream_.reset(); }
  void reset() {
    stream_->reset_on_close();
    stream_.reset();
  }
  bool is_open() const { return is_there() && (plain_ || tls_.is_open()); }
  bool is_there() const { return stream_ != nullptr && !ended_; }
  const std::string& received() const { return received_; }
  std::size_t unsent() const { return out_.size(); }
  std::string seen() const {
    std::string out = http2_ ? streams_seen() : answers_seen();
    if (was_alerted_) out += " alert";
    if (http2_ && has_goaway()) out += " goaway";
    if (ended_) out += was_reset_ ? " !" : tls_.is_closed_by_peer() ? " ." : " ~";
    return out;
  }

  bool speaks = true;
  bool reads = true;

 private:
  void read() {
    std::array<std::uint8_t, 4096> buffer;
    while (stream_ && reads && !ended_) {
      const io::IoCount got = stream_->read(buffer);
      if (got.state == io::IoCount::State::kWouldBlock) return;
      if (got.state != io::IoCount::State::kSome) {
        ended_ = true;
        was_reset_ = got.state == io::IoCount::State::kFailed;
        return;
      }
      if (plain_) {
        received_ += as_text(ByteView(buffer).first(got.count));
        continue;
      }
      if (!tls_.feed({buffer.data(), got.count}).ok()) was_alerted_ = true;
      for (;;) {
        std::array<std::uint8_t, 4096> plain;
        const auto some = tls_.read(plain);
        if (!some.ok()) was_alerted_ = true;
        if (!some.ok() || *some == 0) break;
        received_ += as_text(ByteView(plain).first(*some));
      }
    }
  }
  std::string answers_seen() const {
    std::string out;
    for (std::size_t at = 0; (at = received_.find("HTTP/1.1 ", at)) != std::string::npos; at += 12) {
      if (received_[at + 9] > '9') continue;  // a text that names the protocol
      out += (out.empty() ? "" : ",") + received_.substr(at + 9, 3);
    }
    return out.empty() ? "-" : out;
  }
  bool has_goaway() const {
    constexpr std::size_t kFrameHead = 9;
    const auto byte = [this](std::size_t at) { return std::size_t{static_cast<std::uint8_t>(received_[at])}; };
    for (std::size_t at = 0; at + kFrameHead <= received_.size();) {
      if (byte(at + 3) == 7) return true;
      at += kFrameHead + (byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2));
    }
    return false;
  }
  std::string streams_seen() const {
    std::string out;
    for (const auto& [stream, text] : streams_) out += (out.empty() ? "" : ",") + text;
    return out.empty() ? "-" : out;
  }
  void on_block(std::int32_t id, const http::Http2Block& block, bool) override {
    for (auto& [stream, text] : streams_) {
      if (stream == id && !block.is_trailer) text = std::to_string(block.status);
    }
  }
  void on_data(std::int32_t id, std::string_view bytes) override { session_->consume(id, bytes.size()); }
  void on_end(std::int32_t) override {}
  void on_closed(std::int32_t id, std::uint32_t error) override {
    for (auto& [stream, text] : streams_) {
      if (stream == id && error != 0) text += " rst" + std::to_string(error);
    }
  }
  void on_sent(std::int32_t) override {}

  crypto::TlsSession tls_;
  const bool http2_, plain_;
  std::unique_ptr<io::Stream> stream_;
  std::optional<http::Http2Session> session_;
  std::vector<std::pair<std::int32_t, std::string>> streams_;
  std::string out_, received_;
  std::size_t taken_ = 0;
  bool ended_ = false, was_reset_ = false, was_alerted_ = false;
};

// One connection, brought to a state.
class Scene {
 public:
  Scene(Link link, bool http2);
  bool can(Happens what) const;
  void happen(Happens what);
  std::string seen() const;
  void check_always();
  void check_ends_alone();

  World world;

 private:
  void run(std::int64_t millis = 30);
  void answer(std::size_t size);
  void go_on();
  void pass_deadline();
  std::string app_seen() const;
  std::string ledger_seen() const;
  std::string state_seen() const;

  Link link_;
  const bool http2_;
  bool denied_ = false, floods_ = false;
  std::unique_ptr<Peer> peer_;
  std::string waited_;
};

std::string proxy_header() {
  return std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16) +
         std::string("\xc0\x00\x02\x09\xc6\x33\x64\x02\xdc\x04\x01\xbb", 12);
}

// As a frame of HTTP/2, of literals alone.
std::string raw_request() {
  std::string block;
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{{":method", "GET"},
                                                                                    {":scheme", "https"},
                                                                                    {":authority", "site.test"},
                                                                                    {":path", "/x"},
                                                                                    {"cookie", kAlice}}) {
    block += '\0';
    for (const std::string& text : {name, value}) block += static_cast<char>(text.size()) + text;
  }
  return std::string("\0\0", 2) + static_cast<char>(block.size()) + std::string("\1\5\0\0\0\1", 6) + block;
}

bool is_proxied(Link link) { return link == Link::kProxy || link == Link::kProxyHalf; }

Scene::Scene(Link link, bool http2)
    : world(1, is_proxied(link) ? std::vector<std::string>{"127.0.0.1"} : std::vector<std::string>{}),
      link_(link),
      http2_(http2),
      peer_(std::make_unique<Peer>(world, http2, link == Link::kPlain)) {
  world.site->on_bytes = [](AppStream&) {};
  peer_->speaks = link > Link::kPlain;
  run();
  if (link == Link::kProxyHalf) peer_->send_raw(proxy_header().substr(0, 20));
  if (link == Link::kHello) peer_->say(100);
  if (link == Link::kUnfinished) peer_->say(10'000);
  if (link == Link::kHalfHead) peer_->send(http2 ? "PRI * HTTP/2.0\r\n" : "GET / HT");
  if (link == Link::kEnding) peer_->reads = false;
  if (link == Link::kBusy || link == Link::kKept || link == Link::kEnding || link == Link::kDraining) {
    peer_->ask("/x", link != Link::kBusy && link != Link::kKept);
  }
  run();
  if (link == Link::kKept || link == Link::kDraining) answer(4);
  if (link == Link::kEnding) answer(kAnswerSize);
  // Over HTTP/2 no answer is the last of its connection; a protocol's error is what ends one.
  if (http2 && link >= Link::kEnding && link != Link::kEnded) peer_->send(std::string("\0\0\4\0\0\0\0\0\0none", 13));
  if (link == Link::kEnded) peer_->reset();
  run();
}

void Scene::run(std::int64_t millis) {
  for (std::int64_t i = 0; i < millis; i += 10) {
    peer_->turn();
    world.run(10);
  }
  peer_->turn();
}

void Scene::answer(std::size_t size) {
  world.site->streams.at(0)->send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
                                  std::string(size, 'x'));
  run();
}

bool Scene::can(Happens what) const {
  const bool is_open = peer_->is_open() && peer_->speaks;
  switch (what) {
    case Happens::kGarbageWithin: return is_open;
    case Happens::kFlood: return link_ == Link::kEnding || link_ == Link::kDraining;
    case Happens::kGoodbye: return is_open;
    case Happens::kGoesOn:
    case Happens::kContext:
    case Happens::kGarbage:
    case Happens::kHalfClose:
    case Happens::kReset: return link_ != Link::kEnded;
    case Happens::kDeadline: return world.worker->connection(1) != nullptr;
    default: return true;
  }
}

void Scene::go_on() {
  peer_->speaks = true;
  switch (link_) {
    case Link::kProxy: return peer_->send_raw(proxy_header());
    case Link::kProxyHalf: return peer_->send_raw(proxy_header().substr(20));
    case Link::kPlain:
    case Link::kOpen: return peer_->ask("/first", false);
    case Link::kKept: return peer_->ask("/next", false);
    case Link::kHalfHead:
      return peer_->send(http2_ ? "\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9) + raw_request()
                                : "TP/1.1\r\nHost: site.test\r\nCookie: " + kAlice + "\r\n\r\n");
    case Link::kBusy: return answer(4);
    case Link::kEnding: peer_->reads = true; break;
    case Link::kDraining: return peer_->hang_up();
    default: break;
  }
  peer_->move();
}

void Scene::pass_deadline() {
  const std::string before = state_seen();
  const std::int64_t begun = world.sim.clock().monotonic().nanos;
  const auto waited = [&] { return (world.sim.clock().monotonic().nanos - begun) / kNanosPerSecond; };
  while (waited() < 400 && state_seen() == before) {
    world.run(490);
    run(10);
  }
  run();
  waited_ = " " + std::to_string(waited()) + "s";
}

void Scene::happen(Happens what) {
  switch (what) {
    case Happens::kGoesOn: go_on(); break;
    case Happens::kGarbage: peer_->send_raw(std::string("\x17\x03\x03\0\x20", 5) + std::string(32, 'g')); break;
    case Happens::kGarbageWithin:
      peer_->send(http2_ ? std::string("\0\0\4\0\0\0\0\0\0none", 13) : "\x01 none\r\n\r\n");
      break;
    case Happens::kFlood:
      floods_ = true;
      peer_->send_raw(std::string(kFlooded, 'f'));
      break;
    case Happens::kHalfClose: peer_->half_close(); break;
    case Happens::kGoodbye: peer_->say_goodbye(); break;
    case Happens::kReset: peer_->reset(); break;
    case Happens::kDeadline: return pass_deadline();
    case Happens::kAllows: world.change({make_user("alice", false)}); break;
    case Happens::kDenies:
      denied_ = true;
      world.revoke("alice");
      break;
    case Happens::kDrainLeave:
      world.worker->post_drain([] {}, gateway::Drain::kLeave);
      run(1'600);
      break;
    case Happens::kDrainNow: world.worker->post_drain([] {}, gateway::Drain::kNow); break;
    case Happens::kDrainRestart: world.worker->post_drain([] {}, gateway::Drain::kRestart); break;
    case Happens::kContext: {
      crypto::TlsServerOptions tls;
      tls.sites.push_back({{"site.test"}, Authority::get().server});
      world.worker->post_context(
          std::make_shared<const crypto::TlsServerContext>(*crypto::TlsServerContext::build(std::move(tls))));
      run();
      go_on();
      break;
    }
    case Happens::kCount: break;
  }
  run();
  if (peer_->reads || !peer_->is_there()) return;
  peer_->reads = true;
  peer_->move();
  run();
}

std::string Scene::app_seen() const {
  std::string out;
  for (const auto& stream : world.site->streams) {
    std::size_t whole = 0;
    for (std::size_t at = 0; (at = stream->received.find("\r\n\r\n", at)) != std::string::npos; at += 4) ++whole;
    out += (out.empty() ? "" : " ") + std::string(whole, 'w') + (stream->ended ? stream->was_reset ? "!" : "x" : "");
  }
  return out.empty() ? "-" : out;
}

std::string Scene::ledger_seen() const {
  std::string out;
  for (const contract::Event& event : world.events()) {
    const bool allows = event.detail.find("\"decision\":\"allow\"") != std::string::npos;
    out += event.action == "session.cut" ? "c" : allows ? "a" : "d";
  }
  return out.empty() ? "-" : out;
}

std::string Scene::state_seen() const {
  const Connection* connection = world.worker->connection(1);
  if (connection == nullptr) return "gone";
  switch (connection->state()) {
    case Connection::State::kProxyHeader: return "proxy";
    case Connection::State::kHandshake: return "handshake";
    case Connection::State::kPreface: return "preface";
    case Connection::State::kOpen: return "open";
    case Connection::State::kEnding: return "ending";
    case Connection::State::kDraining: return "draining";
    case Connection::State::kEnded: break;
  }
  return "gone";
}

std::string Scene::seen() const {
  return peer_->seen() + " / " + app_seen() + " / " + ledger_seen() + " / " + state_seen() + waited_;
}

// Whoever was denied gets nothing more, and nobody makes the gateway hold much.
void Scene::check_always() {
  CHECK(world.worker->held_bytes() < 1'000'000);
  // Of a client that should hang up a mebibyte is read.
  if (floods_ && peer_->is_there()) CHECK(peer_->unsent() > kFlooded / 2);
  if (!denied_) return;
  for (const auto& stream : world.site->streams) stream->send(kNothingMore);
  run();
  CHECK(peer_->received().find(kNothingMore) == std::string::npos);
  CHECK(peer_->received().find(std::string(1'000, 'x')) == std::string::npos);
}

void Scene::check_ends_alone() {
  for (int seconds = 0; seconds < 400 && world.worker->connections() != 0; ++seconds) world.run(1'000);
  CHECK(world.worker->connections() == 0);
  CHECK(world.worker->live().size() == 0);
  CHECK(world.worker->held_bytes() == 0);
  world.run(20'000);
  for (const auto& stream : world.site->streams) CHECK((stream->ended || !stream->stream));
}

void check_link(std::size_t state, bool http2) {
  Scene untouched(static_cast<Link>(state), http2);
  CHECK(untouched.seen() == choose(outcome_of(kLinkReached, state), " || ", http2));
  for (const LinkRow& row : kLinkTable) {
    const std::string_view state_name = kLinkNames[state];
    const std::string_view event_name = kHappensNames[static_cast<std::size_t>(row.event)];
    CAPTURE(http2);
    CAPTURE(state_name);
    CAPTURE(event_name);
    const std::string_view outcome = choose(outcome_of(row.cells, state), " || ", http2);
    const bool is_possible = !outcome.starts_with("never: ");
    CHECK(untouched.can(row.event) == is_possible);
    if (!is_possible || !untouched.can(row.event)) continue;
    Scene scene(static_cast<Link>(state), http2);
    scene.happen(row.event);
    CHECK(scene.seen() == (outcome == "=" ? untouched.seen() : outcome));
    scene.check_always();
    scene.check_ends_alone();
  }
}

}  // namespace

TEST_CASE("a connection in every state meets everything as its table says") {
  for (const bool http2 : {false, true}) {
    for (std::size_t state = 0; state < kLinks; ++state) check_link(state, http2);
  }
}
