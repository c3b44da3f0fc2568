#include "identity/signer_service.h"

#include <optional>

#include "codec/error_json.h"
#include "codec/text.h"
#include "identity/issue_batch.h"

namespace wary::identity {

namespace {

constexpr std::int64_t kCallTime = 5 * kNanosPerSecond;
constexpr std::int64_t kPause = 20 * kNanosPerMilli;
constexpr std::size_t kCallersMax = 64;

Error bad_answer() { return fail(ErrorKind::kInternal, "signer_syntax", "the signer's answer is of another form"); }

Result<Authorities> read_authorities(const codec::Json& answer) {
  Authorities out;
  const codec::Json* roots = answer.find("x509_roots");
  const codec::Json* tokens = answer.find("jwt");
  if (roots == nullptr || !roots->is_array() || tokens == nullptr || !tokens->is_array()) return bad_answer();
  for (const codec::Json& root : roots->items()) {
    if (!root.is_string()) return bad_answer();
    WARY_ASSIGN_OR_RETURN(out.x509_roots.emplace_back(), codec::decode_base64(root.as_string()));
  }
  for (const codec::Json& token : tokens->items()) {
    JwtAuthority& one = out.jwt.emplace_back();
    one.kid = token.string_or("kid", "");
    WARY_ASSIGN_OR_RETURN(one.spki, codec::decode_base64(token.string_or("spki", "")));
    one.not_after = {token.integer_or("not_after", 0)};
  }
  out.sequence = static_cast<std::uint64_t>(answer.integer_or("sequence", 0));
  return out;
}

}  // namespace

struct SignerService::Caller {
  Caller(Role its_role, std::unique_ptr<io::Stream> stream)
      : role(its_role), frames(std::move(stream), kSignerFrames) {}
  Role role;
  link::FrameStream frames;
};

SignerService::SignerService(io::Loop& loop, Signer& signer, Log& log) : loop_(loop), signer_(signer), log_(log) {}
SignerService::~SignerService() = default;

Status SignerService::listen(Role role, const std::string& path, uid_t uid) {
  WARY_ASSIGN_OR_RETURN(auto listener, loop_.listen(io::Address::unix_socket(path), {.mode = 0666},
                                                    [this, role, uid](std::unique_ptr<io::Stream> stream) {
                                                      accepted(role, uid, std::move(stream));
                                                    }));
  listeners_.push_back(std::move(listener));
  return {};
}

void SignerService::accepted(Role role, uid_t uid, std::unique_ptr<io::Stream> stream) {
  const io::PeerCredentials peer = stream->peer_credentials();
  if (peer.uid != uid || callers_.size() >= kCallersMax) {
    log_.warn("signer.refused", {{"uid", std::int64_t{peer.uid}}});
    return;
  }
  auto caller = std::make_unique<Caller>(role, std::move(stream));
  Caller* raw = caller.get();
  callers_.emplace(raw, std::move(caller));
  raw->frames.start([this, raw](std::uint8_t type, ByteView payload) { on_request(*raw, type, payload); },
                    [this, raw](const Error&) { callers_.erase(raw); });
}

void SignerService::on_request(Caller& caller, std::uint8_t type, ByteView payload) {
  if (type == kIssueRequest) return on_batch(caller, payload);
  const auto request = codec::parse_json(as_text(payload), {.bytes = 64 * 1024, .depth = 8});
  if (type != kRequest || !request) return caller.frames.close();
  const auto answer = signer_.handle(caller.role, *request);
  if (!answer && answer.error().code == "signer_forbidden") return forbidden(caller);
  const codec::Json out = answer ? *answer : codec::Json::object({{"error", codec::to_json(answer.error())}});
  (void)caller.frames.send(kAnswer, as_bytes(out.to_string()));
}

void SignerService::on_batch(Caller& caller, ByteView payload) {
  const auto requests = decode_issue_requests(payload);
  if (!requests) return caller.frames.close();
  std::vector<IssueAnswer> answers;
  for (const IssueRequest& request : *requests) {
    crypto::LeafOptions leaf;
    leaf.spiffe_id = request.spiffe_id;
    answers.push_back(signer_.issue(caller.role, request.csr, std::move(leaf), request.ttl_seconds));
    if (!answers.back() && answers.back().error().code == "signer_forbidden") return forbidden(caller);
  }
  (void)caller.frames.send(kIssueAnswer, encode(answers));
}

void SignerService::forbidden(Caller& caller) {
  log_.error("signer.forbidden", {{"role", caller.role == Role::kEdge ? "edge" : "control"}});
  caller.frames.close();
}

SignerClient::SignerClient(Clock& clock, std::string path)
    : loop_(io::make_epoll_loop(clock)), path_(std::move(path)) {}
SignerClient::~SignerClient() = default;

Result<codec::Json> SignerClient::call(const codec::Json& request) {
  const bool was_connected = frames_ != nullptr;
  auto answer = call_once(request);
  // A signer that was restarted since the last call: once more, over a fresh connection.
  if (!answer && answer.error().code == "signer_unavailable" && was_connected && !interrupted_) {
    answer = call_once(request);
  }
  if (!answer) return answer;
  if (const codec::Json* error = answer->find("error")) {
    return fail(ErrorKind::kInvalid, error->string_or("code", "signer_failed"), error->string_or("message", ""));
  }
  return answer;
}

Result<codec::Json> SignerClient::call_once(const codec::Json& request) {
  const std::string text = request.to_string();
  if (text.size() > kSignerFrames.frame_bytes) {
    return fail(ErrorKind::kInvalid, "signer_request_size", "the signer takes no request of this size")
        .expected("at most " + std::to_string(kSignerFrames.frame_bytes) + " bytes")
        .found(std::to_string(text.size()));
  }
  // It may have closed behind its last answer.
  if (frames_ && !frames_->is_open()) frames_.reset();
  std::optional<Result<codec::Json>> outcome;
  bool runs = false;
  const auto finish = [&](Result<codec::Json> result) {
    if (outcome) return;
    outcome.emplace(std::move(result));
    // A loop that is stopped before it runs does not run the next time.
    if (runs) loop_->stop();
  };
  const auto unavailable = [&](const Error& why) {
    return fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer does not answer").at(path_).found(why.code);
  };
  const auto begin = [&] {
    frames_->start([&](std::uint8_t, ByteView payload) { finish(codec::parse_json(as_text(payload))); },
                   [&](const Error& why) { finish(unavailable(why)); });
    const Status sent = frames_->send(kRequest, as_bytes(text));
    if (!sent) finish(unavailable(sent.error()));
  };
  const io::TimerId timer = loop_->after(kCallTime, [&] {
    finish(fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer does not answer").at(path_));
  });
  if (frames_) {
    begin();
  } else {
    loop_->connect(io::Address::unix_socket(path_), kCallTime, [&](Result<std::unique_ptr<io::Stream>> stream) {
      if (!stream) return finish(unavailable(stream.error()));
      frames_ = std::make_unique<link::FrameStream>(std::move(stream).value(), kSignerFrames);
      begin();
    });
  }
  runs = true;
  if (!outcome && !interrupted_) loop_->run();
  loop_->cancel(timer);
  if (!outcome) {
    outcome.emplace(fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer is not asked any more").at(path_));
  }
  if (!*outcome) frames_.reset();
  return std::move(*outcome);
}

void SignerClient::interrupt() {
  interrupted_ = true;
  loop_->stop();
}

void SignerClient::pause() {
  loop_->after(kPause, [this] { loop_->stop(); });
  loop_->run();
}

Result<SignerClient::PublicKeys> SignerClient::public_keys(std::int64_t patience) {
  codec::Json request = codec::Json::object();
  request.set("op", "public");
  const std::int64_t until = loop_->now().nanos + patience;
  Result<codec::Json> called = call(request);
  while (!called && called.error().code == "signer_unavailable" && loop_->now().nanos < until) {
    pause();
    called = call(request);
  }
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, std::move(called));
  PublicKeys keys;
  keys.origin = answer.string_or("origin", "");
  keys.trust_domain = answer.string_or("trust_domain", "");
  WARY_ASSIGN_OR_RETURN(keys.ledger, codec::decode_base64(answer.string_or("ledger", "")));
  WARY_ASSIGN_OR_RETURN(keys.snapshot, codec::decode_base64(answer.string_or("snapshot", "")));
  WARY_ASSIGN_OR_RETURN(keys.ca, codec::decode_base64(answer.string_or("ca", "")));
  return keys;
}

Result<Bytes> SignerClient::sign(std::string_view operation, ByteView message) {
  codec::Json request = codec::Json::object();
  request.set("op", operation).set("message", codec::encode_base64(message));
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call(request));
  return codec::decode_base64(answer.string_or("signature", ""));
}

Result<SignerClient::Issued> SignerClient::issue(codec::Json request) {
  request.set("op", "certificate.issue");
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call(request));
  Issued issued;
  const codec::Json* chain = answer.find("chain");
  if (chain == nullptr || !chain->is_array() || chain->items().empty()) return bad_answer();
  for (const codec::Json& certificate : chain->items()) {
    if (!certificate.is_string()) return bad_answer();
    WARY_ASSIGN_OR_RETURN(issued.chain.emplace_back(), codec::decode_base64(certificate.as_string()));
  }
  issued.not_after = {answer.integer_or("not_after", 0)};
  return issued;
}

