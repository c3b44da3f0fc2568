// Asks a control plane for X509-SVIDs the way its agents do, many calls at once over one link, and verifies every
// answer: the chain leads to the root, the name is the one asked for, the key is the request's. Called by
// bench/identity.mjs.
//
//   svid_issue LINK_SOCKET CA.pem WORKLOADS SECONDS IN_FLIGHT PID...
//
// WORKLOADS many are named spiffe://local/bench/w0, w1, ...; PIDs are those whose time on a processor counts. One line
// of JSON.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "codec/json.h"
#include "codec/text.h"
#include "crypto/csr.h"
#include "crypto/issuer.h"
#include "crypto/pem.h"
#include "io/system.h"
#include "link/frames.h"
#include "link/update.h"

using namespace wary;

namespace {

constexpr std::size_t kKeys = 512;

struct Question {
  std::string spiffe_id;
  Bytes spki;
  std::string text;
};
struct Answer {
  std::size_t question = 0;
  std::int64_t nanos = 0;  // from the call to its reply
  std::string text;
};

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::int64_t number(const char* text) {
  std::int64_t out = 0;
  const std::string_view all = text;
  (void)std::from_chars(all.data(), all.data() + all.size(), out);
  return out;
}

// Nanoseconds on a processor, of every thread of these processes.
double processor_nanos(const std::vector<std::string>& pids) {
  double sum = 0;
  for (const std::string& pid : pids) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + pid + "/task")) {
      std::ifstream file(task.path() / "schedstat");
      double spent = 0;
      if (file >> spent) sum += spent;
    }
  }
  return sum;
}

std::vector<Question> make_questions(std::size_t workloads) {
  std::vector<Question> out;
  for (std::size_t i = 0; i < kKeys; ++i) {
    const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
    Question one{"spiffe://local/bench/w" + std::to_string(i % workloads), key.public_key().to_spki(), {}};
    codec::Json call = codec::Json::object();
    call.set("op", "svid.issue").set("spiffe_id", std::string_view(one.spiffe_id));
    call.set("csr", codec::encode_base64(crypto::make_csr(key, "").value())).set("ttl_seconds", std::int64_t{3600});
    one.text = call.to_string();
    out.push_back(std::move(one));
  }
  return out;
}

class Caller {
 public:
  Caller(io::Loop& loop, Clock& clock, const std::vector<Question>& questions, std::int64_t nanos,
         std::size_t in_flight)
      : loop_(loop), clock_(clock), questions_(questions), nanos_(nanos), in_flight_(in_flight) {}

  // Until all that was asked is answered. Error: the link's.
  Status run(const std::string& socket, const std::function<void()>& begins) {
    loop_.connect(io::Address::unix_socket(socket), kNanosPerSecond, [&](Result<std::unique_ptr<io::Stream>> stream) {
      if (!stream) return end(std::move(stream).error());
      frames_ = std::make_unique<link::FrameStream>(std::move(stream).value(), link::FrameLimits{});
      frames_->start([&](std::uint8_t type, ByteView payload) { on_frame(type, payload, begins); },
                     [&](const Error& why) { end(why); });
      (void)frames_->send(link::kHelloMessage, link::encode(link::Hello{"agent/local", "", 0}));
    });
    loop_.run();
    return failure_;
  }
  std::vector<Answer> answers;
  std::int64_t begun = 0, ended = 0;

