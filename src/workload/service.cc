#include "workload/service.h"

#include <algorithm>

#include "http/grpc.h"
#include "http/wire.h"
#include "workload/messages.h"

namespace wary::workload {

namespace {

using http::GrpcCode;

constexpr std::size_t kConnectionsMax = 1024;
constexpr std::size_t kConnectionsOfUserMax = 64;
constexpr std::int64_t kServiceLookEvery = kNanosPerSecond;
constexpr std::uint64_t kLooksToForgive = 3;  // a frame: pings of a client that keeps its connection alive
constexpr std::string_view kService = "/SpiffeWorkloadAPI/";

std::string text_of(ByteView bytes) { return std::string(as_text(bytes)); }

http::GrpcResult refused(GrpcCode code, std::string_view why) { return {code, std::string(why), {}}; }

// Errors that a caller is meant to see as they are; what is the agent's own stays in its log.
GrpcCode code_of(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kInvalid: return GrpcCode::kInvalidArgument;
    case ErrorKind::kDenied:
    case ErrorKind::kUnauthenticated:
    case ErrorKind::kNotFound: return GrpcCode::kPermissionDenied;
    default: return GrpcCode::kUnavailable;
  }
}

std::string id_of_domain(const std::string& domain) { return "spiffe://" + domain; }

}  // namespace

class Service::Connection final : public http::Wire {
 public:
  Connection(Service& service, std::unique_ptr<io::Stream> stream, std::unique_ptr<io::PeerProcess> peer,
             const io::PeerCredentials& credentials, io::ProcessFacts connected, std::function<void()> ended)
      : Wire(service.loop_, std::move(stream), std::move(ended)),
        service_(service),
        peer_(std::move(peer)),
        credentials_(credentials),
        connected_{std::move(connected), {}},
        session_([this](const http::Http2Request& request) { return answer(request); }) {
    session_.on_closed = [this](std::int32_t stream_number) { closed(stream_number); };
  }
  ~Connection() override {
    service_.loop_.unwatch(peer_->descriptor());
    for (auto& [number, stream] : streams_) let_go(stream);
  }
  Status watch(std::function<void()> ended) { return service_.loop_.watch(peer_->descriptor(), std::move(ended)); }
  uid_t uid() const { return credentials_.uid; }
  void forgive(std::size_t frames) { session_.forgive(frames); }

  // Every open stream again: what it should have by now.
  void refresh() {
    if (streams_.empty()) return;
    // Numbers: a stream may end on the way.
    std::vector<std::int32_t> numbers;
    for (const auto& [number, stream] : streams_) numbers.push_back(number);
    for (const std::int32_t number : numbers) {
      const auto found = streams_.find(number);
      if (found != streams_.end()) update(number, found->second);
    }
    push(session_.flush());
  }

 private:
  enum class Kind { kX509, kX509Bundles, kJwtBundles, kJwt };
  struct Open {
    Kind kind = Kind::kX509;
    Attested who;
    std::vector<std::string> held;  // of svids_
    std::string sent;               // of what was sent last: numbers for SVIDs, the message itself for bundles
    std::size_t waiting = 0;        // JWT-SVIDs on their way
    std::vector<JwtSvidMessage> tokens;
  };

  std::string receive(std::string_view bytes) override {
    std::string out = session_.receive(bytes);
    // What a handler opened has its first message by now, or soon.
    std::vector<std::int32_t> fresh;
    fresh.swap(fresh_);
    for (const std::int32_t number : fresh) {
      const auto found = streams_.find(number);
      if (found != streams_.end()) begin(number, found->second);
    }
    return out + session_.flush();
  }
  bool is_over() const override { return session_.is_over(); }

  http::Http2Response answer(const http::Http2Request& request) {
    return http::answer_grpc(request, [this](const http::Http2Request& call, std::string_view message) {
      service_.calls_.add();
      http::GrpcResult result = dispatch(call, message);
      if (result.code == GrpcCode::kPermissionDenied) service_.denied_.add();
      return result;
    });
  }

