// Resolver: from a host's name to its addresses, without keeping a loop waiting.
//
//   Resolver resolver(loop);
//   resolver.find("b.example", [](Result<std::vector<std::string>> found) { ... found->front() ... });
//
// A numeric address (an IPv6 literal with or without brackets) is its own answer, and every name under .localhost is
// this machine (RFC 6761 section 6.3): neither asks anybody. Other names go to the system's resolver on one thread,
// made when the first one is asked for, one name after another. `done` comes from the loop, and never after the
// Resolver has gone. Thread rule: the loop's. Limits: 64 names waiting, 16 addresses of a name, 253 bytes a name.
// Errors: resolve_failed, resolve_queue_full.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/loop.h"

namespace wary::io {

class Resolver {
 public:
  using Done = std::function<void(Result<std::vector<std::string>>)>;
  explicit Resolver(Loop& loop) : loop_(loop) {}
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  void find(std::string_view host, Done done);

 private:
  struct Shared;
  void answer(Done done, Result<std::vector<std::string>> found);

  Loop& loop_;
  // Shared with the thread, which may still wait for a name when this has gone.
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// 4 or 16 bytes of a numeric address, in network order; nothing of any other text.
Bytes address_bytes(std::string_view text);

}  // namespace wary::io