Result<SignerClient::Issued> SignerClient::issue_names(ByteView csr, const std::vector<std::string>& names) {
  codec::Json request = codec::Json::object();
  codec::Json list = codec::Json::array();
  for (const std::string& name : names) list.push(codec::Json(name));
  request.set("csr", codec::encode_base64(csr)).set("dns_names", std::move(list));
  return issue(std::move(request));
}

Result<SignerClient::Issued> SignerClient::issue_workload(ByteView csr, const std::string& spiffe_id,
                                                          std::int64_t ttl_seconds) {
  codec::Json request = codec::Json::object();
  request.set("csr", codec::encode_base64(csr)).set("spiffe_id", std::string_view(spiffe_id));
  request.set("ttl_seconds", ttl_seconds);
  return issue(std::move(request));
}

Result<Authorities> SignerClient::authorities() {
  codec::Json request = codec::Json::object();
  request.set("op", "authorities");
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call(request));
  return read_authorities(answer);
}

Result<std::string> SignerClient::sign_jwt(const std::string& spiffe_id, const std::vector<std::string>& audiences,
                                           std::int64_t ttl_seconds) {
  codec::Json list = codec::Json::array(), request = codec::Json::object();
  for (const std::string& audience : audiences) list.push(codec::Json(audience));
  request.set("op", "jwt.sign").set("spiffe_id", std::string_view(spiffe_id)).set("audiences", std::move(list));
  request.set("ttl_seconds", ttl_seconds);
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call(request));
  return std::string(answer.string_or("token", ""));
}

Result<Authorities> SignerClient::rotate(const Authority::Rotation& rotation) {
  codec::Json request = codec::Json::object();
  request.set("op", "ca.rotate").set("kind", to_string(rotation.kind)).set("at_once", rotation.at_once);
  request.set("grace_seconds", rotation.grace_seconds);
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call(request));
  return read_authorities(answer);
}

}  // namespace wary::identity
