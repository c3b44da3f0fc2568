// Crowd: who is connected, by address, and who gives way where there is no room for one more. Private to gateway/.
//
//   crowd.add(connection, "192.0.2.7");
//   if (Crowd::Member* one = crowd.who_gives_way("192.0.2.8", now, random)) ...
//
// Whoever comes from an address that has more than a few connections takes the place of one of its own, so that one
// address cannot push out others'. Else, of those that rest among 64 that are looked at from a place picked by chance:
// first who has asked for nothing in a second, then who is of the address that has most, then who has rested longest.
// Thread rule: its worker's. Limits: 128 members looked at, however many there are. It borrows its members, who are
// taken out before they go.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"

namespace wary::gateway {

// Whose address it is, for counting: who has an address of IPv6 has all of its network's (RFC 6177: a /64 at least).
std::string network_of(const std::string& address);

class Crowd {
  struct Neighbours;

 public:
  class Member {
   public:
    Member() = default;
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    virtual ~Member() = default;
    // Monotonic nanoseconds; nothing while something runs on it.
    virtual std::optional<std::int64_t> rests_since() const = 0;
    virtual bool has_asked() const = 0;

   private:
    friend class Crowd;
    Neighbours* neighbours_ = nullptr;
    std::size_t among_all_ = 0, among_neighbours_ = 0;
  };

  void add(Member& member, const std::string& address);
  void remove(Member& member);
  // It turned out to be of another address: a load balancer said so.
  void move(Member& member, const std::string& address);
  // Nobody where all that are looked at have something running. `newcomer`: an address; empty: it is for none.
  Member* who_gives_way(const std::string& newcomer, std::int64_t now, Random& random) const;
  std::size_t size() const { return all_.size(); }
  std::size_t addresses() const { return by_network_.size(); }

 private:
  struct Neighbours {
    std::string network;
    std::vector<Member*> members;
  };
  static Member* first_of(const std::vector<Member*>& members, std::int64_t now, Random& random);

  std::vector<Member*> all_;
  std::unordered_map<std::string, Neighbours> by_network_;  // they stay in place while it grows
};

}  // namespace wary::gateway
