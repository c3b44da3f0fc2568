// Bodies: the chunked decoder as a table of states over bytes, and the reader over the three framings.
#include "codec/http1.h"
#include "codec/http1_table.h"
#include "codec/text.h"

namespace wary::codec::http1 {

namespace {

constexpr std::size_t kTrailerBytes = 8 * 1024;
constexpr Refusal kBadSize{400, "http_chunk_size", "a chunk starts with 1 to 16 hexadecimal digits"};
constexpr Refusal kBadExtension{400, "http_chunk_extension", "a chunk extension is name[=value]"};
constexpr Refusal kBadData{400, "http_chunk_data", "chunk data ends with CR LF"};
constexpr Refusal kBadTrailer{400, "http_trailer", "a trailer is name: value"};
constexpr Refusal kLongLine{400, "http_chunk_line", "the chunk line is too long"};
constexpr Refusal kLongTrailer{431, "http_trailer_size", "the trailers are too long"};

// RFC 9110 section 6.5.1. No trailer is passed on, so only those are listed whose presence shows that the sender and we
// may disagree about where the message ends or whose it is.
bool is_refused_trailer(std::string_view name) {
  constexpr std::array<std::string_view, 8> kNames = {
      "host", "content-length", "authorization", "cookie", "set-cookie", "expect", "content-type", "content-encoding"};
  for (const std::string_view known : kNames) {
    if (equals_ignoring_case(name, known)) return true;
  }
  return is_hop_by_hop(name);
}

bool is(unsigned char byte, ByteClass wanted) { return is_class(static_cast<char>(byte), wanted); }

}  // namespace

bool ChunkedDecoder::end_size_line() {
  state_ = State::kSizeLf;
  return true;
}

bool ChunkedDecoder::size_byte(unsigned char byte) {
  const int digit = hex_value(static_cast<char>(byte));
  if (digit >= 0) {
    if (++digits_ > 16 || size_ >> 59 != 0) return refusal_ = kBadSize, false;  // stays below 2^63
    size_ = size_ << 4 | static_cast<unsigned>(digit);
    return true;
  }
  if (digits_ == 0) return refusal_ = kBadSize, false;
  if (byte == '\r') return end_size_line();
  if (byte == ';') return state_ = State::kExtension, true;
  return refusal_ = kBadSize, false;
}

// ";" name [ "=" ( token / quoted-string ) ], repeated; no white space.
bool ChunkedDecoder::extension_byte(unsigned char byte) {
  switch (state_) {
    case State::kExtension:
      name_ = 0;
      state_ = State::kExtensionName;
      [[fallthrough]];
    case State::kExtensionName:
      if (is(byte, kTokenByte)) return ++name_, true;
      if (name_ == 0) break;
      if (byte == '\r') return end_size_line();
      if (byte == ';') return state_ = State::kExtension, true;
      if (byte == '=') return name_ = 0, state_ = State::kExtensionValue, true;
      break;
    case State::kExtensionValue:
      if (is(byte, kTokenByte)) return ++name_, true;
      if (byte == '"' && name_ == 0) return state_ = State::kQuoted, true;
      if (name_ == 0) break;
      if (byte == '\r') return end_size_line();
      if (byte == ';') return state_ = State::kExtension, true;
      break;
    case State::kQuoted:
      if (byte == '"') return state_ = State::kQuotedEnd, true;
      if (byte == '\\') return state_ = State::kQuotedPair, true;
      if (is(byte, kValueByte)) return true;
      break;
    case State::kQuotedPair:
      if (is(byte, kValueByte)) return state_ = State::kQuoted, true;
      break;
    case State::kQuotedEnd:
      if (byte == '\r') return end_size_line();
      if (byte == ';') return state_ = State::kExtension, true;
      break;
    default: break;
  }
  return refusal_ = kBadExtension, false;
}

bool ChunkedDecoder::trailer_byte(unsigned char byte) {
  if (++trailer_ > kTrailerBytes) return refusal_ = kLongTrailer, false;
  switch (state_) {
    case State::kTrailerStart:
      if (byte == '\r') return state_ = State::kEndLf, true;
      if (++trailer_fields_ > limits::kHttpHeaderFields) return refusal_ = kLongTrailer, false;
      name_ = 0;
      state_ = State::kTrailerName;
      [[fallthrough]];
    case State::kTrailerName:
      if (is(byte, kTokenByte)) {
        if (name_ < trailer_name_.size()) trailer_name_[name_] = static_cast<char>(byte);
        return ++name_, true;
      }
      if (byte != ':' || name_ == 0) break;
      if (name_ <= trailer_name_.size() && is_refused_trailer({trailer_name_.data(), name_})) break;
      return state_ = State::kTrailerValue, true;
    case State::kTrailerValue:
      if (is(byte, kValueByte)) return true;
      if (byte == '\r') return state_ = State::kTrailerLf, true;
      break;
    case State::kTrailerLf:
      if (byte == '\n') return state_ = State::kTrailerStart, true;
      break;
    default:  // kEndLf
      if (byte == '\n') return state_ = State::kDone, true;
      break;
  }
  return refusal_ = kBadTrailer, false;
}

bool ChunkedDecoder::byte(unsigned char byte) {
  switch (state_) {
    case State::kSize:
    case State::kExtension:
    case State::kExtensionName:
    case State::kExtensionValue:
    case State::kQuoted:
    case State::kQuotedPair:
    case State::kQuotedEnd:
      if (++line_ > limits::kHttpChunkLineBytes) return refusal_ = kLongLine, false;
      return state_ == State::kSize ? size_byte(byte) : extension_byte(byte);
    case State::kSizeLf:
      if (byte != '\n') return refusal_ = kBadSize, false;
      state_ = size_ == 0 ? State::kTrailerStart : State::kData;
      return true;
    case State::kDataCr:
      if (byte != '\r') return refusal_ = kBadData, false;
      state_ = State::kDataLf;
      return true;
    case State::kDataLf:
      if (byte != '\n') return refusal_ = kBadData, false;
      state_ = State::kSize;
      size_ = digits_ = line_ = 0;
      return true;
    default: return trailer_byte(byte);
  }
}

BodyStep ChunkedDecoder::step(std::string_view input) {
  std::size_t at = 0;
  while (state_ != State::kDone && state_ != State::kRefused && at < input.size()) {
    if (state_ == State::kData) {
      const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size() - at));
      size_ -= length;
      if (size_ == 0) state_ = State::kDataCr;
      return {Progress::kNeedMore, at + length, input.substr(at, length), {}};
    }
    if (!byte(static_cast<unsigned char>(input[at++]))) state_ = State::kRefused;
  }
  if (state_ == State::kRefused) return {Progress::kRefused, at, {}, refusal_};
  return {state_ == State::kDone ? Progress::kDone : Progress::kNeedMore, at, {}, {}};
}

BodyStep BodyReader::step(std::string_view input) {
  switch (framing_.kind) {
    case BodyKind::kNone: return {Progress::kDone, 0, {}, {}};
    case BodyKind::kChunked: return chunked_.step(input);
    case BodyKind::kUntilClose: return {closed_ ? Progress::kDone : Progress::kNeedMore, input.size(), input, {}};
    case BodyKind::kLength: break;
  }
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
  left_ -= length;
  return {left_ == 0 ? Progress::kDone : Progress::kNeedMore, length, input.substr(0, length), {}};
}

bool BodyReader::is_done() const {
  switch (framing_.kind) {
    case BodyKind::kNone: return true;
    case BodyKind::kChunked: return chunked_.is_done();
    case BodyKind::kUntilClose: return closed_;
    case BodyKind::kLength: return left_ == 0;
  }
  return false;
}

bool BodyReader::finish() {
  closed_ = true;
  return is_done();
}

}  // namespace wary::codec::http1
