#include "node/tpm_evidence.h"

#include "codec/der.h"

namespace {

// What repeats: the credential's bytes do not matter here.
class CountingRandom final : public wary::Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = ++next_;
  }

 private:
  std::uint8_t next_ = 0;
};

// Two bytes of length, then so many.
bool take_sized(wary::ByteView& from, wary::ByteView& out) {
  if (from.size() < 2) return false;
  const std::size_t size = 2 + wary::read_big_endian<std::uint16_t>(from.data());
  if (from.size() < size) return false;
  out = from.first(size);
  from = from.subspan(size);
  return true;
}

}  // namespace

// The input as an endorsement key; as an attestation key; and as an attestation key, what it attested and its
// signature.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  ByteView input(data, size), key_bytes, attested;
  const auto ek = node::parse_endorsement_key(input);
  if (ek) {
    WARY_CHECK(codec::der::check_der(ek->spki).ok());
    CountingRandom random;
    const node::AttestationKey any{ek->key, node::AttestationKey::Scheme::kRsaSsa, Bytes(34)};
    WARY_CHECK(node::make_credential(*ek, any, Secret(32), random).ok());
  }
  const auto whole = node::parse_attestation_key(input);
  WARY_CHECK(!ek || !whole);
  if (!take_sized(input, key_bytes)) return 0;
  const auto ak = node::parse_attestation_key(key_bytes);
  if (!ak) return 0;
  WARY_CHECK(ak->name.size() == 34);
  if (!take_sized(input, attested)) return 0;
  const auto quote = node::check_quote(*ak, attested.subspan(2), input, as_bytes("challenge"));
  if (quote) WARY_CHECK(quote->selection.size() <= 16);
  return 0;
}
