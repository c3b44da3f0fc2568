// The server's first flight: whatever a stranger sends before anybody is known. Fed whole, and again in small pieces.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "crypto/tls.h"

namespace {

using namespace wary;

const crypto::TlsServerContext& context() {
  static const crypto::TlsServerContext made = [] {
    constexpr UnixTime kStart{};
    constexpr UnixTime kEnd{std::int64_t{4'000'000'000} * kNanosPerSecond};
    auto key = std::make_shared<const crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
    const crypto::CaOptions options_of_ca{"fuzz", "", kStart, kEnd};
    const Bytes ca = *crypto::create_ca(options_of_ca, *key);
    crypto::TlsServerOptions options;
    options.sites.push_back({{"a.example"}, {{ca}, key}});
    options.alpn = {"h2"};
    options.client_auth = crypto::ClientAuth::kOptional;
    options.verify_client = [](const std::vector<Bytes>& chain, std::string_view) -> Result<crypto::PeerCertificate> {
      WARY_ASSIGN_OR_RETURN(crypto::Certificate peer, crypto::parse_certificate(chain.front()));
      return std::make_shared<const crypto::Certificate>(std::move(peer));
    };
    return *crypto::TlsServerContext::build(std::move(options));
  }();
  return made;
}

void drive(ByteView input, std::size_t step) {
  crypto::TlsSession session(context());
  std::array<std::uint8_t, 512> plaintext{};
  while (!input.empty()) {
    const std::size_t n = std::min(step, input.size());
    if (!session.feed(input.first(n)).ok()) break;
    if (!session.read(plaintext).ok()) break;
    input = input.subspan(n);
  }
  // Nobody can finish a handshake without having seen our part of it.
  if (session.is_open()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  drive({data, size}, size);
  if (size < 2048) drive({data, size}, 7);
  return 0;
}
