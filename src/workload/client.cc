#include "workload/client.h"

#include <charconv>

#include "codec/protobuf.h"
#include "codec/text.h"
#include "http/grpc.h"
#include "http/http2_session.h"
#include "http/wire.h"

namespace wary::workload {

namespace {

constexpr std::size_t kMessageMax = std::size_t{4} << 20;
constexpr std::size_t kIdentitiesMost = 256;
constexpr std::size_t kUnsentMax = std::size_t{1} << 20;  // far more than one request and window updates
constexpr std::int64_t kConnectTimeout = 5 * kNanosPerSecond;
constexpr std::int64_t kRetryFirst = kNanosPerSecond;
constexpr std::int64_t kRetryMost = 30 * kNanosPerSecond;

Error bad_message(std::string_view what) { return fail(ErrorKind::kInvalid, "workload_message", what); }

// DER values one after another.
Result<std::vector<Bytes>> split_certificates(std::string_view bytes) {
  std::vector<Bytes> out;
  while (!bytes.empty()) {
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    std::size_t head = 2, size = 0;
    if (bytes.size() < 2 || at(0) != 0x30) return bad_message("a certificate is none");
    if (at(1) < 0x80) {
      size = at(1);
    } else {
      const std::size_t count = at(1) & 0x7F;
      if (count == 0 || count > 3 || bytes.size() < 2 + count) return bad_message("a certificate is none");
      for (std::size_t i = 0; i < count; ++i) size = size << 8 | at(2 + i);
      head += count;
    }
    if (size > bytes.size() - head) return bad_message("a certificate is cut off");
    const ByteView one = as_bytes(bytes.substr(0, head + size));
    out.emplace_back(one.begin(), one.end());
    bytes.remove_prefix(head + size);
  }
  return out;
}

Result<X509Identity> decode_identity(std::string_view message) {
  X509Identity out;
  std::string_view chain, key, bundle;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number < 1 || field->number > 5) continue;
    if (field->type != codec::ProtoField::kBytes) return bad_message("a field is of another type");
    switch (field->number) {
      case 1: out.spiffe_id = field->bytes; break;
      case 2: chain = field->bytes; break;
      case 3: key = field->bytes; break;
      case 4: bundle = field->bytes; break;
      default: out.hint = field->bytes;
    }
  }
  if (!reader.ok()) return bad_message("an SVID is cut off or malformed");
  WARY_ASSIGN_OR_RETURN(out.chain, split_certificates(chain));
  WARY_ASSIGN_OR_RETURN(out.bundle, split_certificates(bundle));
  if (out.chain.empty() || out.bundle.empty()) return bad_message("an SVID without a certificate or a bundle");
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate leaf, crypto::parse_certificate(out.chain.front()));
  WARY_ASSIGN_OR_RETURN(const crypto::SpiffeId id, crypto::check_svid(leaf));
  if (id.to_string() != out.spiffe_id) return bad_message("an SVID is of another identity than it is named by");
  WARY_ASSIGN_OR_RETURN(const crypto::PrivateKey own, crypto::PrivateKey::from_pkcs8(as_bytes(key)));
  if (own.public_key().to_spki() != leaf.public_key) return bad_message("a private key is not the certificate's");
  out.key = Secret::copy_of(as_bytes(key));
  out.not_after = leaf.not_after;
  return out;
}

Result<std::pair<std::string, std::vector<Bytes>>> decode_federated(std::string_view entry) {
  std::string domain;
  std::string_view bundle;
  codec::ProtoReader reader(entry);
  while (const auto field = reader.next()) {
    if (field->type != codec::ProtoField::kBytes) continue;
    if (field->number == 1) domain = field->bytes;
    if (field->number == 2) bundle = field->bytes;
  }
  if (!reader.ok() || domain.empty()) return bad_message("a federated bundle is malformed");
  WARY_ASSIGN_OR_RETURN(std::vector<Bytes> certificates, split_certificates(bundle));
  return std::pair(std::move(domain), std::move(certificates));
}

}  // namespace

Result<io::Address> endpoint(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorKind::kInvalid, "workload_endpoint", "this is no address of a Workload API")
        .expected("unix:///absolute/path or tcp://IP:PORT")
        .found(text);
  };
  if (text.starts_with("unix:")) {
    text.remove_prefix(5);
    if (text.starts_with("//")) text.remove_prefix(2);
    if (!text.starts_with('/') || text.size() < 2 || text.size() > 107) return bad();
    return io::Address::unix_socket(text);
  }
  if (!text.starts_with("tcp://")) return bad();
  const std::string_view rest = text.substr(6);
  const std::size_t colon = rest.rfind(':');
  std::uint16_t port = 0;
  if (colon == rest.npos || colon == 0) return bad();
  const auto [end, error] = std::from_chars(rest.data() + colon + 1, rest.data() + rest.size(), port);
  if (error != std::errc() || end != rest.data() + rest.size() || port == 0) return bad();
  std::string_view host = rest.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.find_first_not_of("0123456789abcdefABCDEF.:") != host.npos) return bad();
  return io::Address::tcp(host, port);
}

