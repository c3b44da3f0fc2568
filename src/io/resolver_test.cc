#include "io/resolver.h"

#include <doctest/doctest.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "io/system.h"
#include "tests/support/skip.h"

using namespace wary;
using namespace wary::io;

namespace {

using Names = Result<std::vector<std::string>>;

// Nothing when no answer came within the time.
std::optional<Names> resolve(std::string_view host, std::int64_t nanos = 5 * kNanosPerSecond) {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  Resolver resolver(*loop);
  std::optional<Names> out;
  resolver.find(host, [&](Names found) {
    out = std::move(found);
    loop->stop();
  });
  loop->after(nanos, [&] { loop->stop(); });
  loop->run();
  return out;
}

// A name of /etc/hosts for an IPv4 address that is none of localhost's; empty without.
std::string name_of_table() {
  std::ifstream table("/etc/hosts");
  std::string line;
  while (std::getline(table, line)) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string address, name;
    if (!(words >> address >> name) || name.find("localhost") != std::string::npos) continue;
    if (address_bytes(address).size() == 4) return name;
  }
  return {};
}

}  // namespace

TEST_CASE("numeric addresses and names of this machine are their own answer") {
  using List = std::vector<std::string>;
  CHECK(resolve("127.0.0.1")->value() == List{"127.0.0.1"});
  CHECK(resolve("[::1]")->value() == List{"::1"});
  CHECK(resolve("console.localhost")->value() == List{"127.0.0.1", "::1"});
  CHECK(resolve("")->error().code == "resolve_failed");
  CHECK(resolve(std::string(254, 'a'))->error().code == "resolve_failed");
}

TEST_CASE("a name of the system's own table is resolved on the thread") {
  // Nobody is asked over a network: a name that the table does not have is not looked up here.
  const std::string name = name_of_table();
  if (name.empty()) WARY_SKIP("this machine has no other name than localhost in its table of hosts");
  const auto found = resolve(name);
  REQUIRE(found.has_value());
  REQUIRE(found->ok());
  CHECK(!address_bytes(found->value().front()).empty());
}

TEST_CASE("who goes does not wait for an answer, and gets none") {
  const auto clock = make_system_clock();
  const auto loop = make_epoll_loop(*clock);
  bool told = false;
  {
    Resolver resolver(*loop);
    resolver.find("127.0.0.1", [&](Names) { told = true; });
    resolver.find("console.localhost", [&](Names) { told = true; });
  }
  loop->after(200 * kNanosPerMilli, [&] { loop->stop(); });
  loop->run();
  CHECK(!told);
}

TEST_CASE("addresses as bytes") {
  CHECK(address_bytes("127.0.0.1") == Bytes{127, 0, 0, 1});
  CHECK(address_bytes("[::1]").size() == 16);
  CHECK(address_bytes("a.example").empty());
  CHECK(address_bytes("127.1").empty());
}
