// The client's request: from a head to a decision, and from the decision to an answer or an upstream's request.
#include <algorithm>
#include <array>

#include "codec/text.h"
#include "codec/uri.h"
#include "crypto/hash.h"
#include "crypto/random_id.h"
#include "gateway/connection.h"
#include "gateway/headers.h"
#include "gateway/pages.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::int64_t kReceiptTime = 2 * kNanosPerSecond;
constexpr std::string_view kContinuePath = "/.wary/continue";
constexpr std::string_view kLivePath = "/.wary/live";

contract::EntityId action_of(std::string_view method) { return {"Wary::Action", std::string(method)}; }

// "127.0.0.1:5000" and "[::1]:5000" without the port.
std::string client_address(std::string_view peer) {
  peer = peer.substr(0, peer.rfind(':'));
  if (peer.starts_with('[') && peer.ends_with(']')) peer = peer.substr(1, peer.size() - 2);
  return std::string(peer);
}

// W3C Trace Context: version 00, 32 hex digits of trace id that are not all zero; or nothing.
std::string_view trace_id_of(const http1::RequestHead& head) {
  const auto value = http1::find_field(head.fields, "traceparent");
  if (!value || value->size() != 55 || value->substr(0, 3) != "00-" || (*value)[35] != '-') return {};
  const std::string_view id = value->substr(3, 32);
  const bool hex = id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return hex && id.find_first_not_of('0') != std::string_view::npos ? id : std::string_view{};
}

struct Trace {
  std::string id;      // the client's, or a new one: 32 hex digits
  std::string parent;  // our span: 16
};

Trace make_trace(const http1::RequestHead& head, Random& random) {
  std::array<std::uint8_t, 24> bytes;
  random.fill(bytes);
  const std::string_view given = trace_id_of(head);
  return {given.empty() ? codec::encode_hex(ByteView(bytes).first(16)) : std::string(given),
          codec::encode_hex(ByteView(bytes).subspan(16))};
}

std::string_view session_token(const http1::RequestHead& head) {
  // Two Cookie fields, or two cookies of the name, give none: which one is meant, programs read differently.
  const auto cookies = http1::find_field(head.fields, "cookie");
  if (!cookies) return {};
  return codec::find_cookie(*cookies, kSessionCookie).value_or(std::string_view{});
}

// The value of a query parameter, decoded; nothing when it is missing or not well encoded.
std::optional<std::string> parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    auto value = codec::decode_percent(pair.substr(equals + 1));
    if (value) return std::move(value).value();
    return std::nullopt;
  }
  return std::nullopt;
}

const std::string kClearSession = std::string(kSessionCookie) + "=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";

// Nothing speaks against this person but that their session is over: they may sign in again.
bool session_has_ended(const contract::Decision& decision) {
  return !decision.determining.empty() &&
         std::all_of(decision.determining.begin(), decision.determining.end(), [](const std::string& policy) {
           return policy == "guardrail/inactive-session" || policy == "guardrail/revoked-session";
         });
}

// What a refused person or program reads; the challenge's texts are borrowed.
Notice refusal_notice(const enforce::Subject& subject, const std::optional<enforce::Challenge>& challenge,
                      bool signs_in, bool has_ended) {
  if (challenge && (subject.refusal || !subject.is_anonymous)) {
    return {challenge->status, challenge->code, challenge->message,
            subject.session ? "Sign in again, then open this address." : "WWW-Authenticate says what would do.", ""};
  }
  if (subject.is_anonymous) {
    return {401, "unauthenticated", "Nobody is signed in here.",
            signs_in ? "Open this address in a browser and sign in, or present a workload certificate."
                     : "Present a workload certificate.",
            ""};
  }
  if (has_ended) {
    return {401, "session_ended", "Your session has ended.", "Open this address in a browser again and sign in.", ""};
  }
  return {403, "denied", "You may not do this.",
          "If you need this access, send the reference to the owner of this application.", ""};
}

