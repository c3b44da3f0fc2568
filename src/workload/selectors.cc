#include "workload/selectors.h"

#include <algorithm>

#include "codec/text.h"
#include "crypto/hash.h"
#include "workload/containers.h"

namespace wary::workload {

namespace {

constexpr std::int64_t kProgramMax = std::int64_t{512} << 20;
constexpr std::size_t kHashesMax = 1024;
constexpr std::size_t kNamesMax = std::size_t{1} << 20;
constexpr std::size_t kSelectorMax = 1024;
constexpr std::string_view kPrefixes[] = {"unix:uid:",
                                          "unix:user:",
                                          "unix:gid:",
                                          "unix:group:",
                                          "unix:supplementary_gid:",
                                          "unix:path:",
                                          "unix:sha256:",
                                          "unix:supplementary_group:",
                                          "systemd:unit:",
                                          "cgroup:path:",
                                          "container:id:",
                                          "k8s:"};

// Names are what this machine's own files give; without them there are numbers alone.
std::string names_file(io::Files& files, const std::string& path) {
  auto read = io::read_file(files, path, kNamesMax);
  return read ? std::string(as_text(*read)) : std::string();
}

void add_id(std::vector<std::string>& out, std::string_view number_key, std::string_view name_key,
            const std::string& names, std::uint32_t id) {
  out.push_back("unix:" + std::string(number_key) + ":" + std::to_string(id));
  if (const std::string name = io::name_of_id(names, id); !name.empty()) {
    out.push_back("unix:" + std::string(name_key) + ":" + name);
  }
}

}  // namespace

Status check_selector(std::string_view selector) {
  const auto known = [&](std::string_view prefix) {
    return selector.size() > prefix.size() && selector.starts_with(prefix);
  };
  const bool is_text = std::none_of(selector.begin(), selector.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  const bool good = std::any_of(std::begin(kPrefixes), std::end(kPrefixes), known);
  if (good && is_text && selector.size() <= kSelectorMax) return {};
  return fail(ErrorKind::kInvalid, "selector_syntax", "this is no selector that can be attested")
      .found(selector)
      .expected(
          "unix:uid:N, unix:user:NAME, unix:gid:N, unix:group:NAME, unix:supplementary_gid:N, unix:path:PATH, "
          "unix:sha256:HEX, systemd:unit:NAME, cgroup:path:PATH, container:id:ID, k8s:KEY:VALUE");
}

Result<std::string> Attestor::program_hash(pid_t pid, const io::ProgramIdentity& program) {
  if (const auto known = hashes_.find(program); known != hashes_.end()) return known->second;
  crypto::Sha256 hash;
  WARY_ASSIGN_OR_RETURN(const io::ProgramIdentity read,
                        io::read_program(pid, kProgramMax, [&](ByteView part) { hash.update(part); }));
  if (read != program) {
    return fail(ErrorKind::kConflict, "process_unreadable", "the process became another program while it was read");
  }
  if (hashes_.size() >= kHashesMax) hashes_.clear();
  return hashes_[read] = codec::encode_hex(hash.finish());
}

Result<Attested> Attestor::attest(const io::PeerProcess& process, const io::PeerCredentials& connected,
                                  const AttestOptions& options) {
  WARY_ASSIGN_OR_RETURN(io::ProcessFacts facts, io::read_process(process.pid()));
  if (facts.uid != connected.uid || facts.gid != connected.gid) {
    return fail(ErrorKind::kDenied, "attest_user_changed", "the process is another user than when it connected")
        .next("connect again");
  }
  Attested out;
  std::vector<std::string>& selectors = out.selectors;
  add_id(selectors, "uid", "user", names_file(files_, "/etc/passwd"), facts.uid);
  const std::string groups = names_file(files_, "/etc/group");
  add_id(selectors, "gid", "group", groups, facts.gid);
  for (const gid_t group : facts.groups) {
    add_id(selectors, "supplementary_gid", "supplementary_group", groups, group);
  }
  // A program that was deleted or replaced while it runs keeps its hash and has no path that anybody could name.
  if (!facts.path.empty() && !facts.path.ends_with(" (deleted)")) selectors.push_back("unix:path:" + facts.path);
  if (options.program_hash && !facts.path.empty()) {
    WARY_ASSIGN_OR_RETURN(const std::string hash, program_hash(process.pid(), facts.program));
    selectors.push_back("unix:sha256:" + hash);
  }
  add_cgroup_selectors(facts.cgroup, selectors);
  std::sort(selectors.begin(), selectors.end());
  selectors.erase(std::unique(selectors.begin(), selectors.end()), selectors.end());
  out.facts = std::move(facts);
  // Last: while it runs, its number was its own, and what was read was of it.
  if (!process.is_running())
    return fail(ErrorKind::kNotFound, "process_gone", "the process has ended")
        .next("ask about one that runs; a program connects anew when it starts again");
  return out;
}

bool Attestor::is_same(const io::PeerProcess& process, const Attested& attested) const {
  const auto now = io::read_process(process.pid());
  return now && now->uid == attested.facts.uid && now->gid == attested.facts.gid &&
         now->groups == attested.facts.groups && now->path == attested.facts.path &&
         now->program == attested.facts.program && now->cgroup == attested.facts.cgroup && process.is_running();
}

}  // namespace wary::workload
