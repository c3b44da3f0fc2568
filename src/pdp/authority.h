// Authority: what every plug of the decision point asks, whatever protocol its enforcement point speaks. Each answer is
// recorded before it is given.
//
//   contract::Decision decision = authority.decide({request, "unix uid 33", {"step-up"}, "GET", host, path, client});
//   if (!decision.is_allowed()) ...
//
// Thread rule: one thread's. Limits: the context of a question has at most kContextBytesMax bytes as JSON, so that its
// event always fits; what is larger is denied with context_too_large. Ids that no event can hold are request_invalid.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "enforce/point.h"
#include "policy/snapshot.h"

namespace wary::pdp {

constexpr std::size_t kContextBytesMax = std::size_t{32} << 10;

struct Question {
  contract::Request request;
  std::string pep;                       // who asks and will enforce
  std::vector<std::string> obligations;  // what it says it can keep
  std::string method, host, path, client;
};

class Authority {
 public:
  virtual ~Authority() = default;
  virtual policy::SnapshotPtr snapshot() = 0;  // null before the first
  virtual UnixTime now() = 0;
  virtual contract::Decision decide(const Question& question) = 0;    // recorded
  virtual contract::Decision consider(const Question& question) = 0;  // the same answer, not recorded
  virtual bool record_search(const Question& question, std::string_view searched, std::size_t found) = 0;
  // For plugs that carry a client's request: who that client is, and what its target is here. Nothing: not served.
  virtual enforce::Point::Subject identify(std::string_view session_token, std::string_view host,
                                           std::string_view spiffe_id) = 0;
  virtual std::optional<contract::EntityId> resource_of(std::string_view host, std::string_view path) = 0;
};

// The authority of a process that has an enforcement point. Borrows both.
class PointAuthority final : public Authority {
 public:
  using ResourceOf = std::function<std::optional<contract::EntityId>(std::string_view host, std::string_view path)>;
  PointAuthority(enforce::Point& point, enforce::Shared& shared, Clock& clock, ResourceOf resource_of)
      : point_(point), shared_(shared), clock_(clock), resource_of_(std::move(resource_of)) {}
  policy::SnapshotPtr snapshot() override { return shared_.snapshot.current(); }
  UnixTime now() override { return clock_.unix_time(); }
  contract::Decision decide(const Question& question) override;
  contract::Decision consider(const Question& question) override;
  bool record_search(const Question& question, std::string_view searched, std::size_t found) override;
  enforce::Point::Subject identify(std::string_view session_token, std::string_view host,
                                   std::string_view spiffe_id) override {
    return point_.identify(session_token, host, spiffe_id);
  }
  std::optional<contract::EntityId> resource_of(std::string_view host, std::string_view path) override {
    return resource_of_(host, path);
  }

 private:
  enforce::Point& point_;
  enforce::Shared& shared_;
  Clock& clock_;
  ResourceOf resource_of_;
};

}  // namespace wary::pdp