  http::GrpcResult dispatch(const http::Http2Request& call, std::string_view message) {
    std::string_view method = call.path;
    if (!method.starts_with(kService))
      return refused(GrpcCode::kUnimplemented, "this socket serves the SPIFFE Workload API");
    method.remove_prefix(kService.size());
    if (call.header("workload.spiffe.io") != "true") {
      return refused(GrpcCode::kInvalidArgument, "the metadata workload.spiffe.io: true is required");
    }
    const bool known = method == "FetchX509SVID" || method == "FetchX509Bundles" || method == "FetchJWTBundles" ||
                       method == "FetchJWTSVID" || method == "ValidateJWTSVID";
    if (!known) return refused(GrpcCode::kUnimplemented, "this method is not served");
    if (!service_.parts_.is_ready())
      return refused(GrpcCode::kUnavailable, "the agent does not know the workloads yet");
    auto who = attest();
    if (!who) return refused(code_of(who.error()), who.error().message);
    const auto entries = service_.parts_.entries.match(who->selectors);
    if (entries.empty()) return no_identity();
    if (method == "ValidateJWTSVID") return validate(message);
    if (method == "FetchJWTSVID") return fetch_jwt(call.stream, message, std::move(who).value(), entries);
    if (const Status empty = check_empty_request(message); !empty) {
      return refused(GrpcCode::kInvalidArgument, empty.error().message);
    }
    Open open;
    open.kind = method == "FetchX509SVID"      ? Kind::kX509
                : method == "FetchX509Bundles" ? Kind::kX509Bundles
                                               : Kind::kJwtBundles;
    open.who = std::move(who).value();
    streams_[call.stream] = std::move(open);
    fresh_.push_back(call.stream);
    return {GrpcCode::kOk, {}, {}, true, false};
  }

  Result<Attested> attest() {
    // Who connects and then becomes another program may have left the connection to somebody else as well.
    if (!service_.attestor_.is_same(*peer_, connected_)) {
      return fail(ErrorKind::kDenied, "attest_changed",
                  "the process ended, or is another program or user than when it connected")
          .next("connect again");
    }
    AttestOptions options;
    options.program_hash = service_.parts_.entries.ask_for("unix:sha256:");
    auto who = service_.attestor_.attest(*peer_, credentials_, options);
    if (!who) {
      service_.log_.warn(
          "workload.unattested",
          {{"pid", std::int64_t{peer_->pid()}}, {"uid", std::int64_t{credentials_.uid}}, {"code", who.error().code}});
    }
    return who;
  }

  http::GrpcResult no_identity() {
    service_.log_.info("workload.no_identity",
                       {{"pid", std::int64_t{peer_->pid()}}, {"uid", std::int64_t{credentials_.uid}}});
    return refused(
        GrpcCode::kPermissionDenied,
        "no workload of this node has the selectors of this process (wary workload selectors PID shows them)");
  }

  http::GrpcResult validate(std::string_view message) {
    const auto request = decode_validate_request(message);
    if (!request) return refused(GrpcCode::kInvalidArgument, request.error().message);
    const auto valid = service_.parts_.validate_jwt(request->token, request->audience);
    if (!valid) return refused(GrpcCode::kInvalidArgument, valid.error().code + ": " + valid.error().message);
    return {GrpcCode::kOk, {}, encode_validated(valid->spiffe_id, valid->claims)};
  }

