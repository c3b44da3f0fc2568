#include "cli/command.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

#include "cli/api.h"
#include "io/sim_files.h"
#include "io/sim_loop.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::cli;

namespace {

class NoRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override { std::fill(out.begin(), out.end(), std::uint8_t{7}); }
};

struct Shell {
  io::SimWorld world{1};
  io::SimFiles files{1};
  NoRandom random;
  std::string out, err;
  Context context{world.clock(),
                  random,
                  files,
                  "/nowhere/wary-test",
                  [this](std::string_view text) { out += text; },
                  [this](std::string_view text) { err += text; },
                  false,
                  {}};
  int run(const std::vector<std::string>& words) {
    out.clear();
    err.clear();
    return run_cli(context, commands(), words);
  }
};

Command sample() {
  Command command;
  command.words = {"thing", "make"};
  command.positional = {"NAME"};
  command.flags = {
      {"--file", "FILE", "a file", true}, {"--force", "", "a switch"}, {"--secret", "X", "ours", false, true}};
  return command;
}

// Compared with the file, or with UPDATE=1 written there.
void check_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(WARY_SOURCE_DIR) + "/tests/cli/" + name + ".txt";
  if (const char* update = std::getenv("UPDATE"); update != nullptr && std::string(update) == "1")
    std::ofstream(path) << text;
  CHECK_MESSAGE(test::read_file(path).value_or("(missing: run with UPDATE=1)") == text, name);
}

}  // namespace

TEST_CASE("arguments are taken by name, in any order, and nothing else is") {
  const Command command = sample();
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"a", "--file", "f", "--force"}, {"--force", "--file=f", "a"}, {"-f", "f", "--force", "--", "a"}}) {
    const auto arguments = parse_arguments(command, words);
    REQUIRE(arguments.ok());
    CHECK(arguments->positional == std::vector<std::string>{"a"});
    CHECK(arguments->flag("--file") == "f");
    CHECK(arguments->has("--force"));
    CHECK(arguments->flag("--none", "fallback") == "fallback");
  }
  CHECK(parse_arguments(command, {"--file", "f", "--", "--force"})->positional == std::vector<std::string>{"--force"});
  CHECK(parse_arguments(command, {"-", "--file", ""})->flag("--file").empty());
  CHECK(parse_arguments(command, {"a", "--file", "f", "--secret", "s"})->flag("--secret") == "s");
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"a"},
                                             {"a", "b", "--file", "f"},
                                             {"a", "--file"},
                                             {"a", "--file", "f", "--file", "g"},
                                             {"a", "--file", "f", "--force=1"},
                                             {"a", "--file", "f", "--unknown"},
                                             {"a", "--fil", "f"}}) {
    const auto refused = parse_arguments(command, words);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == "usage");
    CHECK(refused.error().kind == ErrorKind::kInvalid);
  }
}

TEST_CASE("the longest command wins") {
  const std::vector<Command> table = commands();
  std::size_t used = 0;
  REQUIRE(find_command(table, {"ledger", "tail", "x"}, used) != nullptr);
  CHECK(used == 2);
  CHECK(find_command(table, {"ledger"}, used) == nullptr);
  CHECK(find_command(table, {}, used) == nullptr);
}

TEST_CASE("help is what tests/cli says") {
  Shell shell;
  CHECK(shell.run({}) == 0);
  check_golden("help", shell.out);
  CHECK(shell.run({"--help"}) == 0);
  const std::string all = shell.out;
  CHECK(shell.run({"help"}) == 0);
  CHECK(shell.out == all);
  std::string every;
  for (const Command& command : commands()) every += help_one(command) + "\n----\n";
  check_golden("commands", every);
  CHECK(shell.run({"revoke", "--help"}) == 0);
  const std::string one = shell.out;
  CHECK(shell.run({"help", "revoke"}) == 0);
  CHECK(shell.out == one);
  CHECK(help_one(sample()).find("secret") == std::string::npos);
}

TEST_CASE("completion is a script that bash takes, and completes inside a group") {
  Shell shell;
  REQUIRE(shell.run({"completion"}) == 0);
  const std::string path = "/tmp/wary-completion-" + std::to_string(std::hash<std::string>()(shell.out)) + ".bash";
  std::ofstream(path) << shell.out << R"sh(
try() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _wary; echo "${COMPREPLY[*]}"; }
if [ "$1" = run ]; then
  [ "$(try wary rev)" = revoke ] || exit 1
  [ "$(try wary ledger ta)" = tail ] || exit 2
  [ "$(try wary ledger tail --fol)" = --follow ] || exit 3
  [ "$(try wary revoke --rea)" = --reason ] || exit 4
  [ "$(try wary policy co)" = convert ] || exit 5
  [ "$(try wary policy convert c)" = "" ] || exit 6
  [ "$(try wary version d)" = "" ] || exit 7
  [ "$(try wary help le)" = ledger ] || exit 8
  complete -p wary | grep -q -- '-o default' || exit 9  # a file's name where no word is known
