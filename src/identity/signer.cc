#include "identity/signer.h"

#include <charconv>

#include "base/limits.h"
#include "codec/text.h"
#include "codec/uri.h"
#include "crypto/random_id.h"
#include "crypto/x509.h"

namespace wary::identity {

namespace {

constexpr std::size_t kKeyFileMax = 64 * 1024;
constexpr std::size_t kOriginRandom = 8;
constexpr std::int64_t kCaLife = 10LL * 365 * 86400 * kNanosPerSecond;
constexpr std::int64_t kNamesLifeMax = 24 * 3600;  // seconds; no key that lives longer enters the edge
constexpr std::int64_t kWorkloadLifeMax = 3600;
constexpr std::int64_t kBackdate = 60 * kNanosPerSecond;  // for clocks a little behind
constexpr std::string_view kSnapshotDomain = "wary snapshot v1\n";

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

Result<Bytes> open_ca(io::Files& files, const std::string& directory, const SignerOptions& options, Clock& clock,
                      const crypto::PrivateKey& key) {
  const std::string path = directory + "/ca.der";
  auto stored = io::read_file(files, path, kKeyFileMax);
  if (stored || stored.error().kind != ErrorKind::kNotFound) return stored;
  const UnixTime now = clock.unix_time();
  WARY_ASSIGN_OR_RETURN(const Bytes ca, crypto::create_ca({.common_name = "wary local CA",
                                                           .trust_domain = options.trust_domain,
                                                           .not_before = {now.nanos - kBackdate},
                                                           .not_after = {now.nanos + kCaLife}},
                                                          key));
  WARY_RETURN_IF_ERROR(io::write_file_atomically(files, path, ca));
  return ca;
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

// The origin is written last at the first start. Where it stands, everything else must stand too: a key that is gone is
// never made anew in silence, since whatever trusted the old one would be trusting nobody.
Status check_complete(io::Files& files, const std::string& directory) {
  const auto origin = files.status(directory + "/origin");
  if (!origin) return origin.error().kind == ErrorKind::kNotFound ? Status() : Status(origin.error());
  for (const std::string_view name : {"seal.key", "ca.key", "ledger.key", "snapshot.key", "ca.der"}) {
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

// What is stored must be what was made: a CA certificate of another key would be trusted by clients and sign nothing.
Status check_stored(const std::string& directory, ByteView ca, const crypto::PrivateKey& ca_key,
                    const std::string& origin, const std::string& trust_domain) {
  const auto certificate = crypto::parse_certificate(ca);
  if (!certificate || certificate->public_key != ca_key.public_key().to_spki()) {
    return fail(ErrorKind::kDataLoss, "signer_ca", "the stored CA certificate is damaged, or is not of the stored key")
        .at(directory + "/ca.der")
        .next("restore it from a backup, or from the ca.pem that clients have");
  }
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

codec::Json base64(ByteView bytes) { return codec::Json(codec::encode_base64(bytes)); }

// Which row of the table has which operation.
bool may(Role role, std::string_view operation) {
  if (operation == "public" || operation == "certificate.issue") return true;
  const bool control_only = operation == "ledger.sign" || operation == "snapshot.sign";
  return control_only && role == Role::kControl;
}

}  // namespace

Signer::Signer(Clock& clock, SignerOptions options, crypto::PrivateKey ca, crypto::PrivateKey ledger,
               crypto::PrivateKey snapshot)
    : clock_(clock),
      options_(std::move(options)),
      ca_key_(std::move(ca)),
      ledger_key_(std::move(ledger)),
      snapshot_key_(std::move(snapshot)) {}

Result<std::unique_ptr<Signer>> Signer::open(io::Files& files, const std::string& directory, Clock& clock,
                                             Random& random, const SignerOptions& options) {
  WARY_RETURN_IF_ERROR(check_complete(files, directory));
  WARY_ASSIGN_OR_RETURN(const crypto::SealKey seal, open_seal_key(files, directory, random));
  const auto key = [&](std::string_view name, crypto::KeyType type) {
    return open_key(files, directory, name, type, seal, random);
  };
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey ca, key("ca.key", crypto::KeyType::kEcdsaP256));
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey ledger, key("ledger.key", crypto::KeyType::kEd25519));
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey snapshot, key("snapshot.key", crypto::KeyType::kEd25519));
  auto signer = std::unique_ptr<Signer>(  // NOLINT: private constructor
      new Signer(clock, options, std::move(ca), std::move(ledger), std::move(snapshot)));
  WARY_ASSIGN_OR_RETURN(signer->ca_certificate_, open_ca(files, directory, options, clock, signer->ca_key_));
  WARY_ASSIGN_OR_RETURN(signer->origin_, open_origin(files, directory, options.trust_domain, random));
  WARY_RETURN_IF_ERROR(
      check_stored(directory, signer->ca_certificate_, signer->ca_key_, signer->origin_, options.trust_domain));
  return signer;
}

Result<codec::Json> Signer::handle(Role role, const codec::Json& request) {
  const std::string_view operation = request.string_or("op", "");
  if (!may(role, operation)) {
    return fail(ErrorKind::kDenied, "signer_forbidden", "this caller may not ask for this").found(operation);
  }
  if (operation == "public") return public_keys();
  if (operation == "ledger.sign") return sign_checkpoint(request);
  if (operation == "snapshot.sign") return sign_snapshot(request);
  return issue_certificate(role, request);
}

Result<codec::Json> Signer::public_keys() const {
  codec::Json out = codec::Json::object();
  out.set("origin", std::string_view(origin_)).set("trust_domain", std::string_view(options_.trust_domain));
  out.set("ledger", base64(ledger_key_.public_key().raw()));
  out.set("snapshot", base64(snapshot_key_.public_key().raw()));
  out.set("ca", base64(ca_certificate_));
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
  const UnixTime now = clock_.unix_time();
  crypto::LeafOptions leaf;
  leaf.spiffe_id = request.string_or("spiffe_id", "");
  if (const codec::Json* names = request.find("dns_names"); names != nullptr && names->is_array()) {
    for (const codec::Json& name : names->items()) {
      if (!name.is_string()) return invalid("signer_names", "a name is text");
      leaf.dns_names.push_back(name.as_string());
    }
  }
  // Public names are the edge's, workload identities the control plane's: neither can ask for the other.
  const bool fits = role == Role::kEdge ? leaf.spiffe_id.empty() && !leaf.dns_names.empty()
                                        : !leaf.spiffe_id.empty() && leaf.dns_names.empty();
  if (!fits) return fail(ErrorKind::kDenied, "signer_forbidden", "this caller may not have such a certificate");
  if (!leaf.spiffe_id.empty()) {
    WARY_ASSIGN_OR_RETURN(const codec::SpiffeId id, codec::parse_spiffe_id(leaf.spiffe_id));
    if (id.trust_domain != options_.trust_domain || id.path.empty()) {
      return invalid("signer_trust_domain", "this identity is not of this trust domain").found(leaf.spiffe_id);
    }
  }
  const std::int64_t longest = role == Role::kEdge ? kNamesLifeMax : kWorkloadLifeMax;
  const std::int64_t life = request.integer_or("ttl_seconds", longest);
  if (life < 1 || life > longest) {
    return invalid("signer_ttl", "a certificate cannot live that long")
        .expected("1.." + std::to_string(longest) + " seconds")
        .found(std::to_string(life));
  }
  leaf.not_before = {now.nanos - kBackdate};
  leaf.not_after = {now.nanos + life * kNanosPerSecond};
  WARY_ASSIGN_OR_RETURN(const Bytes issued, crypto::issue_leaf(ca_certificate_, ca_key_, csr, leaf));
  codec::Json out = codec::Json::object();
  out.set("certificate", base64(issued)).set("ca", base64(ca_certificate_));
  out.set("not_after", leaf.not_after.nanos);
  return out;
}

}  // namespace wary::identity
