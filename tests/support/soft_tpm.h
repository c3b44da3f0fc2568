// A TPM of its own on two loopback ports, in software; it keeps its state in a folder that goes with the value.
//
//   test::SoftTpm tpm;
//   if (!tpm.is_installed()) WARY_SKIP("swtpm is missing");
//   REQUIRE(tpm.start());      // then tpm.tcti()
#pragma once
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "io/descriptor.h"
#include "io/process.h"

namespace wary::test {

class SoftTpm {
 public:
  SoftTpm() {
    std::string pattern = (std::filesystem::temp_directory_path() / "wary-tpm-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    std::filesystem::create_directory(folder_ + "/state");
    std::filesystem::create_directory(folder_ + "/ca");
  }
  ~SoftTpm() {
    process_.reset();
    std::filesystem::remove_all(folder_);
  }
  SoftTpm(const SoftTpm&) = delete;
  SoftTpm& operator=(const SoftTpm&) = delete;

  static bool is_installed() { return access(kProgram, X_OK) == 0; }
  static bool is_maker_installed() { return access(kMaker, X_OK) == 0; }
  const std::string& folder() const { return folder_; }
  std::string tcti() const { return "swtpm:host=127.0.0.1,port=" + std::to_string(port_); }

  // Before its start: endorsement keys with certificates, as a vendor does; the authority's files lie in folder()/ca.
  bool manufacture() {
    const std::string ca = folder_ + "/ca";
    std::ofstream(folder_ + "/localca.conf")
        << "statedir = " << ca << "\nsigningkey = " << ca << "/signkey.pem\nissuercert = " << ca
        << "/issuercert.pem\ncertserial = " << ca << "/certserial\n";
    std::ofstream(folder_ + "/localca.options") << "";
    std::ofstream(folder_ + "/setup.conf")
        << "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = " << folder_
        << "/localca.conf\ncreate_certs_tool_options = " << folder_ << "/localca.options\nactive_pcr_banks = sha256\n";
    auto child = spawn({kMaker, "--tpm2", "--tpmstate", "dir://" + folder_ + "/state", "--create-ek-cert", "--config",
                        folder_ + "/setup.conf"});
    return child && child->wait(60'000) && child->exit_status() == 0;
  }

  bool start() {
    for (int attempt = 0; attempt < 20; ++attempt) {
      port_ = 21'000 + (getpid() * 7 + started_++ * 212) % 10'000;
      if (listens(port_) || listens(port_ + 1)) continue;
      const std::string own = std::to_string(port_), control = std::to_string(port_ + 1);
      auto child = spawn({kProgram, "socket", "--tpm2", "--tpmstate", "dir=" + folder_ + "/state", "--server",
                          "type=tcp,bindaddr=127.0.0.1,port=" + own, "--ctrl",
                          "type=tcp,bindaddr=127.0.0.1,port=" + control, "--flags", "not-need-init"});
      if (!child) return false;
      // It ends where somebody else took a port in the meantime.
      for (int i = 0; i < 500 && !child->wait(10) && !listens(port_ + 1); ++i) {
      }
      if (!child->wait(50)) {
        process_ = std::move(child);
        return true;
      }
    }
    return false;
  }
  // As when a machine starts again: what it keeps, it keeps.
  bool restart() {
    process_.reset();
    return start();
  }

 private:
  static constexpr const char* kProgram = "/usr/bin/swtpm";
  static constexpr const char* kMaker = "/usr/bin/swtpm_setup";

  static bool listens(int port) {
    const io::Descriptor probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  static std::unique_ptr<io::Process> spawn(const std::vector<std::string>& arguments) {
    io::ProcessOptions options;
    options.environment = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/nonexistent"};
    const io::Descriptor quiet(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    options.output = quiet.get();
    auto child = io::Process::start(arguments, options);
    return child ? std::move(child).value() : nullptr;
  }

  static inline int started_ = 0;  // no two of one program take the same ports
  std::string folder_;
  int port_ = 0;
  std::unique_ptr<io::Process> process_;
};

}  // namespace wary::test
