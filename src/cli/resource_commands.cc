// apply, get, delete, watch: resources as files and as a table.
#include <algorithm>

#include <span>

#include "cli/api.h"
#include "cli/commands.h"
#include "codec/text.h"
#include "codec/yaml.h"

namespace wary::cli {

namespace {

constexpr std::size_t kFileMax = std::size_t{4} << 20;
constexpr std::size_t kResourceFilesMax = 10'000;
constexpr int kDepthMax = 16;

// An object of a bundle and where it was written.
struct Source {
  codec::YamlDocument document;  // of a .cedar file: only `file` is set
  bool is_cedar = false;
};

struct Bundle {
  codec::Json objects = codec::Json::array();
  std::vector<Source> sources;
};

std::string base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

Status add_cedar(Bundle& bundle, const std::string& path, std::string text, const std::string& name_space) {
  std::string name = base_name(path);
  name.resize(name.size() - std::string_view(".cedar").size());
  codec::Json metadata = codec::Json::object();
  metadata.set("name", std::string_view(name)).set("namespace", std::string_view(name_space));
  codec::Json spec = codec::Json::object();
  spec.set("cedar", std::move(text)).set("source", std::string_view(path));
  codec::Json object = codec::Json::object();
  object.set("apiVersion", "wary.dev/v1").set("kind", "Policy");
  object.set("metadata", std::move(metadata)).set("spec", std::move(spec));
  bundle.objects.push(std::move(object));
  Source source;
  source.document.file = path;
  source.is_cedar = true;
  bundle.sources.push_back(std::move(source));
  return {};
}

Status add_file(Context& context, Bundle& bundle, const std::string& path, const std::string& name_space) {
  if (bundle.sources.size() >= kResourceFilesMax) {
    return fail(ErrorKind::kExhausted, "apply_too_many", "one apply takes at most 10,000 objects").at(path);
  }
  WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(context.files, path, kFileMax));
  const std::string_view text = as_text(bytes);
  if (path.ends_with(".cedar")) return add_cedar(bundle, path, std::string(text), name_space);
  Limits limits;
  limits.bytes = kFileMax;
  WARY_ASSIGN_OR_RETURN(std::vector<codec::YamlDocument> documents, codec::parse_yaml(text, path, limits));
  for (codec::YamlDocument& document : documents) {
    if (document.value.is_null()) continue;
    codec::Json object = document.value;
    codec::Json* metadata = nullptr;
    if (object.is_object()) {
      for (auto& [name, value] : object.members()) {
        if (name == "metadata" && value.is_object()) metadata = &value;
      }
    }
    if (metadata != nullptr && metadata->find("namespace") == nullptr)
      metadata->set("namespace", std::string_view(name_space));
    bundle.objects.push(std::move(object));
    bundle.sources.push_back({std::move(document), false});
  }
  return {};
}

Status add_path(Context& context, Bundle& bundle, const std::string& path, const std::string& name_space, int depth) {
  WARY_ASSIGN_OR_RETURN(const io::FileStatus status, context.files.status(path));
  if (!status.is_directory) return add_file(context, bundle, path, name_space);
  if (depth > kDepthMax) return fail(ErrorKind::kInvalid, "apply_depth", "directories are nested too deeply").at(path);
  WARY_ASSIGN_OR_RETURN(const std::vector<std::string> names, context.files.list(path));
  for (const std::string& name : names) {
    if (name.starts_with('.')) continue;
    const std::string child = path + "/" + name;
    WARY_ASSIGN_OR_RETURN(const io::FileStatus child_status, context.files.status(child));
    const bool taken = name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".cedar");
    if (child_status.is_directory || taken) {
      WARY_RETURN_IF_ERROR(add_path(context, bundle, child, name_space, depth + 1));
    }
  }
  return {};
}

// The server names an object by its number and a JSON pointer; people want file, line and column.
std::string place_of(const Bundle& bundle, const codec::Json& error) {
  const auto index = static_cast<std::size_t>(error.integer_or("object", 0));
  const std::string where(error.string_or("where", ""));
  const std::string pointer(error.string_or("pointer", ""));
  // A policy in a .cedar file has its place in that; one inside YAML is placed in its own text, behind the file's
  // place.
  const bool is_inside = pointer == "/spec/cedar" && index < bundle.sources.size() && !bundle.sources[index].is_cedar;
  if (!where.empty() && !is_inside) return where;
  if (index >= bundle.sources.size()) return {};
  const Source& source = bundle.sources[index];
  if (source.is_cedar || source.document.nodes.empty()) return source.document.file;
  const std::string place = codec::place(source.document.file, source.document.find(pointer).value);
  return where.empty() ? place : place + ": " + where;
}

