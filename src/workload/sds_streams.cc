#include <algorithm>

#include "base/secret.h"
#include "crypto/pem.h"
#include "workload/connection.h"

namespace wary::workload {

namespace {

using http::GrpcCode;

constexpr std::size_t kReasonLogged = 256;

}  // namespace

Service::Connection::Secrets::~Secrets() {
  for (SdsCertificate& one : answer.certificates) wipe(one.key.data(), one.key.size());
}

http::GrpcResult Service::Connection::fetch_secrets(std::int32_t number, std::string_view message) {
  http::GrpcResult refusal;
  auto caller = identify(refusal);
  if (!caller) return refusal;
  const auto request = decode_sds_request(message);
  if (!request) return refused(GrpcCode::kInvalidArgument, request.error().message);
  Open open;
  open.kind = Kind::kSecrets;
  open.who = std::move(caller->who);
  open.is_once = true;
  (void)open.secrets.hear(*request);
  streams_[number] = std::move(open);
  fresh_.push_back(number);
  return {GrpcCode::kOk, {}, {}, true, false};
}

void Service::Connection::heard_secrets(std::int32_t number, Open& open, std::string_view message) {
  const auto request = decode_sds_request(message);
  if (!request) return finish(number, GrpcCode::kInvalidArgument, request.error().message);
  const std::string version = open.secrets.version();
  if (open.secrets.hear(*request) == SdsSubscription::Heard::kRefused) {
    service_.secrets_refused_.add();
    service_.refusals_.warn(service_.loop_.now(), "workload.secrets_refused", std::to_string(credentials_.uid),
                            {{"pid", std::int64_t{peer_->pid()}},
                             {"uid", std::int64_t{credentials_.uid}},
                             {"version", version},
                             {"reason", std::string_view(request->reason).substr(0, kReasonLogged)}});
  }
  update(number, open);
}

void Service::Connection::update_secrets(std::int32_t number, Open& open, const Matched& entries) {
  if (!open.secrets.is_begun()) return;  // it has not said yet what it wants
  SdsCaller caller;
  caller.trust_domain = service_.parts_.trust_domain;
  caller.domains = {caller.trust_domain};
  for (const Entry* entry : entries) {
    caller.ids.push_back(entry->spiffe_id);
    caller.domains.insert(entry->federates_with.begin(), entry->federates_with.end());
  }
  const auto wanted = wanted_secrets(open.secrets.names(), caller);
  if (!wanted) return finish(number, code_of(wanted.error()), wanted.error().message);
  Matched held;
  for (const Entry* entry : entries) {
    const bool is_wanted = std::any_of(wanted->svids.begin(), wanted->svids.end(),
                                       [&](const auto& one) { return one.second == entry->spiffe_id; });
    if (is_wanted) held.push_back(entry);
  }
  hold(open, held);
  if (!service_.parts_.bundles.contains(caller.trust_domain)) {
    return finish(number, GrpcCode::kUnavailable, "the trust domain's bundle is not known yet");
  }
  Secrets secrets;
  if (!add_certificates(number, *wanted, secrets)) return;
  add_bundles(*wanted, caller.domains, secrets);
  if (!open.secrets.is_due(secrets.content)) return;
  secrets.answer.version = secrets.answer.nonce = open.secrets.next_version();
  std::string message = encode_sds_answer(secrets.answer);
  open.secrets.answered(std::move(secrets.content));
  const bool is_once = open.is_once;
  write(number, message);
  wipe(message.data(), message.size());
  if (is_once) finish(number, GrpcCode::kOk, "");
}

bool Service::Connection::add_certificates(std::int32_t number, const SdsWanted& wanted, Secrets& out) {
  for (const auto& [name, id] : wanted.svids) {
    const Svid* svid = service_.svids_.find(id);
    if (svid == nullptr) {
      const Error* failed = service_.svids_.failure(id);
      if (failed != nullptr) finish(number, code_of(*failed), failed->message);
      return false;  // it comes, and the stream is looked at again
    }
    SdsCertificate& one = out.answer.certificates.emplace_back();
    one.name = name;
    for (const Bytes& certificate : svid->chain) one.chain += crypto::encode_pem("CERTIFICATE", certificate);
    one.key = crypto::encode_pem("PRIVATE KEY", svid->key.reveal());
    out.content += name + ":" + id + ":" + std::to_string(svid->number) + "\n";
  }
  return true;
}

// A bundle that is not known yet is left out until it is.
void Service::Connection::add_bundles(const SdsWanted& wanted, const std::set<std::string>& domains, Secrets& out) {
  const auto& bundles = service_.parts_.bundles;
  for (const auto& [name, domain] : wanted.bundles) {
    const auto found = bundles.find(domain);
    if (found == bundles.end()) continue;
    out.answer.bundles.push_back({name, pem_of_certificates(found->second.x509)});
    out.content += name + "/" + found->second.x509 + "\n";
  }
  if (!wanted.all_bundles) return;
  for (const std::string& domain : domains) {
    const auto found = bundles.find(domain);
    if (found == bundles.end()) continue;
    out.answer.all[domain] = pem_of_certificates(found->second.x509);
    out.content += "ALL/" + domain + "/" + found->second.x509 + "\n";
  }
}

}  // namespace wary::workload
