// The parts of exchange_table_test_world.h.
#include "gateway/exchange_table_test_world.h"

#include <algorithm>

#include "codec/text.h"
#include "gateway/connection.h"
#include "gateway/exchange.h"
#include "http/websocket_stream.h"

namespace wary::gateway::test {

namespace http1 = codec::http1;
using codec::Json;

namespace {

constexpr std::string_view kHalfOfBody = "first", kRestOfBody = "second";
constexpr std::string_view kMarker = "after-the-cut-5e0b";
constexpr std::size_t kMuch = 500'000;        // more than is held of an answer
constexpr std::size_t kQueuedSize = 200'000;  // as much as is, and more than a connection takes at once
constexpr std::int64_t kSessionSeconds = 4 * 3600;
const std::string kCookie = "__Host-wary_session=alice-token";

std::string in_chunk(std::string_view text) {
  std::string out;
  http1::append_chunk_header(out, text.size());
  return out.append(text).append("\r\n");
}

std::string raw_frame(std::uint8_t type, std::uint8_t flags, std::uint8_t stream, std::string_view payload) {
  const std::string head = {0,
                            static_cast<char>(payload.size() >> 8),
                            static_cast<char>(payload.size()),
                            static_cast<char>(type),
                            static_cast<char>(flags),
                            0,
                            0,
                            0,
                            static_cast<char>(stream)};
  return head + std::string(payload);
}

std::string code_in(const std::string& body) {
  const auto json = codec::parse_json(body);
  const Json* error = json.ok() ? json->find("error") : nullptr;
  return error != nullptr ? ":" + std::string(error->string_or("code", "")) : "";
}

std::string status_of(int status, const std::string& body, bool whole) {
  return std::to_string(status) + code_in(body) + (whole ? "" : "+");
}

// A WebSocket's bytes, and the close frame that they end with.
std::string socket_bytes(std::string_view bytes) {
  std::string close;
  if (bytes.size() >= 4 && bytes.substr(bytes.size() - 4).starts_with("\x88\x02\x03")) {
    close = " ws" + std::to_string(0x300 + static_cast<std::uint8_t>(bytes.back()));
    bytes.remove_suffix(4);
  }
  return (bytes.empty() ? "" : ":" + std::to_string(bytes.size())) + close;
}

// What one connection of an application of HTTP/1.1 was sent.
struct Sent {
  struct Request {
    std::string decision, target, body;
    bool whole = false;
  };
  std::vector<Request> requests;
  bool upgraded = false;
  std::size_t tunnel = 0;
  std::string garbage;
};

Sent read_sent(std::string_view rest) {
  Sent out;
  while (!rest.empty() && !out.upgraded) {
    http1::HeadScan scan;
    http1::RequestHead head;
    const auto result = http1::parse_request_head(rest, scan, head);
    if (result.progress == http1::Progress::kRefused) out.garbage = result.refusal.code;
    out.requests.emplace_back();
    if (result.progress != http1::Progress::kDone) return out;
    Sent::Request& request = out.requests.back();
    request.target = head.target;
    request.decision = http1::find_field(head.fields, "wary-decision").value_or("");
    rest.remove_prefix(result.consumed);
    out.upgraded = head.upgrade == http1::Upgrade::kWebSocket;
    http1::BodyReader body(head.framing);
    while (!body.is_done()) {
      const auto step = body.step(rest);
      if (step.progress == http1::Progress::kRefused) out.garbage = step.refusal.code;
      request.body += step.data;
      rest.remove_prefix(step.consumed);
      if (step.consumed == 0) return out;
    }
    request.whole = true;
  }
  out.tunnel = rest.size();
  return out;
}

}  // namespace

Stage::Stage(Spoken spoken, bool as_workload) : spoken_(spoken), as_workload_(as_workload) {
  world.site->on_bytes = [](AppStream&) {};
  if (spoken_.http2_app) {
    app2_ = std::make_unique<Http2TestApp>(*world.app_loop, io::Address::tcp("127.0.0.1", 9002));
    app2_->on_end = nullptr;
  }
  auto active = make_fact("active", true);
  active.expires = UnixTime{world.sim.clock().unix_time().nanos + kSessionSeconds * kNanosPerSecond};
  active.on_expiry = false;
  world.change(
      {make_entity("Wary::Session", "s-alice",
                   {make_fact("user", make_reference("Wary::User", "alice")), active, make_fact("revoked", false)})});
  serve(true, spoken_.http2_app ? "http://127.0.0.1:9002" : "http://127.0.0.1:9000");
  if (as_workload_) {
    world.set_policies(
        "permit (principal == Wary::Workload::\"spiffe://local/demo/reader\", action, resource in "
        "Wary::App::\"demo/site\");");
  }
  if (spoken_.http2_client) {
    two_ = std::make_unique<Http2TestClient>(world, "site.test", as_workload_);
  } else {
    one_ = world.client("site.test", as_workload_);
  }
  run();
}

// As the edge does: first what is decided by, then what is served.
void Stage::serve(bool with_app, const std::string& place) {
  if (with_app) {
    std::vector<contract::Fact> facts = {make_fact("hosts", Json::array({Json("site.test")})),
                                         make_fact("upstream", place), make_fact("max_body", std::int64_t{1'000})};
    if (spoken_.http2_app) facts.push_back(make_fact("protocol", "http2"));
    world.change({make_entity("Wary::App", "demo/site", std::move(facts))});
  } else {
    world.change({}, {{"Wary::App", "demo/site"}, {"Wary::Route", "demo/slow"}, {"Wary::Route", "demo/open"}});
  }
  const policy::SnapshotPtr snapshot = world.shared.snapshot.current();
  std::vector<Error> problems;
  world.worker->post_site(
      Site::build(snapshot->entities_of_type("Wary::App"), snapshot->entities_of_type("Wary::Route"), problems));
  REQUIRE(problems.empty());
}

void Stage::run(std::int64_t millis) {
  if (two_ && !left_) {
    two_->run(millis);
  } else {
    world.run(millis);
  }
}

void Stage::ask(const std::string& method, const std::string& path, bool opens_body) {
  if (two_) {
    const std::string sent = spoken_.grpc && !path.starts_with("/.wary") ? "POST" : method;  // fields are views of it
    auto fields = two_->head(sent, path);
    if (spoken_.grpc) fields.push_back({"content-type", "application/grpc"});
    if (path.starts_with("/.wary")) fields.push_back({"cookie", "__Host-wary_state=abc"});
    streams_.push_back(two_->send(fields, opens_body ? kHalfOfBody : "", !opens_body));
    if (subject_ == 0 || at_ == At::kKept) subject_ = streams_.back();
  } else {
    std::string text = method + " " + path + " HTTP/1.1\r\nHost: site.test\r\n";
    std::string cookie = as_workload_ ? "" : kCookie;
    if (path.starts_with("/.wary")) cookie += "; __Host-wary_state=abc";
    if (!cookie.empty()) text += "Cookie: " + cookie + "\r\n";
    if (opens_body) text += "Transfer-Encoding: chunked\r\n";
    one_->send(text + "\r\n" + (opens_body ? in_chunk(kHalfOfBody) : ""));
  }
  body_open_ = opens_body;
  had_body_ = had_body_ || opens_body;
}

void Stage::open_socket() {
  is_socket_ = true;
  if (two_) {
    Http2TestClient::Fields fields = {{":method", "CONNECT"},         {":protocol", "websocket"}, {":scheme", "https"},
                                      {":authority", "site.test"},    {":path", "/ws"},           {"cookie", kCookie},
                                      {"sec-websocket-version", "13"}};
    if (as_workload_) std::erase_if(fields, [](const auto& field) { return field.name == "cookie"; });
    streams_.push_back(subject_ = two_->send(fields, "", false));
  } else {
    one_->send("GET /ws HTTP/1.1\r\nHost: site.test\r\n" + (as_workload_ ? "" : "Cookie: " + kCookie + "\r\n") +
               "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  }
}

void Stage::ask_for_code() {
  world.redeem_holds = true;
  ask("GET", "/.wary/continue?code=good&path=%2Fhome");
}

void Stage::reach(At at) {
  at_ = at;
  const bool connects = at == At::kConnecting || at == At::kConnectingBody;
  const bool has_body = at == At::kConnectingBody || at == At::kBody || at == At::kBoth;
  if (connects) world.sim.hold_connects(true);
  if (at == At::kQueued) {
    two_ ? two_->client().pause() : one_->pause();
  }
  switch (at) {
    case At::kFresh:
    case At::kCount: break;
    case At::kReceipt: ask("GET", "/before/x"); break;
    case At::kCode: ask_for_code(); break;
    case At::kUpgrading:
    case At::kTunnel:
    case At::kTunnelHalf: open_socket(); break;
    default: ask(has_body ? "POST" : "GET", "/x", has_body);
  }
  run();
  redeem_ = world.redeem_later;
  if (at == At::kKept) happen_app(Event::kWhole);
  if (at == At::kQueued) {
    happen_app(Event::kHead);
    app_data(std::string(kQueuedSize, 'q'), true);
    answered_ = true;
  }
  if (at == At::kAnswering || at == At::kBoth) happen_app(Event::kHead);
  if (at == At::kTunnel || at == At::kTunnelHalf) happen_app(Event::kSwitch);
  if (at == At::kTunnelHalf) app_data(std::string_view("\x82\x7e\x10\x00half", 8), false);
  run();
}

bool Stage::can(Event event) const {
  const bool is_tunnel = switched_;
  switch (event) {
    case Event::kTooMuch: return body_open_ || is_tunnel || at_ == At::kFresh || at_ == At::kKept;
    case Event::kBodyTrailers: return body_open_;
    case Event::kRst: return two_ && subject_ != 0 && !two_->answer(subject_).closed;
    case Event::kSocketEnds: return is_socket_;
    case Event::kConnects:
    case Event::kRefuses:
    case Event::kLateConnect: return world.sim.held_connects() != 0;
    case Event::kInterim:
    case Event::kHead:
    case Event::kSwitch:
    case Event::kUntilClose: return has_call() && !headed_;
    case Event::kData: return has_call() && headed_;
    case Event::kTrailers: return has_call() && headed_ && !is_tunnel;
    case Event::kWhole: return has_call() && !is_tunnel;
    case Event::kAppRst:
    case Event::kAppRefuses: return has_call();
    case Event::kAppCloses:
    case Event::kAppResets:
    case Event::kAppGarbage:
    case Event::kAppGoaway:
    case Event::kAppGoawayBefore: return has_place();
    case Event::kLateReceipt: return at_ == At::kReceipt;
    case Event::kCodeGood:
    case Event::kCodeBad:
    case Event::kCodeLate: return redeem_ != nullptr;
    case Event::kSessionEnds:
    case Event::kCertificateEnds: return world.worker->live().size() != 0;
    default: return true;
  }
}

void Stage::happen(Event event) {
  if (event <= Event::kGoaway) {
    happen_client(event);
  } else if (event <= Event::kAppGoawayBefore) {
    happen_app(event);
  } else {
    happen_around(event);
  }
  run();
  if (at_ == At::kQueued && event != Event::kPauses && !left_) {
    two_ ? two_->client().resume() : one_->resume();
    run();
  }
}

void Stage::happen_client(Event event) {
  Client& raw = two_ ? two_->client() : *one_;
  switch (event) {
    case Event::kNext: return ask("GET", "/next");
    case Event::kHalfHead:
      return raw.send(two_ ? raw_frame(1, 4, 99, std::string(32, '\0')).substr(0, 20) : "GET /h HT");
    case Event::kBodyRest:
    case Event::kTooMuch:
    case Event::kBodyTrailers: return send_more(event);
    case Event::kGarbage: return raw.send(two_ ? raw_frame(0, 0, 0, "none") : "\x01 none\r\n\r\n");
    case Event::kPauses:
    case Event::kResumes:
      raw.pause();
      say_much();
      run(100);
      if (event == Event::kPauses) return;
      raw.resume();
      return run(300);
    case Event::kRst: return two_->reset(subject_);
    case Event::kSocketEnds:
      two_->write(subject_, "last", true);
      run();
      // What it sent before goes where the WebSocket does, once there is one.
      return at_ == At::kUpgrading ? happen_app(Event::kSwitch) : void();
    case Event::kGoaway: two_->session().shut_down(http::kHttp2NoError); return run();
    default: return stop_sending(event);
  }
}

void Stage::stop_sending(Event event) {
  Client& raw = two_ ? two_->client() : *one_;
  left_ = true;
  if (event == Event::kHalfClose) raw.half_close();
  if (event == Event::kGoodbye) raw.say_goodbye();
  if (event == Event::kLeaves) raw.close();
  if (event == Event::kReset) raw.reset();
}

void Stage::send_more(Event event) {
  const std::string much(2'000, 'm');
  const bool too_much = event == Event::kTooMuch;
  if (!body_open_ && too_much && !is_socket_) {
    // Its length says so already.
    if (!two_)
      return one_->send("POST /x HTTP/1.1\r\nHost: site.test\r\nCookie: " + kCookie +
                        "\r\nContent-Length: 1001\r\n\r\n");
    auto fields = two_->head("POST", "/x");
    fields.push_back({"content-length", "1001"});
    if (spoken_.grpc) fields.push_back({"content-type", "application/grpc"});
    streams_.push_back(two_->send(fields, "", false));
    return;
  }
  if (event == Event::kBodyRest && body_open_) body_whole_ = true;
  if (event == Event::kBodyTrailers) body_whole_ = true;
  const bool ends = body_whole_;
  if (two_ && event == Event::kBodyTrailers) {
    two_->session().write(subject_, kRestOfBody);
    two_->session().end(subject_, {{"x-trailer", "1"}, {"wary-principal", "forged"}});
    return run();
  }
  if (two_ && (body_open_ || is_socket_)) return two_->write(subject_, too_much ? much : kRestOfBody, ends);
  if (two_) return two_->client().send(raw_frame(0, 0, static_cast<std::uint8_t>(std::max(subject_, 1)), kRestOfBody));
  if (is_socket_) return one_->send(too_much ? much : kRestOfBody);
  const std::string_view end =
      event == Event::kBodyTrailers ? "0\r\nX-Trailer: 1\r\nWary-Principal: forged\r\n\r\n" : "0\r\n\r\n";
  one_->send(in_chunk(too_much ? std::string_view(much) : kRestOfBody) + (too_much ? "" : std::string(end)));
}

AppStream* Stage::app_stream() const {
  if (spoken_.http2_app || world.site->streams.empty()) return nullptr;
  AppStream* last = world.site->streams.back().get();
  return last->stream && !last->ended ? last : nullptr;
}

Http2TestApp::Peer* Stage::peer() const {
  if (!app2_ || app2_->peers.empty() || !app2_->peers.back()->stream) return nullptr;
  return app2_->peers.back().get();
}

bool Stage::has_place() const { return app_stream() != nullptr || peer() != nullptr; }

bool Stage::has_call() const { return has_place() && !answered_; }

void Stage::app_sends(std::string_view text) {
  if (AppStream* stream = app_stream()) stream->send(text);
  if (Http2TestApp::Peer* at = peer()) {
    at->out += text;
    at->flush();
  }
}

void Stage::app_data(std::string_view text, bool ends) {
  if (Http2TestApp::Peer* at = peer()) {
    const std::int32_t call = at->calls.rbegin()->first;
    at->session.write(call, text);
    if (ends) at->session.end(call, {});
    return at->flush();
  }
  if (switched_) return app_sends(text);
  app_sends(in_chunk(text) + (ends ? "0\r\n\r\n" : ""));
}

// As much as the application may say where it is, and more than is held of it.
void Stage::say_much() {
  if (!has_call() || at_ == At::kUpgrading) return;
  if (at_ == At::kBody || at_ == At::kWaiting) happen_app(Event::kHead);
  const bool ends = !switched_;
  app_data(std::string(kMuch, 'x'), ends);
  answered_ = ends;
}

void Stage::answer(Event event) {
  Http2TestApp::Peer* const at = peer();
  const std::int32_t call = at != nullptr ? at->calls.rbegin()->first : 0;
  const bool is_first = !std::exchange(headed_, true);
  const std::string half = "0123456789";
  if (event == Event::kSwitch) {
    switched_ = is_socket_;
    if (at == nullptr) {
      const std::string all = app_stream()->received;
      const std::size_t key = all.find("Sec-WebSocket-Key: ");
      const std::string accept = key == std::string::npos ? "none" : http::websocket_accept(all.substr(key + 19, 24));
      return app_sends(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          "Sec-WebSocket-Accept: " +
          accept + "\r\n\r\n");
    }
    at->session.submit_answer(call, is_socket_ ? 200 : 101, {}, false);
    return at->flush();
  }
  if (is_first && at != nullptr) at->session.submit_answer(call, 200, {{"x-secret", "it"}}, false);
  if (is_first && at == nullptr) app_sends("HTTP/1.1 200 OK\r\nX-Secret: it\r\nTransfer-Encoding: chunked\r\n\r\n");
  if (is_first) app_data(half, false);
  if (event == Event::kData) app_data(half, false);
  if (event != Event::kWhole && event != Event::kTrailers) return;
  answered_ = true;
  const bool has_trailers = event == Event::kTrailers;
  if (at == nullptr) return app_sends(has_trailers ? "0\r\nX-Sum: 1\r\n\r\n" : "0\r\n\r\n");
  at->session.end(call, has_trailers ? std::vector<http1::Field>{{"x-sum", "1"}} : std::vector<http1::Field>{});
  at->flush();
}

void Stage::happen_app(Event event) {
  Http2TestApp::Peer* const at = peer();
  const std::int32_t call = at != nullptr && !at->calls.empty() ? at->calls.rbegin()->first : 0;
  switch (event) {
    case Event::kConnects: return world.sim.hold_connects(false);
    case Event::kRefuses:
      app2_.reset();
      world.site.reset();
      return world.sim.hold_connects(false);
    case Event::kLateConnect:
      world.revoke("alice");
      is_cut_ = true;
      run();
      return world.sim.hold_connects(false);
    case Event::kInterim:
      if (at == nullptr) return app_sends("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
      at->session.submit_interim(call, 103);
      return at->flush();
    case Event::kUntilClose:
      app_sends("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it");
      return app_stream()->close();
    case Event::kAppCloses:
      app_left_ = true;
      if (at != nullptr) return at->stream.reset();
      return app_stream()->close();
    case Event::kAppResets:
      app_left_ = true;
      if (at == nullptr) return app_stream()->reset();
      at->stream->reset_on_close();
      return at->stream.reset();
    case Event::kAppGarbage: return app_sends(at != nullptr ? raw_frame(0, 0, 0, "none") : "\x01 none\r\n\r\n");
    case Event::kAppRst:
    case Event::kAppRefuses:
      at->session.reset(call, event == Event::kAppRst ? http::kHttp2Cancel : http::kHttp2RefusedStream);
      return at->flush();
    case Event::kAppGoaway: at->session.shut_down(http::kHttp2NoError); return at->flush();
    case Event::kAppGoawayBefore: return app_sends(raw_frame(7, 0, 0, std::string(8, '\0')));
    default: return answer(event);
  }
}

void Stage::pass_deadline() {
  const std::string before = state_seen(), heard = client_seen();
  const std::int64_t begun = world.sim.clock().monotonic().nanos;
  const auto waited = [&] { return (world.sim.clock().monotonic().nanos - begun) / kNanosPerSecond; };
  while (waited() < 4'000 && state_seen() == before && client_seen() == heard) {
    world.run(490);
    run(10);
  }
  run();
  waited_ = " " + std::to_string(waited()) + "s";
}

void Stage::happen_around(Event event) {
  const std::string permit =
      " permit (principal == Wary::User::\"alice\", action, resource in Wary::App::\"demo/site\");";
  switch (event) {
    case Event::kLateReceipt:
      run(3'000);
      ask("GET", "/before/next");
      run();
      return world.worker->post_receipt(world.ring->boot(), 1);
    case Event::kReceipt: return world.give_receipts();
    case Event::kOtherBoot: return world.worker->post_receipt(world.ring->boot() + 1, 1'000);
    case Event::kCodeLate: run(3'000); [[fallthrough]];
    case Event::kCodeGood: return redeem_(Redeemed{"fresh-token"});
    case Event::kCodeBad: return redeem_(fail(ErrorKind::kDenied, "sign_in_refused", "no"));
    case Event::kDeadline: return pass_deadline();
    case Event::kSessionEnds:
    case Event::kCertificateEnds:
      is_cut_ = true;
      world.sim.jump_wall_clock((event == Event::kSessionEnds ? kSessionSeconds : std::int64_t{10'000'001}) *
                                kNanosPerSecond);
      return run(600);
    case Event::kAllows: return world.change({make_user("alice", false)});
    case Event::kDenies: is_cut_ = true; return world.revoke("alice");
    case Event::kRedacts:
      redacts_ = can(Event::kHead);
      world.set_policies("@obligation(\"redact_header\") @obligation_value(\"X-Secret\")" + permit);
      run();
      return redacts_ ? happen_app(is_socket_ ? Event::kSwitch : Event::kWhole) : void();
    case Event::kDemandsRecord: return world.set_policies("@obligation(\"record_before\")" + permit);
    case Event::kDrainLeave:
      world.worker->post_drain([] {}, Drain::kLeave);
      return run(1'600);  // the second word is said
    case Event::kDrainNow: return world.worker->post_drain([] {}, Drain::kNow);
    case Event::kDrainRestart: return world.worker->post_drain([] {}, Drain::kRestart);
    case Event::kAppRemoved:
    case Event::kAppMoved:
      serve(event == Event::kAppMoved, "http://127.0.0.1:9005");  // where nobody is
      run();
      return at_ == At::kFresh || at_ == At::kKept ? ask("GET", "/after") : void();
    case Event::kContext: {
      crypto::TlsServerOptions tls;
      tls.sites.push_back({{"site.test"}, Authority::get().server});
      return world.worker->post_context(
          std::make_shared<const crypto::TlsServerContext>(*crypto::TlsServerContext::build(std::move(tls))));
    }
    default: FAIL("no such event");
  }
}

std::string Stage::answers_seen() const {
  std::string out;
  for (const Client::Answer& answer : one_->answers()) {
    if (!out.empty()) out += ",";
    out += status_of(answer.status, answer.body, answer.whole);
    if (answer.status != 101) continue;
    out = "101" + socket_bytes(std::string_view(one_->received).substr(one_->received.find("\r\n\r\n") + 4));
  }
  return out.empty() ? "-" : out;
}

std::string Stage::streams_seen() const {
  std::string out;
  for (const std::int32_t stream : streams_) {
    const Http2TestClient::Answer& answer = two_->answer(stream);
    const bool is_socket = stream == subject_ && is_socket_;
    if (!out.empty()) out += ",";
    if (answer.status == 0) {
      out += "-";
    } else if (is_socket && answer.status == 200) {
      out += "101" + socket_bytes(answer.body) + (answer.whole ? " e" : "");
    } else {
      out += status_of(answer.status, answer.body, answer.whole);
      const std::string grpc = answer.field("grpc-status") + answer.trailer("grpc-status");
      if (!grpc.empty()) out += " g" + grpc;
    }
    if (answer.closed && answer.error != 0) out += " rst" + std::to_string(answer.error);
  }
  return out.empty() ? "-" : out;
}

std::string Stage::client_seen() const {
  const Client& raw = two_ ? two_->client() : *one_;
  std::string out = two_ ? streams_seen() : answers_seen();
  if (two_ && two_->session().is_shutting_down()) out += " goaway";
  if (raw.ended_) out += raw.was_reset ? " !" : raw.said_goodbye() ? " ." : " ~";
  return out;
}

std::string Stage::app_seen() const {
  std::string out;
  const auto add = [&](const std::string& connection) { out += (out.empty() ? "" : " ") + connection; };
  for (const TestApp* app : {world.site.get(), world.chat.get()}) {
    if (app == nullptr) continue;
    for (const auto& stream : app->streams) {
      const Sent sent = read_sent(stream->received);
      std::string text;
      for (const auto& request : sent.requests) text += request.whole ? "w" : "p";
      if (text.empty()) text = "o";
      if (sent.tunnel != 0) text += ":" + std::to_string(sent.tunnel);
      if (stream->ended) text += stream->was_reset ? "!" : "x";
      add(text + (sent.garbage.empty() ? "" : " " + sent.garbage));
    }
  }
  if (!app2_) return out.empty() ? "-" : out;
  for (const auto& at : app2_->peers) {
    std::string text = at->calls.empty() ? "o" : "";
    for (const auto& [id, call] : at->calls) {
      const bool is_socket = call.method == "CONNECT";
      text += call.ended || is_socket ? "w" : "p";
      if (is_socket && !call.body.empty()) text += ":" + std::to_string(call.body.size());
      if (is_socket && call.ended) text += "e";
      if (call.closed && call.error != 0) text += "!";
    }
    add(text + (at->stream || app_left_ ? "" : at->was_reset ? "!" : "x"));
  }
  return out.empty() ? "-" : out;
}

std::string Stage::ledger_seen() const {
  std::string out;
  for (const contract::Event& event : world.events()) {
    const bool allows = event.detail.find("\"decision\":\"allow\"") != std::string::npos;
    out += event.action == "session.cut" ? "c" : allows ? "a" : "d";
  }
  return out.empty() ? "-" : out;
}

std::string Stage::state_seen() const {
  Connection* connection = world.worker->connection(1);
  if (connection == nullptr) return "gone";
  if (connection->state() == Connection::State::kEnding) return "ending";
  if (connection->state() == Connection::State::kDraining) return "draining";
  const Exchange* exchange = connection->exchange(two_ ? subject_ : 0);
  if (exchange == nullptr) return subject_ == 0 ? "idle" : "closed";
  switch (exchange->state()) {
    case Exchange::State::kIdle: return "idle";
    case Exchange::State::kWaiting: return "waits";
    case Exchange::State::kConnecting: return "connects";
    case Exchange::State::kRunning: return "runs";
    case Exchange::State::kTunnel: return "tunnel";
  }
  return "";
}

std::string Stage::seen() const {
  return client_seen() + " / " + app_seen() + " / " + ledger_seen() + " / " + state_seen() + waited_;
}

void Stage::check_at_app() const {
  std::vector<std::string> allowed;
  for (const contract::Event& event : world.events()) {
    if (event.detail.find("\"decision\":\"allow\"") != std::string::npos) allowed.push_back(event.decision_id);
  }
  const auto check = [&](const std::string& decision, const std::string& body, bool whole, bool is_post) {
    CHECK(std::count(allowed.begin(), allowed.end(), decision) == 1);
    if (!whole || !is_post) return;
    CHECK(body_whole_);
    CHECK(body == std::string(kHalfOfBody) + std::string(kRestOfBody));
  };
  for (const TestApp* app : {world.site.get(), world.chat.get()}) {
    if (app == nullptr) continue;
    for (const auto& stream : app->streams) {
      const Sent sent = read_sent(stream->received);
      CHECK(sent.garbage.empty());
      // Behind a WebSocket's opening nothing comes before it is agreed to.
      CHECK((sent.tunnel == 0 || switched_));
      CHECK(stream->received.find("forged") == std::string::npos);
      for (const auto& request : sent.requests) {
        if (!request.decision.empty()) check(request.decision, request.body, request.whole, !request.body.empty());
      }
    }
  }
  if (!app2_) return;
  for (const auto& at : app2_->peers) {
    for (const auto& [id, call] : at->calls) {
      check(call.field("wary-decision"), call.body, call.ended && !(call.closed && call.error != 0),
            had_body_ && call.path == "/x");
      CHECK(call.field("x-trailer").empty());
      CHECK((call.method != "CONNECT" || call.body.empty() || switched_));
    }
  }
}

// Whatever the application says now, and whatever is asked now: nothing of it gets through.
void Stage::check_after_cut() {
  Client& raw = two_ ? two_->client() : *one_;
  const auto at_app = [&] {
    std::size_t bytes = world.site ? world.site->everything().size() : 0;
    for (std::size_t i = 0; app2_ && i < app2_->peers.size(); ++i) bytes += app2_->peers[i]->calls.size();
    return bytes;
  };
  const std::size_t before = at_app();
  for (std::size_t i = 0; world.site && i < world.site->streams.size(); ++i) {
    if (world.site->streams[i]->stream) world.site->streams[i]->send(in_chunk(kMarker));
  }
  for (std::size_t i = 0; app2_ && i < app2_->peers.size(); ++i) {
    for (const auto& [id, call] : app2_->peers[i]->calls) app2_->peers[i]->session.write(id, kMarker);
    app2_->peers[i]->flush();
  }
  run();
  const bool takes = two_ ? !two_->is_over() && !two_->session().is_shutting_down() : state_seen() == "idle";
  if (raw.is_open() && takes && world.worker->connection(1) != nullptr) ask("GET", "/again");
  run();
  CHECK(raw.received.find(kMarker) == std::string::npos);
  for (const std::int32_t stream : streams_) CHECK(two_->answer(stream).body.find(kMarker) == std::string::npos);
  CHECK(at_app() == before);
}

// The application says it with each of its answers.
void Stage::check_redacted() const {
  if (two_) {
    const auto& answer = two_->answer(subject_);
    const bool is_ours = answer.status != 200 || !answer.field("grpc-status").empty();
    CHECK(answer.field("x-secret").empty() == (redacts_ || is_ours));
    return;
  }
  for (const Client::Answer& answer : one_->answers()) {
    CHECK(answer.field("x-secret").empty() == (redacts_ || answer.status != 200));
  }
}

void Stage::check_always() {
  check_at_app();
  if (headed_ && !is_socket_) check_redacted();
  if (Connection* connection = world.worker->connection(1)) {
    const Exchange* exchange = connection->exchange(two_ ? subject_ : 0);
    const std::int64_t now = world.sim.clock().monotonic().nanos;
    if (exchange != nullptr && !exchange->is_idle()) {
      CHECK(exchange->deadline() > now - kNanosPerSecond / 2);  // looked at so often
      CHECK(exchange->deadline() <= now + 3600 * kNanosPerSecond);
    }
  }
  if (!is_cut_) return;
  check_after_cut();
  check_at_app();
}

void Stage::check_ends_alone() {
  world.sim.hold_connects(false);
  for (int seconds = 0; seconds < 3'800 && world.worker->connections() != 0; ++seconds) world.run(1'000);
  CHECK(world.worker->connections() == 0);
  CHECK(world.worker->live().size() == 0);
  CHECK(world.worker->held_bytes() == 0);
  world.run(20'000);  // connections that nobody needs
  for (const TestApp* app : {world.site.get(), world.chat.get()}) {
    if (app == nullptr) continue;
    for (const auto& stream : app->streams) CHECK((stream->ended || !stream->stream));
  }
  for (std::size_t i = 0; app2_ && i < app2_->peers.size(); ++i) CHECK(app2_->peers[i]->stream == nullptr);
}

}  // namespace wary::gateway::test
