// The console's server, behind the edge: sign-in, the way to an application's host, the API as whom the edge names, and
// the page's files.
#include "codec/text.h"
#include "control/api.h"
#include "control/nodes.h"
#include "federation/endpoint.h"
#include "gateway/headers.h"

namespace wary::control {

using codec::Json;

namespace {

constexpr std::int64_t kAcknowledgedWaitMax = kNanosPerSecond;
constexpr std::int64_t kAcknowledgedPoll = kNanosPerMilli;
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

std::vector<http::Header> page_headers(std::string_view type, bool immutable) {
  return {{"Content-Type", std::string(type)},
          {"Content-Security-Policy", std::string(kPolicy)},
          {"X-Content-Type-Options", "nosniff"},
          {"Referrer-Policy", "no-referrer"},
          {"Cross-Origin-Opener-Policy", "same-origin"},
          {"Cross-Origin-Resource-Policy", "same-origin"},
          {"Cache-Control", immutable ? "public, max-age=31536000, immutable" : "no-cache"}};
}

std::string_view type_of(std::string_view path) {
  if (path.ends_with(".html")) return "text/html; charset=utf-8";
  if (path.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (path.ends_with(".css")) return "text/css; charset=utf-8";
  if (path.ends_with(".svg")) return "image/svg+xml";
  if (path.ends_with(".json")) return "application/json";
  return "application/octet-stream";
}

// Only the edge sets these, and it drops what a client says under their names.
Caller caller_of(const http::Request& request) {
  Caller caller;
  const auto principal = contract::parse_entity_id(request.header("wary-principal"));
  caller.principal = principal ? *principal : contract::EntityId{"Wary::Anonymous", "anonymous"};
  caller.session = request.header("wary-session");
  caller.edge_decision = request.header("wary-decision");
  return caller;
}

}  // namespace

void Api::handle_console(const ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  const std::string_view path = request.path;
  if (path == "/continue") return continue_to(exchange);
  if (nodes_ != nullptr && path == "/nodes/join" && request.method == "POST") return nodes_->join(exchange);
  if (nodes_ != nullptr && path == "/nodes/link" && request.method == "GET") return nodes_->link(exchange);
  if (path == federation::kBundlePath) return serve_bundle(exchange);
  if (path.starts_with("/api/")) {
    // A page elsewhere cannot make this browser change anything here: browsers say where a request comes from.
    const bool changes = request.method != "GET" && request.method != "HEAD";
    if (changes && request.header("origin") != parts_.console_origin) {
      return send_error(exchange, fail(ErrorKind::kDenied, "origin_foreign", "this request came from another page"));
    }
    if (path == "/api/signin") return sign_in_page(exchange);
    const Caller caller = caller_of(request);
    if (path == "/api/me") {
      Json me = Json::object();
      me.set("principal", caller.principal.to_string()).set("name", std::string_view(caller.principal.id));
      return send_json(exchange, 200, me);
    }
    if (path == "/api/signout") return sign_out_page(caller, exchange);
    // "/api/v1/..." is the API itself.
    class Inner final : public http::Exchange {
     public:
      Inner(ExchangePtr outer) : outer_(std::move(outer)), request_(outer_->request()) {
        request_.path.erase(0, 4);
      }  // NOLINT
      const http::Request& request() const override { return request_; }
      void respond(int status, const std::vector<http::Header>& headers, std::string_view body) override {
        outer_->respond(status, headers, body);
      }
      void start(int status, const std::vector<http::Header>& headers) override { outer_->start(status, headers); }
      bool write(std::string_view data) override { return outer_->write(data); }
      void end() override { outer_->end(); }
      void on_closed(std::function<void()> closed) override { outer_->on_closed(std::move(closed)); }

     private:
      ExchangePtr outer_;
      http::Request request_;
    };
    return handle(caller, std::make_shared<Inner>(exchange));
  }
  serve_file(exchange);
}

void Api::sign_in_page(const ExchangePtr& exchange) {
  if (exchange->request().method != "POST") {
    return send_error(exchange, fail(ErrorKind::kUnsupported, "api_method", "this path does not take this method"));
  }
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const auto issued = sign_in_.redeem_link(std::string(body->string_or("code", "")));
  if (!issued) return send_error(exchange, issued.error());
  const std::string cookie =
      std::string(gateway::kSessionCookie) + "=" + issued->secret + "; Path=/; Secure; HttpOnly; SameSite=Lax";
  // A browser goes on at once: an edge that does not know the session yet would take it for nobody, and send it back
  // here.
  when_acknowledged(issued->revision, parts_.clock.monotonic().nanos + kAcknowledgedWaitMax, [exchange, cookie] {
    exchange->respond(
        200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}, {"Set-Cookie", cookie}}, "{}\n");
  });
}

