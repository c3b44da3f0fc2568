// Access: the gateway's question in the form that costs least to ask again: who, what and where by their ids, and the
// context as its canonical JSON, of which no tree is built as long as the answer is known.
//
//   std::shared_ptr<const Recognised> who = point.recognise(presented);
//   Access access{tenant, who->subject.principal, action, resource, {}};
//   access.context.write(*who, {.client = "127.0.0.1", .host = "a.test", .method = "GET", .path = "/x"});
//   contract::Request request = access.request();     // the same question, where somebody wants the tree
//
// The context is what describe() and AccessFacts make of a request, byte for byte as
// Json::to_canonical_string writes it. Values; any thread. Limits: the caller's; texts are UTF-8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "contract/decision.h"
#include "enforce/subject.h"

namespace wary::enforce {

// A subject, and what every one of its requests says of it.
struct Recognised {
  Subject subject;
  std::string principal;  // as Cedar writes it
  std::string token;      // what its token says: canonical JSON, empty without one
};
Recognised recognised(Subject subject);

// The members that a context of the gateway's can have, in the order of their names.
enum class ContextMember : std::uint8_t {
  kApiKey,
  kApiKeyHash,
  kClient,
  kDevice,
  kHost,
  kMethod,
  kPath,
  kSession,
  kToken,
  kTransport
};
constexpr std::size_t kContextMembers = 10;
std::string_view to_string(ContextMember member);

struct AccessFacts {
  std::string_view client;  // numeric address
  std::string_view host;    // in lower case, without a port
  std::string_view method;
  std::string_view path;            // normalised
  std::string_view transport = {};  // how it came where that was not over TLS: "plain" or "terminated"
};

class AccessContext {
 public:
  void write(const Recognised& who, const AccessFacts& facts);
  const std::string& text() const { return text_; }
  // `"name":value`, or nothing where it has none.
  std::string_view member(ContextMember member) const;
  std::size_t held_bytes() const { return text_.capacity(); }

 private:
  void begin_member(ContextMember member);
  void end_member(ContextMember member);
  void string_member(ContextMember member, std::string_view value);
  void entity_member(ContextMember member, std::string_view type, std::string_view id);

  struct Place {
    std::uint32_t at = 0, size = 0;
  };
  std::string text_;
  std::array<Place, kContextMembers> places_{};
};

struct Access {
  std::string tenant;
  contract::EntityId principal;
  contract::EntityId action;
  contract::EntityId resource;
  AccessContext context;
  // One whose context cannot be read has none, which denies.
  contract::Request request() const;
};

}  // namespace wary::enforce
