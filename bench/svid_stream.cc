// How long a new Workload takes to reach a program that has its stream open: from the API call being sent, and from its
// answer, to the message with the new SVID, decoded and checked. Called by bench/identity.mjs.
//
//   svid_stream latency API_SOCKET ADMIN_SOCKET COUNT     one line of JSON; the Workload bench/w0 is this user's
//   already svid_stream churn API_SOCKET COUNT                    opens and closes COUNT streams, each once its first
//   message is there
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "codec/json.h"
#include "http/client.h"
#include "io/system.h"
#include "workload/client.h"

using namespace wary;

namespace {

constexpr std::chrono::seconds kPatience{5};
constexpr std::size_t kAtOnce = 16;

int number(const char* text) {
  int out = 0;
  const std::string_view all = text;
  (void)std::from_chars(all.data(), all.data() + all.size(), out);
  return out;
}

// The stream, on a loop and thread of its own, and who this program is by its newest message.
class Stream {
 public:
  Stream(Clock& clock, const std::string& socket) : clock_(clock), loop_(io::make_epoll_loop(clock)) {
    workload::ClientEvents events;
    events.on_x509 = [this](const workload::X509Context& context) {
      const std::lock_guard lock(mutex_);
      when_ = clock_.monotonic().nanos;
      ids_.clear();
      for (const workload::X509Identity& one : context.identities) ids_.insert(one.spiffe_id);
      changed_.notify_all();
    };
    events.on_error = [](const Error& why) { std::fprintf(stderr, "%s\n", why.to_string().c_str()); };
    client_ = std::make_unique<workload::Client>(*loop_, io::Address::unix_socket(socket), std::move(events));
    client_->start();
    thread_ = std::thread([this] { loop_->run(); });
  }
  ~Stream() {
    loop_->stop();
    thread_.join();
  }
  // When the message came since which `id` is among the identities, or is not; 0 when none did.
  std::int64_t wait(const std::string& id, bool there) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(lock, kPatience, [&] { return when_ != 0 && ids_.contains(id) == there; });
    return came ? when_ : 0;
  }

 private:
  Clock& clock_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<workload::Client> client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t when_ = 0;
  std::set<std::string> ids_;
  std::thread thread_;
};

bool call(Clock& clock, const std::string& socket, const std::string& method, const std::string& path,
          const std::string& body) {
  http::ClientRequest request;
  request.method = method;
  request.path = path;
  request.query = method == "DELETE" ? "namespace=bench" : "";
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = body;
  const auto answer = http::fetch(clock, io::Address::unix_socket(socket), request);
  if (answer && answer->status == 200) return true;
  std::fprintf(stderr, "%s %s: %s\n", method.c_str(), path.c_str(),
               answer ? answer->body.c_str() : answer.error().to_string().c_str());
  return false;
}

std::string workload(const std::string& name) {
  return R"({"dryRun":false,"objects":[{"apiVersion":"wary.dev/v1","kind":"Workload","metadata":{"name":")" + name +
         R"(","namespace":"bench"},"spec":{"selectors":[["unix:uid:)" + std::to_string(getuid()) + R"("]]}}]})";
}

codec::Json spread(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](std::size_t percent) {
    return static_cast<double>(values[(values.size() - 1) * percent / 100]) / 1e6;
  };
  codec::Json out = codec::Json::object();
  out.set("count", std::ssize(values)).set("p50_ms", at(50)).set("p99_ms", at(99)).set("max_ms", at(100));
  return out;
}

int latency(const std::string& api, const std::string& admin, int count) {
  const auto clock = io::make_system_clock();
  Stream stream(*clock, api);
  if (stream.wait("spiffe://local/bench/w0", true) == 0) return 1;
  std::vector<std::int64_t> sent, answered;
  for (int i = 0; i < count; ++i) {
    const std::string name = "new" + std::to_string(i), id = "spiffe://local/bench/" + name;
    const std::int64_t begun = clock->monotonic().nanos;
    if (!call(*clock, admin, "POST", "/v1/apply", workload(name))) return 1;
    const std::int64_t done = clock->monotonic().nanos;
    const std::int64_t there = stream.wait(id, true);
    if (there == 0) return 1;
    sent.push_back(there - begun);
    answered.push_back(std::max<std::int64_t>(there - done, 0));
    if (!call(*clock, admin, "DELETE", "/v1/objects/Workload/" + name, "") || stream.wait(id, false) == 0) return 1;
  }
  codec::Json out = codec::Json::object();
  out.set("from_call", spread(sent)).set("from_answer", spread(answered));
  std::printf("%s\n", out.to_string().c_str());
  return 0;
}

int churn(const std::string& api, int count) {
  const auto clock = io::make_system_clock();
  const auto loop = io::make_epoll_loop(*clock);
  std::vector<std::unique_ptr<workload::Client>> open(std::min<std::size_t>(kAtOnce, static_cast<std::size_t>(count)));
  int begun = 0, seen = 0;
  bool failed = false;
  std::function<void(std::size_t)> begin = [&](std::size_t place) {
    open[place].reset();
    if (begun == count) return;
    ++begun;
    workload::ClientEvents events;
    events.on_x509 = [&, place](const workload::X509Context&) {
      if (++seen == count) loop->stop();
      loop->post([&begin, place] { begin(place); });
    };
    events.on_error = [&](const Error& why) {
      std::fprintf(stderr, "%s\n", why.to_string().c_str());
      failed = true;
      loop->stop();
    };
    open[place] = std::make_unique<workload::Client>(*loop, io::Address::unix_socket(api), std::move(events));
    open[place]->start();
  };
  for (std::size_t place = 0; place < open.size(); ++place) begin(place);
  loop->run();
  std::printf("%d\n", seen);
  return failed || seen != count ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments, arguments + count);
  if (count == 5 && words[1] == "latency") return latency(words[2], words[3], number(arguments[4]));
  if (count == 4 && words[1] == "churn") return churn(words[2], number(arguments[3]));
  return 2;
}
