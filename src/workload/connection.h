// Service::Connection: one caller's connection: who it is, the calls it has open, and what each should have by now.
// Private to the folder. connection.cc attests and keeps the books for every service; workload_api.cc and
// sds_streams.cc say what a stream of theirs is sent.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/grpc_streams.h"
#include "http/wire.h"
#include "workload/messages.h"
#include "workload/sds.h"
#include "workload/service.h"

namespace wary::workload {

class Service::Connection final : public http::Wire {
 public:
  Connection(Service& service, std::unique_ptr<io::Stream> stream, std::unique_ptr<io::PeerProcess> peer,
             const io::PeerCredentials& credentials, io::ProcessFacts connected, std::function<void()> ended);
  ~Connection() override;
  Status watch(std::function<void()> ended) { return service_.loop_.watch(peer_->descriptor(), std::move(ended)); }
  uid_t uid() const { return credentials_.uid; }
  void forgive(std::size_t frames) { session_.forgive(frames); }
  // Every open stream again: what it should have by now.
  void refresh();
  // Calls whose time has passed end.
  void pass(Monotonic now);

 private:
  enum class Kind { kX509, kX509Bundles, kJwtBundles, kJwt, kSecrets, kReflection };
  struct Open {
    Kind kind = Kind::kX509;
    Attested who;
    std::vector<std::string> held;  // of svids_, ascending
    std::string sent;               // of what was sent last: numbers for SVIDs, the message itself for bundles
    std::size_t waiting = 0;        // JWT-SVIDs on their way
    std::vector<JwtSvidMessage> tokens;
    SdsSubscription secrets;
    bool is_once = false;  // secrets that are fetched, not streamed
  };
  using Matched = std::vector<const Entry*>;

  std::string receive(std::string_view bytes) override;
  bool is_over() const override { return session_.is_over(); }
  http::GrpcStreamParts stream_parts();
  http::Http2Response answer(const http::Http2Request& request);
  http::GrpcResult counted(http::GrpcResult result);

  // A call that begins with one message; one whose messages go on; one of its messages.
  http::GrpcResult dispatch(const http::Http2Request& call, std::string_view message);
  http::GrpcResult open_stream(const http::Http2Request& head);
  void heard(std::int32_t number, std::string_view message);

  // Who asks; the code of a refusal in `refusal`.
  struct Caller {
    Attested who;
    Matched entries;
  };
  std::optional<Caller> identify(http::GrpcResult& refusal);
  Result<Attested> attest();
  http::GrpcResult no_identity();
  bool is_same_process(const Open& open) const { return service_.attestor_.is_same(*peer_, open.who); }
  static bool federates(const Matched& entries, const std::string& domain);

  // workload_api.cc
  http::GrpcResult call_workload_api(const http::Http2Request& call, std::string_view message);
  http::GrpcResult validate(std::string_view message);
  http::GrpcResult fetch_jwt(std::int32_t number, std::string_view message, Caller caller);
  void ask_tokens(std::int32_t number, Open& open);
  void got_token(std::int32_t number, std::size_t place, const Result<std::string>& token);
  void update_bundles(std::int32_t number, Open& open, const Matched& entries);
  void update_svids(std::int32_t number, Open& open, const Matched& entries);

  // sds_streams.cc
  http::GrpcResult fetch_secrets(std::int32_t number, std::string_view message);
  void heard_secrets(std::int32_t number, Open& open, std::string_view message);
  void update_secrets(std::int32_t number, Open& open, const Matched& entries);
  // What is sent, and what tells it from another; nothing while something is on its way, or when the stream was ended.
  struct Secrets {
    SdsAnswer answer;
    std::string content;
    ~Secrets();
  };
  bool add_certificates(std::int32_t number, const SdsWanted& wanted, Secrets& out);
  void add_bundles(const SdsWanted& wanted, const std::set<std::string>& domains, Secrets& out);

  void begin(std::int32_t number, Open& open);
  void update(std::int32_t number, Open& open);
  // What it holds from now on is what it is.
  void hold(Open& open, const Matched& entries);
  void write(std::int32_t number, std::string_view message);
  void finish(std::int32_t number, http::GrpcCode code, std::string_view why);
  void let_go(Open& open);
  void closed(std::int32_t number);

  Service& service_;
  std::unique_ptr<io::PeerProcess> peer_;
  io::PeerCredentials credentials_;
  Attested connected_;  // what it was when it was accepted
  http::Http2 session_;
  http::GrpcStreams calls_;  // those of session_ whose messages go on
  std::map<std::int32_t, Open> streams_;
  std::map<std::int32_t, std::vector<std::string>> audiences_;  // of streams that were not begun yet
  std::vector<std::int32_t> fresh_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// Errors that a caller is meant to see as they are; what is the agent's own stays in its log.
http::GrpcCode code_of(const Error& error);
http::GrpcResult refused(http::GrpcCode code, std::string_view why);
std::string id_of_domain(const std::string& domain);

}  // namespace wary::workload
