#include "identity/signer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/limits.h"
#include "codec/text.h"
#include "codec/uri.h"
#include "crypto/random_id.h"
#include "crypto/x509.h"
#include "identity/token.h"

namespace wary::identity {

namespace {

constexpr std::size_t kKeyFileMax = 64 * 1024;
constexpr std::size_t kOriginRandom = 8;
constexpr std::int64_t kNamesLifeMax = 24 * 3600;  // seconds; no key that lives longer enters the edge
constexpr std::int64_t kSvidLifeMax = 3600;
constexpr std::int64_t kBackdate = 60 * kNanosPerSecond;  // for clocks a little behind
constexpr std::string_view kSnapshotDomain = "wary snapshot v2\n";

Error invalid(std::string_view code, std::string_view message) { return fail(ErrorKind::kInvalid, code, message); }

Error damaged(Error error, const std::string& path) {
  return std::move(error.at(path)).next("restore this file from a backup; no new key takes its place");
}

// The seal key lies beside what it seals in development; a TPM or HSM takes its place later.
Result<crypto::SealKey> open_seal_key(io::Files& files, const std::string& directory, Random& random) {
  const std::string path = directory + "/seal.key";
  auto stored = io::read_file(files, path, kKeyFileMax);
  if (stored) {
    auto key = crypto::SealKey::decode_key_file(*stored);
    if (!key) return damaged(std::move(key).error(), path);
    return key;
  }
  if (stored.error().kind != ErrorKind::kNotFound) return std::move(stored).error();
  crypto::SealKey key = crypto::SealKey::generate(random);
  WARY_RETURN_IF_ERROR(io::write_file_atomically(files, path, key.to_key_file().reveal()));
  return key;
}

Result<crypto::PrivateKey> open_key(io::Files& files, const std::string& directory, std::string_view name,
                                    crypto::KeyType type, const crypto::SealKey& seal, Random& random) {
  const std::string path = directory + "/" + std::string(name);
  auto stored = io::read_file(files, path, kKeyFileMax);
  if (stored) {
    auto pkcs8_or = crypto::unseal(seal, name, *stored);
    if (!pkcs8_or) return damaged(std::move(pkcs8_or).error(), path);
    const Secret pkcs8 = std::move(pkcs8_or).value();
    return crypto::PrivateKey::from_pkcs8(pkcs8.reveal());
  }
  if (stored.error().kind != ErrorKind::kNotFound) return std::move(stored).error();
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::generate(type));
  WARY_ASSIGN_OR_RETURN(const Secret pkcs8, key.to_pkcs8());
  WARY_ASSIGN_OR_RETURN(const Bytes sealed, crypto::seal(seal, name, pkcs8.reveal(), random));
  WARY_RETURN_IF_ERROR(io::write_file_atomically(files, path, sealed));
  return key;
}

// The log's name: one life of one log, so that two logs of one machine can never be taken for each other.
Result<std::string> open_origin(io::Files& files, const std::string& directory, const std::string& trust_domain,
                                Random& random) {
  const std::string path = directory + "/origin";
  auto stored = io::read_file(files, path, kKeyFileMax);
  if (stored) return std::string(as_text(*stored));
  if (stored.error().kind != ErrorKind::kNotFound) return std::move(stored).error();
  const std::string origin = "wary." + trust_domain + "/ledger/" + crypto::random_id(random).substr(0, kOriginRandom);
  WARY_RETURN_IF_ERROR(io::write_file_atomically(files, path, as_bytes(origin)));
  return origin;
}

bool exists(io::Files& files, const std::string& path) { return files.status(path).ok(); }

// Once the authority says that the first start is over, everything must stand: a key that is gone is never made anew in
// silence, since whatever trusted the old one would be trusting nobody.
Status check_complete(io::Files& files, const std::string& directory, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const std::string path = directory + "/" + std::string(name);
    const auto status = files.status(path);
    if (status) continue;
    if (status.error().kind != ErrorKind::kNotFound) return status.error();
    return fail(ErrorKind::kDataLoss, "signer_key_missing", "a file of the trust domain's keys is gone")
        .at(path)
        .next("restore it from a backup; to begin a new trust domain, begin a new data directory");
  }
  return {};
}

// A directory of before there were intermediates has its one CA in ca.key and ca.der: that becomes the first root. Both
// go when everything else stands, so that the authority's file, once it is gone, is never taken for not there yet.
bool has_early_ca(io::Files& files, const std::string& directory) {
  return exists(files, directory + "/ca.key") && exists(files, directory + "/ca.der");
}

