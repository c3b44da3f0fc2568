#include "crypto/tls.h"

#include <algorithm>
#include <cstring>

#include "base/byte_queue.h"
#include "crypto/tls_context.h"

namespace wary::crypto {

namespace {

constexpr std::size_t kPendingMax = 256 * 1024;

// What stands between OpenSSL and the caller: two byte strings. The input is read in place as long as the caller's own
// bytes last, and only what was not used then is kept.
struct Pipe {
  ByteView borrowed;     // within feed() alone
  Bytes pending;         // fed before and not yet read
  std::size_t used = 0;  // of pending
  ByteQueue out;

  std::size_t waiting() const { return pending.size() - used + borrowed.size(); }

  std::size_t take(std::uint8_t* into, std::size_t size) {
    std::size_t done = 0;
    if (used < pending.size()) {
      done = std::min(size, pending.size() - used);
      std::memcpy(into, pending.data() + used, done);
      used += done;
      if (used == pending.size()) {
        pending.clear();
        used = 0;
      }
    }
    const std::size_t more = std::min(size - done, borrowed.size());
    if (more > 0) std::memcpy(into + done, borrowed.data(), more);
    borrowed = borrowed.subspan(more);
    return done + more;
  }

  void keep_rest() {
    if (!borrowed.empty()) {
      if (used > 0) pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(used));
      used = 0;
      append(pending, borrowed);
      borrowed = {};
    } else if (pending.empty() && pending.capacity() > 0) {
      Bytes().swap(pending);  // an idle session holds nothing
    }
  }
};

int pipe_read(BIO* bio, char* into, std::size_t size, std::size_t* done) {
  auto* pipe = static_cast<Pipe*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *done = pipe->take(reinterpret_cast<std::uint8_t*>(into), size);
  if (*done > 0) return 1;
  BIO_set_retry_read(bio);
  return 0;
}

int pipe_write(BIO* bio, const char* from, std::size_t size, std::size_t* done) {
  auto* pipe = static_cast<Pipe*>(BIO_get_data(bio));
  pipe->out.put(as_bytes({from, size}));
  *done = size;
  return 1;
}

long pipe_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* pipe_method() {
  static const Handle<BIO_METHOD, BIO_meth_free> method([] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wary pipe");
    WARY_CHECK(made != nullptr && BIO_meth_set_read_ex(made, pipe_read) == 1 &&
               BIO_meth_set_write_ex(made, pipe_write) == 1 && BIO_meth_set_ctrl(made, pipe_control) == 1);
    return made;
  }());
  return method.get();
}

bool is_ip_address(std::string_view name) {
  if (name.find(':') != std::string_view::npos) return true;
  return !name.empty() && std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace

struct TlsSession::Impl {
  enum class State { kHandshaking, kOpen, kFailed };

  std::shared_ptr<const void> context;  // keeps what the callbacks point at
  Pipe pipe;
  TlsPeerState peer;
  SslHandle ssl;
  State state = State::kHandshaking;
  bool is_server = false;
  bool closed_by_peer = false;
  bool closed_by_us = false;
  std::string spiffe_id;

  void start(SSL_CTX* context_of_ssl) {
    ssl.reset(SSL_new(context_of_ssl));
    BIO* bio = BIO_new(pipe_method());
    WARY_CHECK(ssl != nullptr && bio != nullptr);
    BIO_set_data(bio, &pipe);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl.get(), bio, bio);
    attach(ssl.get(), &peer);
  }

  Error failed(std::string_view code, std::string_view what) {
    state = State::kFailed;
    if (peer.refused) {
      ERR_clear_error();
      return std::move(*std::exchange(peer.refused, std::nullopt));
    }
    return openssl_error(ErrorKind::kUnauthenticated, code, what);
  }

  Status shake_hands() {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl.get());
    if (done == 1) {
      state = State::kOpen;
      std::vector<X509Handle>().swap(peer.own_chain);
      if (peer.peer) {
        if (auto id = check_svid(*peer.peer); id.ok()) spiffe_id = id->to_string();
      }
      return {};
    }
    if (SSL_get_error(ssl.get(), done) == SSL_ERROR_WANT_READ) return {};
    return failed("tls_handshake", "the handshake failed");
  }
};

TlsSession::TlsSession(const TlsServerContext& context) : impl_(std::make_unique<Impl>()) {
  impl_->context = context.impl_;
  impl_->peer.verify = &context.impl_->verify;
  impl_->is_server = true;
  impl_->start(context.impl_->contexts.front().get());
  SSL_set_accept_state(impl_->ssl.get());
}

TlsSession::TlsSession(const TlsClientContext& context, std::string_view server_name)
    : impl_(std::make_unique<Impl>()) {
  impl_->context = context.impl_;
  impl_->peer.verify = &context.impl_->verify;
  impl_->peer.server_name = server_name;
  impl_->start(context.impl_->context.get());
  SSL_set_connect_state(impl_->ssl.get());
  if (!server_name.empty() && !is_ip_address(server_name)) {
    if (SSL_set_tlsext_host_name(impl_->ssl.get(), impl_->peer.server_name.c_str()) != 1) {
      impl_->state = Impl::State::kFailed;  // no name of a server is longer than 255 bytes
      ERR_clear_error();
      return;
    }
  }
  (void)impl_->shake_hands();  // only writes; what fails here shows at the first feed()
}