// A place on the same host to go on at: nothing that a browser could read as another host or a header.
std::string safe_return_path(std::string_view path) {
  const bool local = path.starts_with('/') && !path.starts_with("//") && path.size() <= 2048;
  for (const char c : path) {
    if (!local || static_cast<unsigned char>(c) <= 0x20 || c == '\\' || static_cast<unsigned char>(c) >= 0x7f)
      return "/";
  }
  return local ? std::string(path) : "/";
}

}  // namespace

bool Connection::take_head() {
  if (in_at_ == in_.size()) return false;
  const std::string_view buffer = std::string_view(in_).substr(in_at_);
  const http1::HeadResult result = http1::parse_request_head(buffer, scan_, head_);
  if (result.progress == http1::Progress::kNeedMore) return false;
  if (result.progress == http1::Progress::kRefused) {
    method_ = "GET";  // unknown: the answer has its body
    refuse(result.refusal);
    return false;
  }
  scan_ = {};
  in_at_ += result.consumed;  // the head's views stay valid: in_ is cleared at the end of the turn only
  handle(head_);
  return state_ == State::kHead;
}

void Connection::refuse(const http1::Refusal& refusal) {
  keep_alive_ = false;
  request_body_.emplace(http1::Framing{});
  std::string_view next = "Send a request that follows RFC 9112.";
  if (refusal.status == 503) next = "Try again in a few seconds; the operator sees the cause with `wary status`.";
  if (refusal.status == 421) next = "Use a name that is served here; the operator lists them with `wary get apps`.";
  if (refusal.code.starts_with("sign_in_")) next = "Open the application's own address again, in this browser.";
  const Notice notice{refusal.status, refusal.code, refusal.message, next, ""};
  answer(refusal.status, {{"Content-Type", "application/json"}}, render_json(notice));
}

