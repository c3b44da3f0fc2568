#include "node/tpm_format.h"

namespace wary::node {

namespace {

constexpr std::size_t kPublicMax = 1024;
constexpr std::size_t kDigestMax = 64;
constexpr std::size_t kRsaMax = 512;
constexpr std::size_t kCoordinateMax = 66;

bool read_symmetric(TpmReader& reader, PublicArea& out) {
  if (!reader.read(out.symmetric)) return false;
  return out.symmetric == tpm::kNull || (reader.read(out.symmetric_bits) && reader.read(out.symmetric_mode));
}

// Of schemes with other details than a hash none is taken.
bool read_scheme(TpmReader& reader, std::uint16_t& scheme, std::uint16_t& hash) {
  if (!reader.read(scheme)) return false;
  if (scheme == tpm::kNull) return true;
  if (scheme != tpm::kRsaSsa && scheme != tpm::kRsaPss && scheme != tpm::kEcdsa) return false;
  return reader.read(hash);
}

bool read_rsa(TpmReader& reader, PublicArea& out) {
  return read_symmetric(reader, out) && read_scheme(reader, out.scheme, out.scheme_hash) && reader.read(out.key_bits) &&
         reader.read(out.exponent) && reader.read_sized(out.first, kRsaMax);
}

bool read_ecc(TpmReader& reader, PublicArea& out) {
  return read_symmetric(reader, out) && read_scheme(reader, out.scheme, out.scheme_hash) && reader.read(out.curve) &&
         reader.read(out.derivation) && out.derivation == tpm::kNull && reader.read_sized(out.first, kCoordinateMax) &&
         reader.read_sized(out.second, kCoordinateMax);
}

}  // namespace

bool TpmReader::read_bytes(ByteView& value, std::size_t size) {
  if (bytes_.size() < size) return false;
  value = bytes_.first(size);
  bytes_ = bytes_.subspan(size);
  return true;
}

bool TpmReader::read_sized(ByteView& value, std::size_t size_max) {
  const ByteView before = bytes_;
  std::uint16_t size = 0;
  if (read(size) && size <= size_max && read_bytes(value, size)) return true;
  bytes_ = before;
  return false;
}

std::optional<PublicArea> read_public_area(ByteView tpm2b_public) {
  TpmReader outer(tpm2b_public);
  PublicArea out;
  if (!outer.read_sized(out.area, kPublicMax) || !outer.is_empty()) return std::nullopt;
  TpmReader reader(out.area);
  if (!reader.read(out.type) || !reader.read(out.name_algorithm) || !reader.read(out.attributes) ||
      !reader.read_sized(out.policy, kDigestMax)) {
    return std::nullopt;
  }
  const bool good =
      (out.type == tpm::kRsa && read_rsa(reader, out)) || (out.type == tpm::kEcc && read_ecc(reader, out));
  if (!good || !reader.is_empty()) return std::nullopt;
  return out;
}

std::optional<TpmSignature> read_signature(ByteView bytes) {
  TpmReader reader(bytes);
  TpmSignature out;
  if (!reader.read(out.scheme) || !reader.read(out.hash)) return std::nullopt;
  const bool good =
      out.scheme == tpm::kEcdsa
          ? reader.read_sized(out.first, kCoordinateMax) && reader.read_sized(out.second, kCoordinateMax)
          : (out.scheme == tpm::kRsaSsa || out.scheme == tpm::kRsaPss) && reader.read_sized(out.first, kRsaMax);
  if (!good || !reader.is_empty()) return std::nullopt;
  return out;
}

}  // namespace wary::node