 private:
  void on_frame(std::uint8_t type, ByteView payload, const std::function<void()>& begins) {
    if (type == link::kUpdateMessage && begun == 0) {
      begins();
      begun = clock_.monotonic().nanos;
      for (std::size_t i = 0; i < in_flight_; ++i) ask();
    }
    if (type != link::kReplyMessage) return;
    const std::uint64_t id = read_big_endian<std::uint64_t>(payload.data());
    const std::int64_t now = clock_.monotonic().nanos;
    answers.push_back({id % questions_.size(), now - asked_[id], std::string(as_text(payload.subspan(8)))});
    if (now - begun < nanos_) return ask();
    if (answers.size() < asked_.size()) return;
    ended = now;
    loop_.stop();
  }
  void ask() {
    Bytes out;
    append_big_endian(out, static_cast<std::uint64_t>(asked_.size()));
    append(out, as_bytes(questions_[asked_.size() % questions_.size()].text));
    asked_.push_back(clock_.monotonic().nanos);
    if (Status sent = frames_->send(link::kCallMessage, out); !sent) end(std::move(sent).error());
  }
  void end(Error why) {
    failure_ = std::move(why);
    loop_.stop();
  }

  io::Loop& loop_;
  Clock& clock_;
  const std::vector<Question>& questions_;
  std::int64_t nanos_;
  std::size_t in_flight_;
  std::unique_ptr<link::FrameStream> frames_;
  std::vector<std::int64_t> asked_;  // when, by id
  Status failure_;
};

bool is_good(const Answer& answer, const Question& question, const crypto::TrustRoots& roots, UnixTime now) {
  const auto reply = codec::parse_json(answer.text);
  const codec::Json* list = reply ? reply->find("chain") : nullptr;
  if (list == nullptr || !list->is_array()) return false;
  std::vector<Bytes> chain;
  for (const codec::Json& one : list->items()) {
    auto der = codec::decode_base64(one.as_string());
    if (!der) return false;
    chain.push_back(std::move(der).value());
  }
  crypto::VerifyOptions options;
  options.svid = true;
  options.trust_domain = "local";
  const auto leaf = roots.verify(chain, now, options);
  return leaf && leaf->uris == std::vector<std::string>{question.spiffe_id} && leaf->public_key == question.spki;
}

int run(const std::vector<const char*>& words) {
  const auto clock = io::make_system_clock();
  const auto loop = io::make_epoll_loop(*clock);
  const auto questions = make_questions(static_cast<std::size_t>(number(words[3])));
  std::vector<Bytes> authorities;
  const auto pem = crypto::decode_pem(read_text(words[2]));
  if (!pem) return 1;
  for (const crypto::PemBlock& block : *pem) authorities.push_back(block.bytes);
  const auto roots = crypto::TrustRoots::build(authorities).value();
  const std::vector<std::string> pids(words.begin() + 6, words.end());
  Caller caller(*loop, *clock, questions, number(words[4]) * kNanosPerSecond,
                static_cast<std::size_t>(number(words[5])));
  double before = 0;
  const Status done = caller.run(words[1], [&] { before = processor_nanos(pids); });
  const double spent = processor_nanos(pids) - before;
  if (!done) {
    std::fprintf(stderr, "%s\n", done.error().to_string().c_str());
    return 1;
  }
  std::int64_t good = 0;
  std::vector<std::int64_t> waits;
  for (const Answer& answer : caller.answers) {
    waits.push_back(answer.nanos);
    const bool is_right = is_good(answer, questions[answer.question], roots, clock->unix_time());
    if (!is_right && good == std::ssize(waits) - 1) std::fprintf(stderr, "not good: %s\n", answer.text.c_str());
    good += is_right ? 1 : 0;
  }
  std::sort(waits.begin(), waits.end());
  const double count = static_cast<double>(waits.size());
  codec::Json out = codec::Json::object();
  out.set("issued", static_cast<std::int64_t>(waits.size())).set("verified", good);
  out.set("per_second", count * 1e9 / static_cast<double>(caller.ended - caller.begun));
  out.set("per_cpu_second", count * 1e9 / spent).set("cpu_us", spent / 1e3 / count);
  out.set("p50_ms", static_cast<double>(waits[waits.size() / 2]) / 1e6);
  out.set("p99_ms", static_cast<double>(waits[waits.size() * 99 / 100]) / 1e6);
  std::printf("%s\n", out.to_string().c_str());
  return good == std::ssize(waits) ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 7) return 2;
  return run(std::vector<const char*>(arguments, arguments + count));
}
