// The parts of connection_test_world.h.
#include "gateway/connection_test_world.h"

#include <algorithm>
#include <array>
#include <utility>

#include "codec/text.h"
#include "enforce/point.h"
#include "http/tls_stream.h"

namespace wary::gateway::test {

namespace http1 = codec::http1;
using codec::Json;
using contract::Entity;
using contract::Fact;

namespace {

constexpr std::string_view kPolicies = R"(
permit (principal == Wary::User::"alice", action, resource in Wary::App::"demo/site");
permit (principal == Wary::User::"alice", action, resource in Wary::App::"demo/chat");
permit (principal == Wary::User::"alice", action, resource in Wary::App::"demo/grpc");
permit (principal == Wary::User::"carol", action, resource in Wary::App::"demo/site");
permit (principal == Wary::Workload::"spiffe://local/demo/reader", action == Wary::Action::"GET",
        resource in Wary::App::"demo/site");
permit (principal, action == Wary::Action::"GET", resource == Wary::Route::"demo/open");
)";

const io::Address kListen = io::Address::tcp("127.0.0.1", 7443), kListenPlain = io::Address::tcp("127.0.0.1", 8080);

std::vector<Entity> entities() {
  std::vector<Entity> out;
  for (const std::string_view method : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    out.push_back(make_entity("Wary::Action", method));
  }
  out.push_back(make_entity("Wary::Anonymous", "anonymous"));
  for (const std::string_view name : {"alice", "bob", "carol"}) {
    out.push_back(make_user(name, false));
    const std::string session = "s-" + std::string(name);
    Fact active = make_fact("active", true);
    active.expires = UnixTime{1'790'003'600LL * kNanosPerSecond};
    active.on_expiry = false;
    out.push_back(
        make_entity("Wary::Session", session,
                    {make_fact("user", make_reference("Wary::User", name)), active, make_fact("revoked", false)}));
    for (const std::string_view host : {"site.test", "chat.test", "grpc.test"}) {
      const std::string token = std::string(name) + (host == "site.test"   ? "-token"
                                                     : host == "chat.test" ? "-chat-token"
                                                                           : "-grpc-token");
      out.push_back(
          make_entity("Wary::Credential", enforce::credential_id(token),
                      {make_fact("session", make_reference("Wary::Session", session)), make_fact("host", host)}));
    }
  }
  out.push_back(make_entity("Wary::Workload", "spiffe://local/demo/reader",
                            {make_fact("revoked", false), make_fact("disabled", false)}));
  const auto app = [&](std::string_view id, std::string_view host, std::string_view upstream) {
    out.push_back(
        make_entity("Wary::App", id, {make_fact("hosts", Json::array({Json(host)})), make_fact("upstream", upstream)}));
  };
  app("demo/site", "site.test", "http://127.0.0.1:9000");
  out.back().attributes.push_back(make_fact("plain", "serve"));
  app("demo/chat", "chat.test", "http://127.0.0.1:9001");
  app("demo/gone", "gone.test", "http://127.0.0.1:9999");
  app("demo/grpc", "grpc.test", "http://127.0.0.1:9002");
  out.back().attributes.push_back(make_fact("protocol", "http2"));
  const auto route = [&](std::string_view id, std::string_view path, std::string_view record) {
    out.push_back(make_entity("Wary::Route", id,
                              {make_fact("app", make_reference("Wary::App", "demo/site")), make_fact("path", path),
                               make_fact("record", record)},
                              {{"Wary::App", "demo/site"}}));
  };
  route("demo/slow", "/before/*", "before");
  route("demo/open", "/open", "with");
  return out;
}

// The same of every world, all of which begin at the same time; made once.
const policy::SnapshotPtr& first_snapshot(UnixTime now) {
  static const UnixTime made_at = now;
  static const policy::SnapshotPtr made = [] {
    policy::SnapshotContent content;
    content.revision = 1;
    content.policies = {{"main", std::string(kPolicies), "main.cedar", 1}};
    content.entities = entities();
    auto snapshot = policy::build_snapshot(content, made_at, 1);
    REQUIRE_MESSAGE(snapshot.ok(), snapshot.error().to_string());
    return *snapshot;
  }();
  REQUIRE(made_at.nanos == now.nanos);
  return made;
}

}  // namespace

void SeededRandom::fill(std::span<std::uint8_t> out) {
  for (std::uint8_t& byte : out) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<std::uint8_t>(state_ >> 56);
  }
}

