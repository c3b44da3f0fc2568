// apikey create.
#include <algorithm>
#include <charconv>

#include "cli/api.h"
#include "cli/commands.h"
#include "enforce/api_key.h"

namespace wary::cli {

namespace {

// "90s", "12h", "30d". A number alone is refused: whoever means days must not get a key for seconds.
Result<std::int64_t> seconds_in(const std::string& text) {
  const auto refuse = [&] {
    return fail(ErrorKind::kInvalid, "usage", "this is no length of time")
        .at("--expires")
        .expected("a number with s, m, h or d, as 30d")
        .found(text);
  };
  std::int64_t number = 0;
  const char* last = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), last, number);
  if (parsed.ec != std::errc() || number < 0 || number > 1'000'000'000) return refuse();
  const std::string unit(parsed.ptr, last);
  if (unit == "s") return number;
  if (unit == "m") return number * 60;
  if (unit == "h") return number * 3600;
  if (unit == "d") return number * 86'400;
  return refuse();
}

// "read,app:demo/site": methods, apps and routes; "all" names none of them.
Result<codec::Json> scope_in(const std::string& text, codec::Json spec) {
  codec::Json methods = codec::Json::array(), apps = codec::Json::array(), routes = codec::Json::array();
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string one = text.substr(at, end - at);
    at = end + 1;
    if (one == "all") continue;
    const bool is_method = !one.empty() && one.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
    if (one == "read") {
      for (const char* method : {"GET", "HEAD", "OPTIONS"}) methods.push(method);
    } else if (one == "write") {
      for (const char* method : {"POST", "PUT", "PATCH", "DELETE"}) methods.push(method);
    } else if (one.starts_with("app:")) {
      apps.push(one.substr(4));
    } else if (one.starts_with("route:")) {
      routes.push(one.substr(6));
    } else if (is_method) {
      methods.push(std::string_view(one));
    } else {
      return fail(ErrorKind::kInvalid, "usage", "this is no scope")
          .at("--scope")
          .expected("all, read, write, a method, app:NAMESPACE/NAME or route:NAMESPACE/NAME, with commas")
          .found(one);
    }
  }
  if (!methods.items().empty()) spec.set("methods", std::move(methods));
  if (!apps.items().empty()) spec.set("apps", std::move(apps));
  if (!routes.items().empty()) spec.set("routes", std::move(routes));
  return spec;
}

// The key is made here: it never leaves this machine, and the control plane sees its hash alone.
Status create_api_key(Context& context, const Arguments& arguments) {
  const std::string key = enforce::make_api_key(context.random);
  codec::Json spec = codec::Json::object({{"sha256", codec::Json(enforce::api_key_id(key))}});
  for (const char* holder : {"user", "workload"}) {
    const std::string flag = std::string("--") + holder;
    if (arguments.has(flag)) spec.set(holder, arguments.flag(flag));
  }
  if (arguments.has("--description")) spec.set("description", arguments.flag("--description"));
  WARY_ASSIGN_OR_RETURN(spec, scope_in(arguments.flag("--scope"), std::move(spec)));
  WARY_ASSIGN_OR_RETURN(const std::int64_t seconds, seconds_in(arguments.flag("--expires", "30d")));
  codec::Json body = codec::Json::object({{"name", codec::Json(arguments.positional[0])}});
  body.set("expiresSeconds", seconds).set("spec", std::move(spec));
  WARY_ASSIGN_OR_RETURN(codec::Json answer, call_api(context, "POST", "/v1/apikeys", body));
  if (context.is_json) {
    answer.set("key", std::string_view(key));
    context.out(answer.to_string() + "\n");
    return {};
  }
  // The key alone on standard output, for a file.
  context.out(key + "\n");
  context.err("shown this once; good until " + std::string(answer.string_or("expires", "")) +
              ", or until wary revoke apikey " + arguments.positional[0] + "\n");
  return {};
}

}  // namespace

std::vector<Command> key_commands() {
  return {{{"apikey", "create"},
           {"NAME"},
           "Print a key that a program shows as a user or a workload",
           {{"--user", "NAME", "whose it is", false},
            {"--workload", "NS/NAME", "or that workload's", false},
            {"--scope", "LIST", "what it is for: all, or of read, write, GET ..., app:NS/NAME, route:NS/NAME", true},
            {"--expires", "TIME", "how long it is good: 12h, 30d (default 30d, at most 366d)", false},
            {"--description", "TEXT", "what it is for, in words", false}},
           "A program shows it as Authorization: Bearer KEY, or as X-Api-Key: KEY. It is shown once; only its hash is "
           "kept.",
           create_api_key}};
}

}  // namespace wary::cli
