// ledger tail, prove, verify, key, checkpoint, check, export: what happened, and the proof of it.
#include <algorithm>

#include "cli/api.h"
#include "cli/commands.h"
#include "codec/text.h"
#include "contract/event.h"
#include "ledger/merkle.h"
#include "ledger/proof.h"
#include "ledger/stored_log.h"

namespace wary::cli {

namespace {

constexpr std::size_t kProofMax = 512 * 1024;
constexpr std::string_view kProofFormat = "wary-proof-1";

void print_event(Context& context, const codec::Json& line) {
  if (context.is_json) {
    context.out(line.to_string() + "\n");
    return;
  }
  std::string row = "#" + std::to_string(line.integer_or("index", 0));
  row.resize(std::max<std::size_t>(row.size() + 1, 9), ' ');
  row += text_of(line, "time") + "  ";
  std::string outcome = text_of(line, "outcome");
  outcome.resize(std::max<std::size_t>(outcome.size(), 6), ' ');
  row += outcome + " " + text_of(line, "actor") + "  " + text_of(line, "action") + "  " + text_of(line, "resource");
  if (const std::string summary = text_of(line, "summary"); !summary.empty()) row += "  " + summary;
  if (const std::string reference = text_of(line, "decision"); !reference.empty()) row += "  ref=" + reference;
  context.out(row + "\n");
}

Status tail(Context& context, const Arguments& arguments) {
  std::string query = "last=" + codec::encode_percent(arguments.flag("--last", "20"));
  if (arguments.has("--follow")) query += "&follow=1";
  if (arguments.has("--actor")) query += "&actor=" + codec::encode_percent(arguments.flag("--actor"));
  return stream_api(context, "/v1/ledger/events", query, [&](const codec::Json& line) {
    print_event(context, line);
    return true;
  });
}

// An application that is not there may come while somebody watches; a slip in its name would be waited for in silence.
Status say_whether_served(Context& context, const std::string& app) {
  if (app.starts_with("wary/")) return {};  // wary's own are no objects
  const auto found = call_api(context, "GET", "/v1/objects/App/" + codec::encode_percent(app));
  if (found || found.error().code == "denied") return {};  // who may read the ledger alone goes on
  if (found.error().code != "resource_unknown") return found.error();
  context.err("warning: " + found.error().to_string() + "\n  " + found.error().next_step + "\n");
  return {};
}

// What goes through the gateway, as it comes: the ledger's own words of each request, which hold no header, no query
// and no body, and so no secret.
Status tap(Context& context, const Arguments& arguments) {
  const std::string who = arguments.flag("--principal"), app = arguments.flag("--app");
  const std::string outcome = arguments.flag("--outcome");
  if (!outcome.empty() && outcome != "allow" && outcome != "deny") {
    return fail(ErrorKind::kInvalid, "tap_outcome", "an access is allowed or denied")
        .at("--outcome")
        .expected("allow or deny")
        .found(outcome);
  }
  if (!app.empty() && app.find('/') == std::string::npos) {
    return fail(ErrorKind::kInvalid, "tap_app", "an application is named with its namespace")
        .at("--app")
        .expected("NAMESPACE/NAME")
        .found(app)
        .next("wary get apps lists them");
  }
  if (!app.empty()) WARY_RETURN_IF_ERROR(say_whether_served(context, app));
  std::string query = "last=" + codec::encode_percent(arguments.flag("--last", "1")) + "&follow=1";
  const bool is_entity = who.find(':') != std::string::npos || who == "anonymous";
  if (is_entity) query += "&actor=" + codec::encode_percent(who);
  return stream_api(context, "/v1/ledger/events", query, [&](const codec::Json& line) {
    if (line.integer_or("class", 0) != static_cast<std::int64_t>(contract::EventClass::kHttpActivity)) return true;
    const std::string actor = text_of(line, "actor"), resource = text_of(line, "resource");
    // A name alone is a person's, or the last part of a workload's.
    const bool is_named = actor.ends_with("::\"" + who + "\"") || actor.ends_with("/" + who + "\"");
    if (!who.empty() && !is_entity && !is_named) return true;
    const bool is_app = resource == "Wary::App::\"" + app + "\"" ||
                        resource.starts_with("Wary::Route::\"" + app.substr(0, app.find('/')) + "/");
    if (!app.empty() && !is_app) return true;
    if (!outcome.empty() && text_of(line, "outcome") != outcome) return true;
    print_event(context, line);
    return true;
  });
}

Status prove(Context& context, const Arguments& arguments) {
  const std::string path = "/v1/ledger/proof/" + codec::encode_percent(arguments.positional[0]);
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "GET", path));
  const std::string text = answer.to_pretty_string() + "\n";
  if (!arguments.has("--out")) {
    context.out(text);
    return {};
  }
  return io::write_file_atomically(context.files, arguments.flag("--out"), as_bytes(text));
}