Fact make_fact(std::string_view name, Json value) { return {std::string(name), std::move(value), "test", {}, {}, {}}; }

Json make_reference(std::string_view type, std::string_view id) {
  return Json::object({{"__entity", Json::object({{"type", Json(type)}, {"id", Json(id)}})}});
}

Entity make_entity(std::string_view type, std::string_view id, std::vector<Fact> facts,
                   std::vector<contract::EntityId> parents) {
  Entity entity;
  entity.tenant = "local";
  entity.id = {std::string(type), std::string(id)};
  entity.attributes = std::move(facts);
  entity.parents = std::move(parents);
  return entity;
}

Entity make_user(std::string_view name, bool revoked) {
  return make_entity("Wary::User", name, {make_fact("disabled", false), make_fact("revoked", revoked)});
}

const Authority& Authority::get() {
  static const Authority kAuthority = [] {
    const UnixTime from{1'789'000'000LL * kNanosPerSecond}, to{1'800'000'000LL * kNanosPerSecond};
    auto key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
    Bytes ca = *crypto::create_ca({"CA", "local", from, to}, key);
    const auto identity = [&](crypto::LeafOptions options) {
      options.not_before = from;
      options.not_after = to;
      auto own = std::make_shared<const crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
      auto leaf = crypto::issue_leaf(ca, key, *crypto::make_csr(*own, ""), options);
      REQUIRE(leaf.ok());
      return crypto::TlsIdentity{{*leaf}, own};
    };
    crypto::LeafOptions server, workload;
    server.dns_names = {"site.test", "chat.test", "gone.test", "grpc.test", "unknown.test"};
    workload.spiffe_id = "spiffe://local/demo/reader";
    crypto::TlsIdentity first = identity(server), second = identity(workload);
    return Authority{std::move(key), std::move(ca), std::move(first), std::move(second)};
  }();
  return kAuthority;
}

void AppStream::send(std::string_view text) {
  out += text;
  flush();
}

void AppStream::flush() {
  while (stream && !out.empty()) {
    const io::IoCount put = stream->write(as_bytes(out));
    if (put.state == io::IoCount::State::kFailed) out.clear();
    if (put.state != io::IoCount::State::kSome) break;
    out.erase(0, put.count);
  }
  if (out.empty() && close_when_sent) stream.reset();
  if (stream) stream->want(reads && !ended, !out.empty());
}

void AppStream::close() {
  close_when_sent = true;
  flush();
}

void AppStream::reset() {
  if (stream) stream->reset_on_close();
  stream.reset();
}

namespace {

template <typename Fields>
std::string only(const Fields& fields, std::string_view name) {
  std::string value;
  for (const auto& [key, text] : fields) {
    if (codec::equals_ignoring_case(key, name)) value = text;
  }
  return value;
}

}  // namespace

std::string AppRequest::field(std::string_view name) const { return only(fields, name); }
std::string Client::Answer::field(std::string_view name) const { return only(fields, name); }
std::size_t Client::Answer::count(std::string_view name) const {
  return static_cast<std::size_t>(std::count_if(
      fields.begin(), fields.end(), [&](const auto& field) { return codec::equals_ignoring_case(field.first, name); }));
}

TestApp::TestApp(io::Loop& loop, const io::Address& address, const crypto::TlsServerContext* tls) {
  on_request = [](AppStream& stream, const AppRequest& request) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(request.target.size()) + "\r\n\r\n" +
                (request.method == "HEAD" ? "" : request.target));
  };
  auto listener = loop.listen(address, {}, [this, &loop, tls](std::unique_ptr<io::Stream> stream) {
    if (!accepts) return;
    if (tls != nullptr) {
      stream = std::make_unique<http::TlsStream>(loop, std::move(stream), crypto::TlsSession(*tls));
    }
    streams.push_back(std::make_unique<AppStream>());
    AppStream* raw = streams.back().get();
    raw->stream = std::move(stream);
    raw->stream->on_ready([this, raw](bool, bool) { ready(*raw); });
    raw->stream->want(true, false);
  });
  REQUIRE(listener.ok());
  listener_ = std::move(*listener);
}

std::string TestApp::everything() const {
  std::string all;
  for (const auto& stream : streams) all += stream->received;
  return all;
}

