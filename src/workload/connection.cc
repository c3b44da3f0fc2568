#include "workload/connection.h"

#include <algorithm>

#include "workload/api_files.h"

namespace wary::workload {

namespace {

using http::GrpcCode;

constexpr std::string_view kWorkloadApi = "/SpiffeWorkloadAPI/";
constexpr std::string_view kStreamSecrets = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
constexpr std::string_view kFetchSecrets = "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets";

bool is_reflection(std::string_view path) {
  return path == "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" ||
         path == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
}

bool begins_with_one_message(std::string_view path) {
  if (path == kFetchSecrets) return true;
  if (!path.starts_with(kWorkloadApi)) return false;
  path.remove_prefix(kWorkloadApi.size());
  return path == "FetchX509SVID" || path == "FetchX509Bundles" || path == "FetchJWTBundles" || path == "FetchJWTSVID" ||
         path == "ValidateJWTSVID";
}

}  // namespace

http::GrpcResult refused(GrpcCode code, std::string_view why) { return {code, std::string(why), {}}; }

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

Service::Connection::Connection(Service& service, std::unique_ptr<io::Stream> stream,
                                std::unique_ptr<io::PeerProcess> peer, const io::PeerCredentials& credentials,
                                io::ProcessFacts connected, std::function<void()> ended)
    : Wire(service.loop_, std::move(stream), std::move(ended)),
      service_(service),
      peer_(std::move(peer)),
      credentials_(credentials),
      connected_{std::move(connected), {}},
      session_([this](const http::Http2Request& request) { return answer(request); }),
      calls_(session_, stream_parts()) {
  session_.on_closed = [this](std::int32_t number) { closed(number); };
}

Service::Connection::~Connection() {
  service_.loop_.unwatch(peer_->descriptor());
  for (auto& [number, stream] : streams_) let_go(stream);
}

http::GrpcStreamParts Service::Connection::stream_parts() {
  http::GrpcStreamParts parts;
  // What nobody serves is among them: it is refused by its head, whatever its client goes on to send.
  parts.is_stream = [](std::string_view path) { return !begins_with_one_message(path); };
  parts.open = [this](const http::Http2Request& head) { return counted(open_stream(head)); };
  parts.on_message = [this](std::int32_t number, std::string_view message) { heard(number, message); };
  parts.on_finished = [this](std::int32_t number) { closed(number); };
  return parts;
}

void Service::Connection::refresh() {
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

void Service::Connection::pass(Monotonic now) {
  if (calls_.size() == 0) return;
  calls_.pass(now);
  push(session_.flush());
}

std::string Service::Connection::receive(std::string_view bytes) {
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

http::Http2Response Service::Connection::answer(const http::Http2Request& request) {
  if (calls_.is_stream(request.path)) return calls_.answer(request);
  return http::answer_grpc(request, [this](const http::Http2Request& call, std::string_view message) {
    return counted(dispatch(call, message));
  });
}

http::GrpcResult Service::Connection::counted(http::GrpcResult result) {
  service_.calls_.add();
  if (result.code == GrpcCode::kPermissionDenied) service_.denied_.add();
  return result;
}

http::GrpcResult Service::Connection::dispatch(const http::Http2Request& call, std::string_view message) {
  if (call.path == kFetchSecrets) return fetch_secrets(call.stream, message);
  if (call.header("workload.spiffe.io") != "true") {
    return refused(GrpcCode::kInvalidArgument, "the metadata workload.spiffe.io: true is required");
  }
  return call_workload_api(call, message);
}

http::GrpcResult Service::Connection::open_stream(const http::Http2Request& head) {
  Open open;
  if (is_reflection(head.path)) {
    open.kind = Kind::kReflection;
  } else if (head.path == kStreamSecrets) {
    http::GrpcResult refusal;
    auto caller = identify(refusal);
    if (!caller) return refusal;
    open.kind = Kind::kSecrets;
    open.who = std::move(caller->who);
  } else {
    return refused(GrpcCode::kUnimplemented, "this method is not served");
  }
  streams_[head.stream] = std::move(open);
  return {GrpcCode::kOk, {}, {}};
}

void Service::Connection::heard(std::int32_t number, std::string_view message) {
  const auto found = streams_.find(number);
  if (found == streams_.end()) return;
  if (found->second.kind == Kind::kSecrets) return heard_secrets(number, found->second, message);
  const auto reply = api_files().reply(message);
  if (!reply) return finish(number, GrpcCode::kInvalidArgument, reply.error().message);
  write(number, *reply);
}

std::optional<Service::Connection::Caller> Service::Connection::identify(http::GrpcResult& refusal) {
  if (!service_.parts_.is_ready()) {
    refusal = refused(GrpcCode::kUnavailable, "the agent does not know the workloads yet");
    return std::nullopt;
  }
  auto who = attest();
  if (!who) {
    refusal = refused(code_of(who.error()), who.error().message);
    return std::nullopt;
  }
  auto entries = service_.parts_.entries.match(who->selectors);
  if (entries.empty()) {
    refusal = no_identity();
    return std::nullopt;
  }
  return Caller{std::move(who).value(), std::move(entries)};
}

Result<Attested> Service::Connection::attest() {
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
    service_.refusals_.warn(
        service_.loop_.now(), "workload.unattested", std::to_string(credentials_.uid),
        {{"pid", std::int64_t{peer_->pid()}}, {"uid", std::int64_t{credentials_.uid}}, {"code", who.error().code}});
  }
  return who;
}

http::GrpcResult Service::Connection::no_identity() {
  service_.refusals_.info(service_.loop_.now(), "workload.no_identity", std::to_string(credentials_.uid),
                          {{"pid", std::int64_t{peer_->pid()}}, {"uid", std::int64_t{credentials_.uid}}});
  return refused(GrpcCode::kPermissionDenied,
                 "no workload of this node has the selectors of this process (wary workload selectors PID shows them)");
}

bool Service::Connection::federates(const Matched& entries, const std::string& domain) {
  return std::any_of(entries.begin(), entries.end(), [&](const Entry* entry) {
    return std::binary_search(entry->federates_with.begin(), entry->federates_with.end(), domain);
  });
}

void Service::Connection::begin(std::int32_t number, Open& open) {
  if (open.kind == Kind::kJwt) return ask_tokens(number, open);
  update(number, open);
}

void Service::Connection::update(std::int32_t number, Open& open) {
  if (open.kind == Kind::kJwt || open.kind == Kind::kReflection) return;
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
  if (open.kind == Kind::kSecrets) return update_secrets(number, open, entries);
  update_bundles(number, open, entries);
}

void Service::Connection::hold(Open& open, const Matched& entries) {
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

void Service::Connection::write(std::int32_t number, std::string_view message) {
  if (calls_.has(number)) return void(calls_.write(number, message));
  std::string framed = http::frame_grpc(message);
  (void)session_.write(number, framed);
  wary::wipe(framed.data(), framed.size());
}

void Service::Connection::finish(std::int32_t number, GrpcCode code, std::string_view why) {
  if (calls_.has(number)) return calls_.finish(number, code, why);  // which tells closed()
  session_.end(number, http::grpc_trailers(code, why));
  closed(number);
}

void Service::Connection::let_go(Open& open) {
  for (const std::string& id : open.held) service_.svids_.release(id);
  open.held.clear();
}

void Service::Connection::closed(std::int32_t number) {
  calls_.closed(number);
  const auto found = streams_.find(number);
  if (found == streams_.end()) return;
  let_go(found->second);
  streams_.erase(found);
  audiences_.erase(number);
}

}  // namespace wary::workload
