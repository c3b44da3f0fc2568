// The client's request: from a head to a decision, and from the decision to an answer or an upstream's request.
#include <algorithm>
#include <array>
#include <charconv>

#include "codec/text.h"
#include "codec/uri.h"
#include "crypto/hash.h"
#include "crypto/random_id.h"
#include "gateway/connection.h"
#include "gateway/crowd.h"
#include "gateway/exchange.h"
#include "gateway/headers.h"
#include "gateway/outgoing.h"
#include "gateway/pages.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::int64_t kCodeTime = 2 * kNanosPerSecond;
constexpr std::string_view kContinuePath = "/.wary/continue";
constexpr std::string_view kSignOutPath = "/api/signout";
constexpr std::string_view kLivePath = "/.wary/live";
// Why what the policies allow is denied: this principal has too many at work.
constexpr std::string_view kConcurrencyExceeded = "concurrency_exceeded";
// context.transport of a request that did not come over TLS (schema/wary.cedarschema).
constexpr std::string_view kPlain = "plain", kTerminated = "terminated";

// "100m": eight digits at most and a unit (gRPC over HTTP/2); 0 when there is none.
std::int64_t grpc_timeout(std::string_view text) {
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || text.size() > 9 || value < 0 || parsed.ptr + 1 != text.data() + text.size()) return 0;
  std::int64_t unit = 0;
  switch (text.back()) {
    case 'H': unit = 3600 * kNanosPerSecond; break;
    case 'M': unit = 60 * kNanosPerSecond; break;
    case 'S': unit = kNanosPerSecond; break;
    case 'm': unit = kNanosPerMilli; break;
    case 'u': unit = 1000; break;
    case 'n': unit = 1; break;
    default: return 0;
  }
  constexpr std::int64_t kMost = 24LL * 3600 * kNanosPerSecond;
  return value > kMost / unit ? kMost : std::max<std::int64_t>(value * unit, 1);
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
            signs_in ? "Open this address in a browser and sign in, or present a certificate, a token or an API key."
                     : "Present a certificate, a token or an API key.",
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

void Exchange::refuse(const http1::Refusal& refusal) {
  if (is_grpc_) return respond_grpc(refusal.status, refusal.message);
  std::string_view next = "Send a request that follows RFC 9112.";
  if (refusal.status == 503) next = "Try again in a few seconds; the operator sees the cause with `wary status`.";
  if (refusal.status == 421) next = "Use a name that is served here; the operator lists them with `wary get apps`.";
  if (refusal.code == "access_ended")
    next = "Whether it was done is for the application to say; sign in again if you may.";
  if (refusal.code.starts_with("sign_in_")) next = "Open the application's own address again, in this browser.";
  const Notice notice{refusal.status, refusal.code, refusal.message, next, ""};
  respond(refusal.status, {{"Content-Type", "application/json"}}, render_json(notice), true);
}

void Exchange::refuse_unread(const http1::Refusal& refusal) {
  method_.clear();
  is_grpc_ = false;
  decision_id_.clear();
  refuse(refusal);
}

