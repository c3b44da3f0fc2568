#include "cli/command.h"

#include <algorithm>

#include "codec/nearest.h"

namespace wary::cli {

namespace {

Error usage_error(const Command& command, std::string message, std::string_view found) {
  return fail(ErrorKind::kInvalid, "usage", message).found(found).next("usage: " + usage_line(command));
}

std::string spaced(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// What hands have learnt from other tools.
struct ShortName {
  std::string_view is, means;
};
constexpr ShortName kShortNames[] = {{"-f", "--file"}, {"-n", "--namespace"}};

std::string spelled_out(std::string_view name) {
  for (const ShortName& one : kShortNames) {
    if (one.is == name) return std::string(one.means);
  }
  return std::string(name);
}

std::string with_short_name(const std::string& name) {
  for (const ShortName& one : kShortNames) {
    if (one.means == name) return std::string(one.is) + ", " + name;
  }
  return name;
}

const Flag* find_flag(const Command& command, std::string_view name) {
  for (const Flag& flag : command.flags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

Error unknown_option(const Command& command, const std::string& name) {
  std::vector<std::string_view> names = {"--data", "--output", "--help"};
  for (const Flag& flag : command.flags) {
    if (!flag.is_hidden) names.push_back(flag.name);
  }
  const std::string meant = codec::did_you_mean(name, names);
  Error error = usage_error(command, "this option is not known", name);
  if (!meant.empty()) error.next_step = meant + " " + error.next_step;
  return error;
}

void print_error(Context& context, const Error& error) {
  if (context.is_json) {
    codec::Json body = codec::Json::object();
    body.set("code", std::string_view(error.code)).set("message", std::string_view(error.message));
    body.set("where", std::string_view(error.where)).set("expected", std::string_view(error.expected_text));
    body.set("found", std::string_view(error.found_text)).set("next", std::string_view(error.next_step));
    context.err(codec::Json::object({{"error", std::move(body)}}).to_string() + "\n");
    return;
  }
  context.err("error: " + error.to_string() + "\n");
  if (!error.next_step.empty()) context.err("  " + error.next_step + "\n");
}

// What begins with these words, or nothing: "ledger" has tail, prove and others.
std::string group_of(const std::vector<Command>& table, const std::vector<std::string>& words) {
  std::string found;
  for (const Command& command : table) {
    const bool begins = !words.empty() && command.words.size() > 1 && command.words.front() == words.front();
    if (begins) found += (found.empty() ? "" : ", ") + spaced(command.words);
  }
  return found;
}

// What was meant by words that are no command: one of its group, else of all; groups alone are named, too.
std::string meant_by(const std::vector<Command>& table, const std::vector<std::string>& words, bool is_in_group) {
  std::vector<std::string> names;
  for (const Command& command : table) {
    const bool is_of_group = command.words.size() > 1 && command.words.front() == words.front();
    if (is_in_group && !is_of_group) continue;
    names.push_back(spaced(command.words));
    if (!is_in_group) names.push_back(command.words.front());
  }
  if (!is_in_group) names.insert(names.end(), {"help", "completion"});
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  // A name, an option's value and the like may follow.
  for (std::size_t count = std::min<std::size_t>(words.size(), 2); count > 0; --count) {
    const std::string near =
        codec::nearest(spaced({words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count)}), candidates);
    if (!near.empty()) return "did you mean wary " + near + "? ";
  }
  return {};
}

Error unknown_command(const std::vector<Command>& table, const std::vector<std::string>& words) {
  const std::string group = group_of(table, words);
  if (group.empty()) {
    return fail(ErrorKind::kInvalid, "usage", "there is no such command")
        .found(spaced(words))
        .next(meant_by(table, words, false) + "wary help lists the commands");
  }
  const std::string meant = words.size() > 1 ? meant_by(table, words, true) : "";
  return fail(ErrorKind::kInvalid, "usage", "this is not a whole command")
      .expected(group)
      .found(spaced(words))
      .next(meant + "wary help lists the commands");
}

// "2 invalid, 3 unauthenticated, ...".
std::string exit_codes() {
  std::string out;
  for (int i = 0; i <= static_cast<int>(ErrorKind::kInternal); ++i) {
    const auto kind = static_cast<ErrorKind>(i);
    out += (i == 0 ? "" : i == 6 ? ",\n" : ", ") + std::to_string(exit_code(kind)) + " " + std::string(to_string(kind));
  }
  return out;
}

int report(Context& context, const Error& error) {
  print_error(context, error);
  return exit_code(error.kind);
}

}  // namespace

std::string Arguments::flag(const std::string& name, const std::string& fallback) const {
  const auto found = flags.find(name);
  return found == flags.end() ? fallback : found->second;
}

const Command* find_command(const std::vector<Command>& table, const std::vector<std::string>& words,
                            std::size_t& used) {
  const Command* best = nullptr;
  used = 0;
  for (const Command& command : table) {
    if (command.words.size() > words.size() || command.words.size() <= used) continue;
    if (!std::equal(command.words.begin(), command.words.end(), words.begin())) continue;
    best = &command;
    used = command.words.size();
  }
  return best;
}

Result<Arguments> parse_arguments(const Command& command, const std::vector<std::string>& words) {
  Arguments arguments;
  bool only_positional = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (only_positional || !word.starts_with("-") || word == "-") {
      arguments.positional.push_back(word);
      continue;
    }
    if (word == "--") {
      only_positional = true;
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string name = spelled_out(word.substr(0, equals));
    const Flag* flag = find_flag(command, name);
    if (flag == nullptr) return unknown_option(command, name);
    if (arguments.has(name)) return usage_error(command, "this option is given twice", name);
    if (flag->value.empty()) {
      if (equals != std::string::npos) return usage_error(command, "this option takes no value", name);
      arguments.flags[name] = "";
    } else if (equals != std::string::npos) {
      arguments.flags[name] = word.substr(equals + 1);
    } else if (i + 1 < words.size()) {
      arguments.flags[name] = words[++i];
    } else {
      return usage_error(command, "this option needs a value", name);
    }
  }
  const bool open_ended = !command.positional.empty() && command.positional.back() == "...";
  const auto wanted = static_cast<std::size_t>(
      std::count_if(command.positional.begin(), command.positional.end(),
                    [](const std::string& name) { return name != "..." && !name.starts_with('['); }));
  if (arguments.positional.size() < wanted ||
      (!open_ended && arguments.positional.size() > command.positional.size())) {
    return usage_error(command, "wrong number of arguments", std::to_string(arguments.positional.size()));
  }
  for (const Flag& flag : command.flags) {
    if (!flag.is_required || arguments.has(flag.name)) continue;
    return fail(ErrorKind::kInvalid, "usage", "an option is missing")
        .expected(flag.name)
        .next("usage: " + usage_line(command));
  }
  return arguments;
}

std::string usage_line(const Command& command) {
  std::string out = "wary " + spaced(command.words);
  for (const std::string& name : command.positional) out += name == "..." ? " ..." : " " + name;
  for (const Flag& flag : command.flags) {
    if (flag.is_hidden) continue;
    const std::string text = flag.name + (flag.value.empty() ? "" : " " + flag.value);
    out += flag.is_required ? " " + text : " [" + text + "]";
  }
  return out;
}

std::string help_one(const Command& command) {
  std::string out = command.summary + "\n\nusage: " + usage_line(command) + "\n";
  if (!command.flags.empty()) out += "\n";
  for (const Flag& flag : command.flags) {
    if (flag.is_hidden) continue;
    std::string left = "  " + with_short_name(flag.name) + (flag.value.empty() ? "" : " " + flag.value);
    if (left.size() < 26) left.resize(26, ' ');
    out += left + " " + flag.help + "\n";
  }
  if (!command.details.empty()) out += "\n" + command.details + "\n";
  return out;
}

std::string help_group(const std::vector<Command>& table, std::string_view group) {
  std::string out;
  for (const Command& command : table) {
    if (!group.empty() && (command.words.size() < 2 || command.words.front() != group)) continue;
    std::string left = "  " + spaced(command.words);
    for (const std::string& name : command.positional) left += " " + name;
    if (left.size() < 30) left.resize(30, ' ');
    out += left + " " + command.summary + "\n";
  }
  return out;
}

std::string help_all(const std::vector<Command>& table) {
  return "wary: verified identity, one policy, one ledger.\n\nusage: wary [--data DIR] [--output json] COMMAND "
         "...\n\n" +
         help_group(table, "") +
         "\n  wary help COMMAND            options and details\n"
         "  wary completion              completion for bash: source <(wary completion)\n\n"
         "--data DIR defaults to $WARY_DATA, then ~/.local/share/wary (as root /var/lib/wary).\n"
         "Exit codes: 0 done, 1 the answer is DENY (try, policy eval), or an error:\n" +
         exit_codes() + ".\n";
}

std::string bash_completion(const std::vector<Command>& table) {
  std::string out = "_wary() {\n  local line=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\"\n  case \"$line\" in\n";
  std::map<std::string, std::vector<std::string>> next;
  for (const Command& command : table) {
    std::string before;
    for (const std::string& word : command.words) {
      auto& list = next[before];
      if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(word);
      before += (before.empty() ? "" : " ") + word;
    }
    for (const Flag& flag : command.flags) {
      if (!flag.is_hidden) next[before].push_back(flag.name);
    }
  }
  next["help"] = next[""];
  next[""].insert(next[""].end(), {"help", "completion"});
  // The longest first: bash takes the first pattern that matches. Where no word is known, a file's name may stand.
  for (auto entry = next.rbegin(); entry != next.rend(); ++entry) {
    const auto& [before, list] = *entry;
    const bool takes_more = std::any_of(table.begin(), table.end(),
                                        [&](const Command& command) { return spaced(command.words) == before; });
    const std::string pattern = takes_more ? "'" + before + "'|'" + before + " '*" : "'" + before + "'";
    out +=
        "    " + pattern + ") COMPREPLY=($(compgen -W '" + spaced(list) + "' -- \"${COMP_WORDS[COMP_CWORD]}\")) ;;\n";
  }
  return out + "  esac\n}\ncomplete -o default -F _wary wary\n";
}

namespace {

// Options of every command.
Status take_common_options(Context& context, std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size() && words[i] != "--";) {
    const std::string name = words[i].substr(0, words[i].find('='));
    if (name != "--data" && name != "--output") {
      ++i;
      continue;
    }
    const bool is_one_word = name.size() != words[i].size();
    const bool has_value = is_one_word || i + 1 < words.size();
    const std::string value = !has_value ? "" : is_one_word ? words[i].substr(name.size() + 1) : words[i + 1];
    if (value.empty()) {
      return fail(ErrorKind::kInvalid, "usage", "this option needs a value").found(name).next("wary help");
    }
    if (name == "--data") {
      context.data = value;
    } else if (value == "json" || value == "text") {
      context.is_json = value == "json";
    } else {
      return fail(ErrorKind::kInvalid, "usage", "there is no such form of output")
          .expected("text or json")
          .found(value)
          .next("leave --output out for text");
    }
    const auto at = words.begin() + static_cast<std::ptrdiff_t>(i);
    words.erase(at, at + (is_one_word ? 1 : 2));
  }
  while (context.data.size() > 1 && context.data.ends_with('/')) context.data.pop_back();
  if (!context.data.starts_with('/')) context.data = context.here + "/" + context.data;
  return {};
}

}  // namespace

int run_cli(Context& context, const std::vector<Command>& table, std::vector<std::string> words) {
  context.exit_code = 0;
  if (const Status taken = take_common_options(context, words); !taken) return report(context, taken.error());
  if (words.empty() || words[0] == "help" || words[0] == "--help" || words[0] == "-h") {
    std::size_t used = 0;
    const std::vector<std::string> rest(words.begin() + (words.empty() ? 0 : 1), words.end());
    const Command* command = find_command(table, rest, used);
    const std::string group = command == nullptr && rest.size() == 1 ? help_group(table, rest[0]) : "";
    if (command == nullptr && !rest.empty() && group.empty()) return report(context, unknown_command(table, rest));
    context.out(command != nullptr ? help_one(*command) : !group.empty() ? group : help_all(table));
    return 0;
  }
  if (words[0] == "completion") {
    context.out(bash_completion(table));
    return 0;
  }
  std::size_t used = 0;
  const Command* command = find_command(table, words, used);
  if (command == nullptr && words.size() == 2 && words[1] == "--help") {
    return run_cli(context, table, {"help", words[0]});
  }
  if (command == nullptr) return report(context, unknown_command(table, words));
  const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(used), words.end());
  // What stands behind "--" is another program's.
  const auto own = std::find(rest.begin(), rest.end(), "--");
  if (std::find(rest.begin(), own, "--help") != own) {
    context.out(help_one(*command));
    return 0;
  }
  auto arguments = parse_arguments(*command, rest);
  const Status done = arguments ? command->run(context, *arguments) : Status(arguments.error());
  return done ? context.exit_code : report(context, done.error());
}

}  // namespace wary::cli