// Errors or warnings of the answer, each with its place in the files. As JSON they stay in the answer.
void print_problems(Context& context, const Bundle& bundle, codec::Json& answer, std::string_view member) {
  const codec::Json* list = answer.find(member);
  if (list == nullptr) return;
  const std::string label(member.substr(0, member.size() - 1));  // "errors", "warnings"
  codec::Json placed = codec::Json::array();
  for (codec::Json problem : list->items()) {
    Error shown = error_from_json(problem, ErrorKind::kInvalid);
    shown.where = place_of(bundle, problem);
    problem.set("where", std::string_view(shown.where));
    placed.push(problem);
    if (context.is_json) continue;
    context.err(label + ": " + shown.to_string() + "\n");
    if (const std::string_view caret = problem.string_or("caret", ""); !caret.empty())
      context.err(std::string(caret) + "\n");
    if (!shown.next_step.empty()) context.err("  " + shown.next_step + "\n");
  }
  answer.set(member, std::move(placed));
}

Status apply(Context& context, const Arguments& arguments) {
  Bundle bundle;
  std::string path = arguments.flag("--file");
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  WARY_RETURN_IF_ERROR(add_path(context, bundle, path, arguments.flag("--namespace", "default"), 0));
  if (bundle.sources.empty()) {
    return fail(ErrorKind::kNotFound, "apply_nothing", "no .yaml, .yml or .cedar file with an object was found")
        .at(path)
        .next("examples/demo/resources shows how they are written");
  }
  codec::Json body = codec::Json::object();
  body.set("objects", bundle.objects).set("dryRun", arguments.has("--dry-run"));
  WARY_ASSIGN_OR_RETURN(codec::Json answer, call_api(context, "POST", "/v1/apply", body));
  print_problems(context, bundle, answer, "warnings");
  print_problems(context, bundle, answer, "errors");
  if (const codec::Json* errors = answer.find("errors"); errors != nullptr && !errors->items().empty()) {
    if (context.is_json) context.out(answer.to_string() + "\n");
    return fail(ErrorKind::kInvalid, "apply_refused", "nothing was changed")
        .found(std::to_string(errors->items().size()) + (errors->items().size() == 1 ? " error" : " errors"))
        .next("mend what is named above and apply again; what was in force goes on deciding");
  }
  if (context.is_json) {
    context.out(answer.to_string() + "\n");
    return {};
  }
  for (const codec::Json& result : answer.find("results")->items()) {
    context.out(std::string(result.string_or("action", "")) + "  " + std::string(result.string_or("object", "")) +
                "\n");
  }
  context.out("revision " + std::to_string(answer.integer_or("revision", 0)) +
              (arguments.has("--dry-run") ? " would be next; nothing was changed\n" : "\n"));
  return {};
}

std::string object_path(const Arguments& arguments) {
  std::string path = "/v1/objects/" + codec::encode_percent(arguments.positional[0]);
  if (arguments.positional.size() > 1) path += "/" + codec::encode_percent(arguments.positional[1]);
  return path;
}

std::string namespace_query(const Arguments& arguments) {
  return arguments.has("--namespace") ? "namespace=" + codec::encode_percent(arguments.flag("--namespace")) : "";
}

struct StatusColumn {
  const char* title;
  const char* member;  // of the object's status
  std::size_t width;
};
// What a kind's status is shown as, where a summary is not enough.
std::span<const StatusColumn> columns_of(std::string_view kind) {
  static constexpr StatusColumn kNode[] = {{"STATE", "state", 10},
                                           {"LAST SEEN", "lastSeen", 26},
                                           {"CERTIFICATE UNTIL", "certificateEnds", 26},
                                           {"JOINED BY", "joinedBy", 0}};
  if (kind == "Node") return kNode;
  return {};
}

std::string table_of(const codec::Json& objects, std::span<const StatusColumn> columns) {
  std::string out = padded("NAME", 24);
  for (const StatusColumn& column : columns) out += padded(column.title, column.width);
  out += "\n";
  for (const codec::Json& object : objects.items()) {
    // A space at least, however long a name is.
    out += padded(std::string(object.find("metadata")->string_or("name", "")) + " ", 24);
    const codec::Json* status = object.find("status");
    for (const StatusColumn& column : columns) {
      const std::string_view text = status != nullptr ? status->string_or(column.member, "-") : "-";
      out += padded(std::string(text) + (column.width > 0 ? " " : ""), column.width);
    }
    out += "\n";
  }
  return out;
}

