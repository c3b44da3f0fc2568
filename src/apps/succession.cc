#include "apps/succession.h"

#include <unistd.h>

#include "apps/admin.h"

namespace wary::apps {

namespace {

constexpr std::string_view kListen = "listen.", kListenPlain = "plain.";
constexpr std::array<const char*, 5> kOtherSockets = {"grpc", "spop", "pdp", "admin", "upgrade"};
constexpr std::int64_t kLastWords = 2 * kNanosPerSecond;  // for what is open when the time to drain is over
constexpr std::int64_t kShipTime = 5 * kNanosPerSecond;   // then whoever took over ships the rest
constexpr std::int64_t kShipCheck = 20 * kNanosPerMilli;
constexpr std::int64_t kServedCheck = 10 * kNanosPerMilli;
constexpr std::int64_t kServedTime = 5 * kNanosPerSecond;  // then it is ready without a certificate

}  // namespace

Succession::Succession(Runtime& runtime, Metrics& metrics, SuccessionOptions options)
    : runtime_(runtime), metrics_(metrics), options_(std::move(options)) {}

gateway::HandoverOptions Succession::handover_options() const {
  return {options_.run + "/edge/upgrade.sock", options_.listen, getuid(), options_.drain_seconds};
}

void Succession::stop_with(const Error& why) {
  failure_ = why;
  runtime_.loop->stop();
}

// Without the sockets there is nothing to be made.
Status Succession::call() {
  if (!options_.takes_over) return {};
  gateway::TakerHooks hooks;
  hooks.prepare = [this](std::vector<std::pair<std::string, io::Descriptor>> sockets) {
    for (auto& [name, descriptor] : sockets) taken_[name] = std::move(descriptor);
    has_sockets_ = true;
    runtime_.loop->stop();
  };
  hooks.take = [this]() -> Status {
    WARY_RETURN_IF_ERROR(check_sockets());
    WARY_RETURN_IF_ERROR(take_sockets());
    say_ready(runtime_);
    return {};
  };
  hooks.inherit = [this] { edge_->inherit(); };
  hooks.fail = [this](const Error& why) { stop_with(why); };
  hooks.partner = [this](pid_t pid) { set_partner(pid); };
  taker_ = std::make_unique<gateway::HandoverTaker>(*runtime_.loop, handover_options(), std::move(hooks));
  taker_->call();
  runtime_.loop->run();
  if (failure_) return *failure_;
  for (const char* name : kOtherSockets) {
    if (taken_.contains(name)) continue;
    return fail(ErrorKind::kConflict, "handover_failed", "the edge that runs gave too few sockets").expected(name);
  }
  return {};
}

Status Succession::begin(gateway::Edge& edge, pdp::Service& decisions) {
  edge_ = &edge;
  decisions_ = &decisions;
  decisions.set_other_process(partner_);
  make_giver();
  if (options_.takes_over) return {};
  WARY_ASSIGN_OR_RETURN(admin_, serve_metrics(*runtime_.loop, metrics_, options_.directory));
  WARY_RETURN_IF_ERROR(decisions.listen());
  return giver_->listen();
}

void Succession::prepare() {
  if (taker_) return edge_->when_complete([this] { taker_->prepared(); });
  say_when_served(runtime_.clock->monotonic().nanos + kServedTime);
}

// Before it has a certificate it turns everybody away. Without a signer or anything to serve that stays so, and it is
// as ready as it gets: programs can ask for decisions.
void Succession::say_when_served(std::int64_t until) {
  if (edge_->has_certificate() || runtime_.clock->monotonic().nanos >= until) return say_ready(runtime_);
  runtime_.loop->after(kServedCheck, [this, until] { say_when_served(until); });
}

void Succession::set_partner(pid_t pid) {
  partner_ = pid;
  if (decisions_ != nullptr) decisions_->set_other_process(pid);
}

// All of them before any is used: the names of unix sockets are the other's until they are taken.
Status Succession::check_sockets() const {
  bool has_secure = false, has_plain = !options_.plain;
  for (const auto& [name, socket] : taken_) {
    const bool is_secure = name.starts_with(kListen), is_plain = name.starts_with(kListenPlain);
    if (is_plain && !options_.plain) continue;
    const io::Address address = is_secure         ? options_.secure
                                : is_plain        ? *options_.plain
                                : name == "admin" ? io::Address::unix_socket(options_.directory + "/admin.sock")
                                                  : io::Address::unix_socket(options_.run + "/edge/" + name + ".sock");
    WARY_RETURN_IF_ERROR(gateway::check_given(*runtime_.loop, socket, address));
    has_secure = has_secure || is_secure;
    has_plain = has_plain || is_plain;
  }
  if (has_secure && has_plain) return {};
  return fail(ErrorKind::kConflict, "handover_failed", "the edge that runs gave too few sockets")
      .expected(options_.listen);
}

Status Succession::take_sockets() {
  WARY_RETURN_IF_ERROR(
      decisions_->listen({taken_["grpc"].release(), taken_["spop"].release(), taken_["pdp"].release()}));
  WARY_ASSIGN_OR_RETURN(admin_, serve_metrics(*runtime_.loop, metrics_, options_.directory, taken_["admin"].release()));
  WARY_RETURN_IF_ERROR(giver_->listen(taken_["upgrade"].release()));
  std::vector<io::Descriptor> listening, plain;
  for (auto& [name, descriptor] : taken_) {
    if (name.starts_with(kListen)) listening.push_back(std::move(descriptor));
    if (name.starts_with(kListenPlain) && options_.plain) plain.push_back(std::move(descriptor));
  }
  taken_.clear();
  edge_->accept(std::move(listening), std::move(plain));
  return {};
}

void Succession::make_giver() {
  gateway::GiverHooks hooks;
  hooks.busy = [this] { return busy(); };
  hooks.sockets = [this] { return sockets(); };
  hooks.let_go = [this](std::function<void()> done) {
    decisions_->pause();
    admin_->pause();
    edge_->let_go(std::move(done));
  };
  hooks.take_back = [this] {
    decisions_->resume();
    admin_->resume();
    edge_->take_back();
  };
  hooks.drain = [this](std::uint32_t seconds) { drain(seconds); };
  hooks.partner = [this](pid_t pid) { set_partner(pid); };
  giver_ =
      std::make_unique<gateway::HandoverGiver>(*runtime_.loop, *runtime_.log, handover_options(), std::move(hooks));
}

std::optional<Error> Succession::busy() const {
  if ((taker_ && taker_->has_giver()) || edge_->holds_inherited()) {
    return fail(ErrorKind::kConflict, "upgrade_in_progress", "the edge before this one has not ended yet");
  }
  if (edge_->sockets().size() + kOtherSockets.size() > gateway::kHandoverSocketsMost) {
    return fail(ErrorKind::kExhausted, "handover_sockets", "more sockets than one message carries: start wary again");
  }
  return std::nullopt;
}

std::vector<std::pair<std::string, int>> Succession::sockets() const {
  std::vector<std::pair<std::string, int>> out;
  const auto name_all = [&](std::string_view prefix, const std::vector<int>& descriptors) {
    for (const int one : descriptors) out.emplace_back(std::string(prefix) + std::to_string(out.size()), one);
  };
  name_all(kListen, edge_->sockets().tls);
  name_all(kListenPlain, edge_->sockets().plain);
  std::size_t at = 0;
  for (const int descriptor : decisions_->descriptors()) out.emplace_back(kOtherSockets[at++], descriptor);
  for (const int descriptor : admin_->descriptors()) out.emplace_back("admin", descriptor);
  out.emplace_back("upgrade", giver_->descriptor());
  return out;
}

void Succession::drain(std::uint32_t seconds) {
  decisions_->leave();
  admin_->leave();
  giver_->leave();
  is_draining_ = true;
  const auto ended = [this] { end_when_shipped(runtime_.loop->now().nanos + kShipTime); };
  edge_->drain(ended, gateway::Drain::kLeave);
  runtime_.loop->after(std::int64_t{seconds} * kNanosPerSecond, [this, ended] {
    if (!std::exchange(is_draining_, false)) return;
    edge_->drain(ended, gateway::Drain::kRestart);
    runtime_.loop->after(kLastWords, ended);
  });
}

void Succession::end_when_shipped(std::int64_t until) {
  is_draining_ = false;
  // A question that is on its way on a kept connection is answered, as long as somebody asks often enough.
  const bool waits = !edge_->has_shipped() || decisions_->connections() != 0;
  if (waits && runtime_.loop->now().nanos < until) {
    runtime_.loop->after(kShipCheck, [this, until] { end_when_shipped(until); });
    return;
  }
  has_drained_ = true;
  runtime_.loop->stop();
}

}  // namespace wary::apps
