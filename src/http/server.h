// Server: HTTP/1.1 for the control plane's own API, over unix sockets to known peers (the public edge is gateway/), and
// for what few and small things are served elsewhere (serve()).
//
//   http::Server server(loop, [](std::shared_ptr<http::Exchange> exchange) {
//     exchange->respond(200, {{"Content-Type", "application/json"}}, "{}");
//   });
//   server.listen(Address::unix_socket("run/admin.sock"), {.mode = 0600});
//
// One request of a connection at a time; the handler may answer later, from the loop's thread. An exchange whose
// connection has gone swallows its answer. Thread rule: the loop's. Limits: 256 connections (who waits longest for a
// request makes place), 2 MiB a body and 64 MiB of all, 10 s for a whole request, 1 MiB queued of a stream (its writer
// then learns that the reader is too slow).
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/loop.h"

namespace wary::http {

using Header = std::pair<std::string, std::string>;

struct Request {
  std::string method;
  std::string path;   // starts with '/', percent-encoded as sent
  std::string query;  // without '?'
  std::string host;
  std::vector<Header> headers;
  std::string body;
  io::PeerCredentials peer;
  // The value of the only header of that name (ASCII case apart); empty if none or several.
  std::string_view header(std::string_view name) const;
  // The first value of a query parameter, decoded; empty if missing or not well encoded.
  std::string parameter(std::string_view name) const;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  virtual void respond(int status, const std::vector<Header>& headers, std::string_view body) = 0;
  // A streamed answer: start, write any number, end. write gives false when the reader is gone or too slow.
  virtual void start(int status, const std::vector<Header>& headers) = 0;
  virtual bool write(std::string_view data) = 0;
  virtual void end() = 0;
  virtual void on_closed(std::function<void()> closed) = 0;
  // Instead of an answer, where the request asked for a WebSocket: 101, and the connection is the taker's, with what
  // came behind the request; from the loop, after the handler. False: it cannot be one.
  using Taken = std::function<void(std::unique_ptr<io::Stream> stream, std::string rest)>;
  virtual bool upgrade(const std::vector<Header>&, Taken) { return false; }
};

class Server {
 public:
  using Handler = std::function<void(std::shared_ptr<Exchange>)>;
  Server(io::Loop& loop, Handler handler);
  ~Server();
  Status listen(const io::Address& address, const io::ListenOptions& options);
  // Another process goes on with its sockets (io/loop.h): their descriptors, and that it takes no connection more. Once
  // it leaves, the next answer is the last of each that is open.
  std::vector<int> descriptors() const;
  void pause();
  void resume();
  void leave();
  std::size_t connections() const { return connections_.size(); }
  // One connection that somebody else accepted, a TlsStream for instance; counted as those of listen() are.
  void serve(std::unique_ptr<io::Stream> stream);
  // Whom it is for, when that is known: all others together get 16 connections. Set before listen().
  std::function<bool(const io::PeerCredentials& peer)> is_known;

 private:
  class Connection;
  bool make_place(const io::PeerCredentials& peer);
  io::Loop& loop_;
  Handler handler_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
  std::set<std::shared_ptr<Connection>> connections_;  // shared with exchanges that are answered later
  std::uint64_t armed_ = 0;                            // numbers the waits for requests
  std::size_t body_bytes_ = 0;                         // held of all requests' bodies
  bool leaving_ = false;
};

}  // namespace wary::http
