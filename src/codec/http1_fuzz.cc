// The first byte chooses request, response or chunked body and how the rest is cut. However it is cut, the outcome is
// the same, and a request that is accepted is written and read back as itself.
#include "base/bytes.h"
#include "base/check.h"
#include "codec/http1.h"
#include "codec/http1_conformance.h"
#include "codec/text.h"

using namespace wary;
using namespace wary::codec;
using namespace wary::codec::http1;

namespace {

void check_rewrite(std::string_view text) {
  RequestHead head;
  HeadScan scan;
  if (parse_request_head(text, scan, head).progress != Progress::kDone || head.host.empty()) return;
  std::vector<Field> fields;
  for (const Field& field : head.fields) {
    const bool own = is_hop_by_hop(field.name) || equals_ignoring_case(field.name, "host") ||
                     equals_ignoring_case(field.name, "content-length") || field.name.starts_with("Sec-WebSocket");
    if (!own) fields.push_back(field);
  }
  std::string out;
  const RequestParts parts{head.method,  head.path,      head.query,     head.host,
                           head.framing, Upgrade::kNone, head.keep_alive};
  WARY_CHECK(append_request_head(out, parts, fields).ok());
  RequestHead again;
  HeadScan scan_again;
  const HeadResult result = parse_request_head(out, scan_again, again);
  // Encoding raw query bytes and our own fields may push a head over a limit; nothing else may be refused.
  if (result.progress == Progress::kRefused && (result.refusal.status == 431 || result.refusal.status == 414)) return;
  WARY_CHECK(result.progress == Progress::kDone && result.consumed == out.size());
  WARY_CHECK(again.method == head.method && again.path == head.path && again.host == head.host);
  WARY_CHECK(again.framing == head.framing && again.keep_alive == head.keep_alive);
}

void check_response(std::string_view text) {
  ResponseHead whole, pieces;
  HeadScan scan, piece_scan;
  const HeadResult a = parse_response_head(text, scan, "GET", whole);
  HeadResult b;
  for (std::size_t i = 1; i <= text.size() && b.progress == Progress::kNeedMore; ++i) {
    b = parse_response_head(text.substr(0, i), piece_scan, "GET", pieces);
  }
  WARY_CHECK(a.progress == b.progress && a.consumed == b.consumed && a.refusal.code == b.refusal.code);
  if (a.progress == Progress::kDone) WARY_CHECK(whole.status == pieces.status && whole.framing == pieces.framing);
}

std::string decode(std::string_view text, std::size_t piece) {
  ChunkedDecoder decoder;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    std::string_view part = text.substr(at, piece);
    while (!part.empty()) {
      const BodyStep step = decoder.step(part);
      out += step.data;
      part.remove_prefix(step.consumed);
      if (step.progress == Progress::kDone) return out + "|done";
      if (step.progress == Progress::kRefused) return out + "|" + std::string(step.refusal.code);
    }
  }
  return out + "|more";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = as_text({data + 1, size - 1});
  const std::size_t piece = data[0] / 3u % 16 + 1;
  switch (data[0] % 3) {
    case 0: {
      check_rewrite(text);
      const FramingOutcome whole = run_connection(text, 0);
      const FramingOutcome pieces = run_connection(text, piece);
      WARY_CHECK(whole.requests == pieces.requests && whole.refusal.code == pieces.refusal.code);
      break;
    }
    case 1: check_response(text); break;
    default: WARY_CHECK(decode(text, text.size() + 1) == decode(text, piece)); break;
  }
  return 0;
}
