#include "crypto/pem.h"

#include "base/secret.h"
#include "codec/text.h"

namespace wary::crypto {

namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";
constexpr std::size_t kLine = 64;

class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  // False at the end of the text. CRLF and LF both end a line.
  bool next(std::string_view& line) {
    if (rest_.empty()) return false;
    ++number_;
    const std::size_t end = rest_.find('\n');
    line = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return true;
  }
  std::string place() const { return "line " + std::to_string(number_); }

 private:
  std::string_view rest_;
  std::size_t number_ = 0;
};

Error syntax(const Lines& lines, std::string_view message) {
  return fail(ErrorKind::kInvalid, "pem_syntax", message).at(lines.place());
}

bool is_label(std::string_view label) {
  for (const char c : label) {
    if (c < 0x20 || c > 0x7e || c == '-') return false;
  }
  return !label.empty() && label.size() <= 64;
}

}  // namespace

std::string encode_pem(std::string_view label, ByteView bytes) {
  std::string body = codec::encode_base64(bytes);
  std::string text = std::string(kBegin) + std::string(label) + std::string(kDashes) + "\n";
  text.reserve(text.size() + body.size() + body.size() / kLine + 64);
  for (std::size_t at = 0; at < body.size(); at += kLine) {
    text += std::string_view(body).substr(at, kLine);
    text += '\n';
  }
  wipe(body.data(), body.size());
  return text + std::string(kEnd) + std::string(label) + std::string(kDashes) + "\n";
}

Result<std::vector<PemBlock>> decode_pem(std::string_view text, const Limits& limits) {
  if (text.size() > limits.bytes) return fail(ErrorKind::kExhausted, "pem_syntax", "the text is too long");
  std::vector<PemBlock> blocks;
  Lines lines(text);
  std::string_view line;
  while (lines.next(line)) {
    if (codec::trim(line).empty()) continue;
    if (!line.starts_with(kBegin) || !line.ends_with(kDashes) || line.size() <= kBegin.size() + kDashes.size()) {
      return syntax(lines, "text stands outside a block").expected("-----BEGIN LABEL-----");
    }
    const std::string_view label = line.substr(kBegin.size(), line.size() - kBegin.size() - kDashes.size());
    if (!is_label(label)) return syntax(lines, "the label is malformed");
    if (blocks.size() >= limits.items) return syntax(lines, "too many blocks");
    const std::string end = std::string(kEnd) + std::string(label) + std::string(kDashes);
    std::string body;
    body.reserve(text.size());  // one allocation: no copy of a key stays behind in a grown buffer
    bool closed = false;
    while (!closed && lines.next(line)) {
      if (line.starts_with(kDashes)) {
        if (line != end) return syntax(lines, "the end does not belong to the beginning").expected(end);
        closed = true;
      } else if (line.empty() || line.size() > kLine || (body.size() % kLine) != 0) {
        return syntax(lines, "lines have 64 characters, the last 1 to 64");
      } else {
        body += line;
      }
    }
    if (!closed) return syntax(lines, "the block has no end").expected(end);
    auto bytes = codec::decode_base64(body);
    wipe(body.data(), body.size());
    if (!bytes.ok()) return syntax(lines, "the block above is no base64");
    blocks.push_back({std::string(label), std::move(bytes).value()});
  }
  return blocks;
}

}  // namespace wary::crypto
