// try, explain, revoke, session create and list, workload issue, ca rotate, status.
#include <charconv>

#include "cli/api.h"
#include "cli/commands.h"
#include "codec/text.h"
#include "crypto/pem.h"
#include "crypto/sign.h"
#include "crypto/x509.h"

namespace wary::cli {

namespace {

void print_decision(Context& context, const codec::Json& answer) {
  const bool allowed = answer.string_or("decision", "") == "allow";
  context.out(std::string(allowed ? "ALLOW" : "DENY") + "  " + text_of(answer, "reason") + "  revision " +
              std::to_string(answer.integer_or("revision", 0)) + "\n");
  if (const codec::Json* policies = answer.find("policies")) {
    for (const codec::Json& policy : policies->items()) {
      if (policy.is_string()) context.out("  policy " + policy.as_string() + "\n");
    }
  }
  if (const std::string text = text_of(answer, "text"); !text.empty()) context.out(text + "\n");
}

Status try_access(Context& context, const Arguments& arguments) {
  codec::Json body = codec::Json::object();
  body.set("principal", std::string_view(arguments.positional[0]));
  body.set("method", std::string_view(arguments.positional[1])).set("url", std::string_view(arguments.positional[2]));
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/try", body));
  if (context.is_json)
    context.out(answer.to_string() + "\n");
  else
    print_decision(context, answer);
  if (answer.string_or("decision", "") != "allow") context.exit_code = kAnswerIsNo;
  return {};
}

Status explain(Context& context, const Arguments& arguments) {
  const std::string path = "/v1/explain/" + codec::encode_percent(arguments.positional[0]);
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "GET", path));
  if (context.is_json)
    context.out(answer.to_string() + "\n");
  else
    context.out(text_of(answer, "text") + "\n");
  return {};
}

std::string millis(std::int64_t nanos) {
  std::string micros = std::to_string(nanos / 1000 % 1000);
  micros.insert(0, 3 - micros.size(), '0');
  return std::to_string(nanos / 1'000'000) + "." + micros + " ms";
}

Status revoke(Context& context, const Arguments& arguments) {
  codec::Json body = codec::Json::object();
  body.set("kind", std::string_view(arguments.positional[0])).set("name", std::string_view(arguments.positional[1]));
  body.set("reason", std::string_view(arguments.flag("--reason")));
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/revoke", body));
  if (context.is_json) {
    context.out(answer.to_string() + "\n");
    return {};
  }
  context.out("revoked " + text_of(answer, "object") + " at revision " +
              std::to_string(answer.integer_or("revision", 0)) + "\n");
  const codec::Json* cuts = answer.find("cut");
  if (cuts == nullptr || cuts->items().empty()) {
    context.out("no open connection depended on it\n");
    return {};
  }
  for (const codec::Json& cut : cuts->items()) {
    context.out("cut " + text_of(cut, "resource") + "  decision " + text_of(cut, "decision") + "  " +
                millis(cut.integer_or("after_ns", 0)) + " after commit\n");
  }
  return {};
}

Status restore(Context& context, const Arguments& arguments) {
  codec::Json body = codec::Json::object();
  body.set("kind", std::string_view(arguments.positional[0])).set("name", std::string_view(arguments.positional[1]));
  body.set("reason", std::string_view(arguments.flag("--reason")));
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/restore", body));
  context.out("restored " + text_of(answer, "object") + " at revision " +
              std::to_string(answer.integer_or("revision", 0)) + "; sessions that ended stay ended\n");
  return {};
}

Status create_session(Context& context, const Arguments& arguments) {
  codec::Json body = codec::Json::object();
  body.set("user", std::string_view(arguments.positional[0]));
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/sessions", body));
  if (context.is_json)
    context.out(answer.to_string() + "\n");
  else
    context.out(text_of(answer, "link") + "\nworks once, until " + text_of(answer, "expires") + "\n");
  return {};
}

