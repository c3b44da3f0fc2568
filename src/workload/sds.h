// Envoy's Secret Discovery Service (envoy.service.secret.v3), its messages and what a stream of them has to say. Pure.
//
//   WARY_ASSIGN_OR_RETURN(SdsRequest request, decode_sds_request(message));
//   SdsSubscription subscription;
//   if (subscription.hear(request) == SdsSubscription::Heard::kAsks) ... answer with what is there ...
//   WARY_ASSIGN_OR_RETURN(SdsWanted wanted, wanted_secrets(subscription.names(), caller));
//
// Names: a SPIFFE ID of the caller, `default` (its first), `spiffe://DOMAIN` (a trust bundle it may have), `ROOTCA`
// (the own one), `ALL` (all of these bundles in one, for Envoy's SPIFFE validator); no names: each SVID and bundle by
// its ID. Any thread. Limits: 100 names, 2,048 bytes of each, 4 KiB of a reason. Errors: sds_message, sds_not_yours.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wary::workload {

struct SdsRequest {
  std::string version;             // the last that was taken
  std::vector<std::string> names;  // empty: all
  std::string nonce;               // of the answer this is about; empty: the first request
  bool is_refusal = false;         // of that answer (NACK)
  std::string reason;              // for people, of a refusal
  bool operator==(const SdsRequest&) const = default;
};
Result<SdsRequest> decode_sds_request(std::string_view message);
std::string encode_sds_request(const SdsRequest& request);

// What one stream has asked for and was answered.
class SdsSubscription {
 public:
  enum class Heard {
    kAsks,     // an answer is due, whatever was sent before
    kTaken,    // the last answer was taken
    kRefused,  // it was not: nothing until there is another
    kStale,    // it is about an older answer
  };
  Heard hear(const SdsRequest& request);
  // Whether an answer that is made from `content` (a digest or numbers, no secret) is due now.
  bool is_due(std::string_view content) const { return is_asked_ || content != content_; }
  void answered(std::string content);
  const std::vector<std::string>& names() const { return names_; }
  bool is_begun() const { return is_begun_; }
  std::string version() const { return std::to_string(answers_); }  // of the last answer, and its nonce
  // Of the next one.
  std::string next_version() const { return std::to_string(answers_ + 1); }

 private:
  std::vector<std::string> names_;
  std::string content_;
  std::uint64_t answers_ = 0;
  bool is_begun_ = false, is_asked_ = false;
};

struct SdsCaller {
  std::vector<std::string> ids;   // its SPIFFE IDs, the first is `default`
  std::set<std::string> domains;  // whose bundles it may have, the own one among them
  std::string trust_domain;       // the own one
};
// What is to be sent, by the name it is sent under.
struct SdsWanted {
  std::map<std::string, std::string> svids;    // name to SPIFFE ID
  std::map<std::string, std::string> bundles;  // name to trust domain
  bool all_bundles = false;                    // `ALL`
};
// sds_not_yours when a name is none of the caller's.
Result<SdsWanted> wanted_secrets(const std::vector<std::string>& names, const SdsCaller& caller);

struct SdsCertificate {
  std::string name;
  std::string chain;  // PEM, leaf first
  std::string key;    // PEM; wiped by whoever holds it
};
struct SdsBundle {
  std::string name;
  std::string roots;  // PEM
};
struct SdsAnswer {
  std::string version, nonce;
  std::vector<SdsCertificate> certificates;
  std::vector<SdsBundle> bundles;
  std::map<std::string, std::string> all;  // trust domain to PEM; empty: `ALL` is not part of it
};
// DiscoveryResponse. Wiped by whoever holds it; what is made on the way is wiped here.
std::string encode_sds_answer(const SdsAnswer& answer);

// DER certificates, one after another, as PEM; those that are none are left out.
std::string pem_of_certificates(std::string_view der);

}  // namespace wary::workload
