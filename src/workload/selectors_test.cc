#include "workload/selectors.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "codec/text.h"
#include "crypto/hash.h"
#include "io/process.h"
#include "io/system.h"
#include "workload/containers.h"

using namespace wary;
using namespace wary::workload;

namespace {

std::vector<std::string> of_cgroup(std::string_view path) {
  std::vector<std::string> out;
  add_cgroup_selectors(path, out);
  std::sort(out.begin(), out.end());
  return out;
}

const std::string kId(64, 'a');

// A process of ours, as a connection would hold it.
class TestPeer final : public io::PeerProcess {
 public:
  explicit TestPeer(io::Process& process) : process_(process) {}
  pid_t pid() const override { return process_.pid(); }
  bool is_running() const override { return !process_.exit_status().has_value(); }
  int descriptor() const override { return process_.descriptor(); }

 private:
  io::Process& process_;
};

bool has(const Attested& who, const std::string& selector) {
  return std::binary_search(who.selectors.begin(), who.selectors.end(), selector);
}

}  // namespace

TEST_CASE("a cgroup says unit, container and pod, by what lies nearest to the root") {
  using Texts = std::vector<std::string>;
  CHECK(of_cgroup("") == Texts{});
  CHECK(of_cgroup("/system.slice/orders.service") ==
        Texts{"cgroup:path:/system.slice/orders.service", "systemd:unit:orders.service"});
  // What is delegated below a unit is named by whoever it was delegated to.
  CHECK(of_cgroup("/user.slice/user@7.service/app.slice/orders.service")[1] == "systemd:unit:user@7.service");
  CHECK(of_cgroup("/system.slice/docker-" + kId + ".scope")[1] == "container:id:" + kId);
  CHECK(of_cgroup("/docker/" + kId)[1] == "container:id:" + kId);
  const std::string other(64, 'b');
  CHECK(container_id_of("/docker/" + kId + "/docker/" + other) == kId);
  CHECK(container_id_of("/docker/" + kId.substr(1)) == "");
  CHECK(container_id_of("/docker/" + std::string(64, 'G')) == "");
  const Texts pod = of_cgroup(
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"
      "1f2e3d4c_0000_1111_2222_333344445555.slice/cri-containerd-" +
      kId + ".scope");
  CHECK(std::count(pod.begin(), pod.end(), "k8s:pod-uid:1f2e3d4c-0000-1111-2222-333344445555") == 1);
  CHECK(std::count(pod.begin(), pod.end(), "container:id:" + kId) == 1);
}