Status list_sessions(Context& context, const Arguments& arguments) {
  const std::string whose = arguments.flag("--principal");
  WARY_ASSIGN_OR_RETURN(const codec::Json answer,
                        call_api(context, "GET", "/v1/sessions", std::nullopt,
                                 whose.empty() ? "" : "principal=" + codec::encode_percent(whose)));
  if (context.is_json) {
    context.out(answer.to_pretty_string() + "\n");
    return {};
  }
  const codec::Json* sessions = answer.find("sessions");
  if (sessions == nullptr) return fail(ErrorKind::kInternal, "api_answer", "no sessions in the answer");
  context.out(padded("USER", 16) + padded("SINCE", 26) + padded("UNTIL", 26) + padded("LAST SEEN", 26) +
              padded("SESSION", 28) + "HOSTS\n");
  for (const codec::Json& session : sessions->items()) {
    std::string hosts;
    if (const codec::Json* list = session.find("hosts")) {
      for (const codec::Json& host : list->items()) hosts += (hosts.empty() ? "" : ", ") + host.as_string();
    }
    context.out(padded(text_of(session, "user") + " ", 16) + padded(text_of(session, "since"), 26) +
                padded(text_of(session, "until"), 26) + padded(std::string(session.string_or("lastSeen", "-")), 26) +
                padded(text_of(session, "session") + " ", 28) + hosts + "\n");
  }
  if (const std::int64_t more = answer.integer_or("leftOut", 0); more > 0) {
    context.err("and " + std::to_string(more) + " older ones; --principal shows those of one user\n");
  }
  return {};
}

// Built in a Secret's place from the start; encode_pem's own text is wiped by the move into it.
Secret secret_pem(const Secret& pkcs8) {
  std::string text = crypto::encode_pem("PRIVATE KEY", pkcs8.reveal());
  Secret secret = Secret::copy_of(as_bytes(text));
  wipe(text.data(), text.size());
  return secret;
}

Status write_private(Context& context, const std::string& path, ByteView bytes) {
  return io::write_file_atomically(context.files, path, bytes);  // made with mode 0600
}

Result<std::string> certificates_of(const codec::Json& answer, std::string_view name) {
  const codec::Json* list = answer.find(name);
  if (list == nullptr || !list->is_array() || list->items().empty()) {
    return fail(ErrorKind::kInternal, "api_answer", "the answer has no certificates").found(name);
  }
  std::string text;
  for (const codec::Json& item : list->items()) {
    if (!item.is_string()) return fail(ErrorKind::kInternal, "api_answer", "a certificate is no text").found(name);
    WARY_ASSIGN_OR_RETURN(const Bytes certificate, codec::decode_base64(item.as_string()));
    text += crypto::encode_pem("CERTIFICATE", certificate);
  }
  return text;
}

// The key is made here: it never leaves this machine, and the control plane never sees it.
Status issue_workload(Context& context, const Arguments& arguments) {
  const std::string directory = arguments.flag("--out");
  WARY_ASSIGN_OR_RETURN(const crypto::PrivateKey key, crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
  WARY_ASSIGN_OR_RETURN(const Bytes csr, crypto::make_csr(key, arguments.positional[0]));
  codec::Json body = codec::Json::object();
  body.set("name", std::string_view(arguments.positional[0]));
  body.set("namespace", std::string_view(arguments.flag("--namespace", "default")));
  body.set("csr", codec::encode_base64(csr));
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/workloads/issue", body));
  WARY_ASSIGN_OR_RETURN(const std::string chain, certificates_of(answer, "chain"));
  WARY_ASSIGN_OR_RETURN(const std::string roots, certificates_of(answer, "roots"));
  WARY_ASSIGN_OR_RETURN(const Secret pkcs8, key.to_pkcs8());
  WARY_RETURN_IF_ERROR(context.files.make_directory(directory));
  const Secret pem = secret_pem(pkcs8);
  WARY_RETURN_IF_ERROR(write_private(context, directory + "/svid.key", pem.reveal()));
  WARY_RETURN_IF_ERROR(write_private(context, directory + "/svid.pem", as_bytes(chain)));
  WARY_RETURN_IF_ERROR(write_private(context, directory + "/bundle.pem", as_bytes(roots)));
  context.out(text_of(answer, "spiffe_id") + "\n" + directory + "/svid.pem, svid.key, bundle.pem; valid until " +
              text_of(answer, "expires") + "\n");
  return {};
}

Status rotate_authority(Context& context, const Arguments& arguments) {
  const std::string grace = arguments.flag("--grace", "0");
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(grace.data(), grace.data() + grace.size(), seconds);
  if (error != std::errc() || end != grace.data() + grace.size()) {
    return fail(ErrorKind::kInvalid, "grace_syntax", "this is no number of seconds").at("--grace").found(grace);
  }
  codec::Json body = codec::Json::object();
  body.set("kind", std::string_view(arguments.positional[0])).set("atOnce", arguments.has("--at-once"));
  body.set("graceSeconds", seconds).set("reason", std::string_view(arguments.flag("--reason")));
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "POST", "/v1/ca/rotate", body));
  if (context.is_json) {
    context.out(answer.to_string() + "\n");
    return {};
  }
  context.out("done; trusted now: " + std::to_string(answer.integer_or("roots", 0)) + " roots, " +
              std::to_string(answer.integer_or("token_keys", 0)) + " token keys (sequence " +
              std::to_string(answer.integer_or("sequence", 0)) + ")\n");
  return {};
}

