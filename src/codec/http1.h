// HTTP/1.1 messages (RFC 9112), strict: bytes to a model, and the model to bytes. Client bytes never go on; what is
// sent is written again from the model, so that two parsers can never disagree about one message.
//
//   http1::RequestHead head;                      // reused for every request of the connection
//   http1::HeadScan scan;                         // fresh for every head
//   http1::HeadResult result = http1::parse_request_head(buffer, scan, head);
//   if (result.progress == Progress::kNeedMore) ...    // call again with the same bytes and more
//   if (result.progress == Progress::kRefused) ...     // answer result.refusal.status, close
//   buffer.remove_prefix(result.consumed);
//   http1::BodyReader body(head.framing);
//   while (!body.is_done()) { http1::BodyStep step = body.step(buffer); ... step.data, step.consumed ... }
//
// Views in a head and in a step point into the caller's buffer and are valid as long as those bytes stay in place.
// Refused: bare CR or LF, line folding, white space before a colon, names that are no tokens, control characters,
// Content-Length that is not one field of digits up to 2^63-1, Transfer-Encoding that is not exactly one "chunked" or
// comes with a length or in HTTP/1.0, not exactly one valid Host, targets that are not of their method's form, CONNECT
// (tunnels are HTTP/2), broken WebSocket openings. Trailers are checked and dropped; those that would
// mean framing, routing or credentials are refused.
// Values; one thread each. Limits: base/limits.h kHttp*; the same verdict however the bytes are cut.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace wary::codec::http1 {

struct Field {
  std::string_view name;   // as sent; compare with equals_ignoring_case
  std::string_view value;  // without the white space around it
};

enum class Progress { kNeedMore, kDone, kRefused };

// Why a message is refused: nothing is allocated for it. `status` is what the peer is answered (502 for a response).
struct Refusal {
  int status = 0;
  std::string_view code;     // stable: http_bare_lf, http_content_length, ...
  std::string_view message;  // one sentence
};
Error to_error(const Refusal& refusal);

enum class BodyKind { kNone, kLength, kChunked, kUntilClose };
struct Framing {
  BodyKind kind = BodyKind::kNone;
  std::uint64_t length = 0;  // of kLength
  bool operator==(const Framing&) const = default;
};

enum class TargetForm { kOrigin, kAbsolute, kAsterisk };
enum class Upgrade { kNone, kWebSocket };  // any other Upgrade is ignored, as RFC 9110 section 7.8 allows

struct RequestHead {
  std::string_view method;
  std::string_view target;  // as sent
  TargetForm form = TargetForm::kOrigin;
  std::string_view path;                  // starts with '/', still percent-encoded; "*" in asterisk form
  std::optional<std::string_view> query;  // after the first '?'
  int minor_version = 1;
  std::string_view host;      // the authority: host[:port]; empty only in HTTP/1.0
  std::vector<Field> fields;  // in order, all of them
  Framing framing = {};
  bool keep_alive = true;
  bool expects_continue = false;
  Upgrade upgrade = Upgrade::kNone;
};

struct ResponseHead {
  int status = 0;
  std::string_view reason;
  int minor_version = 1;
  std::vector<Field> fields;
  Framing framing = {};
  bool keep_alive = true;
  bool is_interim() const { return status >= 100 && status < 200 && status != 101; }
};

// What a search for the end of a head has seen, so that bytes that come one at a time are looked at once.
struct HeadScan {
  std::size_t position = 0;
  std::size_t lines = 0;
};

struct HeadResult {
  Progress progress = Progress::kNeedMore;
  std::size_t consumed = 0;  // of the head, when done
  Refusal refusal;
};

HeadResult parse_request_head(std::string_view buffer, HeadScan& scan, RequestHead& head);
// `request_method` decides the framing: the response to HEAD has no body.
HeadResult parse_response_head(std::string_view buffer, HeadScan& scan, std::string_view request_method,
                               ResponseHead& head);

