#include <algorithm>

#include "workload/connection.h"

namespace wary::workload {

namespace {

using http::GrpcCode;

std::string text_of(ByteView bytes) { return std::string(as_text(bytes)); }

void wipe_keys(std::vector<X509SvidMessage>& messages) {
  for (X509SvidMessage& message : messages) wipe(message.key.data(), message.key.size());
}

}  // namespace

http::GrpcResult Service::Connection::call_workload_api(const http::Http2Request& call, std::string_view message) {
  const std::string_view method = std::string_view(call.path).substr(call.path.rfind('/') + 1);
  http::GrpcResult refusal;
  auto caller = identify(refusal);
  if (!caller) return refusal;
  if (method == "ValidateJWTSVID") return validate(message);
  if (method == "FetchJWTSVID") return fetch_jwt(call.stream, message, std::move(*caller));
  if (const Status empty = check_empty_request(message); !empty) {
    return refused(GrpcCode::kInvalidArgument, empty.error().message);
  }
  Open open;
  open.kind = method == "FetchX509SVID"      ? Kind::kX509
              : method == "FetchX509Bundles" ? Kind::kX509Bundles
                                             : Kind::kJwtBundles;
  open.who = std::move(caller->who);
  streams_[call.stream] = std::move(open);
  fresh_.push_back(call.stream);
  return {GrpcCode::kOk, {}, {}, true, false};
}

http::GrpcResult Service::Connection::validate(std::string_view message) {
  const auto request = decode_validate_request(message);
  if (!request) return refused(GrpcCode::kInvalidArgument, request.error().message);
  const auto valid = service_.parts_.validate_jwt(request->token, request->audience);
  if (!valid) return refused(GrpcCode::kInvalidArgument, valid.error().code + ": " + valid.error().message);
  return {GrpcCode::kOk, {}, encode_validated(valid->spiffe_id, valid->claims)};
}

http::GrpcResult Service::Connection::fetch_jwt(std::int32_t number, std::string_view message, Caller caller) {
  const auto request = decode_jwt_request(message);
  if (!request) return refused(GrpcCode::kInvalidArgument, request.error().message);
  Open open;
  open.kind = Kind::kJwt;
  open.who = std::move(caller.who);
  for (const Entry* entry : caller.entries) {
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

void Service::Connection::ask_tokens(std::int32_t number, Open& open) {
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

void Service::Connection::got_token(std::int32_t number, std::size_t place, const Result<std::string>& token) {
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
    write(number, encode_jwt_svids(open.tokens));
    finish(number, GrpcCode::kOk, "");
  }
  push(session_.flush());
}

void Service::Connection::update_bundles(std::int32_t number, Open& open, const Matched& entries) {
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

void Service::Connection::update_svids(std::int32_t number, Open& open, const Matched& entries) {
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
      wipe_keys(messages);
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
  wipe_keys(messages);
}

}  // namespace wary::workload