void TestApp::ready(AppStream& stream) {
  std::array<std::uint8_t, 4096> buffer;
  while (stream.stream && stream.reads && !stream.ended) {
    const io::IoCount got = stream.stream->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      stream.ended = true;
      stream.was_reset = got.state == io::IoCount::State::kFailed;
      break;
    }
    stream.received += as_text(ByteView(buffer).first(got.count));
  }
  on_bytes ? on_bytes(stream) : parse(stream);
  stream.flush();
}

void TestApp::parse(AppStream& stream) {
  while (stream.stream && stream.parsed < stream.received.size()) {
    const std::string_view rest = std::string_view(stream.received).substr(stream.parsed);
    http1::HeadScan scan;
    http1::RequestHead head;
    const auto result = http1::parse_request_head(rest, scan, head);
    // The edge's own fields come on top of as many as a client may send: too many for a parser of the same limit.
    if (result.progress == http1::Progress::kRefused && result.refusal.status != 431) ++garbage;
    if (result.progress != http1::Progress::kDone) return;
    AppRequest request{std::string(head.method), std::string(head.target), std::string(head.host), "", {}};
    for (const auto& field : head.fields) request.fields.emplace_back(field.name, field.value);
    http1::BodyReader body(head.framing);
    std::size_t at = result.consumed;
    while (!body.is_done()) {
      const auto step = body.step(rest.substr(at));
      if (step.progress == http1::Progress::kRefused) ++garbage;
      request.body += step.data;
      at += step.consumed;
      if (step.consumed == 0) return;
    }
    stream.parsed += at;
    requests.push_back(request);
    on_request(stream, request);
  }
}

Client::Client(io::Loop& loop, const crypto::TlsClientContext& context, std::string name)
    : loop_(loop), tls_(crypto::TlsSession(context, name)) {}

void Client::connect(const io::Address& address) {
  loop_.connect(address, 0, [this](Result<std::unique_ptr<io::Stream>> stream) {
    REQUIRE(stream.ok());
    stream_ = std::move(*stream);
    stream_->on_ready([this](bool, bool) { ready(); });
    ready();
  });
}

void Client::send(std::string_view plaintext) {
  if (!tls_) return send_raw(plaintext);
  REQUIRE(tls_->is_open());
  REQUIRE(tls_->write(as_bytes(plaintext)).ok());
  if (stream_) ready();
}

void Client::send_raw(std::string_view bytes) {
  raw_ += bytes;
  if (stream_) ready();
}

void Client::close() {
  if (tls_) tls_->close();
  closing_ = true;
  ready();
}

void Client::say_goodbye() {
  if (tls_) tls_->close();
  ready();
}

void Client::half_close() {
  if (stream_) stream_->shutdown_write();
}

void Client::reset() {
  if (stream_) stream_->reset_on_close();
  stream_.reset();
}

void Client::ready() {
  while (stream_ && !raw_.empty()) {
    const io::IoCount put = stream_->write(as_bytes(raw_));
    if (put.state == io::IoCount::State::kFailed) raw_.clear();
    if (put.state != io::IoCount::State::kSome) break;
    raw_.erase(0, put.count);
  }
  std::array<std::uint8_t, 4096> buffer;
  while (stream_ && reads_ && !ended_) {
    const io::IoCount got = stream_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      ended_ = true;
      was_reset = got.state == io::IoCount::State::kFailed;
      break;
    }
    take(ByteView(buffer).first(got.count));
    if (tls_ && tls_->has_failed()) break;
  }
  while (stream_ && tls_ && !tls_->output().empty()) {
    const io::IoCount put = stream_->write(tls_->output());
    if (put.state == io::IoCount::State::kFailed) tls_->consume_output(tls_->output().size());
    if (put.state != io::IoCount::State::kSome) break;
    tls_->consume_output(put.count);
  }
  if ((closing_ && !wants_to_send()) || ended_) stream_.reset();
  interest();
}

void Client::take(ByteView bytes) {
  if (!tls_) {
    received += as_text(bytes);
    return;
  }
  if (!tls_->feed(bytes).ok()) return;
  for (;;) {
    std::array<std::uint8_t, 4096> plain;
    const auto read = tls_->read(plain);
    if (!read.ok() || *read == 0) break;
    received += as_text(ByteView(plain).first(*read));
  }
}

void Client::interest() {
  if (stream_) stream_->want(reads_ && !ended_, wants_to_send());
}