  http::GrpcResult fetch_jwt(std::int32_t number, std::string_view message, Attested who,
                             const std::vector<const Entry*>& entries) {
    const auto request = decode_jwt_request(message);
    if (!request) return refused(GrpcCode::kInvalidArgument, request.error().message);
    Open open;
    open.kind = Kind::kJwt;
    open.who = std::move(who);
    for (const Entry* entry : entries) {
      if (!request->spiffe_id.empty() && request->spiffe_id != entry->spiffe_id) continue;
      open.tokens.push_back({entry->spiffe_id, {}, entry->hint});
    }
    if (open.tokens.empty()) return refused(GrpcCode::kPermissionDenied, "this process is not that workload");
    for (std::size_t i = 0; i < open.tokens.size(); ++i) {
      if (!service_.may_sign(credentials_.uid)) {
        return refused(GrpcCode::kResourceExhausted,
                       "too many tokens in too short a time; keep one until it is half used");
      }
    }
    open.waiting = open.tokens.size();
    streams_[number] = std::move(open);
    audiences_[number] = request->audiences;
    fresh_.push_back(number);
    return {GrpcCode::kOk, {}, {}, true, false};
  }

  void begin(std::int32_t number, Open& open) {
    if (open.kind != Kind::kJwt) return update(number, open);
    const std::vector<std::string> audiences = std::move(audiences_[number]);
    audiences_.erase(number);
    const std::weak_ptr<int> alive = alive_;
    for (std::size_t i = 0; i < open.tokens.size(); ++i) {
      service_.parts_.issue_jwt({open.tokens[i].spiffe_id, audiences}, [this, alive, number,
                                                                        i](Result<std::string> token) {
        if (alive.expired()) return;
        service_.loop_.post([this, alive, number, i, token = std::make_shared<Result<std::string>>(std::move(token))] {
          if (!alive.expired()) got_token(number, i, *token);
        });
      });
    }
  }

  void got_token(std::int32_t number, std::size_t place, const Result<std::string>& token) {
    const auto found = streams_.find(number);
    if (found == streams_.end()) return;
    Open& open = found->second;
    if (!token) {
      finish(number, code_of(token.error()), token.error().message);
    } else if (!is_same_process(open)) {
      finish(number, GrpcCode::kPermissionDenied, "the process became another program or user");
    } else {
      open.tokens[place].token = *token;
      if (--open.waiting > 0) return;
      session_.write(number, http::frame_grpc(encode_jwt_svids(open.tokens)));
      finish(number, GrpcCode::kOk, "");
    }
    push(session_.flush());
  }

  bool is_same_process(const Open& open) const { return service_.attestor_.is_same(*peer_, open.who); }

  void update(std::int32_t number, Open& open) {
    if (open.kind == Kind::kJwt) return;
    if (!is_same_process(open)) {
      return finish(number, GrpcCode::kPermissionDenied, "the process became another program or user");
    }
    // A hash that nobody asked for when the stream was opened may be asked for by now.
    const bool lacks_hash = service_.parts_.entries.ask_for("unix:sha256:") &&
                            std::none_of(open.who.selectors.begin(), open.who.selectors.end(),
                                         [](const std::string& one) { return one.starts_with("unix:sha256:"); });
    if (lacks_hash) {
      auto again = attest();
      if (!again) return finish(number, code_of(again.error()), again.error().message);
      open.who = std::move(again).value();
    }
    const auto entries = service_.parts_.entries.match(open.who.selectors);
    if (entries.empty()) return finish(number, GrpcCode::kPermissionDenied, "this process is no workload any more");
    if (open.kind == Kind::kX509) return update_svids(number, open, entries);
    BundleMap map;
    for (const auto& [domain, bundle] : service_.parts_.bundles) {
      const bool wanted = domain == service_.parts_.trust_domain || federates(entries, domain);
      if (wanted) map[id_of_domain(domain)] = open.kind == Kind::kX509Bundles ? bundle.x509 : bundle.jwt;
    }
    std::string message = open.kind == Kind::kX509Bundles ? encode_x509_bundles(map) : encode_jwt_bundles(map);
    if (message == open.sent) return;
    open.sent = message;
    write(number, message);
  }

  static bool federates(const std::vector<const Entry*>& entries, const std::string& domain) {
    return std::any_of(entries.begin(), entries.end(), [&](const Entry* entry) {
      return std::binary_search(entry->federates_with.begin(), entry->federates_with.end(), domain);
    });
  }

