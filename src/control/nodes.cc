#include "control/nodes.h"

#include <algorithm>

#include "codec/text.h"
#include "control/views.h"
#include "crypto/pem.h"
#include "crypto/random_id.h"
#include "enforce/point.h"
#include "http/websocket_stream.h"
#include "node/x509pop.h"

namespace wary::control {

namespace {

using codec::Json;

constexpr std::int64_t kNodeLife = 3600;  // seconds; renewed at half of it
constexpr std::int64_t kTokenLifeMost = 24 * 3600, kTokenLifeLeast = 10;
constexpr std::size_t kCertificatesMost = 5;
constexpr std::size_t kCertificateTextMost = std::size_t{16} << 10;
constexpr std::size_t kJoinFieldMost = std::size_t{64} << 10;
constexpr std::size_t kNameOfKeyDigits = 40;
constexpr std::size_t kSubjectMost = 256;

Error denied(std::string_view code, std::string_view message) { return fail(ErrorKind::kDenied, code, message); }

Json stored_spec(Json spec) { return Json::object({{"labels", Json::object()}, {"spec", std::move(spec)}}); }

Result<Bytes> bytes_of(const Json& body, std::string_view name) {
  const std::string_view text = body.string_or(name, "");
  if (text.empty() || text.size() > kJoinFieldMost) {
    return fail(ErrorKind::kInvalid, "node_field", "a part of what a node shows is missing or too large")
        .at(std::string(name));
  }
  auto bytes = codec::decode_base64(text);
  if (!bytes) return std::move(bytes).error().at(std::string(name));
  return bytes;
}

Result<std::vector<Bytes>> certificates_of(const Json& body, std::string_view name) {
  std::vector<Bytes> out;
  const Json* list = body.find(name);
  if (list == nullptr || !list->is_array()) return out;
  if (list->items().size() > kCertificatesMost) {
    return fail(ErrorKind::kInvalid, "node_field", "more certificates than a chain has").at(std::string(name));
  }
  for (const Json& item : list->items()) {
    const std::string text = item.is_string() ? item.as_string() : std::string();
    if (text.size() > kCertificateTextMost) {
      return fail(ErrorKind::kInvalid, "node_field", "a certificate is too large").at(std::string(name));
    }
    WARY_ASSIGN_OR_RETURN(Bytes certificate, codec::decode_base64(text));
    out.push_back(std::move(certificate));
  }
  return out;
}

Result<node::Nonce> nonce_of(const Json& body) {
  WARY_ASSIGN_OR_RETURN(const Bytes bytes, bytes_of(body, "nonce"));
  node::Nonce nonce;
  if (bytes.size() != nonce.size()) {
    return fail(ErrorKind::kInvalid, "node_field", "a nonce has 32 bytes").at("nonce");
  }
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

// What an operator's NodeAuthority says.
struct Voucher {
  std::string name;
  std::vector<std::string> groups;
  std::vector<Bytes> certificates;
  std::vector<crypto::Digest> endorsement_keys;
  bool names_by_subject = false;
};

Voucher voucher_of(const store::Key& key, const Json& spec) {
  Voucher out;
  out.name = key.name;
  out.names_by_subject = spec.string_or("identifyBy", "") == "subject";
  if (const Json* groups = spec.find("groups"); groups != nullptr && groups->is_array()) {
    for (const Json& group : groups->items()) out.groups.push_back(group.as_string());
  }
  // What was applied was checked; what no longer reads vouches for nobody.
  if (auto blocks = crypto::decode_pem(spec.string_or("certificates", ""))) {
    for (crypto::PemBlock& block : *blocks) {
      if (block.label == "CERTIFICATE") out.certificates.push_back(std::move(block.bytes));
    }
  }
  if (const Json* keys = spec.find("endorsementKeys"); keys != nullptr && keys->is_array()) {
    for (const Json& item : keys->items()) {
      const auto bytes = codec::decode_hex(item.is_string() ? item.as_string() : std::string());
      if (!bytes || bytes->size() != 32) continue;
      std::copy(bytes->begin(), bytes->end(), out.endorsement_keys.emplace_back().begin());
    }
  }
  return out;
}

std::vector<Voucher> vouchers(const Objects& objects, std::string_view method) {
  std::vector<Voucher> out;
  for (const auto& [key, value] : objects.of_kind("NodeAuthority")) {
    const Json* spec = value->json.find("spec");
    if (spec != nullptr && spec->string_or("method", "") == method) out.push_back(voucher_of(*key, *spec));
  }
  return out;
}

// A certificate made anew is another device's, unless the operator says that its subject is who it is: that is one
// device's within the authority alone.
Result<std::string> name_of_device(const Voucher& voucher, const node::X509PopIdentity& machine) {
  if (!voucher.names_by_subject) return "x509pop-" + machine.fingerprint.substr(0, kNameOfKeyDigits);
  if (machine.subject.empty()) {
    return denied("node_subject", "the certificate has no subject, by which this authority's devices are known")
        .found(voucher.name)
        .next("have it issued with a subject of its own, or set identifyBy: fingerprint");
  }
  const std::string text = voucher.name + "\n" + machine.subject;
  return "x509pop-" + codec::encode_hex(crypto::sha256(as_bytes(text))).substr(0, kNameOfKeyDigits);
}

const Json* spec_of_key(const Objects& objects, const std::string& name) {
  const Value* held = objects.find(key_of(kTenantWide, "NodeKey", name));
  return held != nullptr ? held->json.find("spec") : nullptr;
}

}  // namespace

std::vector<Write> node_writes(const Objects& objects, const store::Key& deleted) {
  const store::Key key = key_of(kTenantWide, "NodeKey", deleted.name);
  if (deleted.kind != "Node" || objects.find(key) == nullptr) return {};
  return {{key, std::nullopt}};
}

std::optional<std::pair<std::string, Error>> check_node_authority(const Json& spec) {
  const std::string_view text = spec.string_or("certificates", "");
  const Json* keys = spec.find("endorsementKeys");
  const bool is_tpm = spec.string_or("method", "") == "tpm";
  const bool has_keys = keys != nullptr && keys->is_array() && !keys->items().empty();
  if (text.empty() && !(is_tpm && has_keys)) {
    return std::pair(std::string("/spec/certificates"),
                     fail(ErrorKind::kInvalid, "node_authority_empty", "nothing is named by which it vouches")
                         .expected(is_tpm ? "certificates or endorsementKeys" : "certificates"));
  }
  if (text.empty()) return std::nullopt;
  auto blocks = crypto::decode_pem(text);
  if (!blocks) return std::pair(std::string("/spec/certificates"), std::move(blocks).error());
  std::vector<Bytes> roots;
  for (crypto::PemBlock& block : *blocks) {
    if (block.label != "CERTIFICATE") {
      return std::pair(std::string("/spec/certificates"),
                       fail(ErrorKind::kInvalid, "node_authority_certificate", "only certificates belong here")
                           .expected("CERTIFICATE")
                           .found(block.label));
    }
    roots.push_back(std::move(block.bytes));
  }
  auto built = crypto::TrustRoots::build(roots);
  if (!built) return std::pair(std::string("/spec/certificates"), std::move(built).error());
  return std::nullopt;
}

Nodes::Nodes(Plane& plane, NodesParts parts)
    : plane_(plane),
      parts_(std::move(parts)),
      refusals_(parts_.log),
      joins_({.per_second = 10, .at_once = 50}),
      challenges_(parts_.clock, parts_.random) {}

Result<Json> Nodes::create_token(const Caller& by, const std::string& node, std::int64_t ttl_seconds) {
  if (!is_name(node) || node == kLocalNode || node.starts_with("x509pop-") || node.starts_with("tpm-")) {
    return fail(ErrorKind::kInvalid, "node_name", "a token cannot be for a node of this name")
        .expected("1 to 63 of a-z, 0-9, -; not local, x509pop-... or tpm-...")
        .found(node)
        .next("choose another name, as web-1");
  }
  if (ttl_seconds < kTokenLifeLeast || ttl_seconds > kTokenLifeMost) {
    return fail(ErrorKind::kInvalid, "node_token_ttl", "a token cannot live that long")
        .expected("10..86400 seconds")
        .found(std::to_string(ttl_seconds));
  }
  WARY_RETURN_IF_ERROR(check_standing(node));
  const std::string token = crypto::random_id(parts_.random);
  const UnixTime expires{parts_.clock.unix_time().nanos + ttl_seconds * kNanosPerSecond};
  Json spec = Json::object();
  spec.set("node", std::string_view(node)).set("expires", expires.nanos);
  Change change;
  change.writes.push_back(
      {key_of(kTenantWide, "JoinToken", enforce::credential_id(token)), stored_spec(std::move(spec))});
  // Tokens that nobody used go with the next one.
  for (const auto& [key, value] : plane_.objects().of_kind("JoinToken")) {
    const Json* old = value->json.find("spec");
    const bool ended = old == nullptr || old->integer_or("expires", 0) <= parts_.clock.unix_time().nanos;
    if (ended && change.writes.size() < 100) change.writes.push_back({*key, std::nullopt});
  }
  change.event.class_uid = contract::EventClass::kEntityManagement;
  change.event.actor = by.principal.to_string();
  change.event.session = by.session;
  change.event.action = "node.token";
  change.event.resource = node_entity(plane_.settings().trust_domain, node).to_string();
  change.event.detail = Json::object({{"expires", Json(to_rfc3339(expires))}}).to_canonical_string();
  WARY_ASSIGN_OR_RETURN([[maybe_unused]] const Committed committed, plane_.commit(std::move(change)));
  Json answer = Json::object();
  answer.set("node", std::string_view(node)).set("token", std::string_view(token));
  return answer.set("expires", to_rfc3339(expires));
}

// Whoever was taken away does not come back by joining again.
Status Nodes::check_standing(const std::string& name) const {
  const contract::Entity* entity = plane_.snapshot()->find_entity(node_entity(plane_.settings().trust_domain, name));
  // A revocation outlives its Node.
  const bool revoked = plane_.objects().find(key_of(kTenantWide, "Revocation", "node.-." + name)) != nullptr;
  if (!revoked && (entity == nullptr || !is_barred(*entity))) return {};
  return denied("node_revoked", "this node was revoked or disabled").found(name).next("wary restore node " + name);
}

void Nodes::join(const Api::ExchangePtr& exchange) {
  const std::string client(exchange->request().header("x-forwarded-for"));
  if (!joins_.take(client, parts_.clock.monotonic())) {
    return send_error(exchange, fail(ErrorKind::kExhausted, "node_joins", "too many joins from this address")
                                    .next("try again in a few seconds"));
  }
  if (!plane_.is_ledger_available()) {
    return send_error(exchange, plane_.ledger_refusal("no node joins while it cannot be recorded"));
  }
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  answer_join(*body, client, [this, exchange, client](Result<Json> answer) {
    if (answer) return send_json(exchange, 200, *answer);
    refused(client, answer.error());
    send_error(exchange, answer.error());
  });
}

void Nodes::refused(const std::string& client, const Error& error) {
  refusals_.warn(parts_.clock.monotonic(), "node.refused", client,
                 {{"client", client}, {"code", error.code}, {"found", error.found_text}});
  if (error.kind != ErrorKind::kDenied && error.kind != ErrorKind::kNotFound) return;
  contract::Event event;
  event.class_uid = contract::EventClass::kAuthentication;
  event.actor = contract::EntityId{"Wary::Anonymous", "anonymous"}.to_string();
  event.action = "node.join";
  event.resource = contract::EntityId{"Wary::Platform", "wary"}.to_string();
  Json detail = Json::object({{"decision", Json("deny")}});
  detail.set("reason", std::string_view(error.code)).set("client", std::string_view(client));
  event.detail = detail.to_canonical_string();
  plane_.record(std::move(event));
}

void Nodes::answer_join(const Json& body, const std::string& client, const Reply& reply) {
  Evidence evidence;
  auto csr = bytes_of(body, "csr");
  if (!csr) return reply(std::move(csr).error());
  auto spki = checker_.check(*csr);
  if (!spki) return reply(std::move(spki).error());
  evidence.csr = std::move(csr).value();
  evidence.spki = std::move(spki).value();
  const std::string_view method = body.string_or("method", "");
  if (method == "join_token") {
    auto shown = shown_by_token(body);
    if (!shown) return reply(std::move(shown).error());
    return admit(*shown, evidence.csr, evidence.spki, reply);
  }
  if (method != "x509pop" && method != "tpm" && method != "key") {
    return reply(fail(ErrorKind::kInvalid, "node_method", "there is no such way to join")
                     .expected("join_token, x509pop, tpm or key")
                     .found(method));
  }
  evidence.purpose.method = method == "x509pop" ? node::Method::kX509Pop
                            : method == "tpm"   ? node::Method::kTpm
                                                : node::Method::kKey;
  evidence.purpose.client = client;
  evidence.purpose.csr_sha256 = crypto::sha256(evidence.csr);
  answer_challenged(body, std::move(evidence), reply);
}

// Whoever asks for a challenge brings all of it, and brings it again with the answer: nothing is held meanwhile.
void Nodes::answer_challenged(const Json& body, Evidence evidence, const Reply& reply) {
  const auto read = [&]() -> Status {
    WARY_ASSIGN_OR_RETURN(evidence.purpose.node_nonce, nonce_of(body));
    if (evidence.purpose.method == node::Method::kKey) {
      WARY_ASSIGN_OR_RETURN([[maybe_unused]] const Shown known, known_by_key(body, evidence.spki));
      return {};
    }
    if (evidence.purpose.method == node::Method::kX509Pop) {
      WARY_ASSIGN_OR_RETURN(evidence.chain, certificates_of(body, "chain"));
      return {};
    }
    WARY_ASSIGN_OR_RETURN(const Bytes endorsement, bytes_of(body, "endorsement_key"));
    WARY_ASSIGN_OR_RETURN(const Bytes attestation, bytes_of(body, "attestation_key"));
    WARY_ASSIGN_OR_RETURN(evidence.chain, certificates_of(body, "endorsement_certificates"));
    WARY_ASSIGN_OR_RETURN(evidence.endorsement, node::parse_endorsement_key(endorsement));
    WARY_ASSIGN_OR_RETURN(evidence.attestation, node::parse_attestation_key(attestation));
    return {};
  };
  if (Status good = read(); !good) return reply(std::move(good).error());
  const std::string_view text = body.string_or("challenge", "");
  if (text.empty()) return reply(challenge(evidence));
  const auto server_nonce = challenges_.open(text, evidence.purpose);
  if (!server_nonce) return reply(server_nonce.error());
  auto shown = answered(evidence, *server_nonce, body);
  if (!shown) return reply(std::move(shown).error());
  if (Status fresh = challenges_.use(*server_nonce); !fresh) return reply(std::move(fresh).error());
  admit(*shown, evidence.csr, evidence.spki, reply);
}

Result<Nodes::Shown> Nodes::shown_by_token(const Json& body) {
  const store::Key key =
      key_of(kTenantWide, "JoinToken", enforce::credential_id(std::string(body.string_or("token", ""))));
  const Value* value = plane_.objects().find(key);
  const Json* spec = value != nullptr ? value->json.find("spec") : nullptr;
  if (spec == nullptr || spec->integer_or("expires", 0) <= parts_.clock.unix_time().nanos) {
    return denied("node_token", "this token was used already, is too old, or never was")
        .next("wary node token NAME makes another");
  }
  return Shown{std::string(spec->string_or("node", "")), "join_token", {}, {}, {}, key};
}

// The key that joined is the node: it needs no other evidence to have its next certificate.
Result<Nodes::Shown> Nodes::known_by_key(const Json& body, ByteView spki) const {
  const std::string name(body.string_or("node", ""));
  const Value* node = plane_.objects().find(key_of(kTenantWide, "Node", name));
  const Json* spec = spec_of_key(plane_.objects(), name);
  if (node == nullptr || spec == nullptr || spec->string_or("spki", "") != codec::encode_base64(spki)) {
    return denied("node_key", "this is not the key that joined under that name").found(name);
  }
  return Shown{name,
               std::string(spec->string_or("method", "")),
               std::string(spec->string_or("authority", "")),
               std::string(spec->string_or("subject", "")),
               {},
               {}};
}

Result<Nodes::Shown> Nodes::shown_by_key(const Evidence& evidence, ByteView statement, const Json& body) const {
  WARY_ASSIGN_OR_RETURN(const Bytes signature, bytes_of(body, "signature"));
  const auto key = crypto::PublicKey::decode_spki(evidence.spki);
  if (!key || !key->verify(statement, signature)) {
    return denied("node_key_signature", "the node's key did not sign this exchange");
  }
  return known_by_key(body, evidence.spki);
}

Result<Json> Nodes::challenge(const Evidence& evidence) {
  const NodeChallenges::Made made = challenges_.make(evidence.purpose);
  Json answer = Json::object();
  if (evidence.purpose.method == node::Method::kTpm) {
    const Secret secret = credential_of(evidence, made.server_nonce);
    WARY_ASSIGN_OR_RETURN(const node::Credential credential,
                          node::make_credential(*evidence.endorsement, *evidence.attestation, secret, parts_.random));
    answer.set("credential", codec::encode_base64(credential.blob));
    answer.set("secret", codec::encode_base64(credential.encrypted_secret));
  }
  answer.set("trust_domain", std::string_view(plane_.settings().trust_domain));
  answer.set("challenge", std::string_view(made.text)).set("nonce", codec::encode_base64(made.server_nonce));
  return answer;
}

Secret Nodes::credential_of(const Evidence& evidence, const node::Nonce& server_nonce) const {
  Bytes keys(evidence.endorsement->fingerprint.begin(), evidence.endorsement->fingerprint.end());
  append(keys, evidence.attestation->name);
  return challenges_.secret_of(server_nonce, keys);
}

Result<Nodes::Shown> Nodes::answered(const Evidence& evidence, const node::Nonce& server_nonce, const Json& body) {
  const NodeChallenges::Purpose& purpose = evidence.purpose;
  const Bytes statement = node::statement_of(
      purpose.method, {server_nonce, purpose.node_nonce, purpose.csr_sha256, plane_.settings().trust_domain});
  switch (purpose.method) {
    case node::Method::kX509Pop: return shown_by_certificate(evidence, statement, body);
    case node::Method::kTpm: return shown_by_tpm(evidence, server_nonce, statement, body);
    case node::Method::kKey: break;
  }
  return shown_by_key(evidence, statement, body);
}

Result<Nodes::Shown> Nodes::shown_by_certificate(const Evidence& evidence, ByteView statement, const Json& body) {
  WARY_ASSIGN_OR_RETURN(const Bytes signature, bytes_of(body, "signature"));
  Error last = denied("node_authority", "nobody is named who vouches for device certificates")
                   .next("apply a NodeAuthority of method x509pop");
  for (const Voucher& voucher : vouchers(plane_.objects(), "x509pop")) {
    const auto roots = crypto::TrustRoots::build(voucher.certificates);
    if (!roots) continue;
    auto machine = node::check_x509pop(evidence.chain, *roots, statement, signature, parts_.clock.unix_time());
    Result<std::string> name = machine ? name_of_device(voucher, *machine) : Result<std::string>(machine.error());
    if (name) {
      return Shown{std::move(name).value(), "x509pop", voucher.name, machine->subject.substr(0, kSubjectMost),
                   voucher.groups,          {}};
    }
    last = std::move(name).error();
    last.kind = ErrorKind::kDenied;
  }
  return last;
}

Result<Nodes::Shown> Nodes::shown_by_tpm(const Evidence& evidence, const node::Nonce& server_nonce, ByteView statement,
                                         const Json& body) {
  WARY_ASSIGN_OR_RETURN(const Bytes activated, bytes_of(body, "activated"));
  WARY_ASSIGN_OR_RETURN(const Bytes attested, bytes_of(body, "attested"));
  WARY_ASSIGN_OR_RETURN(const Bytes signature, bytes_of(body, "signature"));
  // Only the TPM that has both keys could read it.
  if (!equals_in_constant_time(credential_of(evidence, server_nonce).reveal(), activated)) {
    return denied("node_tpm_credential", "the TPM did not open what was made for it");
  }
  const auto quote = node::check_quote(*evidence.attestation, attested, signature, crypto::sha256(statement));
  if (!quote) return denied(quote.error().code, quote.error().message);
  Error last =
      denied("node_authority", "nobody is named who vouches for TPMs").next("apply a NodeAuthority of method tpm");
  for (const Voucher& voucher : vouchers(plane_.objects(), "tpm")) {
    Status known = node::check_endorsement_pin(*evidence.endorsement, voucher.endorsement_keys);
    if (!known && !evidence.chain.empty() && !voucher.certificates.empty()) {
      const auto roots = crypto::TrustRoots::build(voucher.certificates);
      if (roots) {
        known = node::check_endorsement_certificate(*evidence.endorsement, evidence.chain, *roots,
                                                    parts_.clock.unix_time());
      }
    }
    if (known) {
      const std::string digits = codec::encode_hex(evidence.endorsement->fingerprint);
      return Shown{"tpm-" + digits.substr(0, kNameOfKeyDigits), "tpm", voucher.name, {}, voucher.groups, {}};
    }
    last = std::move(known).error();
    last.kind = ErrorKind::kDenied;
    last.found_text = codec::encode_hex(evidence.endorsement->fingerprint);
  }
  return last;
}

Result<Json> Nodes::identity(const std::string& name, ByteView csr) {
  const std::string id = node_entity(plane_.settings().trust_domain, name).id;
  WARY_ASSIGN_OR_RETURN(const std::vector<Bytes> chain, parts_.issue(csr, id, kNodeLife));
  WARY_ASSIGN_OR_RETURN(const std::vector<Bytes> roots, parts_.roots());
  saw(name, chain);
  const auto list = [](const std::vector<Bytes>& certificates) {
    Json items = Json::array();
    for (const Bytes& certificate : certificates) items.push(Json(codec::encode_base64(certificate)));
    return items;
  };
  Json out = Json::object();
  out.set("node", std::string_view(name)).set("spiffe_id", std::string_view(id));
  out.set("trust_domain", std::string_view(plane_.settings().trust_domain)).set("chain", list(chain));
  return out.set("roots", list(roots)).set("snapshot_key", codec::encode_base64(parts_.snapshot_key));
}

void Nodes::admit(const Shown& shown, ByteView csr, ByteView spki, const Reply& reply) {
  if (Status standing = check_standing(shown.name); !standing) return reply(std::move(standing).error());
  auto answer = identity(shown.name, csr);
  if (!answer) return reply(std::move(answer).error());
  contract::Event event;
  event.class_uid = contract::EventClass::kAuthentication;
  event.actor = node_entity(plane_.settings().trust_domain, shown.name).to_string();
  event.action = "node.join";
  event.resource = contract::EntityId{"Wary::Platform", "wary"}.to_string();
  Json detail = Json::object({{"decision", Json("allow")}});
  detail.set("method", std::string_view(shown.method)).set("authority", std::string_view(shown.authority));
  event.detail = detail.set("key_sha256", codec::encode_hex(crypto::sha256(spki))).to_canonical_string();
  const Json* known = spec_of_key(plane_.objects(), shown.name);
  const bool same_key = known != nullptr && known->string_or("spki", "") == codec::encode_base64(spki);
  if (same_key && !shown.token && plane_.objects().find(key_of(kTenantWide, "Node", shown.name)) != nullptr) {
    return plane_.record(std::move(event), [reply, answer = *answer](const Status& recorded) {
      if (!recorded) return reply(recorded.error());
      reply(answer);
    });
  }
  Change change;
  Json key = Json::object();
  key.set("spki", codec::encode_base64(spki)).set("method", std::string_view(shown.method));
  if (!shown.subject.empty()) key.set("subject", std::string_view(shown.subject));
  key.set("authority", std::string_view(shown.authority)).set("joined", parts_.clock.unix_time().nanos);
  change.writes.push_back({key_of(kTenantWide, "NodeKey", shown.name), stored_spec(std::move(key))});
  if (shown.token) change.writes.push_back({*shown.token, std::nullopt});
  // What an operator wrote of it stays.
  if (plane_.objects().find(key_of(kTenantWide, "Node", shown.name)) == nullptr) {
    Json groups = Json::array();
    for (const std::string& group : shown.groups) groups.push(Json(group));
    change.writes.push_back(
        {key_of(kTenantWide, "Node", shown.name), stored_spec(Json::object({{"groups", std::move(groups)}}))});
  }
  change.event = std::move(event);
  auto committed = plane_.commit(std::move(change));
  if (!committed) return reply(std::move(committed).error());
  parts_.log.info("node.joined", {{"node", shown.name}, {"method", shown.method}});
  reply(std::move(answer));
}

void Nodes::link(const Api::ExchangePtr& exchange) {
  // The edge verified its certificate and asked the policy; it alone may set this.
  const auto principal = contract::parse_entity_id(exchange->request().header("wary-principal"));
  const std::string prefix = node_entity(plane_.settings().trust_domain, "").id;
  if (!principal || principal->type != "Wary::Node" || !principal->id.starts_with(prefix)) {
    return send_error(exchange, denied("node_link", "only a node that joined has a link"));
  }
  const std::string name = principal->id.substr(prefix.size());
  if (Status standing = check_standing(name); !standing) return send_error(exchange, standing.error());
  // Its certificate outlives it.
  if (plane_.snapshot()->find_entity(*principal) == nullptr) {
    return send_error(exchange, denied("node_link", "there is no such node any more").found(name));
  }
  if (Status good = check_link_key(name, exchange->request()); !good) return send_error(exchange, good.error());
  const std::string accept = http::websocket_accept(exchange->request().header("sec-websocket-key"));
  const bool taken = exchange->upgrade({{"Sec-WebSocket-Accept", accept}},
                                       [this, name](std::unique_ptr<io::Stream> stream, const std::string& rest) {
                                         plane_.adopt(std::move(stream), rest, "agent/" + name);
                                       });
  if (!taken) send_error(exchange, fail(ErrorKind::kInvalid, "node_link", "a link is a WebSocket"));
}

void Nodes::saw(const std::string& name, const std::vector<Bytes>& chain) {
  // Those that are gone leave when one is added.
  if (!seen_.contains(name)) {
    std::erase_if(seen_, [&](const auto& each) {
      return plane_.objects().find(key_of(kTenantWide, "Node", each.first)) == nullptr;
    });
  }
  Seen& seen = seen_[name];
  seen.last = parts_.clock.unix_time();
  if (chain.empty()) return;
  if (const auto leaf = crypto::parse_certificate(chain.front())) seen.certificate_ends = leaf->not_after;
}

Json Nodes::status_of(const std::string& name) const {
  const contract::Entity* entity = plane_.snapshot()->find_entity(node_entity(plane_.settings().trust_domain, name));
  const bool revoked = plane_.objects().find(key_of(kTenantWide, "Revocation", "node.-." + name)) != nullptr;
  const Json* key = spec_of_key(plane_.objects(), name);
  const std::string agent = "agent/" + name;
  const std::string_view state = revoked                                   ? "revoked"
                                 : entity != nullptr && is_barred(*entity) ? "disabled"
                                 : key == nullptr                          ? "new"
                                 : plane_.is_linked(agent)                 ? "linked"
                                                                           : "away";
  Json out = Json::object({{"state", Json(state)}});
  std::string summary(state);
  const auto add = [&](const char* member, std::string_view words, std::string value) {
    summary += std::string(words) + value;
    out.set(member, std::move(value));
  };
  if (key != nullptr) {
    std::string how(key->string_or("method", ""));
    if (const std::string_view by = key->string_or("authority", ""); !by.empty()) how += " " + std::string(by);
    if (const std::string_view of = key->string_or("subject", ""); !of.empty()) how += " " + std::string(of);
    add("joinedBy", "  by ", std::move(how));
    out.set("joined", to_rfc3339({key->integer_or("joined", 0)}));
  }
  const auto seen = seen_.find(name);
  UnixTime last = seen == seen_.end() ? UnixTime{} : seen->second.last;
  if (const auto linked = plane_.last_linked(agent)) last = std::max(last, *linked);
  if (last.nanos != 0) add("lastSeen", "  seen ", to_rfc3339(last));
  if (seen != seen_.end() && seen->second.certificate_ends.nanos != 0) {
    add("certificateEnds", "  until ", to_rfc3339(seen->second.certificate_ends));
  }
  out.set("summary", std::move(summary));
  return out;
}

// A certificate that an earlier key of the node has until it ends opens no link: that key may be in other hands.
Status Nodes::check_link_key(const std::string& name, const http::Request& request) const {
  const auto refuse = [&] {
    return denied("node_link_key", "this is not the key that the node joined with last")
        .found(name)
        .next("on the machine whose node it is: wary node join");
  };
  const Json* held = spec_of_key(plane_.objects(), name);
  const auto proof = codec::decode_base64(request.header("node-proof"));
  if (held == nullptr || !proof) return refuse();
  const auto spki = codec::decode_base64(held->string_or("spki", ""));
  const auto key = spki ? crypto::PublicKey::decode_spki(*spki) : Result<crypto::PublicKey>(spki.error());
  const Bytes statement = node::link_statement_of(node_entity(plane_.settings().trust_domain, name).id,
                                                  request.header("sec-websocket-key"));
  if (!key || !key->verify(statement, *proof)) return refuse();
  return {};
}

}  // namespace wary::control