Result<X509Context> decode_x509_context(std::string_view message) {
  X509Context out;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number != 1 && field->number != 3) continue;
    if (field->type != codec::ProtoField::kBytes) return bad_message("a field is of another type");
    if (field->number == 1) {
      if (out.identities.size() == kIdentitiesMost) return bad_message("there are too many SVIDs");
      WARY_ASSIGN_OR_RETURN(X509Identity identity, decode_identity(field->bytes));
      out.identities.push_back(std::move(identity));
    } else {
      WARY_ASSIGN_OR_RETURN(auto federated, decode_federated(field->bytes));
      out.federated.insert(std::move(federated));
    }
  }
  if (!reader.ok()) return bad_message("the message is cut off or malformed");
  if (out.identities.empty()) return bad_message("there is no SVID");
  return out;
}

class Client::Connection final : public http::Wire, private http::Http2SessionEvents {
 public:
  Connection(Client& client, std::unique_ptr<io::Stream> stream)
      : Wire(client.loop_, std::move(stream), [this] { over(); }),
        client_(client),
        session_(http::Http2Role::kClient, *this) {
    const std::int32_t call = session_.submit_request({{":method", "POST"},
                                                       {":scheme", "http"},
                                                       {":authority", "localhost"},
                                                       {":path", "/SpiffeWorkloadAPI/FetchX509SVID"},
                                                       {"content-type", "application/grpc"},
                                                       {"te", "trailers"},
                                                       {"workload.spiffe.io", "true"}},
                                                      false);
    session_.write(call, http::frame_grpc(""));
    session_.end(call, {});
    push(flush());
  }

 private:
  std::string receive(std::string_view bytes) override {
    session_.receive(bytes);
    take_messages();
    return flush();
  }
  bool is_over() const override { return is_done_ || session_.is_over(); }

  std::string flush() {
    std::string out;
    session_.flush(out, kUnsentMax);
    return out;
  }

  void on_block(std::int32_t, const http::Http2Block& block, bool) override {
    const std::string_view code = codec::http1::find_field(block.fields, "grpc-status").value_or("");
    if (code.empty() && block.status == 200 && !block.is_too_large) return;
    is_done_ = is_done_ || block.is_too_large;
    const bool denied = code == "7";
    const auto decoded = codec::decode_percent(codec::http1::find_field(block.fields, "grpc-message").value_or(""));
    error_ =
        fail(denied ? ErrorKind::kDenied : ErrorKind::kUnavailable, denied ? "workload_denied" : "workload_unavailable",
             decoded && !decoded->empty() ? *decoded : std::string("the Workload API ended the stream"));
  }

  void on_data(std::int32_t call, std::string_view bytes) override {
    session_.consume(call, bytes.size());
    buffer_ += bytes;
    if (buffer_.size() > kMessageMax + 5) {
      error_ = bad_message("a message is too large");
      is_done_ = true;
    }
  }

  void on_end(std::int32_t) override {}
  void on_closed(std::int32_t, std::uint32_t) override { is_done_ = true; }
  void on_sent(std::int32_t) override {}

  // Out of the session's callbacks.
  void take_messages() {
    while (!is_done_ && buffer_.size() >= 5) {
      std::size_t size = 0;
      for (std::size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<std::uint8_t>(buffer_[i]);
      if (buffer_[0] != 0 || size > kMessageMax) {
        error_ = bad_message("a message is compressed or too large");
        is_done_ = true;
        return;
      }
      if (buffer_.size() - 5 < size) return;
      auto context = decode_x509_context(std::string_view(buffer_).substr(5, size));
      wipe(buffer_.data(), 5 + size);
      buffer_.erase(0, 5 + size);
      if (!context) {
        error_ = context.error();
        is_done_ = true;
        return;
      }
      client_.backoff_ = 0;
      client_.events_.on_x509(std::move(context).value());
    }
  }

  void over() {
    // Not from inside its own call.
    client_.loop_.post([&client = client_, alive = std::weak_ptr<int>(client_.alive_), error = error_] {
      if (!alive.expired()) client.ended(error);
    });
  }

  Client& client_;
  http::Http2Session session_;
  std::string buffer_;
  bool is_done_ = false;
  Error error_ = fail(ErrorKind::kUnavailable, "workload_unavailable", "the Workload API closed the connection");
};

Client::Client(io::Loop& loop, io::Address address, ClientEvents events)
    : loop_(loop), address_(std::move(address)), events_(std::move(events)) {}

Client::~Client() { loop_.cancel(retry_); }

void Client::start() { connect(); }

void Client::connect() {
  const std::weak_ptr<int> alive = alive_;
  loop_.connect(address_, kConnectTimeout, [this, alive](Result<std::unique_ptr<io::Stream>> stream) {
    if (alive.expired()) return;
    if (!stream) {
      return ended(fail(ErrorKind::kUnavailable, "workload_unavailable", "no Workload API answers there")
                       .at(address_.to_string())
                       .found(stream.error().message)
                       .next("start wary's agent, or name its socket in SPIFFE_ENDPOINT_SOCKET"));
    }
    connection_ = std::make_unique<Connection>(*this, std::move(stream).value());
  });
}

void Client::ended(const Error& why) {
  connection_.reset();
  backoff_ = backoff_ == 0 ? kRetryFirst : std::min(backoff_ * 2, kRetryMost);
  retry_ = loop_.after(backoff_, [this] { connect(); });
  events_.on_error(why);
}

}  // namespace wary::workload
