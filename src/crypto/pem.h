// PEM (RFC 7468): labelled base64 blocks. Strict: one spelling of the lines, the labels match, nothing but white space
// stands between blocks.
//
//   std::string text = crypto::encode_pem("CERTIFICATE", der);
//   WARY_ASSIGN_OR_RETURN(auto blocks, crypto::decode_pem(text));
//
// Values; any thread. Limits: 1 MiB of text, 100 blocks. Error: pem_syntax with the line. Blocks may hold private keys:
// decode wipes its own scratch; the caller moves such a block into a Secret (Secret::take).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"

namespace wary::crypto {

struct PemBlock {
  std::string label;
  Bytes bytes;
};

std::string encode_pem(std::string_view label, ByteView bytes);
Result<std::vector<PemBlock>> decode_pem(std::string_view text, const Limits& limits = {.items = 100});

}  // namespace wary::crypto