Status status(Context& context, const Arguments&) {
  WARY_ASSIGN_OR_RETURN(const codec::Json answer, call_api(context, "GET", "/v1/health"));
  context.out(answer.to_pretty_string() + "\n");
  return {};
}

}  // namespace

std::vector<Command> access_commands() {
  const Flag reason{"--reason", "TEXT", "why; it is recorded", true};
  return {
      {{"try"},
       {"PRINCIPAL", "METHOD", "URL"},
       "Decide an access without sending it",
       {},
       "PRINCIPAL is a user's name, workload:NAMESPACE/NAME, node:NAME, anonymous, a SPIFFE ID, or an entity as it is\n"
       "printed. Decided as if it came from this machine, without a session.\n"
       "Exit code 0 is ALLOW and 1 is DENY; another is an error, and no answer.",
       try_access},
      {{"explain"},
       {"REF"},
       "Say why a decision was as it was, at its own revision",
       {},
       "REF is a decision's reference: ref=... in `wary ledger tail`, the field Wary-Decision and the page of a "
       "refusal.",
       explain},
      {{"revoke"},
       {"KIND", "NAME"},
       "End all access of a user, workload, node, session or credential, now",
       {reason},
       "KIND is user, workload (NAME is NAMESPACE/NAME), node, session, apikey, issuer, or token (NAME is "
       "ISSUER/JTI).\n"
       "A session's NAME is its SESSION in `wary session list`.",
       revoke},
      {{"restore"}, {"KIND", "NAME"}, "Take a revocation back", {reason}, "", restore},
      {{"session", "create"}, {"USER"}, "Print a one-time link that signs a user in", {}, "", create_session},
      {{"session", "list"},
       {},
       "Show who is signed in, since when and until when, newest first",
       {{"--principal", "NAME", "only this user's", false}},
       "Each began with a one-time link, and has a cookie for each of HOSTS. LAST SEEN is of its newest event since "
       "the\n"
       "control plane started. `wary revoke session SESSION --reason TEXT` ends one, `wary revoke user NAME` all of a "
       "user.",
       list_sessions},
      {{"workload", "issue"},
       {"NAME"},
       "Write a workload's X509-SVID, key and bundle",
       {{"--out", "DIR", "where svid.pem, svid.key and bundle.pem go", true},
        {"--namespace", "NAME", "the workload's namespace (default: default)", false}},
       "",
       issue_workload},
      {{"ca", "rotate"},
       {"KIND"},
       "Replace a key of the certificate authority out of turn",
       {{"--at-once", "", "the new one signs now, and the old one is tainted", false},
        {"--grace", "SECONDS", "with --at-once: so long is the old one still trusted (default 0)", false},
        {"--reason", "TEXT", "why; it is recorded", true}},
       "KIND is root, intermediate or token. Without --at-once a root or token key is published first and signs "
       "later;\n"
       "with it, who has not read the new one yet refuses until it does (docs/identity.md).",
       rotate_authority},
      {{"status"}, {}, "Show health: revision, ledger, enforcement points", {}, "", status},
  };
}

}  // namespace wary::cli
