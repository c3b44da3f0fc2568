#include "node/membership.h"

#include <algorithm>

#include "codec/text.h"
#include "crypto/csr.h"
#include "crypto/hash.h"
#include "http/websocket_stream.h"
#include "node/tpm_device.h"
#include "node/x509pop.h"

namespace wary::node {

namespace {

using codec::Json;

constexpr std::int64_t kStepTime = 10 * kNanosPerSecond;
constexpr std::int64_t kRetryLeast = kNanosPerSecond, kRetryMost = 30 * kNanosPerSecond;
constexpr std::size_t kStateMost = std::size_t{256} << 10;
constexpr std::size_t kEvidenceMost = std::size_t{1} << 20;

Error bad_answer(std::string_view what) {
  return fail(ErrorKind::kInternal, "node_answer", "the control plane's answer cannot be used").at(std::string(what));
}

Result<std::vector<Bytes>> certificates_of(const Json& json, std::string_view name) {
  const Json* list = json.find(name);
  if (list == nullptr || !list->is_array() || list->items().empty()) return bad_answer(name);
  std::vector<Bytes> out;
  for (const Json& item : list->items()) {
    WARY_ASSIGN_OR_RETURN(Bytes bytes, codec::decode_base64(item.is_string() ? item.as_string() : std::string()));
    out.push_back(std::move(bytes));
  }
  return out;
}

Json encoded(const std::vector<Bytes>& certificates) {
  Json out = Json::array();
  for (const Bytes& certificate : certificates) out.push(Json(codec::encode_base64(certificate)));
  return out;
}

// The control plane's error, told as its own.
Error error_of(int status, const Json& body) {
  const Json* told = body.find("error");
  if (told == nullptr) {
    return fail(ErrorKind::kUnavailable, "node_answer", "the control plane answered without saying why")
        .found("status " + std::to_string(status));
  }
  const ErrorKind kind = status == 401 || status == 403 || status == 404 ? ErrorKind::kDenied
                         : status == 400                                 ? ErrorKind::kInvalid
                                                                         : ErrorKind::kUnavailable;
  Error error = fail(kind, told->string_or("code", "node_answer"), told->string_or("message", "refused"));
  error.found_text = told->string_or("found", "");
  error.next_step = told->string_or("next", "");
  return error;
}

}  // namespace

bool may_pass(const Error& error) {
  return error.kind == ErrorKind::kUnavailable || error.kind == ErrorKind::kTimeout ||
         error.kind == ErrorKind::kExhausted || error.kind == ErrorKind::kInternal;
}

Membership::Membership(MembershipParts parts, MembershipOptions options)
    : parts_(std::move(parts)), options_(std::move(options)) {}

Membership::~Membership() { parts_.loop.cancel(timer_); }

Status Membership::open() {
  const std::string path = options_.directory + "/node.key";
  auto held = io::read_file(parts_.files, path, kStateMost);
  if (held) {
    auto key = crypto::PrivateKey::from_pkcs8(*held);
    wipe(held->data(), held->size());
    if (!key) return std::move(key).error().at(path).next("remove it, and join anew");
    key_ = std::make_shared<const crypto::PrivateKey>(std::move(key).value());
  } else {
    if (held.error().kind != ErrorKind::kNotFound) return std::move(held).error();
    WARY_ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
    WARY_ASSIGN_OR_RETURN(const Secret der, key.to_pkcs8());
    WARY_RETURN_IF_ERROR(io::write_file_atomically(parts_.files, path, der.reveal()));
    key_ = std::make_shared<const crypto::PrivateKey>(std::move(key));
  }
  WARY_ASSIGN_OR_RETURN(csr_, crypto::make_csr(*key_, ""));
  return load();
}

Status Membership::load() {
  const std::string path = options_.directory + "/node.json";
  const auto bytes = io::read_file(parts_.files, path, kStateMost);
  if (!bytes) return bytes.error().kind == ErrorKind::kNotFound ? Status() : Status(bytes.error());
  const auto json = codec::parse_json(as_text(*bytes));
  Status taken = json ? take(*json) : Status(json.error());
  if (taken) return {};
  return fail(ErrorKind::kDataLoss, "node_state", "what is known of this node cannot be read")
      .at(path)
      .found(taken.error().code)
      .next("remove it, and join anew");
}

Status Membership::keep() const {
  Json json = Json::object();
  json.set("node", std::string_view(identity_.name)).set("trust_domain", std::string_view(identity_.trust_domain));
  json.set("chain", encoded(identity_.chain)).set("roots", encoded(identity_.roots));
  json.set("snapshot_key", codec::encode_base64(identity_.snapshot_key));
  return io::write_file_atomically(parts_.files, options_.directory + "/node.json", as_bytes(json.to_string()));
}

Status Membership::take(const Json& answer) {
  Identity made;
  made.name = answer.string_or("node", "");
  made.trust_domain = answer.string_or("trust_domain", "");
  if (made.name.empty() || made.name.size() > 63 || made.trust_domain.empty()) return bad_answer("node");
  WARY_ASSIGN_OR_RETURN(made.chain, certificates_of(answer, "chain"));
  WARY_ASSIGN_OR_RETURN(made.roots, certificates_of(answer, "roots"));
  WARY_ASSIGN_OR_RETURN(made.snapshot_key, codec::decode_base64(answer.string_or("snapshot_key", "")));
  if (made.snapshot_key.size() != 32) return bad_answer("snapshot_key");
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate leaf, crypto::parse_certificate(made.chain.front()));
  if (leaf.public_key != key_->public_key().to_spki()) return bad_answer("chain");
  made.not_before = leaf.not_before;
  made.not_after = leaf.not_after;
  identity_ = std::move(made);
  has_joined_ = true;
  return {};
}

