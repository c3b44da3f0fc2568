#include "telemetry/exporter.h"

#include <doctest/doctest.h>

#include <thread>

#include "codec/protobuf.h"
#include "http/server.h"
#include "io/sim_loop.h"

using namespace wary;
using namespace wary::telemetry;

namespace {

const io::Address kCollector = io::Address::tcp("127.0.0.1", 4318);

std::size_t spans_in(std::string_view body) {
  std::size_t count = 0;
  const auto in = [](std::string_view message, std::uint32_t number) {
    std::vector<std::string_view> out;
    codec::ProtoReader reader(message);
    while (const auto field = reader.next()) {
      if (field->number == number) out.push_back(field->bytes);
    }
    return out;
  };
  for (const auto group : in(body, 1)) {
    for (const auto scoped : in(group, 2)) count += in(scoped, 2).size();
  }
  return count;
}

// A collector that answers as it is told, and an exporter.
struct World {
  explicit World(std::string_view url = "http://127.0.0.1:4318") {
    ExporterOptions options = *parse_endpoint(url);
    exporter = std::make_unique<Exporter>(*asking, sim.clock(), metrics, null_log(), std::move(options));
    exporter->start();
    open();
  }
  void open() {
    listener = *served->listen(kCollector, {},
                               [this](std::unique_ptr<io::Stream> stream) { server.serve(std::move(stream)); });
  }
  void run(std::int64_t millis) { sim.run_for(millis * kNanosPerMilli); }
  std::int64_t metric(std::string_view name) { return metrics.counter(name, "").value(); }
  std::int64_t sent() { return metric("wary_telemetry_spans_sent_total"); }
  std::int64_t dropped() { return metric("wary_telemetry_spans_dropped_total"); }

  io::SimWorld sim{5};
  std::unique_ptr<io::Loop> served = sim.make_loop();
  std::unique_ptr<io::Loop> asking = sim.make_loop();
  Metrics metrics;
  int status = 200;
  std::string answer;
  std::vector<http::Header> headers;
  bool answers = true;
  std::vector<std::pair<std::string, std::size_t>> got;  // path, spans
  std::vector<std::shared_ptr<http::Exchange>> held;
  http::Server server{*served, [this](const std::shared_ptr<http::Exchange>& exchange) {
                        got.emplace_back(exchange->request().path, spans_in(exchange->request().body));
                        if (!answers) return held.push_back(exchange);
                        exchange->respond(status, headers, answer);
                      }};
  std::unique_ptr<io::Listener> listener;
  std::unique_ptr<Exporter> exporter;
};

}  // namespace