// What HTTP/2 carries beside method, target and fields.
struct CarriedParts {
  std::string_view authority;  // empty: Host says it
  std::string_view scheme;
  std::string_view protocol;  // of extended CONNECT (RFC 8441)
  bool ends = false;          // the request has no body
};
// A request that another framing carried: its method, target and fields are set, and are held to what a head of
// HTTP/1.1 is held to; the rest of `head` is filled in. An extended CONNECT to a WebSocket is what its GET would have
// been.
HeadResult check_carried_request(const CarriedParts& parts, RequestHead& head);

// The value of the only field of that name; nothing if there is none or more than one.
std::optional<std::string_view> find_field(const std::vector<Field>& fields, std::string_view name);
// Whether a comma-separated field value has this token, ASCII case apart.
bool has_token(std::string_view list, std::string_view token);
bool is_token(std::string_view text);        // RFC 9110 section 5.6.2
bool is_field_value(std::string_view text);  // no control characters but tab
// Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, HTTP2-Settings: never forwarded.
bool is_hop_by_hop(std::string_view name);

struct BodyStep {
  Progress progress = Progress::kNeedMore;
  std::size_t consumed = 0;
  std::string_view data;  // body bytes, inside the input
  Refusal refusal;
};

// RFC 9112 section 7.1. Call step with what is not consumed yet until it is done or refuses.
class ChunkedDecoder {
 public:
  BodyStep step(std::string_view input);
  bool is_done() const { return state_ == State::kDone; }

 private:
  enum class State {
    kSize,
    kExtension,
    kExtensionName,
    kExtensionValue,
    kQuoted,
    kQuotedPair,
    kQuotedEnd,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
    kDone,
    kRefused
  };
  bool byte(unsigned char byte);  // false: refused
  bool size_byte(unsigned char byte);
  bool extension_byte(unsigned char byte);
  bool trailer_byte(unsigned char byte);
  bool end_size_line();

  State state_ = State::kSize;
  std::uint64_t size_ = 0;  // of the chunk; what is left of it in kData
  std::size_t digits_ = 0;
  std::size_t line_ = 0;     // bytes of this size line
  std::size_t name_ = 0;     // bytes of this extension name or value, or trailer name
  std::size_t trailer_ = 0;  // bytes of all trailers
  std::size_t trailer_fields_ = 0;
  std::array<char, 20> trailer_name_{};  // its start: longer names are none of those refused
  Refusal refusal_;
};

class BodyReader {
 public:
  explicit BodyReader(Framing framing) : framing_(framing), left_(framing.length) {}
  BodyStep step(std::string_view input);
  bool is_done() const;
  // The peer closed: whether the body was whole.
  bool finish();

 private:
  Framing framing_;
  std::uint64_t left_;
  ChunkedDecoder chunked_;
  bool closed_ = false;
};

// Writers: append to `out`. `fields` must hold no framing, Host, Connection or Upgrade field: those follow from the
// other arguments. Errors: http_write_* when a part could not be sent as one message; `out` is then as before.
struct RequestParts {
  std::string_view method;
  std::string_view path;  // starts with '/', or "*"
  std::optional<std::string_view> query;
  std::string_view host;
  Framing framing = {};
  Upgrade upgrade = Upgrade::kNone;
  bool keep_alive = true;
};
Status append_request_head(std::string& out, const RequestParts& parts, const std::vector<Field>& fields);

struct ResponseParts {
  int status = 200;
  Framing framing = {};
  Upgrade upgrade = Upgrade::kNone;
  bool keep_alive = true;
};
Status append_response_head(std::string& out, const ResponseParts& parts, const std::vector<Field>& fields);
std::string_view reason_phrase(int status);

// A chunk is its header, `size` > 0 bytes, and kChunkEnd; the body ends with kLastChunk.
void append_chunk_header(std::string& out, std::uint64_t size);
constexpr std::string_view kChunkEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace wary::codec::http1