fi
)sh";
  CHECK(std::system(("bash -n " + path).c_str()) == 0);
  CHECK(std::system(("bash " + path + " run").c_str()) == 0);
  std::remove(path.c_str());
}

TEST_CASE("help of a group lists its commands alone") {
  Shell shell;
  REQUIRE(shell.run({"help", "policy"}) == 0);
  const std::string group = shell.out;
  CHECK(group.find("policy check FILE ...") != std::string::npos);
  CHECK(group.find("ledger") == std::string::npos);
  CHECK(shell.err.empty());
  CHECK(shell.run({"policy", "--help"}) == 0);
  CHECK(shell.out == group);
}

TEST_CASE("a missing option is what is expected, not what is found") {
  Shell shell;
  CHECK(shell.run({"policy", "eval"}) == exit_code(ErrorKind::kInvalid));
  CHECK_MESSAGE(shell.err.find("an option is missing (expected --policies)") != std::string::npos, shell.err);
  CHECK_MESSAGE(shell.err.find("[--principal UID]") == std::string::npos, shell.err);
}

TEST_CASE("errors have a code, a place and a next step, and the kind's exit code") {
  Shell shell;
  CHECK(shell.run({"nonsense"}) == exit_code(ErrorKind::kInvalid));
  CHECK(shell.err == "error: there is no such command (found nonsense) [usage]\n  wary help lists the commands\n");
  CHECK(shell.out.empty());
  CHECK(shell.run({"status"}) == exit_code(ErrorKind::kUnavailable));
  CHECK(shell.err.find("/nowhere/wary-test: ") != std::string::npos);
  CHECK(shell.err.find("[not_running]\n  start it with `wary dev`") != std::string::npos);
  shell.context.is_json = true;
  CHECK(shell.run({"status"}) == exit_code(ErrorKind::kUnavailable));
  const auto json = codec::parse_json(shell.err);
  REQUIRE(json.ok());
  CHECK(json->find("error")->string_or("code", "") == "not_running");
  CHECK(json->find("error")->string_or("where", "") == "/nowhere/wary-test");
}

TEST_CASE("what is decided is an exit code: 0 allow, 1 deny, another an error") {
  Shell shell;
  REQUIRE(
      io::write_file_atomically(shell.files, "p.cedar", as_bytes(R"(permit (principal == A::"a", action, resource);)"))
          .ok());
  const auto decide = [&](const std::string& who) {
    return shell.run({"policy", "eval", "--policies", "p.cedar", "--principal", who, "--action", R"(Action::"x")",
                      "--resource", R"(R::"r")"});
  };
  CHECK(decide(R"(A::"a")") == 0);
  CHECK(decide(R"(A::"b")") == kAnswerIsNo);
  CHECK(shell.out == "DENY\n");
  CHECK(shell.err.empty());
  CHECK(decide(R"(A::"a")") == 0);  // one answer is not the next one's
  CHECK(decide("nonsense") == exit_code(ErrorKind::kInvalid));
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::kInternal); ++kind)
    CHECK(exit_code(static_cast<ErrorKind>(kind)) > kAnswerIsNo);
}

TEST_CASE("a resource file that cannot be read as YAML names its line and column") {
  Shell shell;
  REQUIRE(shell.files.make_directory("d").ok());
  const auto write = [&](std::string_view text) {
    REQUIRE(io::write_file_atomically(shell.files, "d/a.yaml", as_bytes(text)).ok());
  };
  write("apiVersion: wary.dev/v1\nkind: [unclosed\n");
  CHECK(shell.run({"apply", "-f", "d/a.yaml"}) != 0);
  CHECK_MESSAGE(shell.err.find("d/a.yaml:") != std::string::npos, shell.err);
  CHECK(shell.run({"apply", "-f", "d/missing.yaml"}) != 0);
  CHECK_MESSAGE(shell.err.find("d/missing.yaml") != std::string::npos, shell.err);
}

TEST_CASE("an error of the API becomes the error it carried") {
  const auto error = error_from_json(
      *codec::parse_json(
          R"({"kind":"denied","code":"c","message":"m","where":"w","expected":"e","found":"f","next":"n"})"),
      ErrorKind::kInternal);
  CHECK(error.kind == ErrorKind::kDenied);
  CHECK(error.to_string() == "w: m (expected e, found f) [c]");
  CHECK(error.next_step == "n");
  CHECK(error_from_json(codec::Json::object(), ErrorKind::kConflict).kind == ErrorKind::kConflict);
}