TEST_CASE("spans go each second, metrics each ten") {
  World world;
  world.exporter->add({});
  world.exporter->add({});
  world.run(900);
  CHECK(world.got.empty());
  world.run(200);
  REQUIRE(world.got.size() == 1);
  CHECK(world.got[0] == std::pair<std::string, std::size_t>("/v1/traces", 2));
  CHECK(world.sent() == 2);
  world.run(10'000);
  REQUIRE(world.got.size() == 2);
  CHECK(world.got[1].first == "/v1/metrics");
}

TEST_CASE("many go at once, and what does not fit is counted and waits for nobody") {
  World world("http://localhost:4318/otlp/");
  for (int i = 0; i < 600; ++i) world.exporter->add({});
  world.run(100);
  REQUIRE(world.got.size() == 1);
  CHECK(world.got[0] == std::pair<std::string, std::size_t>("/otlp/v1/traces", 512));
  world.answers = false;
  for (int i = 0; i < 6000; ++i) world.exporter->add({});
  CHECK(world.dropped() == 6000 - (4096 - 88));
}

TEST_CASE("a collector that is away or busy is asked again, and gets each span once") {
  World world;
  world.listener.reset();
  world.exporter->add({});
  world.run(2'500);
  CHECK(world.sent() == 0);
  CHECK(world.metric("wary_telemetry_failures_total") >= 1);
  world.open();
  world.status = 503;
  world.headers = {{"Retry-After", "20"}};
  world.run(4'000);
  REQUIRE(world.got.size() == 1);
  world.status = 200;
  world.headers.clear();
  world.run(15'000);  // it said twenty
  CHECK(world.sent() == 0);
  world.run(6'000);
  CHECK(world.sent() == 1);
  CHECK(world.dropped() == 0);
}

TEST_CASE("a batch that is not taken is dropped and counted: at once where it never will be, after six tries else") {
  World world;
  world.status = 400;
  world.exporter->add({});
  world.run(1'500);
  CHECK(world.dropped() == 1);
  world.status = 429;
  world.exporter->add({});
  world.run(60'000);
  CHECK(world.dropped() == 2);
  std::size_t tries = 0;
  for (const auto& [path, spans] : world.got) tries += path == "/v1/traces" ? spans : 0;
  CHECK(tries == 7);
  world.status = 200;
  world.answer = "\x0a\x06\x08\x01\x12\x02no";
  world.exporter->add({});
  world.exporter->add({});
  world.run(2'000);
  CHECK(world.sent() == 1);
  CHECK(world.dropped() == 3);
}

TEST_CASE("a collector that never answers is given up after ten seconds") {
  World world;
  world.answers = false;
  world.exporter->add({});
  world.run(1'100);
  CHECK(world.got.size() == 1);
  world.run(12'000);
  CHECK(world.metric("wary_telemetry_failures_total") >= 1);
  world.answers = true;
  world.run(15'000);  // the second try is given up as well
  CHECK(world.sent() == 1);
}

TEST_CASE("at the end what waits is sent, and the end does not wait for a collector that is away") {
  World world;
  world.exporter->add({});
  bool done = false;
  world.exporter->flush([&] { done = true; });
  world.run(100);
  CHECK(done);
  CHECK(world.sent() == 1);
  world.listener.reset();
  world.exporter->add({});
  done = false;
  world.exporter->flush([&] { done = true; });
  world.run(1'100);
  CHECK(done);
}

TEST_CASE("a share of the traces is sampled, by their ids") {
  World world;
  const auto sampled = [&](double share) {
    ExporterOptions options = *parse_endpoint("http://127.0.0.1:4318");
    options.sample = share;
    const Exporter one(*world.asking, world.sim.clock(), world.metrics, null_log(), std::move(options));
    std::uint64_t state = 1;
    int count = 0;
    for (int i = 0; i < 10'000; ++i) {
      TraceId trace{};
      for (auto& byte : trace)
        byte = static_cast<std::uint8_t>((state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 56);
      count += one.samples(trace) ? 1 : 0;
    }
    return count;
  };
  CHECK(sampled(0) == 0);
  CHECK(sampled(1) == 10'000);
  CHECK(sampled(0.25) == doctest::Approx(2'500).epsilon(0.1));
}

TEST_CASE("telemetry names who did what, and stays on this machine") {
  CHECK(parse_endpoint("http://[::1]:4318/")->address == io::Address::tcp("::1", 4318));
  CHECK(parse_endpoint("http://127.0.0.1:4318/a/b//")->prefix == "/a/b");
  for (const std::string_view url :
       {"", "127.0.0.1:4318", "https://127.0.0.1:4318", "http://10.0.0.1:4318", "http://127.0.0.1.example:4318",
        "http://collector:4318", "http://127.0.0.1:4318/?x=1", "http://127.0.0.1:0"}) {
    CHECK_MESSAGE(parse_endpoint(url).error().code == "otlp_endpoint", url);
  }
}

TEST_CASE("threads add beside each other") {
  World world;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) world.exporter->add({});
    });
  }
  for (std::thread& thread : threads) thread.join();
  world.run(2'000);
  CHECK(world.sent() == 400);
}