Result<KeyRecord> take_early_ca(io::Files& files, const std::string& directory, const crypto::SealKey& seal,
                                Random& random, keystore::FileStore& store) {
  WARY_ASSIGN_OR_RETURN(const crypto::PrivateKey key,
                        open_key(files, directory, "ca.key", crypto::KeyType::kEcdsaP256, seal, random));
  KeyRecord root;
  root.key = "root-" + crypto::random_id(random);
  root.store = store.name();
  root.stage = KeyStage::kActive;
  WARY_ASSIGN_OR_RETURN(root.shown, io::read_file(files, directory + "/ca.der", kKeyFileMax));
  const auto certificate = crypto::parse_certificate(root.shown);
  if (!certificate || certificate->public_key != key.public_key().to_spki()) {
    return fail(ErrorKind::kDataLoss, "signer_ca", "the stored CA certificate is damaged, or is not of the stored key")
        .at(directory + "/ca.der")
        .next("restore it from a backup, or from the ca.pem that clients have");
  }
  root.made = certificate->not_before;
  root.until = certificate->not_after;
  WARY_RETURN_IF_ERROR(store.import(root.key, key));
  return root;
}

Status check_origin(const std::string& directory, const std::string& origin, const std::string& trust_domain) {
  const std::string prefix = "wary." + trust_domain + "/ledger/";
  if (origin.starts_with(prefix) && origin.size() == prefix.size() + kOriginRandom) return {};
  return fail(ErrorKind::kDataLoss, "signer_origin", "the ledger's stored name is damaged, or of another trust domain")
      .at(directory + "/origin")
      .expected(prefix + "...")
      .found(std::string_view(origin))
      .next("restore it from a backup; the first line of any checkpoint of this ledger is the same text");
}

Result<Bytes> bytes_of(const codec::Json& request, std::string_view name) {
  return codec::decode_base64(request.string_or(name, ""));
}

std::int64_t longest_life(const crypto::LeafOptions& leaf) {
  return leaf.spiffe_id.empty() ? kNamesLifeMax : kSvidLifeMax;
}

codec::Json base64(ByteView bytes) { return codec::Json(codec::encode_base64(bytes)); }

// Which row of the table has which operation.
bool may(Role role, std::string_view operation) {
  if (operation == "public" || operation == "authorities" || operation == "certificate.issue") return true;
  const bool control_only =
      operation == "ledger.sign" || operation == "snapshot.sign" || operation == "jwt.sign" || operation == "ca.rotate";
  return control_only && role == Role::kControl;
}

}  // namespace

Signer::Signer(Clock& clock, SignerOptions options, crypto::SealKey seal, crypto::PrivateKey ledger,
               crypto::PrivateKey snapshot)
    : clock_(clock),
      options_(std::move(options)),
      seal_(std::move(seal)),
      ledger_key_(std::move(ledger)),
      snapshot_key_(std::move(snapshot)) {}

Status Signer::open_authority(io::Files& files, const std::string& directory, Random& random, bool may_begin) {
  file_store_ = std::make_unique<keystore::FileStore>(files, directory + "/keys", seal_, random);
  options_.authority.trust_domain = options_.trust_domain;
  std::vector<keystore::KeyStore*> stores = options_.stores;
  stores.push_back(file_store_.get());
  std::array<keystore::KeyStore*, 3> chosen{};
  std::size_t at = 0;
  for (const std::string* name : {&options_.root_store, &options_.intermediate_store, &options_.token_store}) {
    const auto found = std::ranges::find_if(stores, [&](const auto* store) { return store->name() == *name; });
    if (found == stores.end()) return invalid("signer_store", "there is no such key store").found(*name);
    chosen[at++] = *found;
  }
  AuthorityParts parts{.files = files,
                       .directory = directory,
                       .clock = clock_,
                       .random = random,
                       .log = options_.log == nullptr ? null_log() : *options_.log,
                       .seal = seal_,
                       .stores = stores,
                       .root_store = *chosen[0],
                       .intermediate_store = *chosen[1],
                       .token_store = *chosen[2],
                       .first_root = std::nullopt};
  if (!exists(files, directory + "/authority.state") && has_early_ca(files, directory)) {
    WARY_ASSIGN_OR_RETURN(parts.first_root, take_early_ca(files, directory, seal_, random, *file_store_));
  }
  WARY_ASSIGN_OR_RETURN(authority_, Authority::open(parts, options_.authority, may_begin));
  return {};
}

