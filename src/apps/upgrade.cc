#include "apps/upgrade.h"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "cli/api.h"
#include "codec/error_json.h"

namespace wary::apps {

namespace {

constexpr std::string_view kEdge = "wary-edge";
constexpr std::int64_t kDrainDefault = 60, kDrainMost = 300;
constexpr std::int64_t kTimeoutDefault = 30, kTimeoutLeast = 1, kTimeoutMost = 60;

void refuse(http::Exchange& exchange, int status, const Error& error) {
  exchange.respond(status, {{"Content-Type", "application/json"}},
                   codec::Json::object().set("error", codec::to_json(error)).to_string());
}

Result<std::int64_t> seconds_of(const codec::Json& body, std::string_view name, std::int64_t fallback,
                                std::int64_t least, std::int64_t most) {
  const codec::Json* given = body.find(name);
  if (given == nullptr) return fallback;
  if (given->is_integer() && given->as_integer() >= least && given->as_integer() <= most) return given->as_integer();
  return fail(ErrorKind::kInvalid, "upgrade_seconds", "this is no time for an upgrade")
      .at("--" + std::string(name))
      .expected("seconds, " + std::to_string(least) + " to " + std::to_string(most))
      .found(given->to_string());
}

}  // namespace

UpgradeService::UpgradeService(Runtime& runtime, Supervisor& supervisor, UpgradeOptions options)
    : runtime_(runtime),
      supervisor_(supervisor),
      options_(std::move(options)),
      server_(*runtime.loop, [this](const std::shared_ptr<http::Exchange>& exchange) { handle(exchange); }) {}

Status UpgradeService::listen() {
  return server_.listen(io::Address::unix_socket(options_.data + "/run/supervisor.sock"), {.mode = 0600});
}

// The edge as it runs, but for its program.
Result<Program> UpgradeService::program_for(const std::string& binary) const {
  const Program* running = supervisor_.program_of(std::string(kEdge));
  if (running == nullptr) {
    return fail(ErrorKind::kUnavailable, "upgrade_not_running", "no wary-edge is run from here").at(options_.data);
  }
  Program next = *running;
  next.arguments.front() = binary.empty() ? options_.programs + "/" + std::string(kEdge) : binary;
  const std::string& path = next.arguments.front();
  struct stat status{};
  const bool is_program = path.starts_with('/') && stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
                          access(path.c_str(), X_OK) == 0;
  if (is_program) return next;
  return fail(ErrorKind::kNotFound, "program_missing", "this is no program that can be run")
      .at(path)
      .next("name the new wary-edge with --binary, or install it where the old one lies");
}

void UpgradeService::handle(const std::shared_ptr<http::Exchange>& exchange) {
  const http::Request& request = exchange->request();
  if (request.peer.uid != getuid() && request.peer.uid != 0) return exchange->respond(403, {}, "");
  if (request.method != "POST" || request.path != "/v1/edge/upgrade") return exchange->respond(404, {}, "");
  const auto body = codec::parse_json(request.body);
  if (!body || !body->is_object()) {
    return refuse(*exchange, 400, fail(ErrorKind::kInvalid, "upgrade_body", "this is no JSON object"));
  }
  const auto drain = seconds_of(*body, "drain", kDrainDefault, 0, kDrainMost);
  const auto timeout = seconds_of(*body, "timeout", kTimeoutDefault, kTimeoutLeast, kTimeoutMost);
  if (!drain || !timeout) return refuse(*exchange, 400, !drain ? drain.error() : timeout.error());
  auto next = program_for(std::string(body->string_or("binary", "")));
  if (!next) return refuse(*exchange, 404, next.error());
  const std::string path = next->arguments.front();
  supervisor_.replace(std::move(next).value(), {"--take-over", std::to_string(*drain)}, *timeout * kNanosPerSecond,
                      [this, exchange, path](const Status& replaced) {
                        if (!replaced) {
                          const Error& why = replaced.error();
                          return refuse(*exchange, why.kind == ErrorKind::kConflict ? 409 : 503, why);
                        }
                        codec::Json answer = codec::Json::object();
                        answer.set("pid", std::int64_t{supervisor_.pid_of(std::string(kEdge))});
                        answer.set("binary", std::string_view(path));
                        exchange->respond(200, {{"Content-Type", "application/json"}}, answer.to_string());
                      });
}

namespace {

Status set_number(codec::Json& body, const cli::Arguments& arguments, const std::string& name) {
  const std::string text = arguments.flag("--" + name, "");
  if (text.empty()) return {};
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return fail(ErrorKind::kInvalid, "upgrade_seconds", "this is no number of seconds")
        .at("--" + name)
        .expected("digits alone")
        .found(text);
  }
  body.set(name, number);
  return {};
}

Status run_upgrade(cli::Context& context, const cli::Arguments& arguments) {
  codec::Json body = codec::Json::object();
  std::string binary = arguments.flag("--binary", "");
  if (!binary.empty() && !binary.starts_with('/')) binary = context.here + "/" + binary;
  if (!binary.empty()) body.set("binary", std::string_view(binary));
  WARY_RETURN_IF_ERROR(set_number(body, arguments, "drain"));
  WARY_RETURN_IF_ERROR(set_number(body, arguments, "timeout"));
  constexpr std::int64_t kPatience = (kTimeoutMost + 10) * kNanosPerSecond;
  WARY_ASSIGN_OR_RETURN(const codec::Json answer,
                        cli::call_supervisor(context, "POST", "/v1/edge/upgrade", body, kPatience));
  if (context.is_json) {
    context.out(answer.to_string() + "\n");
    return {};
  }
  context.out("the new edge serves (process " + answer.find("pid")->to_string() + ")\n");
  return {};
}

}  // namespace

cli::Command upgrade_command() {
  return {{"edge", "upgrade"},
          {},
          "Replace the running wary-edge by another without ending a connection",
          {{"--binary", "FILE", "the new program (default: wary-edge where it was started from)", false},
           {"--drain", "SECONDS", "that what is open may last on the old one, 0 to 300 (default 60)", false},
           {"--timeout", "SECONDS", "that the new one has to become ready, 1 to 60 (default 30)", false}},
          "The new process gets the old one's listening sockets, learns all that it needs, and only then the old one\n"
          "stops accepting. If it fails before that, the old one goes on as if nothing had been.",
          run_upgrade};
}

}  // namespace wary::apps