void Membership::trust(std::vector<Bytes> roots) {
  if (!has_joined_ || roots.empty() || roots == identity_.roots) return;
  identity_.roots = std::move(roots);
  if (const Status kept = keep(); !kept) parts_.log.warn("node.not_kept", {{"code", kept.error().code}});
}

void Membership::start(std::function<void(const Result<Identity>&)> joined) {
  joined_ = std::move(joined);
  if (has_joined_ && parts_.clock.unix_time() < identity_.not_after) {
    // From the loop, as every other answer.
    parts_.loop.post([this] {
      if (joined_) joined_(identity_);
    });
  }
  const UnixTime now = parts_.clock.unix_time();
  const std::int64_t half = (identity_.not_before.nanos + identity_.not_after.nanos) / 2;
  plan(has_joined_ && now.nanos >= identity_.not_before.nanos ? std::max<std::int64_t>(half - now.nanos, 0) : 0);
}

void Membership::plan(std::int64_t nanos) {
  parts_.loop.cancel(timer_);
  timer_ = parts_.loop.after(nanos, [this] {
    timer_ = 0;
    renew();
  });
}

void Membership::renew() {
  if (has_joined_ && !shows_evidence_) return show_key([this](Result<Json> answer) { answered(std::move(answer)); });
  show_evidence();
}