// The order of a first start: keys, the authority, the ledger's name, and then the word that it is over. One that was
// cut short is finished by the next.
Result<std::unique_ptr<Signer>> Signer::open(io::Files& files, const std::string& directory, Clock& clock,
                                             Random& random, const SignerOptions& options) {
  const bool early = has_early_ca(files, directory);
  const bool has_origin = exists(files, directory + "/origin");
  if (has_origin) {
    WARY_RETURN_IF_ERROR(check_complete(files, directory, {"seal.key", "ledger.key", "snapshot.key"}));
    if (!early) WARY_RETURN_IF_ERROR(check_complete(files, directory, {"authority.state"}));
  } else if (exists(files, directory + "/authority.state")) {
    WARY_RETURN_IF_ERROR(check_complete(files, directory, {"seal.key", "ledger.key", "snapshot.key"}));
  }
  WARY_ASSIGN_OR_RETURN(crypto::SealKey seal, open_seal_key(files, directory, random));
  const auto key = [&](std::string_view name) {
    return open_key(files, directory, name, crypto::KeyType::kEd25519, seal, random);
  };
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey ledger, key("ledger.key"));
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey snapshot, key("snapshot.key"));
  auto signer = std::unique_ptr<Signer>(  // NOLINT: private constructor
      new Signer(clock, options, std::move(seal), std::move(ledger), std::move(snapshot)));
  WARY_RETURN_IF_ERROR(signer->open_authority(files, directory, random, early || !has_origin));
  if (signer->authority_->is_complete()) {
    WARY_RETURN_IF_ERROR(check_complete(files, directory, {"origin"}));
  }
  WARY_ASSIGN_OR_RETURN(signer->origin_, open_origin(files, directory, options.trust_domain, random));
  WARY_RETURN_IF_ERROR(check_origin(directory, signer->origin_, options.trust_domain));
  WARY_RETURN_IF_ERROR(signer->authority_->mark_complete());
  for (const char* name : {"/ca.key", "/ca.der"}) {
    if (early) WARY_RETURN_IF_ERROR(files.remove(directory + name));
  }
  return signer;
}

Result<codec::Json> Signer::handle(Role role, const codec::Json& request) {
  const std::string_view operation = request.string_or("op", "");
  if (!may(role, operation)) {
    return fail(ErrorKind::kDenied, "signer_forbidden", "this caller may not ask for this").found(operation);
  }
  if (operation == "public") return public_keys();
  if (operation == "authorities") return trusted();
  if (operation == "ledger.sign") return sign_checkpoint(request);
  if (operation == "snapshot.sign") return sign_snapshot(request);
  if (operation == "jwt.sign") return sign_token(request);
  if (operation == "ca.rotate") return rotate(request);
  return issue_certificate(role, request);
}

Result<codec::Json> Signer::public_keys() const {
  codec::Json out = codec::Json::object();
  out.set("origin", std::string_view(origin_)).set("trust_domain", std::string_view(options_.trust_domain));
  out.set("ledger", base64(ledger_key_.public_key().raw()));
  out.set("snapshot", base64(snapshot_key_.public_key().raw()));
  out.set("ca", base64(authority_->active_root()));
  return out;
}

Result<codec::Json> Signer::trusted() const {
  const Authorities now = authority_->authorities();
  codec::Json roots = codec::Json::array(), tokens = codec::Json::array();
  for (const Bytes& root : now.x509_roots) roots.push(base64(root));
  for (const JwtAuthority& one : now.jwt) {
    codec::Json entry = codec::Json::object();
    entry.set("kid", std::string_view(one.kid)).set("spki", base64(one.spki)).set("not_after", one.not_after.nanos);
    tokens.push(std::move(entry));
  }
  codec::Json out = codec::Json::object();
  out.set("x509_roots", std::move(roots)).set("jwt", std::move(tokens));
  out.set("sequence", static_cast<std::int64_t>(now.sequence));
  return out;
}

Result<codec::Json> Signer::sign_checkpoint(const codec::Json& request) {
  WARY_ASSIGN_OR_RETURN(const Bytes message, bytes_of(request, "message"));
  const std::string_view text = as_text(message);
  // C2SP tlog-checkpoint: origin, size, root, each with a newline, and nothing else.
  const auto refuse = [] { return invalid("signer_checkpoint", "this is no checkpoint of this log"); };
  if (text.size() > 1024 || !text.starts_with(origin_ + "\n")) return refuse();
  const std::string_view rest = text.substr(origin_.size() + 1);
  const std::size_t line = rest.find('\n');
  if (line == std::string_view::npos) return refuse();
  std::uint64_t size = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + line, size);
  if (parsed.ec != std::errc() || parsed.ptr != rest.data() + line) return refuse();
  const std::string_view root = rest.substr(line + 1);
  if (!root.ends_with('\n') || !codec::decode_base64(root.substr(0, root.size() - 1))) return refuse();
  if (size < largest_tree_) {
    return fail(ErrorKind::kConflict, "signer_rollback", "a larger tree of this log was signed before")
        .expected(std::to_string(largest_tree_) + " or more")
        .found(std::to_string(size));
  }
  WARY_ASSIGN_OR_RETURN(const Bytes signature, ledger_key_.sign(message));
  largest_tree_ = size;
  return codec::Json::object({{"signature", base64(signature)}});
}