TEST_CASE("what is mistyped is refused, and never taken for something else") {
  Shell shell;
  const auto refused = [&](const std::vector<std::string>& words, const std::string& mention) {
    CHECK(shell.run(words) == exit_code(ErrorKind::kInvalid));
    CHECK_MESSAGE(shell.err.find(mention) != std::string::npos, shell.err);
    CHECK(shell.err.find("[usage]\n  ") != std::string::npos);
    CHECK(shell.out.empty());
  };
  refused({"help", "nonsense"}, "found nonsense");
  refused({"ledger"}, "expected ledger tail, ledger prove");
  refused({"ledger", "tial"}, "found ledger tial");
  refused({"--output", "xml", "status"}, "expected text or json, found xml");
  refused({"status", "--output=yaml"}, "found yaml");
  refused({"status", "--data"}, "found --data");
  refused({"--data=", "status"}, "found --data");
  shell.context.here = "/somewhere";
  CHECK(shell.run({"status", "--data=else/"}) == exit_code(ErrorKind::kUnavailable));
  CHECK(shell.err.find("/somewhere/else: ") != std::string::npos);
  CHECK(shell.run({"--output", "json", "--data", "/there", "status"}) == exit_code(ErrorKind::kUnavailable));
  CHECK(codec::parse_json(shell.err)->find("error")->string_or("where", "") == "/there");
}

TEST_CASE("a slip in a command or an option is told what was meant") {
  Shell shell;
  const auto next = [&](const std::vector<std::string>& words) {
    CHECK(shell.run(words) == exit_code(ErrorKind::kInvalid));
    const std::size_t at = shell.err.find("\n  ");
    return at == std::string::npos ? "" : shell.err.substr(at + 3);
  };
  CHECK(next({"aply", "-f", "x"}) == "did you mean wary apply? wary help lists the commands\n");
  CHECK(next({"staus"}) == "did you mean wary status? wary help lists the commands\n");
  CHECK(next({"ledgr", "tail"}).starts_with("did you mean wary ledger tail? "));
  CHECK(next({"leger"}).starts_with("did you mean wary ledger? "));
  CHECK(next({"ledger", "tial", "--follow"}).starts_with("did you mean wary ledger tail? "));
  CHECK(next({"help", "reovke"}).starts_with("did you mean wary revoke? "));
  CHECK(next({"ledger"}) == "wary help lists the commands\n");
  CHECK(next({"ledger", "something-else"}) == "wary help lists the commands\n");
  CHECK(next({"nonsense"}) == "wary help lists the commands\n");
  CHECK(next({"revoke", "user", "alice", "--raeson", "x"}).starts_with("did you mean --reason? usage: wary revoke "));
  CHECK(next({"revoke", "user", "alice", "--otput=json"}).starts_with("did you mean --output? usage: "));
  CHECK(next({"revoke", "user", "alice", "--colour"}).starts_with("usage: wary revoke "));
}

TEST_CASE("a proof's reader without the log's key is told where it comes from") {
  Shell shell;
  CHECK(shell.run({"ledger", "verify", "proof"}) == exit_code(ErrorKind::kNotFound));
  CHECK_MESSAGE(shell.err.find("ledger.vkey") != std::string::npos, shell.err);
  CHECK(shell.err.find("--key FILE; `wary ledger key`") != std::string::npos);
}

TEST_CASE("edge tap does not wait for an application that has no namespace") {
  Shell shell;
  CHECK(shell.run({"edge", "tap", "--app", "metrics"}) == exit_code(ErrorKind::kInvalid));
  CHECK_MESSAGE(shell.err.find("NAMESPACE/NAME") != std::string::npos, shell.err);
  CHECK(shell.run({"edge", "tap", "--app", "demo/metrics"}) == exit_code(ErrorKind::kUnavailable));
}

TEST_CASE("how long a key is good has a unit") {
  Shell shell;
  const auto create = [&](const std::string& expires) {
    return shell.run({"apikey", "create", "k", "--user", "u", "--scope", "all", "--expires", expires});
  };
  // What is said well goes on to a wary that does not run here.
  for (const char* good : {"30s", "12h", "30d"}) CHECK(create(good) == exit_code(ErrorKind::kUnavailable));
  for (const char* bad : {"30", "", "d", "30 d", "2y", "-1d"}) CHECK(create(bad) == exit_code(ErrorKind::kInvalid));
}

TEST_CASE("a file that is no proof is named, with where to get one") {
  Shell shell;
  const auto put = [&](std::string_view path, std::string_view text) {
    REQUIRE(io::write_file_atomically(shell.files, path, as_bytes(text)).ok());
  };
  put("key", "wary.local/log+00000000+AAAA\n");
  put("text", "root:x:0:0");
  put("other", "{}");
  for (const char* name : {"text", "other"}) {
    CHECK(shell.run({"ledger", "verify", name, "--key", "key"}) != 0);
    CHECK_MESSAGE(shell.err.starts_with("error: " + std::string(name) + ": "), shell.err);
    CHECK(shell.err.find("wary ledger prove REF --out FILE") != std::string::npos);
  }
}
