// What the ledger's tests share: a clock that stands, a signer, and events.
#pragma once

#include <doctest/doctest.h>

#include "io/sim_files.h"
#include "ledger/ledger.h"
#include "ledger/proof.h"

namespace wary::ledger {

class TestClock final : public Clock {
 public:
  UnixTime unix_time() override { return {std::int64_t{1'800'000'000} * kNanosPerSecond}; }
  Monotonic monotonic() override { return {1}; }
};

struct TestSigner {
  crypto::PrivateKey key = *crypto::PrivateKey::generate(crypto::KeyType::kEd25519);
  NoteVerifier verifier = *NoteVerifier::of("wary.local/log", key.public_key());
  SignCheckpoint function() const {
    return [this](ByteView text) { return key.sign(text); };
  }
  LedgerOptions options(std::uint64_t segment_bytes = 8192) const {
    LedgerOptions options;
    options.vkey = verifier.to_vkey();
    options.segment_bytes = segment_bytes;
    return options;
  }
};

inline contract::Event test_event(std::uint64_t sequence, std::string source = "edge/a", std::uint64_t boot = 1) {
  contract::Event event;
  event.id = {std::move(source), boot, sequence};
  event.tenant = "local";
  event.actor = "Wary::User::\"" + std::to_string(sequence % 7) + "\"";
  event.decision_id = "d" + std::to_string(sequence);
  event.event_time = {static_cast<std::int64_t>(sequence)};
  event.detail = R"({"n":)" + std::to_string(sequence) + "}";
  return event;
}

inline std::vector<contract::Event> test_events(std::uint64_t first, std::size_t count) {
  std::vector<contract::Event> events;
  for (std::size_t i = 0; i < count; ++i) events.push_back(test_event(first + i));
  return events;
}

}  // namespace wary::ledger