std::vector<Client::Answer> Client::answers(std::vector<std::string> methods) const {
  std::vector<Answer> out;
  std::string_view rest = received;
  while (!rest.empty()) {
    http1::HeadScan scan;
    http1::ResponseHead head;
    const std::string method = out.size() < methods.size() ? methods[out.size()] : "GET";
    const auto result = http1::parse_response_head(rest, scan, method, head);
    if (result.progress == http1::Progress::kNeedMore) break;
    REQUIRE_MESSAGE(result.progress == http1::Progress::kDone, received);
    rest.remove_prefix(result.consumed);
    if (head.is_interim()) continue;
    Answer answer;
    answer.status = head.status;
    for (const auto& field : head.fields) answer.fields.emplace_back(field.name, field.value);
    http1::BodyReader body(head.framing);
    while (!body.is_done()) {
      const auto step = body.step(rest);
      REQUIRE(step.progress != http1::Progress::kRefused);
      answer.body += step.data;
      rest.remove_prefix(step.consumed);
      if (step.consumed == 0) break;
    }
    answer.whole = body.is_done() || (ended_ && body.finish());
    out.push_back(std::move(answer));
    if (head.status == 101) break;
  }
  return out;
}

World::World(std::uint64_t seed, std::vector<std::string> proxy_peers, std::size_t slice_sessions,
             std::size_t connections_max, std::size_t descriptors_max)
    : sim(seed),
      edge_loop(sim.make_loop()),
      client_loop(sim.make_loop()),
      app_loop(sim.make_loop()),
      random(seed),
      memory(io::MappedFile::anonymous(std::size_t{1} << 20)),
      policies(kPolicies) {
  ring = std::make_unique<enforce::EventRing>(*enforce::EventRing::open(memory->memory(), 77));
  site = std::make_unique<TestApp>(*app_loop, io::Address::tcp("127.0.0.1", 9000));
  chat = std::make_unique<TestApp>(*app_loop, io::Address::tcp("127.0.0.1", 9001));
  const policy::SnapshotPtr& snapshot = first_snapshot(sim.clock().unix_time());
  shared.snapshot.swap(snapshot);
  shared.control_heard = sim.clock().monotonic().nanos;
  enforce::PointOptions point;
  point.source = "edge/test/0";
  point.tenant = "local";
  point.obligations = {"record_before", "redact_header"};
  worker = std::make_unique<Worker>(
      *edge_loop, sim.clock(), random, shared, *ring, point,
      WorkerOptions{.listen = kListen,
                    .console_origin = "https://console.test:7443",
                    .connections_max = connections_max,
                    .descriptors_max = descriptors_max,
                    .slice_sessions = slice_sessions,
                    .proxy_peers = std::move(proxy_peers),
                    .listen_plain = kListenPlain},
      [this](const std::string& code, const std::string& host, const std::string& state, auto done) {
        redeemed.push_back(code + "|" + host + "|" + state);
        if (redeem_holds) {
          redeem_later = done;
        } else if (code == "good") {
          done(Redeemed{"fresh-token"});
        } else {
          done(fail(ErrorKind::kDenied, "sign_in_refused", "no"));
        }
      },
      null_log(), metrics);
  std::vector<Error> problems;
  worker->post_site(
      Site::build(snapshot->entities_of_type("Wary::App"), snapshot->entities_of_type("Wary::Route"), problems));
  REQUIRE(problems.empty());
  REQUIRE(worker->listen().ok());
  REQUIRE(worker->listen(Way::kPlain).ok());
#ifndef WARY_FUZZED_WORLD
  (void)context(false, false);
#endif
  run(1);
}

void World::serve_tls() {
  if (std::exchange(serves_tls_, true)) return;
  const Authority& authority = Authority::get();
  crypto::TlsServerOptions tls;
  tls.sites.push_back({{"site.test", "chat.test", "gone.test", "grpc.test"}, authority.server});
  tls.alpn = {"h2", "http/1.1"};
  tls.client_auth = crypto::ClientAuth::kOptional;
  tls.verify_client = crypto::verify_svid(*crypto::TrustRoots::build({authority.ca}), "local",
                                          crypto::VerifyOptions::Use::kClient, sim.clock());
  auto context = crypto::TlsServerContext::build(std::move(tls));
  REQUIRE(context.ok());
  worker->post_context(std::make_shared<const crypto::TlsServerContext>(std::move(*context)));
}