TEST_CASE("a kubelet's answer names the pod of a container that runs") {
  const std::string pods = R"({"kind":"PodList","items":[{"metadata":{"name":"other"},"status":{"containerStatuses":[
    {"name":"x","containerID":"containerd://)" +
                           std::string(64, 'b') + R"(","state":{"running":{}}}]}},
    {"metadata":{"name":"orders-0","namespace":"shop","uid":"u1","labels":{"app":"orders","tier":"back"},
    "ownerReferences":[{"kind":"StatefulSet","name":"orders"}]},
    "spec":{"serviceAccountName":"orders","nodeName":"n1"},
    "status":{"containerStatuses":[{"name":"main","image":"registry.test/orders:1",
    "imageID":"registry.test/orders@sha256:1",
    "containerID":"containerd://)" +
                           kId + R"(","state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}]})";
  const auto found = kubernetes_selectors(*codec::parse_json(pods), kId);
  REQUIRE(found.ok());
  const std::vector<std::string> expected = {"k8s:container-image:registry.test/orders:1",
                                             "k8s:container-image:registry.test/orders@sha256:1",
                                             "k8s:container-name:main",
                                             "k8s:node-name:n1",
                                             "k8s:ns:shop",
                                             "k8s:pod-label:app:orders",
                                             "k8s:pod-label:tier:back",
                                             "k8s:pod-name:orders-0",
                                             "k8s:pod-owner:StatefulSet:orders",
                                             "k8s:pod-uid:u1",
                                             "k8s:sa:orders"};
  CHECK(*found == expected);
  CHECK(kubernetes_selectors(*codec::parse_json(pods), std::string(64, 'c'))->empty());
  // One that has ended is nobody's.
  std::string ended = pods;
  const std::size_t at = ended.rfind("\"running\"");
  ended.replace(at, 9, "\"terminated\"");
  CHECK(kubernetes_selectors(*codec::parse_json(ended), kId)->empty());
  for (const char* bad : {"{}", R"({"items":{}})", R"({"items":[1]})", "[]"}) {
    CHECK(kubernetes_selectors(*codec::parse_json(bad), kId).error().code == "kubelet_pods_syntax");
  }
}

TEST_CASE("a process is attested as what it is, and nobody once it has ended") {
  const auto files = io::make_real_files();
  auto child = io::Process::start({"/usr/bin/sleep", "60"}, {});
  REQUIRE(child.ok());
  const TestPeer peer(**child);
  Attestor attestor(*files);
  const io::PeerCredentials mine{(*child)->pid(), geteuid(), getegid()};
  // Between fork and exec it is this program still.
  for (int i = 0; i < 1000; ++i) {
    const auto facts = io::read_process(peer.pid());
    if (facts && facts->path.ends_with("sleep")) break;
    usleep(1000);
  }
  const auto who = attestor.attest(peer, mine, {.program_hash = true});
  REQUIRE(who.ok());
  CHECK(has(*who, "unix:uid:" + std::to_string(geteuid())));
  CHECK(has(*who, "unix:gid:" + std::to_string(getegid())));
  CHECK(has(*who, "unix:path:" + std::filesystem::canonical("/usr/bin/sleep").string()));
  const auto bytes = io::read_file(*files, "/usr/bin/sleep", 1 << 24);
  REQUIRE(bytes.ok());
  const std::string hex = codec::encode_hex(crypto::sha256(*bytes));
  CHECK(has(*who, "unix:sha256:" + hex));
  const auto again = attestor.attest(peer, mine, {.program_hash = true});
  REQUIRE(again.ok());
  CHECK(again->selectors == who->selectors);
  const auto unhashed = attestor.attest(peer, mine, {});
  REQUIRE(unhashed.ok());
  CHECK(!has(*unhashed, "unix:sha256:" + hex));
  CHECK(attestor.is_same(peer, *who));
  // Who connected was another user.
  CHECK(attestor.attest(peer, {(*child)->pid(), geteuid() + 1, getegid()}, {}).error().code == "attest_user_changed");
  CHECK(attestor.attest(peer, {(*child)->pid(), geteuid(), getegid() + 1}, {}).error().code == "attest_user_changed");
  REQUIRE((*child)->signal(SIGKILL));
  REQUIRE((*child)->wait(10'000));
  CHECK(!attestor.is_same(peer, *who));
  CHECK(attestor.attest(peer, mine, {}).error().code == "process_gone");
}

TEST_CASE("a process that becomes another program is not what was attested") {
  const auto files = io::make_real_files();
  auto child = io::Process::start({"/bin/sh", "-c", "sleep 0.3; exec sleep 60"}, {});
  REQUIRE(child.ok());
  const TestPeer peer(**child);
  Attestor attestor(*files);
  const io::PeerCredentials mine{(*child)->pid(), geteuid(), getegid()};
  Result<Attested> who = attestor.attest(peer, mine, {});
  for (int i = 0; i < 200 && !(who.ok() && !who->facts.path.ends_with("workload_test")); ++i) {
    usleep(1000);
    who = attestor.attest(peer, mine, {});
  }
  REQUIRE(who.ok());
  CHECK(attestor.is_same(peer, *who));
  bool changed = false;
  for (int i = 0; i < 5000 && !changed; ++i) {
    usleep(2000);
    changed = !attestor.is_same(peer, *who);
  }
  CHECK(changed);
  CHECK(peer.is_running());
}

TEST_CASE("selectors that nothing attests are refused") {
  for (const char* good : {"unix:uid:0", "unix:path:/a b", "k8s:pod-label:a:b", "systemd:unit:a.service"}) {
    CHECK(check_selector(good).ok());
  }
  const std::string longer = "unix:path:/" + std::string(1024, 'x');
  for (const std::string& bad : {std::string(), std::string("unix:uid:"), std::string("uid:0"), std::string("unix:x:1"),
                                 std::string("unix:path:/a\nb"), longer}) {
    CHECK(check_selector(bad).error().code == "selector_syntax");
  }
}
