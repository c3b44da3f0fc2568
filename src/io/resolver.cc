#include "io/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace wary::io {

namespace {

using Found = Result<std::vector<std::string>>;

constexpr std::size_t kNamesMax = 64;
constexpr std::size_t kAddressesMax = 16;
constexpr std::size_t kNameBytesMax = 253;

std::string_view without_brackets(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') return text.substr(1, text.size() - 2);
  return text;
}

bool is_this_machine(std::string_view name) { return name == "localhost" || name.ends_with(".localhost"); }

Found ask_system(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int outcome = getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (outcome != 0) {
    return fail(ErrorKind::kUnavailable, "resolve_failed", gai_strerror(outcome)).at(name);
  }
  std::vector<std::string> found;
  for (const addrinfo* one = list; one != nullptr && found.size() < kAddressesMax; one = one->ai_next) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* address = nullptr;
    if (one->ai_family == AF_INET) address = &reinterpret_cast<const sockaddr_in*>(one->ai_addr)->sin_addr;
    if (one->ai_family == AF_INET6) address = &reinterpret_cast<const sockaddr_in6*>(one->ai_addr)->sin6_addr;
    if (address == nullptr || inet_ntop(one->ai_family, address, text.data(), text.size()) == nullptr) continue;
    if (std::ranges::find(found, text.data()) == found.end()) found.emplace_back(text.data());
  }
  freeaddrinfo(list);
  if (found.empty()) return fail(ErrorKind::kUnavailable, "resolve_failed", "the name has no address").at(name);
  return found;
}

}  // namespace

struct Resolver::Shared {
  std::mutex mutex;
  std::condition_variable something;
  struct Question {
    std::string name;
    std::function<void(Found)> done;
  };
  std::deque<Question> waiting;
  Loop* loop = nullptr;  // nothing once the resolver has gone
};

namespace {

// The thread's whole life: one name after another, answered on the loop while there is one.
template <typename State>
void resolve_names(const std::shared_ptr<State>& shared) {
  for (;;) {
    std::unique_lock lock(shared->mutex);
    shared->something.wait(lock, [&] { return shared->loop == nullptr || !shared->waiting.empty(); });
    if (shared->loop == nullptr) return;
    auto question = std::move(shared->waiting.front());
    shared->waiting.pop_front();
    lock.unlock();
    Found found = ask_system(question.name);
    lock.lock();
    if (shared->loop == nullptr) return;
    shared->loop->post([done = std::move(question.done), found = std::move(found)] { done(found); });
  }
}

}  // namespace

Resolver::~Resolver() {
  if (!shared_) return;
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
  shared_->something.notify_all();
}

void Resolver::answer(Done done, Found found) {
  loop_.post([alive = std::weak_ptr<int>(alive_), done = std::move(done), found = std::move(found)] {
    if (!alive.expired()) done(found);
  });
}

void Resolver::find(std::string_view host, Done done) {
  const std::string_view name = without_brackets(host);
  if (!address_bytes(name).empty()) return answer(std::move(done), std::vector<std::string>{std::string(name)});
  if (is_this_machine(name)) return answer(std::move(done), std::vector<std::string>{"127.0.0.1", "::1"});
  if (name.empty() || name.size() > kNameBytesMax) {
    return answer(std::move(done),
                  fail(ErrorKind::kInvalid, "resolve_failed", "this is no name of a host").found(name));
  }
  if (!shared_) {
    shared_ = std::make_shared<Shared>();
    shared_->loop = &loop_;
    // Not joined: a name server may take its time, and who goes does not wait for it. All it holds is the shared state.
    std::thread([shared = shared_] { resolve_names(shared); }).detach();
  }
  const std::lock_guard lock(shared_->mutex);
  if (shared_->waiting.size() >= kNamesMax) {
    return answer(std::move(done), fail(ErrorKind::kExhausted, "resolve_queue_full", "64 names wait to be resolved"));
  }
  shared_->waiting.push_back({std::string(name), [alive = std::weak_ptr<int>(alive_), done](Found found) {
                                if (!alive.expired()) done(std::move(found));
                              }});
  shared_->something.notify_one();
}

Bytes address_bytes(std::string_view text) {
  std::array<std::uint8_t, sizeof(in6_addr)> bytes{};
  const std::string whole(without_brackets(text));
  if (inet_pton(AF_INET, whole.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.begin() + sizeof(in_addr)};
  if (inet_pton(AF_INET6, whole.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.end()};
  return {};
}

}  // namespace wary::io