World::~World() {
  worker.reset();
  CHECK(shared.at_work.at_work() == 0);  // whatever happened, every place was given back
}

// Made once it is asked for: it costs more than a connection.
const crypto::TlsClientContext& World::context(bool speaks_http2, bool as_workload) {
  auto& made = speaks_http2 ? (as_workload ? http2_workload_context : http2_context)
                            : (as_workload ? workload_context : anonymous_context);
  if (made) return *made;
  serve_tls();
  crypto::TlsClientOptions options;
  options.verify_server = crypto::verify_server_name(*crypto::TrustRoots::build({Authority::get().ca}), sim.clock());
  options.alpn = {speaks_http2 ? "h2" : "http/1.1"};
  if (as_workload) options.identity = Authority::get().workload;
  made = std::make_unique<crypto::TlsClientContext>(*crypto::TlsClientContext::build(std::move(options)));
  return *made;
}

std::unique_ptr<Client> World::client(const std::string& name, bool as_workload) {
  auto made = std::make_unique<Client>(*client_loop, context(false, as_workload), name);
  made->connect(kListen);
  run(5);
  REQUIRE(made->is_open());
  return made;
}

std::unique_ptr<Client> World::http2_client(const std::string& name, bool as_workload) {
  auto made = std::make_unique<Client>(*client_loop, context(true, as_workload), name);
  made->connect(kListen);
  run(5);
  REQUIRE(made->is_open());
  return made;
}

std::unique_ptr<Client> World::plain_client() {
  auto made = std::make_unique<Client>(*client_loop);
  made->connect(kListenPlain);
  run(5);
  REQUIRE(made->is_open());
  return made;
}

std::string World::get(const std::string& path, const std::string& more, const std::string& cookie) {
  return "GET " + path + " HTTP/1.1\r\nHost: site.test:7443\r\n" +
         (cookie.empty() ? "" : "Cookie: __Host-wary_session=" + cookie + "\r\n") + more + "\r\n";
}

std::unique_ptr<Client> World::ask(const std::string& path, const std::string& more) {
  auto made = client();
  made->send(get(path, more));
  run(20);
  return made;
}

void World::change(std::vector<Entity> upserts, std::vector<contract::EntityId> removals) {
  const policy::SnapshotPtr base = shared.snapshot.current();
  policy::SnapshotDelta delta;
  delta.from = base->revision();
  delta.to = delta.from + 1;
  auto changed = std::make_shared<std::vector<contract::EntityId>>(removals);
  for (const Entity& entity : upserts) changed->push_back(entity.id);
  delta.upserts = std::move(upserts);
  delta.removals = std::move(removals);
  auto next = policy::apply_delta(*base, delta, sim.clock().unix_time());
  REQUIRE(next.ok());
  shared.snapshot.swap(*next);
  if (tells_worker) worker->post_changed(changed, false, sim.clock().monotonic().nanos);
}

void World::set_policies(const std::string& text) {
  const policy::SnapshotPtr base = shared.snapshot.current();
  policy::SnapshotDelta delta;
  delta.from = base->revision();
  delta.to = delta.from + 1;
  delta.policy_upserts = {{"main", text, "main.cedar", 1}};
  auto next = policy::apply_delta(*base, delta, sim.clock().unix_time());
  REQUIRE(next.ok());
  shared.snapshot.swap(*next);
  worker->post_changed(std::make_shared<std::vector<contract::EntityId>>(), true, sim.clock().monotonic().nanos);
}

void World::revoke(const std::string& user) { change({make_user(user, true)}); }

std::vector<contract::Event> World::events() const {
  std::vector<contract::Event> out;
  std::uint64_t cursor = ring->begin();
  ring->read(cursor, [&](const enforce::EventRing::Entry& entry) {
    auto event = contract::decode_event(entry.event);
    REQUIRE(event.ok());
    out.push_back(*event);
    return true;
  });
  return out;
}

void World::check_recorded() const {
  std::vector<std::string> allowed;
  for (const contract::Event& event : events()) {
    if (event.detail.find("\"decision\":\"allow\"") != std::string::npos) allowed.push_back(event.decision_id);
  }
  for (const TestApp* app : {site.get(), chat.get()}) {
    for (const AppRequest& request : app->requests) {
      CHECK(std::count(allowed.begin(), allowed.end(), request.field("wary-decision")) == 1);
    }
  }
}

}  // namespace wary::gateway::test