  void update_svids(std::int32_t number, Open& open, const std::vector<const Entry*>& entries) {
    hold(open, entries);
    const auto own = service_.parts_.bundles.find(service_.parts_.trust_domain);
    if (own == service_.parts_.bundles.end()) {
      return finish(number, GrpcCode::kUnavailable, "the trust domain's bundle is not known yet");
    }
    std::vector<X509SvidMessage> messages;
    std::string shown = own->second.x509;
    BundleMap federated;
    std::set<std::string> hints;
    for (const Entry* entry : entries) {
      const Svid* svid = service_.svids_.find(entry->spiffe_id);
      if (svid == nullptr) {
        const Error* failed = service_.svids_.failure(entry->spiffe_id);
        if (failed != nullptr) finish(number, code_of(*failed), failed->message);
        wipe(messages);
        return;  // it comes, and this is called again
      }
      X509SvidMessage& message = messages.emplace_back();
      message.spiffe_id = entry->spiffe_id;
      for (const Bytes& certificate : svid->chain) message.chain += text_of(certificate);
      message.key = text_of(svid->key.reveal());
      message.bundle = own->second.x509;
      // Two of one hint: the first has it.
      if (!entry->hint.empty() && hints.insert(entry->hint).second) message.hint = entry->hint;
      shown += ":" + std::to_string(svid->number) + message.hint;
    }
    for (const auto& [domain, bundle] : service_.parts_.bundles) {
      if (domain == service_.parts_.trust_domain || !federates(entries, domain)) continue;
      federated[id_of_domain(domain)] = bundle.x509;
      shown += "/" + domain + bundle.x509;
    }
    if (shown != open.sent) {
      std::string message = encode_x509_svids(messages, federated);
      open.sent = std::move(shown);
      write(number, message);
      wary::wipe(message.data(), message.size());
    }
    wipe(messages);
  }

  static void wipe(std::vector<X509SvidMessage>& messages) {
    for (X509SvidMessage& message : messages) wary::wipe(message.key.data(), message.key.size());
  }

  // What it holds from now on is what it is.
  void hold(Open& open, const std::vector<const Entry*>& entries) {
    std::vector<std::string> next;
    for (const Entry* entry : entries) {
      next.push_back(entry->spiffe_id);
      // One that was taken away and came back meanwhile is begun anew.
      const bool is_held = std::binary_search(open.held.begin(), open.held.end(), entry->spiffe_id);
      if (!is_held || !service_.svids_.knows(entry->spiffe_id)) service_.svids_.hold(*entry);
    }
    for (const std::string& id : open.held) {
      if (!std::binary_search(next.begin(), next.end(), id)) service_.svids_.release(id);
    }
    open.held = std::move(next);
  }

  void write(std::int32_t number, std::string_view message) {
    std::string framed = http::frame_grpc(message);
    (void)session_.write(number, framed);
    wary::wipe(framed.data(), framed.size());
  }

  void finish(std::int32_t number, GrpcCode code, std::string_view why) {
    session_.end(number, http::grpc_trailers(code, why));
    const auto found = streams_.find(number);
    if (found == streams_.end()) return;
    let_go(found->second);
    streams_.erase(found);
  }

  void let_go(Open& open) {
    for (const std::string& id : open.held) service_.svids_.release(id);
    open.held.clear();
  }

  void closed(std::int32_t number) {
    const auto found = streams_.find(number);
    if (found == streams_.end()) return;
    let_go(found->second);
    streams_.erase(found);
    audiences_.erase(number);
  }