void Exchange::begin(const http1::RequestHead& head) {
  client_.connection().note_request();
  method_ = head.method;
  wants_upgrade_ = head.upgrade == http1::Upgrade::kWebSocket;
  has_body_ = head.framing.kind != http1::BodyKind::kNone;
  body_ended_ = any_body_sent_ = answered_ = false;
  hsts_ = {};
  expects_continue_ = head.expects_continue;
  const bool says_grpc = http1::find_field(head.fields, "content-type").value_or("").starts_with("application/grpc");
  is_grpc_ = says_grpc && !wants_upgrade_;  // gRPC's refusals are a 200, which would open a WebSocket
  decision_id_.clear();
  body_bytes_ = 0;
  attempts_ = 0;
  tried_.clear();
  const std::int64_t timeout = is_grpc_ ? grpc_timeout(http1::find_field(head.fields, "grpc-timeout").value_or("")) : 0;
  call_ends_ = timeout == 0 ? 0 : worker_.loop().now().nanos + timeout;
  // Under every name: that this process answers, for who watches it. It says nothing of anybody, so nothing is decided.
  if (head.path == kLivePath && (head.method == "GET" || head.method == "HEAD")) {
    return respond(200, {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, "ok\n");
  }
  if (!worker_.site()) return refuse({503, "not_ready", "the gateway has not been told yet what it serves"});
  site_ = worker_.site();
  std::string& host = worker_.host_room();
  codec::assign_host_name(host, head.host);
  app_ = site_->find_named(host);
  const Connection& connection = client_.connection();
  const std::string_view name = connection.transport().server_name();
  // The name of the handshake and of the request lead to one app, or a certificate for one would answer for another.
  if (app_ == nullptr || (!name.empty() && name != host && site_->find_app(name) != app_)) {
    return refuse({421, "host_unknown", "nothing is served here under this name"});
  }
  if (connection.transport().is_secure() && !is_grpc_) hsts_ = app_->hsts_of(host);
  if (head.form == http1::TargetForm::kAsterisk) return refuse({400, "target_asterisk", "this target is not served"});
  if (!connection.transport().is_secure() && !app_->serves_plain) return send_to_tls(head);
  Result<std::string> made = std::string();
  if (!codec::is_normal_path(head.path)) made = codec::normalise_path(head.path);
  if (!made) return refuse({400, made.error().code, made.error().message});
  const std::string_view path = made->empty() ? head.path : std::string_view(*made);
  if (path == kContinuePath) return continue_sign_in(head);
  if (certificate_has_expired()) {
    return refuse(
        {401, "certificate_expired", "this connection's certificate has expired: connect again with a new one"});
  }
  if (app_->reach.max_body != 0 && head.framing.length > app_->reach.max_body) {
    return refuse({413, "request_too_large", "the application takes no request this large"});
  }
  decide(head, *app_, path);
}

// Whose requests are counted together.
std::string Exchange::counted_as(const enforce::Subject& subject) const {
  return subject.is_anonymous ? network_of(client_.connection().client_address()) : subject.principal.id;
}

// How often one principal may ask one application is counted for all threads of the process.
bool Exchange::is_over_rate(const enforce::Subject& subject) {
  const Reach& reach = app_->reach;
  if (reach.rate <= 0) return false;
  const std::uint64_t key = worker_.rates().key_of(counted_as(subject), app_->id.id);
  const auto taken = worker_.rates().take(key, reach.rate, reach.burst, worker_.loop().now().nanos);
  if (taken.allowed) return false;
  worker_.count_over_rate();
  too_many("rate_exceeded", "You ask more often than this application allows.",
           "Wait as many seconds as Retry-After says, and ask again.", taken.wait_nanos / kNanosPerSecond + 1);
  return true;
}

// And how many are at work at once, from the decision to the answer's end. What is open for long holds a place of the
// application's like everything else: WebSockets and streams count for as long as they last.
bool Exchange::take_place(const enforce::Subject& subject) {
  const std::uint64_t key = worker_.at_work().key_of(counted_as(subject), app_->id.id);
  auto place = worker_.at_work().take(key, app_->reach.concurrent);
  if (place) place_ = std::move(*place);
  return place.has_value();
}

void Exchange::too_many(std::string_view code, std::string_view title, std::string_view next, std::int64_t seconds) {
  if (is_grpc_) return respond_grpc(429, title);
  const std::string after = std::to_string(seconds);
  const Notice notice{429, code, title, next, decision_id_};
  respond(429, {{"Content-Type", "application/json"}, {"Retry-After", after}, {"Cache-Control", "no-store"}},
          render_json(notice));
}

void Exchange::decide(const http1::RequestHead& head, const App& app, std::string_view path) {
  enforce::Point& point = worker_.point();
  enforce::Presented presented = credentials_of(head);
  presented.session_token = session_token(head);
  presented.host = head.host;
  const Connection& connection = client_.connection();
  const Transport& transport = connection.transport();
  presented.spiffe_id = transport.peer_spiffe_id();
  presented.method = head.method;
  presented.path = path;
  if (transport.peer() != nullptr) presented.client_certificate = transport.peer()->der;
  const auto who = point.recognise(presented);
  const enforce::Subject& subject = who->subject;
  const Route& route = app.find_route(path);
  const std::string& client = connection.client_address();
  span_.begin(worker_, head, app, route, path, connection);
  if (is_over_rate(subject)) return;
  const bool has_place = take_place(subject);

  is_sign_out_ = app.is_console && path == kSignOutPath;
  access_.tenant = app.tenant;
  access_.principal = subject.principal;
  access_.action.type = "Wary::Action";
  access_.action.id = head.method;
  access_.resource = route.resource;
  const std::string_view way = transport.is_secure()     ? std::string_view()
                               : connection.was_secure() ? kTerminated
                                                         : kPlain;
  access_.context.write(*who, {client, worker_.host_room(), head.method, path, way});

  enforce::AccessDetail detail{head.method, head.host, path, client, span_.trace_id()};
  // Whom the policies deny hears that, whoever else is at work.
  if (!has_place) detail.deny_allowed = kConcurrencyExceeded;
  const auto made = point.decide(*who, access_, detail);
  const contract::Decision& decision = *made.decision;
  decision_id_ = made.id;
  span_.decided(decision_id_, decision, who->principal);
  if (!decision.is_allowed()) {
    leave_live();
    if (decision.reason_code == "ledger_unavailable" || decision.reason_code.starts_with("snapshot_")) {
      return refuse({503, decision.reason_code == "ledger_unavailable" ? "ledger_unavailable" : "policy_unavailable",
                     "no access is given while it cannot be decided and recorded"});
    }
    if (decision.reason_code == kConcurrencyExceeded) {
      worker_.count_over_concurrency();
      return too_many(kConcurrencyExceeded, "You have more at work here than this application allows at once.",
                      "Wait for what you asked for before, or end it; then ask again.", 1);
    }
    return deny(head, app, path, subject, decision);
  }
  live_under(made.decision);
  if (!prepare(head, path, *who)) return;
  sequence_ = made.sequence;
  needs_receipt_ = keep_obligations(decision) || route.record == contract::Record::kBefore;
  connect(true);
}

// What the permits demand beside; true when the event has to be durable first. What is not known here was a deny.
bool Exchange::keep_obligations(const contract::Decision& decision) {
  bool waits = false;
  redacted_.clear();
  for (const contract::Obligation& obligation : decision.obligations) {
    if (obligation.name == kRecordBefore) waits = true;
    if (obligation.name == kRedactHeader) redacted_.push_back(obligation.value);
  }
  return waits;
}

bool Exchange::prepare(const http1::RequestHead& head, std::string_view path, const enforce::Recognised& who) {
  std::vector<http1::Field>& fields = worker_.request_fields();
  std::string& cookies = worker_.cookie_room();
  forward_request_fields(head, cookies, fields);
  if (!app_->forwards_authorization) drop_credentials(who.subject, fields);
  fields.push_back({"Wary-Principal", who.principal});
  if (who.subject.session && !who.subject.session->id.empty()) {
    fields.push_back({"Wary-Session", who.subject.session->id});
  }
  fields.push_back({"Wary-Decision", decision_id_});
  fields.push_back({"X-Forwarded-For", client_.connection().client_address()});
  fields.push_back({"X-Forwarded-Proto", client_.connection().was_secure() ? "https" : "http"});
  fields.push_back({"X-Forwarded-Host", head.host});
  fields.push_back({"traceparent", span_.traceparent()});

  outgoing_.method = head.method;
  outgoing_.has_body = has_body_;
  outgoing_.upgrades = wants_upgrade_;
  outgoing_.is_http2 = app_->is_http2;
  outgoing_.is_secure = app_->tls != nullptr;
  const bool written = app_->is_http2 ? write_http2_request(head, path, fields, is_grpc_, outgoing_)
                                      : write_http1_request(head, path, fields, worker_.random(), outgoing_);
  if (written) return true;
  refuse({400, "request_unwritable", "this request cannot be written as one message"});
  return false;
}

void Exchange::deny(const http1::RequestHead& head, const App& app, std::string_view path,
                    const enforce::Point::Subject& subject, const contract::Decision& decision) {
  const bool browser = prefers_html(http1::find_field(head.fields, "accept").value_or(""));
  const bool navigates = browser && (head.method == "GET" || head.method == "HEAD");
  const bool has_ended = subject.session && session_has_ended(decision);
  std::string back(path);
  if (head.query) back += "?" + std::string(*head.query);
  if (has_ended && navigates) {
    // The same again without the cookie: from there on as anybody who is not signed in.
    return respond(
        303, {{"Location", safe_return_path(back)}, {"Set-Cookie", kClearSession}, {"Cache-Control", "no-store"}}, "");
  }
  const auto challenge = worker_.point().challenge(subject, access_.request(), decision);
  if (subject.is_anonymous && !subject.refusal && app.signs_in && navigates) {
    // The state cookie ties the answer to this browser: a link made elsewhere cannot sign it in as someone else.
    const std::string state = crypto::random_id(worker_.random());
    const std::string cookie =
        std::string(kStateCookie) + "=" + state + "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=300";
    // The console leads back to where the edge has TLS, and nowhere else.
    const std::string& console = worker_.options().console_origin;
    const bool is_secure = client_.connection().transport().is_secure();
    const std::string host =
        is_secure ? std::string(head.host) : worker_.host_room() + console.substr(console.rfind(':'));
    const std::string location = console + "/continue?host=" + codec::encode_percent(host) +
                                 "&path=" + codec::encode_percent(back) +
                                 "&state=" + codec::encode_hex(crypto::sha256(as_bytes(state)));
    return respond(303, {{"Location", location}, {"Set-Cookie", cookie}, {"Cache-Control", "no-store"}}, "");
  }
  Notice notice = refusal_notice(subject, challenge, app.signs_in, has_ended);
  notice.reference = decision_id_;
  if (is_grpc_) return respond_grpc(notice.status, notice.title);
  const std::string body = browser ? render_html(notice) : render_json(notice);
  std::vector<http1::Field> fields = {{"Content-Type", browser ? "text/html; charset=utf-8" : "application/json"},
                                      {"Cache-Control", "no-store"},
                                      {"Wary-Decision", decision_id_}};
  if (challenge && !challenge->authenticate.empty()) fields.push_back({"WWW-Authenticate", challenge->authenticate});
  // A sign-in that is too old is begun anew: the next visit goes round by the console.
  if (challenge && subject.session && navigates) fields.push_back({"Set-Cookie", kClearSession});
  respond(notice.status, std::move(fields), body);
}

void Exchange::continue_sign_in(const http1::RequestHead& head) {
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
  set_deadline(kCodeTime);
  const std::string host(head.host.substr(0, head.host.rfind(':')));
  const std::string back = safe_return_path(path.value_or("/"));
  Worker& worker = worker_;
  worker.redeem()(*code, host, codec::encode_hex(crypto::sha256(as_bytes(*state))),
                  [&worker, connection = connection_, stream = stream_, wait, back](Result<Redeemed> result) {
                    if (Exchange* exchange = worker.find(connection, stream)) {
                      exchange->redeemed(wait, std::move(result), back);
                    }
                  });
}

// To the same over TLS. Nobody is asked for and nothing decided: that happens there. The name is one that is served,
// and the target one that was parsed, so that it leads nowhere else.
void Exchange::send_to_tls(const http1::RequestHead& head) {
  if (is_grpc_) return refuse({421, "tls_required", "this is served over TLS alone"});
  constexpr std::uint16_t kHttpsPort = 443;
  const std::uint16_t port = worker_.options().listen.port;
  std::string location = "https://" + worker_.host_room();
  if (port != kHttpsPort) location += ":" + std::to_string(port);
  location += head.path;
  if (head.query) location += "?" + std::string(*head.query);
  respond(308, {{"Location", location}, {"Cache-Control", "no-store"}}, "");
}

void Exchange::redeemed(std::uint64_t wait, Result<Redeemed> result, const std::string& path) {
  if (state_ != State::kWaiting || wait != waits_) return;
  ++waits_;
  if (!result) {
    refuse({403, "sign_in_refused", "this sign-in link was used already, is too old, or belongs to another browser"});
  } else {
    const std::string session =
        std::string(kSessionCookie) + "=" + result->token + "; Path=/; Secure; HttpOnly; SameSite=Lax";
    const std::string clear = std::string(kStateCookie) + "=; Path=/; Secure; HttpOnly; Max-Age=0";
    respond(303, {{"Location", path}, {"Set-Cookie", session}, {"Set-Cookie", clear}, {"Cache-Control", "no-store"}},
            "");
  }
}

// Answers the request at hand from here. Body bytes that the client still sends are not read.
void Exchange::respond(int status, std::vector<http1::Field> fields, std::string_view body, bool closes) {
  state_ = State::kIdle;
  ++waits_;
  span_.answered(status);
  span_.end();
  if (!is_grpc_) {
    // A page of ours loads nothing, is shown in no other, and is what its type says.
    fields.insert(fields.end(), {{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
                                 {"X-Content-Type-Options", "nosniff"},
                                 {"Referrer-Policy", "no-referrer"}});
    add_hsts(fields);
  }
  const bool written =
      client_.answer({status, fields, body.size(), !body.empty() && method_ != "HEAD", false, true, closes});
  place_ = {};
  app_ = nullptr;
  hsts_ = {};
  site_.reset();
  WARY_CHECK(written);  // every field is this program's own, or was checked
  answered_ = true;
  if (method_ != "HEAD") client_.data(body);
  client_.end({});
}

// gRPC has its own words for it: the answer is its trailers alone, and HTTP's status is 200.
void Exchange::respond_grpc(int status, std::string_view message) {
  const std::string_view code = status == 401                    ? "16"
                                : status == 403                  ? "7"
                                : status == 404 || status == 421 ? "12"
                                : status == 504                  ? "4"
                                : status == 429                  ? "8"
                                : status >= 500                  ? "14"
                                                                 : "13";
  const std::string escaped = codec::encode_percent(message);
  const std::string decision = decision_id_;
  std::vector<http1::Field> fields = {
      {"content-type", "application/grpc"}, {"grpc-status", code}, {"grpc-message", escaped}};
  if (!decision.empty()) fields.push_back({"wary-decision", decision});
  respond(200, std::move(fields), "");
}

}  // namespace wary::gateway