void Membership::answered(Result<Json> answer) {
  Status taken = answer ? take(*answer) : Status(std::move(answer).error());
  if (taken) taken = keep();
  if (!taken) {
    // The control plane does not know the key: what was shown at first is shown again, where there is something.
    const bool forgotten = has_joined_ && taken.error().code == "node_key";
    shows_evidence_ = forgotten && (!options_.show.chain_file.empty() || !options_.show.tpm.empty() ||
                                    !options_.show.join_token.empty());
    parts_.log.warn("node.not_renewed", {{"code", taken.error().code}, {"why", taken.error().message}});
    backoff_ = may_pass(taken.error()) ? std::clamp(backoff_ * 2, kRetryLeast, kRetryMost) : kRetryMost;
    if (shows_evidence_) backoff_ = kRetryLeast;
    plan(backoff_);
    if (joined_ && (!has_joined_ || parts_.clock.unix_time() >= identity_.not_after)) joined_(taken.error());
    return;
  }
  backoff_ = 0;
  shows_evidence_ = false;
  parts_.log.info("node.renewed", {{"node", identity_.name}, {"until", to_rfc3339(identity_.not_after)}});
  const std::int64_t left = identity_.not_after.nanos - parts_.clock.unix_time().nanos;
  // Spread over a tenth, so that machines that started together do not come back together.
  const auto spread =
      static_cast<std::int64_t>(parts_.random.number() % 1000) * std::max<std::int64_t>(left / 10'000, 0);
  plan(std::max<std::int64_t>(left / 2 - spread, kRetryLeast));
  if (joined_) joined_(identity_);
}

Result<crypto::TlsClientContext> Membership::context(bool shows_itself) const {
  crypto::TlsClientOptions options;
  WARY_ASSIGN_OR_RETURN(crypto::TrustRoots roots,
                        crypto::TrustRoots::build(has_joined_ ? identity_.roots : options_.roots));
  options.verify_server = crypto::verify_server_name(std::move(roots), parts_.clock);
  if (shows_itself) options.identity = crypto::TlsIdentity{identity_.chain, key_};
  return crypto::TlsClientContext::build(std::move(options));
}

void Membership::ask(Json body, Answer answer) {
  auto tls = context(false);
  if (!tls) return answer(std::move(tls).error());
  http::ClientRequest request;
  request.method = "POST";
  request.path = "/nodes/join";
  request.host = options_.server.host;
  request.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
  request.body = body.to_string();
  request.timeout_nanos = kStepTime;
  step_ = http::call_tls(parts_.loop, options_.server.tls, *tls, request, [answer](Result<http::TlsReply> reply) {
    if (!reply) return answer(std::move(reply).error());
    auto json = codec::parse_json(reply->response.body);
    if (reply->response.status != 200) {
      return answer(error_of(reply->response.status, json && json->is_object() ? *json : Json::object()));
    }
    answer(std::move(json));
  });
}

void Membership::show_evidence() {
  const Evidence& show = options_.show;
  const Answer done = [this](Result<Json> answer) { answered(std::move(answer)); };
  if (!show.chain_file.empty()) return show_certificate(done);
  if (!show.tpm.empty()) return show_tpm(done);
  if (show.join_token.empty()) {
    return done(fail(ErrorKind::kInvalid, "node_evidence", "nothing is shown why this machine may join")
                    .next("give --token-file, --x509pop-chain with --x509pop-key, or --tpm"));
  }
  Json body = Json::object({{"method", Json("join_token")}});
  body.set("token", std::string_view(show.join_token)).set("csr", codec::encode_base64(csr_));
  ask(std::move(body), done);
}

Result<Bytes> Membership::statement(Method method, const Nonce& own, const Json& challenge) const {
  WARY_ASSIGN_OR_RETURN(const Bytes theirs, codec::decode_base64(challenge.string_or("nonce", "")));
  StatementParts parts;
  if (theirs.size() != parts.server_nonce.size()) return bad_answer("nonce");
  std::copy(theirs.begin(), theirs.end(), parts.server_nonce.begin());
  parts.node_nonce = own;
  parts.csr_sha256 = crypto::sha256(csr_);
  const std::string domain(challenge.string_or("trust_domain", ""));
  parts.trust_domain = domain;
  return statement_of(method, parts);
}

void Membership::exchange(Method method, Json evidence, Prove prove, const Answer& done) {
  Nonce nonce;
  parts_.random.fill(nonce);
  evidence.set("csr", codec::encode_base64(csr_)).set("nonce", codec::encode_base64(nonce));
  ask(evidence, [this, method, done, nonce, prove = std::move(prove), evidence](Result<Json> challenge) {
    if (!challenge) return done(std::move(challenge).error());
    const auto said = statement(method, nonce, *challenge);
    if (!said) return done(said.error());
    Json answer = evidence;
    answer.set("challenge", challenge->string_or("challenge", ""));
    if (Status proved = prove(*challenge, *said, answer); !proved) return done(std::move(proved).error());
    ask(std::move(answer), done);
  });
}

void Membership::show_key(const Answer& done) {
  Json evidence = Json::object({{"method", Json("key")}});
  evidence.set("node", std::string_view(identity_.name));
  exchange(
      Method::kKey, std::move(evidence),
      [key = key_](const Json&, const Bytes& said, Json& answer) -> Status {
        WARY_ASSIGN_OR_RETURN(const Bytes signature, key->sign(said));
        answer.set("signature", codec::encode_base64(signature));
        return {};
      },
      done);
}

void Membership::show_certificate(const Answer& done) {
  auto chain_text = io::read_file(parts_.files, options_.show.chain_file, kEvidenceMost);
  if (!chain_text) return done(std::move(chain_text).error());
  auto chain = decode_device_chain(as_text(*chain_text));
  if (!chain) return done(std::move(chain).error().at(options_.show.chain_file));
  Json evidence = Json::object({{"method", Json("x509pop")}});
  evidence.set("chain", encoded(*chain));
  exchange(
      Method::kX509Pop, std::move(evidence),
      [this](const Json&, const Bytes& said, Json& answer) -> Status {
        WARY_ASSIGN_OR_RETURN(Bytes text, io::read_file(parts_.files, options_.show.key_file, kEvidenceMost));
        auto key = decode_device_key(as_text(text));
        wipe(text.data(), text.size());
        if (!key) return std::move(key).error().at(options_.show.key_file);
        WARY_ASSIGN_OR_RETURN(const Bytes signature, node::prove(*key, said));
        answer.set("signature", codec::encode_base64(signature));
        return {};
      },
      done);
}

void Membership::show_tpm(const Answer& done) {
  auto opened = TpmDevice::open(parts_.files, options_.directory, {.tcti = options_.show.tpm});
  if (!opened) return done(std::move(opened).error());
  const std::shared_ptr<TpmDevice> device = std::move(opened).value();
  std::vector<Bytes> chain;
  if (!device->endorsement_certificate().empty()) chain.push_back(device->endorsement_certificate());
  if (!options_.show.endorsement_chain_file.empty()) {
    const auto text = io::read_file(parts_.files, options_.show.endorsement_chain_file, kEvidenceMost);
    if (!text) return done(text.error());
    auto others = decode_device_chain(as_text(*text));
    if (!others) return done(std::move(others).error().at(options_.show.endorsement_chain_file));
    chain.insert(chain.end(), others->begin(), others->end());
  }
  Json evidence = Json::object({{"method", Json("tpm")}});
  evidence.set("endorsement_key", codec::encode_base64(device->endorsement_public()));
  evidence.set("endorsement_certificates", encoded(chain));
  evidence.set("attestation_key", codec::encode_base64(device->attestation_public()));
  exchange(
      Method::kTpm, std::move(evidence),
      [device](const Json& challenge, const Bytes& said, Json& answer) -> Status {
        const auto blob = codec::decode_base64(challenge.string_or("credential", ""));
        const auto sealed = codec::decode_base64(challenge.string_or("secret", ""));
        if (!blob || !sealed) return bad_answer("challenge");
        WARY_ASSIGN_OR_RETURN(const Secret secret, device->activate(*blob, *sealed));
        constexpr unsigned kQuoted[] = {0, 1, 2, 3, 4, 5, 6, 7};  // firmware, its configuration, secure boot
        WARY_ASSIGN_OR_RETURN(const auto quote, device->quote(crypto::sha256(said), kQuoted));
        answer.set("activated", codec::encode_base64(secret.reveal()));
        answer.set("attested", codec::encode_base64(quote.attested));
        answer.set("signature", codec::encode_base64(quote.signature));
        return {};
      },
      done);
}

// TLS with the node's certificate, then a WebSocket.
Dial Membership::dialler() {
  return [this](const std::function<void(Result<std::unique_ptr<io::Stream>>)>& connected) -> std::shared_ptr<void> {
    auto tls = context(true);
    if (!tls) {
      parts_.loop.post([connected, error = tls.error()] { connected(error); });
      return nullptr;
    }
    std::array<std::uint8_t, 16> nonce;
    parts_.random.fill(nonce);
    const std::string key = codec::encode_base64(nonce);
    http::ClientRequest request;
    request.path = "/nodes/link";
    request.host = options_.server.host;
    // The certificate may be of an earlier key: that this is the one it joined with last is shown here.
    const std::string own = "spiffe://" + identity_.trust_domain + "/wary/node/" + identity_.name;
    const auto proof = key_->sign(link_statement_of(own, key));
    if (!proof) {
      parts_.loop.post([connected, error = proof.error()] { connected(error); });
      return nullptr;
    }
    request.headers = {{"Accept", "application/json"},
                       {"Sec-WebSocket-Version", "13"},
                       {"Sec-WebSocket-Key", key},
                       {"Node-Proof", codec::encode_base64(*proof)}};
    request.asks_for_websocket = true;
    request.timeout_nanos = kStepTime;
    const auto opened = [this, key, connected](Result<http::TlsReply> reply) {
      if (!reply) return connected(std::move(reply).error());
      if (reply->response.status != 101) {
        auto json = codec::parse_json(reply->response.body);
        return connected(error_of(reply->response.status, json && json->is_object() ? *json : Json::object()));
      }
      if (reply->response.header("Sec-WebSocket-Accept") != http::websocket_accept(key)) {
        return connected(bad_answer("Sec-WebSocket-Accept"));
      }
      connected(std::unique_ptr<io::Stream>(std::make_unique<http::WebSocketStream>(
          parts_.loop, std::move(reply->stream), http::WebSocketStream::Side::kClient, reply->rest, parts_.random)));
    };
    return http::call_tls(parts_.loop, options_.server.tls, *tls, request, opened);
  };
}

}  // namespace wary::node
