// node token.
#include <charconv>

#include "cli/api.h"
#include "cli/commands.h"

namespace wary::cli {

namespace {

Status create_node_token(Context& context, const Arguments& arguments) {
  const std::string ttl = arguments.flag("--ttl", "600");
  std::int64_t seconds = 0;
  const auto parsed = std::from_chars(ttl.data(), ttl.data() + ttl.size(), seconds);
  if (parsed.ec != std::errc() || parsed.ptr != ttl.data() + ttl.size()) {
    return fail(ErrorKind::kInvalid, "usage", "this is no number of seconds").at("--ttl").found(ttl);
  }
  codec::Json body = codec::Json::object();
  body.set("node", std::string_view(arguments.positional[0])).set("ttlSeconds", seconds);
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/nodes/tokens", body));
  if (context.is_json) {
    context.out(answer.to_string() + "\n");
    return {};
  }
  const std::string token = std::string(answer.string_or("token", "")) + "\n";
  const std::string path = arguments.flag("--out", "");
  if (path.empty()) {
    context.out(token);
  } else {
    WARY_RETURN_IF_ERROR(io::write_file_atomically(context.files, path, as_bytes(token)));  // made with mode 0600
  }
  context.err("lets one machine in as " + arguments.positional[0] + ", once, until " +
              std::string(answer.string_or("expires", "")) +
              "; there: wary node join --server URL --ca FILE --token-file FILE\n");
  return {};
}

}  // namespace

std::vector<Command> node_commands() {
  return {{{"node", "token"},
           {"NAME"},
           "Print a token that lets one machine join as a node",
           {{"--ttl", "SECONDS", "how long it is good (default 600, at most 86400)"},
            {"--out", "FILE", "write it to a file that its owner alone may read"}},
           "It is shown once; without --out on standard output, where a file gets the mode of your umask.\n"
           "Machines with a device certificate or a TPM need none: apply a NodeAuthority.",
           create_node_token}};
}

}  // namespace wary::cli