void Api::when_acknowledged(std::uint64_t revision, std::int64_t until, std::function<void()> then) {
  const auto acknowledged = plane_.acknowledged();
  if (!acknowledged || *acknowledged >= revision || parts_.clock.monotonic().nanos >= until) return then();
  parts_.loop.after(kAcknowledgedPoll, [this, revision, until, then = std::move(then)]() mutable {
    when_acknowledged(revision, until, std::move(then));
  });
}

void Api::sign_out_page(const Caller& caller, const ExchangePtr& exchange) {
  // Reading changes nothing: a link elsewhere must not end a session.
  if (exchange->request().method != "POST") {
    return send_error(exchange, fail(ErrorKind::kUnsupported, "api_method", "this path does not take this method"));
  }
  const store::Key key = key_of(kTenantWide, "Session", caller.session);
  if (plane_.objects().find(key) != nullptr) {
    Change change;
    change.writes.push_back({key, std::nullopt});
    change.event.class_uid = contract::EventClass::kAuthentication;
    change.event.activity_id = 2;
    change.event.actor = caller.principal.to_string();
    change.event.session = caller.session;
    change.event.action = "session.end";
    change.event.detail = "{}";
    const auto committed = plane_.commit(std::move(change));
    if (!committed) return send_error(exchange, committed.error());
  }
  const std::string cookie =
      std::string(gateway::kSessionCookie) + "=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";
  exchange->respond(200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}, {"Set-Cookie", cookie}},
                    "{}\n");
}

// A browser on its way to an application: with a session it gets a one-time code for that host, without one it signs in
// first and comes back here.
void Api::continue_to(const ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  const Caller caller = caller_of(request);
  const std::string asked = request.parameter("host"), path = request.parameter("path"),
                    state = request.parameter("state");
  // The code may go to a host that wary serves, on wary's own port, and nowhere else: the address is made here, from
  // the name that was found, never from what was asked ("a.localhost:x@elsewhere" is an address too).
  const std::string port = parts_.console_origin.substr(parts_.console_origin.rfind(':'));
  const bool own_port = asked.size() > port.size() && asked.ends_with(port);
  const std::string host = own_port ? codec::to_lower(asked.substr(0, asked.size() - port.size())) : "";
  if (caller.session.empty()) {
    const std::string back = "/#continue=" + codec::encode_percent("/continue?" + request.query);
    return exchange->respond(303, {{"Location", back}, {"Cache-Control", "no-store"}}, "");
  }
  const auto code = sign_in_.create_code(caller.session, host, state);
  if (!code) return send_error(exchange, code.error());
  const std::string location =
      "https://" + host + port + "/.wary/continue?code=" + code->secret + "&path=" + codec::encode_percent(path);
  exchange->respond(303, {{"Location", location}, {"Cache-Control", "no-store"}}, "");
}

// This trust domain's keys, for whoever federates with it by profile https_web: public, as certificates are.
void Api::serve_bundle(const ExchangePtr& exchange) {
  const Value* own = plane_.objects().find(key_of(kTenantWide, "TrustDomain", plane_.settings().trust_domain));
  const Json* spec = own != nullptr ? own->json.find("spec") : nullptr;
  const std::string bundle = spec != nullptr ? applied_bundle(*spec) : std::string();
  if (bundle.empty()) {
    return send_error(exchange, fail(ErrorKind::kUnavailable, "bundle_unavailable", "the bundle is not known yet"));
  }
  exchange->respond(200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-cache"}}, bundle);
}

void Api::serve_file(const ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  std::string_view path = std::string_view(request.path).substr(1);
  if (path.empty()) path = "index.html";
  for (const embedded::File& file : embedded::console()) {
    if (file.path != path) continue;
    const bool hashed = path.starts_with("assets/");
    return exchange->respond(200, page_headers(type_of(path), hashed), file.bytes);
  }
  exchange->respond(404, {{"Content-Type", "text/plain"}}, "not found\n");
}

}  // namespace wary::control
