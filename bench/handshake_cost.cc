// What the server's side of a handshake costs without a kernel between: processor time of the server alone, over
// memory, beside the library used as its manual has it, in alternating rounds; medians. For profiles as well.
//
//   handshake_cost [SECONDS [ROUNDS [CASE]]]
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "crypto/tls.h"
#include "io/system.h"

using namespace wary;

namespace {

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Freer<SSL_free>>;
using Resumable = std::unique_ptr<SSL_SESSION, Freer<SSL_SESSION_free>>;

std::int64_t thread_nanos() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

struct Pair {
  Bytes certificate;
  std::shared_ptr<const crypto::PrivateKey> key;
};

struct World {
  std::unique_ptr<Clock> clock = io::make_system_clock();
  crypto::PrivateKey ca_key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  Bytes ca;
  Pair server, client;

  World() {
    const std::int64_t now = clock->unix_time().nanos;
    ca =
        crypto::create_ca({"bench", "local", {now - kNanosPerSecond}, {now + 86400 * kNanosPerSecond}}, ca_key).value();
    crypto::LeafOptions host, workload;
    host.dns_names = {"bench.localhost"};
    workload.spiffe_id = "spiffe://local/bench/reader";
    server = issue(host);
    client = issue(workload);
  }
  Pair issue(crypto::LeafOptions options) const {
    const std::int64_t now = clock->unix_time().nanos;
    options.not_before = {now - kNanosPerSecond};
    options.not_after = {now + 3600 * kNanosPerSecond};
    auto key =
        std::make_shared<const crypto::PrivateKey>(crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value());
    const Bytes csr = crypto::make_csr(*key, "bench").value();
    return {crypto::issue_leaf(ca, ca_key, csr, options).value(), key};
  }
};

Context context_of(const SSL_METHOD* method, const Pair* pair) {
  Context context(SSL_CTX_new(method));
  if (pair == nullptr) return context;
  const Secret der = pair->key->to_pkcs8().value();
  const ByteView key = der.reveal(), certificate = pair->certificate;
  WARY_CHECK(SSL_CTX_use_certificate_ASN1(context.get(), static_cast<int>(certificate.size()), certificate.data()) ==
             1);
  WARY_CHECK(SSL_CTX_use_PrivateKey_ASN1(EVP_PKEY_EC, context.get(), key.data(), static_cast<long>(key.size())) == 1);
  return context;
}

std::string read_all(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  (void)BIO_reset(bio);
  return out;
}

// One end that OpenSSL drives over two strings.
class Plain {
 public:
  Plain(SSL_CTX* context, bool is_server)
      : ssl_(SSL_new(context)), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
    BIO_set_mem_eof_return(in_, -1);
    SSL_set_bio(ssl_.get(), in_, out_);
    is_server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
    if (!is_server) SSL_set_tlsext_host_name(ssl_.get(), "bench.localhost");
  }
  std::string turn(const std::string& bytes) {
    BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    const int done = SSL_do_handshake(ssl_.get());
    WARY_CHECK(done == 1 || SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ);
    std::array<char, 256> room{};
    if (done == 1) (void)SSL_read(ssl_.get(), room.data(), room.size());  // tickets are read by the way
    return read_all(out_);
  }
  bool is_done() const { return SSL_is_init_finished(ssl_.get()) == 1; }
  SSL* ssl() { return ssl_.get(); }

 private:
  Ssl ssl_;
  BIO* in_;   // the session's
  BIO* out_;  // the session's
};

class Ours {
 public:
  explicit Ours(const crypto::TlsServerContext& context) : session_(context) {}
  std::string turn(const std::string& bytes) {
    WARY_CHECK(session_.feed(as_bytes(bytes)).ok());
    std::string out(as_text(session_.output()));
    session_.consume_output(out.size());
    return out;
  }
  bool is_done() const { return session_.is_open(); }

 private:
  crypto::TlsSession session_;
};