  Service& service_;
  std::unique_ptr<io::PeerProcess> peer_;
  io::PeerCredentials credentials_;
  Attested connected_;  // what it was when it was accepted
  http::Http2 session_;
  std::map<std::int32_t, Open> streams_;
  std::map<std::int32_t, std::vector<std::string>> audiences_;  // of streams that were not begun yet
  std::vector<std::int32_t> fresh_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

Service::Service(io::Loop& loop, Clock& clock, Random& random, io::Files& files, Log& log, Metrics& metrics,
                 ServiceParts parts)
    : loop_(loop),
      clock_(clock),
      log_(log),
      parts_(std::move(parts)),
      attestor_(files),
      svids_(loop, clock, random, parts_.issue, [this](const std::string&) { refresh_all(); }),
      calls_(metrics.counter("wary_workload_calls_total", "Calls of the Workload API")),
      denied_(metrics.counter("wary_workload_denied_total", "Calls by processes that are no workload")),
      open_connections_(metrics.gauge("wary_workload_connections", "Open connections to the Workload API")),
      identities_(metrics.gauge("wary_workload_identities", "Identities whose keys are held now")) {
  timer_ = loop_.after(kServiceLookEvery, [this] { look(); });
}

Service::~Service() {
  loop_.cancel(timer_);
  connections_.clear();
}

Status Service::listen(const io::Address& address) {
  // Whoever is on this machine may ask: who it is, is the kernel's word.
  WARY_ASSIGN_OR_RETURN(listener_, loop_.listen(address, {.mode = 0666}, [this](std::unique_ptr<io::Stream> stream) {
    accepted(std::move(stream));
  }));
  return {};
}

void Service::accepted(std::unique_ptr<io::Stream> stream) {
  const io::PeerCredentials credentials = stream->peer_credentials();
  auto peer = stream->peer_process();
  auto connected = peer ? io::read_process((*peer)->pid()) : Result<io::ProcessFacts>(peer.error());
  const auto of_user = std::count_if(connections_.begin(), connections_.end(),
                                     [&](const auto& one) { return one.second->uid() == credentials.uid; });
  const bool full =
      connections_.size() >= kConnectionsMax || static_cast<std::size_t>(of_user) >= kConnectionsOfUserMax;
  if (!connected || full) {
    log_.warn("workload.refused",
              {{"uid", std::int64_t{credentials.uid}},
               {"code", connected ? std::string_view("workload_connections") : connected.error().code}});
    return;
  }
  const std::uint64_t number = ++last_;
  const std::weak_ptr<int> alive = alive_;
  const auto ended = [this, alive, number] {
    loop_.post([this, alive, number] {
      if (alive.expired()) return;
      connections_.erase(number);
      open_connections_.set(static_cast<std::int64_t>(connections_.size()));
    });
  };
  auto connection = std::make_unique<Connection>(*this, std::move(stream), std::move(peer).value(), credentials,
                                                 std::move(connected).value(), ended);
  // The process has ended: nobody is there who may have what would be sent now.
  if (!connection->watch(ended)) return;
  connections_[number] = std::move(connection);
  open_connections_.set(static_cast<std::int64_t>(connections_.size()));
}

void Service::refresh_all() {
  if (refreshing_) return;
  refreshing_ = true;
  const std::weak_ptr<int> alive = alive_;
  loop_.post([this, alive] {
    if (alive.expired()) return;
    refreshing_ = false;
    for (auto& [number, connection] : connections_) connection->refresh();
  });
}

// Each is signed and recorded by the control plane, which is everybody's.
bool Service::may_sign(uid_t user) { return tokens_.take(user, clock_.monotonic()); }

void Service::entries_changed() {
  // What is denied is gone now, not when its last stream is looked at.
  svids_.keep_only([this](const std::string& id) {
    const Entry* entry = parts_.entries.find(id);
    return entry != nullptr && !entry->is_barred;
  });
  refresh_all();
}
void Service::bundles_changed() { refresh_all(); }
void Service::authorities_changed() { svids_.renew_all(); }

void Service::look() {
  timer_ = loop_.after(kServiceLookEvery, [this] { look(); });
  identities_.set(static_cast<std::int64_t>(svids_.size()));
  if (++looks_ % kLooksToForgive != 0) return;
  for (auto& [number, connection] : connections_) connection->forgive(1);
}

}  // namespace wary::workload