Status get(Context& context, const Arguments& arguments) {
  if (arguments.positional.size() > 2)
    return fail(ErrorKind::kInvalid, "usage", "get takes a kind and at most one name")
        .found(std::to_string(arguments.positional.size()))
        .next("wary help get");
  WARY_ASSIGN_OR_RETURN(const codec::Json answer,
                        call_api(context, "GET", object_path(arguments), std::nullopt, namespace_query(arguments)));
  const codec::Json* objects = answer.find("objects");
  if (context.is_json || objects == nullptr) {
    context.out(answer.to_pretty_string() + "\n");
    return {};
  }
  const std::string kind = objects->items().empty() ? "" : std::string(objects->items()[0].string_or("kind", ""));
  if (const auto columns = columns_of(kind); !columns.empty()) {
    context.out(table_of(*objects, columns));
    return {};
  }
  context.out(padded("NAMESPACE", 16) + padded("NAME", 24) + padded("REVISION", 10) + "SUMMARY\n");
  for (const codec::Json& object : objects->items()) {
    const codec::Json& metadata = *object.find("metadata");
    const std::string revision(metadata.string_or("resourceVersion", ""));
    std::string spec = object.find("spec")->to_string();
    if (spec.size() > 80) spec = spec.substr(0, 77) + "...";
    const codec::Json* status = object.find("status");
    if (status != nullptr) spec = status->string_or("summary", spec);
    context.out(padded(std::string(metadata.string_or("namespace", "")), 16) +
                padded(std::string(metadata.string_or("name", "")), 24) + padded(revision, 10) + spec + "\n");
  }
  return {};
}

Status history(Context& context, const Arguments& arguments) {
  const std::string path = "/v1/history/" + codec::encode_percent(arguments.positional[0]) + "/" +
                           codec::encode_percent(arguments.positional[1]);
  WARY_ASSIGN_OR_RETURN(const codec::Json answer,
                        call_api(context, "GET", path, std::nullopt, namespace_query(arguments)));
  if (context.is_json) {
    context.out(answer.to_string() + "\n");
    return {};
  }
  for (const codec::Json& change : answer.find("changes")->items()) {
    const codec::Json* spec = change.find("spec");
    context.out(
        padded(std::to_string(change.integer_or("revision", 0)), 8) +
        padded(std::string(change.string_or("time", "")), 26) + padded(std::string(change.string_or("action", "")), 8) +
        padded(std::string(change.string_or("actor", "")), 24) + (spec != nullptr ? spec->to_string() : "") + "\n");
  }
  return {};
}

Status remove(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const codec::Json answer,
                        call_api(context, "DELETE", object_path(arguments), std::nullopt, namespace_query(arguments)));
  context.out("deleted  " + std::string(answer.string_or("object", "")) + "\nrevision " +
              std::to_string(answer.integer_or("revision", 0)) + "\n");
  return {};
}

Status watch(Context& context, const Arguments& arguments) {
  std::string query = "since=" + codec::encode_percent(arguments.flag("--since", "0"));
  if (!arguments.positional.empty()) query += "&kind=" + codec::encode_percent(arguments.positional[0]);
  return stream_api(context, "/v1/watch", query, [&](const codec::Json& line) {
    if (context.is_json) {
      context.out(line.to_string() + "\n");
    } else {
      context.out(padded(std::to_string(line.integer_or("revision", 0)), 8) +
                  padded(std::string(line.string_or("action", "")), 10) + std::string(line.string_or("object", "")) +
                  "\n");
    }
    return true;
  });
}

}  // namespace

std::vector<Command> resource_commands() {
  const Flag name_space{"--namespace", "NAME", "the namespace (default: default)", false};
  constexpr const char* kNames =
      "KIND is written as App, app or apps; NAME also as NAMESPACE/NAME, as it is printed elsewhere.";
  return {
      {{"apply"},
       {},
       "Create or change what files describe, all or nothing",
       {{"--file", "PATH", "a .yaml or .cedar file, or a directory of them", true},
        name_space,
        {"--dry-run", "", "check everything, change nothing", false}},
       "Every object is checked against its schema, and every policy against wary's own, before anything changes. An\n"
       "error names file, line and column; then nothing is changed and the old policies keep deciding. Warnings are\n"
       "printed and do not refuse: of a policy that names what is neither there nor in the files, too. `wary policy "
       "check\n"
       "--platform` checks policies the same way without a running wary, but for what is there.",
       apply},
      {{"get"}, {"KIND", "..."}, "Show the objects of a kind, or one: get KIND [NAME]", {name_space}, kNames, get},
      {{"history"}, {"KIND", "NAME"}, "Show what one object was, newest first", {name_space}, kNames, history},
      {{"delete"}, {"KIND", "NAME"}, "Delete one object", {name_space}, kNames, remove},
      {{"watch"},
       {"..."},
       "Show changes as they are made: watch [KIND]",
       {{"--since", "REVISION", "also those after this revision (default: from now)", false}},
       "",
       watch},
  };
}

}  // namespace wary::cli