void Connection::handle(const http1::RequestHead& head) {
  method_ = head.method;
  client_is_1_1_ = head.minor_version >= 1;
  keep_alive_ = head.keep_alive;
  wants_upgrade_ = head.upgrade == http1::Upgrade::kWebSocket;
  request_framing_ = head.framing;
  request_body_.emplace(head.framing);
  request_body_ended_ = any_body_sent_ = false;
  expects_continue_ = head.expects_continue;
  decision_id_.clear();
  // Under every name: that this process answers, for who watches it. It says nothing of anybody, so nothing is decided.
  if (head.path == kLivePath && (head.method == "GET" || head.method == "HEAD")) {
    return answer(200, {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, "ok\n");
  }
  if (!worker_.site()) return refuse({503, "not_ready", "the gateway has not been told yet what it serves"});
  site_ = worker_.site();
  app_ = site_->find_app(head.host);
  const std::string_view name = tls_.server_name();
  // The name of the handshake and of the request lead to one app, or a certificate for one would answer for another.
  if (app_ == nullptr || (!name.empty() && site_->find_app(name) != app_)) {
    return refuse({421, "host_unknown", "nothing is served here under this name"});
  }
  if (head.form == http1::TargetForm::kAsterisk) return refuse({400, "target_asterisk", "this target is not served"});
  auto path = codec::normalise_path(head.path);
  if (!path) return refuse({400, path.error().code, path.error().message});
  if (*path == kContinuePath) return continue_sign_in(head, *app_);
  if (certificate_has_expired()) {
    return refuse(
        {401, "certificate_expired", "this connection's certificate has expired: connect again with a new one"});
  }
  decide(head, *app_, *path);
}

void Connection::decide(const http1::RequestHead& head, const App& app, const std::string& path) {
  enforce::Point& point = worker_.point();
  enforce::Presented presented = credentials_of(head);
  presented.session_token = session_token(head);
  presented.host = head.host;
  presented.spiffe_id = tls_.peer_spiffe_id();
  presented.method = head.method;
  presented.path = path;
  if (tls_.peer()) presented.client_certificate = tls_.peer()->der;
  const enforce::Subject subject = point.identify(presented);
  const Route& route = app.find_route(path);
  const std::string client = client_address(client_->peer_address());

  request_ = contract::Request{};
  request_.tenant = app.tenant;
  request_.action = action_of(head.method);
  request_.resource = route.resource;
  request_.context.set("host", codec::host_name(head.host)).set("method", head.method);
  request_.context.set("path", std::string_view(path));
  codec::Json address = codec::Json::object();
  address.set("fn", "ip").set("arg", std::string_view(client));
  request_.context.set("client", codec::Json::object({{"__extn", std::move(address)}}));
  enforce::describe(subject, request_);

  const Trace trace = make_trace(head, worker_.random());
  enforce::AccessDetail detail{head.method, head.host, path, client, trace.id};
  detail.refusal = subject.refusal ? &*subject.refusal : nullptr;
  const auto made = point.decide(request_, detail);
  const contract::Decision& decision = made.decision;
  decision_id_ = decision.id;
  if (!decision.is_allowed()) {
    worker_.live().remove(*this);
    valid_until_.reset();
    if (decision.reason_code == "ledger_unavailable" || decision.reason_code.starts_with("snapshot_")) {
      return refuse({503, decision.reason_code == "ledger_unavailable" ? "ledger_unavailable" : "policy_unavailable",
                     "no access is given while it cannot be decided and recorded"});
    }
    return deny(head, app, path, subject, decision);
  }
  live_under(decision);
  if (!prepare_upstream(head, path, subject, client, "00-" + trace.id + "-" + trace.parent + "-01")) return;
  if (route.record == contract::Record::kBefore) {
    state_ = State::kWaiting;
    waits_for_receipt_ = made.sequence;
    set_deadline(kReceiptTime);
    worker_.when_durable(made.sequence, id_);
    return;
  }
  connect_upstream(true);
}

void Connection::on_durable(std::uint64_t sequence) {
  if (state_ != State::kWaiting || waits_for_receipt_ != sequence) return;
  waits_for_receipt_ = 0;
  connect_upstream(true);
  drive();
}

bool Connection::prepare_upstream(const http1::RequestHead& head, const std::string& path,
                                  const enforce::Point::Subject& subject, const std::string& client,
                                  const std::string& traceparent) {
  std::string cookies;
  std::vector<http1::Field> fields;
  forward_request_fields(head, cookies, fields);
  if (!app_->forwards_authorization) drop_credentials(subject, fields);
  const std::string principal = subject.principal.to_string();
  const std::string session = subject.session ? subject.session->id : "";
  fields.push_back({"Wary-Principal", principal});
  if (!session.empty()) fields.push_back({"Wary-Session", session});
  fields.push_back({"Wary-Decision", decision_id_});
  fields.push_back({"X-Forwarded-For", client});
  fields.push_back({"X-Forwarded-Proto", "https"});
  fields.push_back({"X-Forwarded-Host", head.host});
  fields.push_back({"traceparent", traceparent});

  http1::RequestParts parts;
  parts.method = head.method;
  parts.path = path;
  parts.query = head.query;
  parts.host = head.host;
  parts.framing = head.framing;
  parts.upgrade = head.upgrade;
  upstream_head_.clear();
  const Status written = http1::append_request_head(upstream_head_, parts, fields);
  if (written) return true;
  refuse({400, "request_unwritable", "this request cannot be written as one message"});
  return false;
}

void Connection::deny(const http1::RequestHead& head, const App& app, const std::string& path,
                      const enforce::Point::Subject& subject, const contract::Decision& decision) {
  const bool browser = prefers_html(http1::find_field(head.fields, "accept").value_or(""));
  const bool navigates = browser && (head.method == "GET" || head.method == "HEAD");
  const bool has_ended = subject.session && session_has_ended(decision);
  std::string back = path;
  if (head.query) back += "?" + std::string(*head.query);
  if (has_ended && navigates) {
    // The same again without the cookie: from there on as anybody who is not signed in.
    return answer(
        303, {{"Location", safe_return_path(back)}, {"Set-Cookie", kClearSession}, {"Cache-Control", "no-store"}}, "");
  }
  const auto challenge = worker_.point().challenge(subject, request_, decision);
  if (subject.is_anonymous && !subject.refusal && app.signs_in && navigates) {
    // The state cookie ties the answer to this browser: a link made elsewhere cannot sign it in as someone else.
    const std::string state = crypto::random_id(worker_.random());
    const std::string cookie =
        std::string(kStateCookie) + "=" + state + "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=300";
    const std::string location =
        worker_.options().console_origin + "/continue?host=" + codec::encode_percent(head.host) +
        "&path=" + codec::encode_percent(back) + "&state=" + codec::encode_hex(crypto::sha256(as_bytes(state)));
    return answer(303, {{"Location", location}, {"Set-Cookie", cookie}, {"Cache-Control", "no-store"}}, "");
  }
  Notice notice = refusal_notice(subject, challenge, app.signs_in, has_ended);
  notice.reference = decision_id_;
  const std::string body = browser ? render_html(notice) : render_json(notice);
  std::vector<http1::Field> fields = {{"Content-Type", browser ? "text/html; charset=utf-8" : "application/json"},
                                      {"Cache-Control", "no-store"},
                                      {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
                                      {"Wary-Decision", decision_id_}};
  if (challenge && !challenge->authenticate.empty()) fields.push_back({"WWW-Authenticate", challenge->authenticate});
  // A sign-in that is too old is begun anew: the next visit goes round by the console.
  if (challenge && subject.session && navigates) fields.push_back({"Set-Cookie", kClearSession});
  answer(notice.status, std::move(fields), body);
}

void Connection::continue_sign_in(const http1::RequestHead& head, const App&) {
  const std::string_view query = head.query.value_or("");
  const auto code = parameter(query, "code");
  const auto path = parameter(query, "path");
  const auto cookies = http1::find_field(head.fields, "cookie");
  const auto state = cookies ? codec::find_cookie(*cookies, kStateCookie) : std::nullopt;
  if (!code || !state || code->size() > 128 || head.method != "GET") {
    return refuse(
        {400, "sign_in_incomplete", "this sign-in was not begun in this browser; open the application again"});
  }
  state_ = State::kWaiting;
  waits_for_receipt_ = 0;
  const std::uint64_t wait = ++waits_;
  set_deadline(kReceiptTime);
  const std::string host(head.host.substr(0, head.host.rfind(':')));
  const std::string back = safe_return_path(path.value_or("/"));
  Worker& worker = worker_;
  worker.redeem()(*code, host, codec::encode_hex(crypto::sha256(as_bytes(*state))),
                  [&worker, id = id_, wait, back](Result<Redeemed> result) {
                    if (Connection* connection = worker.find(id)) connection->redeemed(wait, std::move(result), back);
                  });
}

void Connection::redeemed(std::uint64_t wait, Result<Redeemed> result, const std::string& path) {
  if (state_ != State::kWaiting || wait != waits_) return;
  ++waits_;
  if (!result) {
    refuse({403, "sign_in_refused", "this sign-in link was used already, is too old, or belongs to another browser"});
  } else {
    const std::string session =
        std::string(kSessionCookie) + "=" + result->token + "; Path=/; Secure; HttpOnly; SameSite=Lax";
    const std::string clear = std::string(kStateCookie) + "=; Path=/; Secure; HttpOnly; Max-Age=0";
    answer(303, {{"Location", path}, {"Set-Cookie", session}, {"Set-Cookie", clear}, {"Cache-Control", "no-store"}},
           "");
  }
  drive();
}

// Answers the request at hand from here. Body bytes that the client still sends are not read: such a connection ends.
void Connection::answer(int status, std::vector<http1::Field> fields, std::string_view body) {
  keep_alive_ = keep_alive_ && request_body_->is_done();
  http1::ResponseParts parts;
  parts.status = status;
  parts.framing = {http1::BodyKind::kLength, body.size()};
  parts.keep_alive = keep_alive_;
  const Status written = http1::append_response_head(plain_, parts, fields);
  WARY_CHECK(written.ok());  // every field is this program's own, or was checked
  if (method_ != "HEAD") plain_ += body;
  app_ = nullptr;
  site_.reset();
  if (!keep_alive_) return end_gracefully();
  state_ = State::kHead;
  set_deadline(kKeepAliveTime);
}

}  // namespace wary::gateway