// The handshake; nanoseconds of the server, its making and its end included.
template <typename Make>
std::int64_t shake_hands(Plain& client, Make make) {
  std::int64_t spent = 0;
  const std::string hello = client.turn({});
  std::int64_t begun = thread_nanos();
  auto server = make();
  std::string bytes = server->turn(hello);
  spent += thread_nanos() - begun;
  while (!bytes.empty()) {
    const std::string answer = client.turn(bytes);
    if (answer.empty()) break;
    begun = thread_nanos();
    bytes = server->turn(answer);
    spent += thread_nanos() - begun;
  }
  WARY_CHECK(client.is_done() && server->is_done());
  begun = thread_nanos();
  server.reset();
  return spent + thread_nanos() - begun;
}

struct Case {
  const char* name;
  bool resumes;
  bool shows;
};

crypto::TlsServerContext our_context(const World& world) {
  crypto::TlsServerOptions options;
  options.sites.push_back({{"bench.localhost"}, {{world.server.certificate}, world.server.key}});
  options.alpn = {"h2", "http/1.1"};
  options.allows_tls12 = true;
  options.resumes = true;
  options.client_auth = crypto::ClientAuth::kOptional;
  options.verify_client = crypto::verify_svid(crypto::TrustRoots::build({world.ca}).value(), "local",
                                              crypto::VerifyOptions::Use::kClient, *world.clock);
  return crypto::TlsServerContext::build(std::move(options)).value();
}

Context plain_context(const World& world, const Case& what) {
  Context context = context_of(TLS_server_method(), &world.server);
  SSL_CTX_set1_groups_list(context.get(), "X25519:P-256");
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (!what.resumes) SSL_CTX_set_num_tickets(context.get(), 0);
  if (what.shows) {
    const std::uint8_t* at = world.ca.data();
    X509* root = d2i_X509(nullptr, &at, static_cast<long>(world.ca.size()));
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), root);
    SSL_CTX_add_client_CA(context.get(), root);
    X509_free(root);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_verify_depth(context.get(), 3);
  }
  return context;
}

template <typename Make>
double micros_each(SSL_CTX* client_context, const Case& what, double seconds, Make make) {
  Resumable kept;
  if (what.resumes) {
    Plain client(client_context, false);
    shake_hands(client, make);
    kept.reset(SSL_SESSION_dup(SSL_get_session(client.ssl())));  // what ends without close_notify takes its own along
    WARY_CHECK(SSL_SESSION_is_resumable(kept.get()) == 1);
  }
  std::int64_t spent = 0;
  int count = 0;
  while (static_cast<double>(spent) < seconds * 1e9) {
    Plain client(client_context, false);
    Resumable again(kept ? SSL_SESSION_dup(kept.get()) : nullptr);
    if (again) SSL_set_session(client.ssl(), again.get());
    spent += shake_hands(client, make);
    WARY_CHECK((SSL_session_reused(client.ssl()) == 1) == what.resumes);
    ++count;
  }
  return static_cast<double>(spent) / 1000.0 / count;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0.5;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const World world;
  const crypto::TlsServerContext ours = our_context(world);
  std::printf("%-12s %12s %12s   us of the server each\n", "", "wary", "libssl");
  for (const Case& what :
       {Case{"full", false, false}, Case{"resumed", true, false}, Case{"certificate", false, true}}) {
    if (argc > 3 && std::string_view(argv[3]) != what.name) continue;
    const Context client = context_of(TLS_client_method(), what.shows ? &world.client : nullptr);
    const Context server = plain_context(world, what);
    std::vector<double> own, plain;
    for (int round = 0; round < rounds; ++round) {
      own.push_back(micros_each(client.get(), what, seconds, [&] { return std::make_unique<Ours>(ours); }));
      plain.push_back(
          micros_each(client.get(), what, seconds, [&] { return std::make_unique<Plain>(server.get(), true); }));
    }
    std::printf("%-12s %12.1f %12.1f\n", what.name, median(own), median(plain));
  }
  return 0;
}
