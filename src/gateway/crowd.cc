#include "gateway/crowd.h"

#include <arpa/inet.h>

#include <algorithm>
#include <tuple>

#include "base/bytes.h"
#include "base/check.h"
#include "base/time.h"
#include "codec/text.h"

namespace wary::gateway {

namespace {

constexpr std::size_t kLooks = 64;
constexpr std::size_t kOwnMost = 16;                  // of an address, that may come at others' expense
constexpr std::int64_t kBareAfter = kNanosPerSecond;  // who shakes hands just now has not had time to ask

}  // namespace

std::string network_of(const std::string& address) {
  constexpr std::size_t kNetworkBytes = 8;
  in6_addr bytes{};
  if (inet_pton(AF_INET6, address.c_str(), &bytes) != 1 || IN6_IS_ADDR_V4MAPPED(&bytes)) return address;
  return codec::encode_hex(ByteView(bytes.s6_addr).first(kNetworkBytes));
}

void Crowd::add(Member& member, const std::string& address) {
  WARY_CHECK(member.neighbours_ == nullptr);
  member.among_all_ = all_.size();
  all_.push_back(&member);
  const std::string network = network_of(address);
  Neighbours& neighbours = by_network_[network];
  neighbours.network = network;
  member.neighbours_ = &neighbours;
  member.among_neighbours_ = neighbours.members.size();
  neighbours.members.push_back(&member);
}

void Crowd::remove(Member& member) {
  if (member.neighbours_ == nullptr) return;
  // The last one takes the free place, and is told so.
  all_[member.among_all_] = all_.back();
  all_[member.among_all_]->among_all_ = member.among_all_;
  all_.pop_back();
  Neighbours& neighbours = *member.neighbours_;
  neighbours.members[member.among_neighbours_] = neighbours.members.back();
  neighbours.members[member.among_neighbours_]->among_neighbours_ = member.among_neighbours_;
  neighbours.members.pop_back();
  member.neighbours_ = nullptr;
  if (neighbours.members.empty()) by_network_.erase(by_network_.find(neighbours.network));
}

void Crowd::move(Member& member, const std::string& address) {
  remove(member);
  add(member, address);
}

Crowd::Member* Crowd::first_of(const std::vector<Member*>& members, std::int64_t now, Random& random) {
  Member* first = nullptr;
  std::tuple<bool, std::size_t, std::int64_t> most;
  const std::size_t begin = members.empty() ? 0 : static_cast<std::size_t>(random.number() % members.size());
  for (std::size_t i = 0; i < std::min(kLooks, members.size()); ++i) {
    Member* one = members[(begin + i) % members.size()];
    const auto since = one->rests_since();
    if (!since) continue;
    const std::int64_t rests = now - *since;
    const std::tuple rank(!one->has_asked() && rests >= kBareAfter, one->neighbours_->members.size(), rests);
    if (first == nullptr || rank > most) {
      first = one;
      most = rank;
    }
  }
  return first;
}

Crowd::Member* Crowd::who_gives_way(const std::string& newcomer, std::int64_t now, Random& random) const {
  if (!newcomer.empty()) {
    const auto own = by_network_.find(network_of(newcomer));
    if (own != by_network_.end() && own->second.members.size() > kOwnMost) {
      if (Member* one = first_of(own->second.members, now, random)) return one;
    }
  }
  return first_of(all_, now, random);
}

}  // namespace wary::gateway