Result<std::string> log_key(Context& context, const Arguments& arguments) {
  const std::string path = arguments.flag("--key", context.data + "/ledger.vkey");
  auto read = io::read_file(context.files, path, 4096);
  if (!read) {
    Error error = std::move(read).error();
    error.next_step = "give the log's public key with --key FILE; `wary ledger key` prints it where wary runs";
    return error;
  }
  const Bytes& bytes = *read;
  return std::string(codec::trim(as_text(bytes).substr(0, as_text(bytes).find('\n'))));
}

// Offline: the file and the log's public key, nothing else.
Status verify(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const std::string key, log_key(context, arguments));
  WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(context.files, arguments.positional[0], kProofMax));
  auto parsed = codec::parse_json(as_text(bytes));
  if (!parsed) {
    Error error = std::move(parsed).error();
    error.where = arguments.positional[0] + (error.where.empty() ? "" : ": ") + error.where;
    error.next_step = "give a file that `wary ledger prove REF --out FILE` wrote";
    return error;
  }
  const codec::Json& file = *parsed;
  if (file.string_or("format", "") != kProofFormat) {
    return fail(ErrorKind::kInvalid, "proof_format", "this is no proof of wary")
        .at(arguments.positional[0])
        .expected(kProofFormat)
        .found(file.string_or("format", ""))
        .next("give a file that `wary ledger prove REF --out FILE` wrote");
  }
  WARY_ASSIGN_OR_RETURN(const Bytes event_bytes, codec::decode_base64(file.string_or("event", "")));
  auto verified = ledger::verify_proof(file.string_or("proof", ""), event_bytes, key);
  if (!verified) return std::move(verified).error().at(arguments.positional[0]);
  WARY_ASSIGN_OR_RETURN(const contract::Event event, contract::decode_event(event_bytes));
  context.out("verified: event " + std::to_string(verified->index) + " of " +
              std::to_string(verified->checkpoint.head.size) + " in " + verified->checkpoint.origin + "\n");
  context.out(contract::to_ocsf(event).to_pretty_string() + "\n");
  return {};
}

// Checked here, offline from what the control plane claims: the proof must lead from the one root to the other.
Status consistency(Context& context, const Arguments& arguments) {
  std::string query = "from=" + codec::encode_percent(arguments.positional[0]);
  if (arguments.positional.size() > 1) query += "&to=" + codec::encode_percent(arguments.positional[1]);
  WARY_ASSIGN_OR_RETURN(const codec::Json answer,
                        call_api(context, "GET", "/v1/ledger/consistency", std::nullopt, query));
  const auto hash_of = [](std::string_view text) -> Result<ledger::Hash> {
    WARY_ASSIGN_OR_RETURN(const Bytes bytes, codec::decode_base64(text));
    ledger::Hash hash{};
    if (bytes.size() != hash.size()) return fail(ErrorKind::kInvalid, "proof_syntax", "a hash has 32 bytes");
    std::copy(bytes.begin(), bytes.end(), hash.begin());
    return hash;
  };
  std::vector<ledger::Hash> proof;
  for (const codec::Json& item : answer.find("proof")->items()) {
    WARY_ASSIGN_OR_RETURN(const ledger::Hash hash, hash_of(item.is_string() ? item.as_string() : ""));
    proof.push_back(hash);
  }
  WARY_ASSIGN_OR_RETURN(const ledger::Hash from_root, hash_of(answer.string_or("from_root", "")));
  WARY_ASSIGN_OR_RETURN(const ledger::Hash to_root, hash_of(answer.string_or("to_root", "")));
  const auto from = static_cast<std::uint64_t>(answer.integer_or("from", 0));
  const auto to = static_cast<std::uint64_t>(answer.integer_or("to", 0));
  if (!ledger::verify_consistency(proof, from, to, from_root, to_root)) {
    return fail(ErrorKind::kDataLoss, "proof_mismatch", "the proof does not lead from the old head to the new one")
        .next("keep a copy of the ledger and compare it with a checkpoint you kept elsewhere");
  }
  context.out(context.is_json ? answer.to_string() + "\n"
                              : "consistent: the log of " + std::to_string(to) + " events begins with the log of " +
                                    std::to_string(from) + "\n  " + std::string(answer.string_or("from_root", "")) +
                                    "\n  " + std::string(answer.string_or("to_root", "")) + "\n");
  return {};
}

Status key(Context& context, const Arguments&) {
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "GET", "/v1/ledger/key"));
  context.out(text_of(answer, "vkey") + "\n");
  return {};
}

Status checkpoint(Context& context, const Arguments&) {
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "GET", "/v1/ledger/checkpoint"));
  context.out(text_of(answer, "checkpoint"));
  return {};
}