Result<codec::Json> Signer::sign_snapshot(const codec::Json& request) {
  WARY_ASSIGN_OR_RETURN(const Bytes message, bytes_of(request, "message"));
  if (!as_text(message).starts_with(kSnapshotDomain)) return invalid("signer_snapshot", "this is no snapshot");
  WARY_ASSIGN_OR_RETURN(const Bytes signature, snapshot_key_.sign(message));
  return codec::Json::object({{"signature", base64(signature)}});
}

Result<codec::Json> Signer::issue_certificate(Role role, const codec::Json& request) {
  WARY_ASSIGN_OR_RETURN(const Bytes csr, bytes_of(request, "csr"));
  crypto::LeafOptions leaf;
  leaf.spiffe_id = request.string_or("spiffe_id", "");
  if (const codec::Json* names = request.find("dns_names"); names != nullptr && names->is_array()) {
    for (const codec::Json& name : names->items()) {
      if (!name.is_string()) return invalid("signer_names", "a name is text");
      leaf.dns_names.push_back(name.as_string());
    }
  }
  const std::int64_t life = request.integer_or("ttl_seconds", longest_life(leaf));
  WARY_ASSIGN_OR_RETURN(const Authority::Issued issued, issue(role, csr, std::move(leaf), life));
  codec::Json chain = codec::Json::array();
  for (const Bytes& certificate : issued.chain) chain.push(base64(certificate));
  codec::Json out = codec::Json::object();
  out.set("chain", std::move(chain)).set("not_after", issued.not_after.nanos);
  return out;
}

bool Signer::is_edge_id(std::string_view spiffe_id) const {
  return spiffe_id.starts_with("spiffe://" + options_.trust_domain + std::string(kEdgePath));
}

Result<Authority::Issued> Signer::issue(Role role, ByteView csr, crypto::LeafOptions leaf, std::int64_t ttl_seconds) {
  // Public names and an edge's own identity are the edge's, workloads' identities the control plane's: neither can ask
  // for the other's.
  const bool is_edges = leaf.spiffe_id.empty() || is_edge_id(leaf.spiffe_id);
  const bool is_one = leaf.spiffe_id.empty() != leaf.dns_names.empty();
  if (!is_one || is_edges != (role == Role::kEdge)) {
    return fail(ErrorKind::kDenied, "signer_forbidden", "this caller may not have such a certificate");
  }
  if (!leaf.spiffe_id.empty()) {
    WARY_ASSIGN_OR_RETURN(const codec::SpiffeId id, codec::parse_spiffe_id(leaf.spiffe_id));
    if (id.trust_domain != options_.trust_domain || id.path.empty()) {
      return invalid("signer_trust_domain", "this identity is not of this trust domain").found(leaf.spiffe_id);
    }
  }
  const std::int64_t longest = longest_life(leaf);
  if (ttl_seconds < 1 || ttl_seconds > longest) {
    return invalid("signer_ttl", "a certificate cannot live that long")
        .expected("1.." + std::to_string(longest) + " seconds")
        .found(std::to_string(ttl_seconds));
  }
  const UnixTime now = clock_.unix_time();
  leaf.not_before = {now.nanos - kBackdate};
  leaf.not_after = {now.nanos + ttl_seconds * kNanosPerSecond};
  return authority_->issue(csr, leaf);
}

Result<codec::Json> Signer::sign_token(const codec::Json& request) {
  WARY_ASSIGN_OR_RETURN(const TokenClaims claims, read_token_claims(request, options_.trust_domain));
  if (is_edge_id(claims.subject)) {
    return fail(ErrorKind::kDenied, "signer_forbidden", "no token says that its bearer is an edge");
  }
  const Authority::TokenKey key = authority_->token_key();
  WARY_ASSIGN_OR_RETURN(const std::string token, make_token(claims, clock_.unix_time(), key.kid, *key.key));
  return codec::Json::object({{"token", codec::Json(token)}});
}

Result<codec::Json> Signer::rotate(const codec::Json& request) {
  Authority::Rotation rotation;
  const std::string_view kind = request.string_or("kind", "");
  bool known = false;
  for (const KeyKind one : kKeyKinds) {
    if (kind != to_string(one)) continue;
    rotation.kind = one;
    known = true;
  }
  if (!known) {
    return invalid("signer_rotation", "what is to be replaced is not named")
        .expected("root, intermediate or token")
        .found(kind);
  }
  rotation.at_once = request.bool_or("at_once", false);
  rotation.grace_seconds = request.integer_or("grace_seconds", 0);
  WARY_RETURN_IF_ERROR(authority_->rotate(rotation));
  return trusted();
}

}  // namespace wary::identity