TlsSession::TlsSession(TlsSession&&) noexcept = default;
TlsSession& TlsSession::operator=(TlsSession&&) noexcept = default;
TlsSession::~TlsSession() = default;

Status TlsSession::feed(ByteView ciphertext) {
  const auto done = feed_and_read(ciphertext, {});
  return done ? Status() : Status(done.error());
}

Result<std::size_t> TlsSession::feed_and_read(ByteView ciphertext, std::span<std::uint8_t> out) {
  Impl& session = *impl_;
  if (session.state == Impl::State::kFailed) {
    return fail(ErrorKind::kUnavailable, "tls_closed", "the session has failed");
  }
  if (session.pipe.waiting() + ciphertext.size() > kPendingMax) {
    return fail(ErrorKind::kExhausted, "tls_backpressure", "more was fed than was read");
  }
  session.pipe.borrowed = ciphertext;
  Status done;
  if (session.state == Impl::State::kHandshaking) done = session.shake_hands();
  Result<std::size_t> read = std::size_t{0};
  if (done && !out.empty()) read = this->read(out);
  session.pipe.keep_rest();
  if (!done) return std::move(done).error();
  return read;
}

bool TlsSession::has_more() const {
  return impl_->state == Impl::State::kOpen && !impl_->closed_by_peer &&
         (impl_->pipe.waiting() > 0 || SSL_has_pending(impl_->ssl.get()) == 1);
}

ByteView TlsSession::output() const { return impl_->pipe.out.view(); }

void TlsSession::consume_output(std::size_t size) { impl_->pipe.out.consume(size); }

void TlsSession::drop_room(std::size_t kept) { impl_->pipe.out.drop_room(kept); }

std::size_t TlsSession::held_bytes() const { return impl_->pipe.out.held_bytes() + impl_->pipe.pending.capacity(); }

bool TlsSession::is_open() const {
  return impl_->state == Impl::State::kOpen && !impl_->closed_by_peer && !impl_->closed_by_us;
}
bool TlsSession::is_handshaking() const { return impl_->state == Impl::State::kHandshaking; }
bool TlsSession::has_failed() const { return impl_->state == Impl::State::kFailed; }
bool TlsSession::is_closed_by_peer() const { return impl_->closed_by_peer; }

Result<std::size_t> TlsSession::read(std::span<std::uint8_t> out) {
  Impl& session = *impl_;
  if (session.state == Impl::State::kFailed)
    return fail(ErrorKind::kUnavailable, "tls_closed", "the session has failed");
  if (session.state == Impl::State::kHandshaking || session.closed_by_peer || out.empty()) return std::size_t{0};
  std::size_t total = 0;
  // One call may take several records: fewer turns through the caller's loop.
  while (total < out.size()) {
    ERR_clear_error();
    std::size_t n = 0;
    const int done = SSL_read_ex(session.ssl.get(), out.data() + total, out.size() - total, &n);
    total += n;
    if (done == 1 && has_more()) continue;
    if (done == 1) break;
    const int reason = SSL_get_error(session.ssl.get(), done);
    if (reason == SSL_ERROR_ZERO_RETURN) {
      session.closed_by_peer = true;
    } else if (reason != SSL_ERROR_WANT_READ) {
      // In TLS 1.3 a client's certificate may be refused only now, after its own handshake was done.
      return session.failed("tls_protocol", "the peer broke the protocol");
    }
    break;
  }
  session.pipe.keep_rest();
  return total;
}

Status TlsSession::write(ByteView plaintext) {
  Impl& session = *impl_;
  if (session.state != Impl::State::kOpen || session.closed_by_us) {
    return fail(ErrorKind::kUnavailable, "tls_closed", "the session does not take bytes now");
  }
  if (plaintext.empty()) return {};
  ERR_clear_error();
  std::size_t n = 0;
  // The pipe takes everything, so a write is whole or an error.
  if (SSL_write_ex(session.ssl.get(), plaintext.data(), plaintext.size(), &n) != 1 || n != plaintext.size()) {
    return session.failed("tls_protocol", "the bytes were not encrypted");
  }
  return {};
}

void TlsSession::close() {
  if (impl_->state != Impl::State::kOpen || impl_->closed_by_us) return;
  impl_->closed_by_us = true;
  (void)SSL_shutdown(impl_->ssl.get());
  ERR_clear_error();
}

const PeerCertificate& TlsSession::peer() const { return impl_->peer.peer; }
std::string_view TlsSession::peer_spiffe_id() const { return impl_->spiffe_id; }

std::string_view TlsSession::alpn() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(impl_->ssl.get(), &name, &size);
  return name == nullptr ? std::string_view() : as_text({name, size});
}

std::string_view TlsSession::server_name() const {
  if (!impl_->is_server) return impl_->peer.server_name;
  const char* name = SSL_get_servername(impl_->ssl.get(), TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string_view() : std::string_view(name);
}

std::string_view TlsSession::cipher() const {
  const char* name = SSL_get_cipher_name(impl_->ssl.get());
  return name == nullptr ? std::string_view() : std::string_view(name);
}

std::string_view TlsSession::version() const { return SSL_get_version(impl_->ssl.get()); }

bool TlsSession::is_resumed() const { return SSL_session_reused(impl_->ssl.get()) == 1; }

}  // namespace wary::crypto