Status say_findings(Context& context, std::int64_t entries, std::int64_t segments,
                    const std::vector<std::string>& findings) {
  if (context.is_json) {
    codec::Json list = codec::Json::array();
    for (const std::string& finding : findings) list.push(codec::Json(finding));
    codec::Json out = codec::Json::object();
    out.set("entries", entries).set("findings", std::move(list)).set("segments", segments);
    context.out(out.to_string() + "\n");
  } else {
    context.out(std::to_string(entries) + " events in " + std::to_string(segments) + " segments checked\n");
  }
  for (const std::string& finding : findings) context.err(finding + "\n");
  if (findings.empty()) return {};
  return fail(ErrorKind::kDataLoss, "ledger_corrupt", "stored bytes are not what was written")
      .found(std::to_string(findings.size()) + " places")
      .next("stop wary, keep a copy of the directory, and restore the files named above from a backup");
}

// With --directory: offline and read-only, a stopped ledger or a copy of one. Otherwise the running one checks itself.
Status check_log(Context& context, const Arguments& arguments) {
  std::vector<std::string> findings;
  if (arguments.has("--directory")) {
    WARY_ASSIGN_OR_RETURN(const std::string key, log_key(context, arguments));
    WARY_ASSIGN_OR_RETURN(const ledger::CheckReport report,
                          ledger::check_stored_log(context.files, arguments.flag("--directory"), key));
    for (const ledger::CheckFinding& finding : report.findings) findings.push_back(finding.to_string());
    return say_findings(context, static_cast<std::int64_t>(report.entries), static_cast<std::int64_t>(report.segments),
                        findings);
  }
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/ledger/check", codec::Json::object()));
  if (const codec::Json* found = answer.find("findings")) {
    for (const codec::Json& finding : found->items()) findings.push_back(finding.as_string());
  }
  return say_findings(context, answer.integer_or("entries", 0), answer.integer_or("segments", 0), findings);
}

Status export_static(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const std::string key, log_key(context, arguments));
  WARY_RETURN_IF_ERROR(
      ledger::export_stored_log(context.files, arguments.flag("--directory"), key, arguments.flag("--out")));
  context.out("written: " + arguments.flag("--out") + "/checkpoint and tile/\n");
  return {};
}

}  // namespace

std::vector<Command> ledger_commands() {
  return {
      {{"ledger", "tail"},
       {},
       "Show the newest events",
       {{"--last", "N", "how many (default 20)", false},
        {"--follow", "", "go on as they come", false},
        {"--actor", "PRINCIPAL", "only this one's: as `wary try` takes it, or as Wary::User::\"alice\"", false}},
       "",
       tail},
      {{"edge", "tap"},
       {},
       "Watch requests go through the gateway, as they are decided",
       {{"--principal", "PRINCIPAL", "only this one's: alice, or as `wary ledger tail --actor` takes it", false},
        {"--app", "NAMESPACE/NAME", "only this application's, and of its namespace's routes", false},
        {"--outcome", "allow|deny", "only these", false},
        {"--last", "N", "how many of the past come first (default 1)", false}},
       "No header, query or body is shown. An application that is not there is warned about, and waited for. Ends on\n"
       "Ctrl-C.",
       tap},
      {{"ledger", "prove"},
       {"REF"},
       "Write the proof that an event is in the ledger",
       {{"--out", "FILE", "where (default: standard output)", false}},
       "REF is a decision's reference or #INDEX.",
       prove},
      {{"ledger", "verify"},
       {"FILE"},
       "Check a proof offline",
       {{"--key", "FILE", "the log's public key (default: DATA/ledger.vkey)", false}},
       "",
       verify},
      {{"ledger", "consistency"},
       {"OLD-SIZE", "..."},
       "Prove that the log only grew: OLD-SIZE [NEW-SIZE]",
       {},
       "",
       consistency},
      {{"ledger", "key"}, {}, "Print the log's public key", {}, "", key},
      {{"ledger", "checkpoint"},
       {},
       "Print the newest signed checkpoint, made if need be",
       {},
       "Keep it elsewhere: whoever has it can later show that nothing before it was changed.",
       checkpoint},
      {{"ledger", "check"},
       {},
       "Read every stored byte and say where one is wrong",
       {{"--directory", "DIR", "a stopped ledger or a copy of one, read-only (default: the running one)", false},
        {"--key", "FILE", "the log's public key (default: DATA/ledger.vkey)", false}},
       "",
       check_log},
      {{"ledger", "export"},
       {},
       "Write a stopped ledger as static files that other programs verify (tlog-tiles)",
       {{"--directory", "DIR", "the ledger, or a copy of it", true},
        {"--out", "DIR", "where", true},
        {"--key", "FILE", "the log's public key (default: DATA/ledger.vkey)", false}},
       "",
       export_static},
  };
}

}  // namespace wary::cli
