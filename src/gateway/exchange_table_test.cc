// Every state of an exchange with every event, for clients and applications of both protocols and gRPC: what each side
// sees, what the ledger holds, and where the exchange is then. exchange_table_test_world.h says how to read a cell, and
// what is held to beside it.
#include <array>
#include <string_view>

#include "gateway/exchange_table_test_world.h"
#include "gateway/test_table.h"

using namespace wary;
using namespace wary::gateway::test;

namespace {

using enum At;

// Whom a row is of.
enum class Only {
  kAll,
  kHttp2Clients,  // HTTP/1.1 has no streams to take back, and nothing to say of leaving
  kHttp2Apps,     // the same
  kHttp1Apps,     // an answer of HTTP/2 ends by itself
};

constexpr auto kStates = static_cast<std::size_t>(At::kCount), kEvents = static_cast<std::size_t>(Event::kCount);

// An outcome: "=" is the state's own, as if nothing had been. "A || B": A over HTTP/1.1, B over HTTP/2. Within, "a |
// b": a with an application of HTTP/1.1, b with one of HTTP/2. "never: ..." is not possible, and why.
struct Row {
  Event event;
  Only only;
  TableCells<At> cells;
};

constexpr std::string_view kNoBody = "never: no body is open (kBodyRest says what such bytes are)",
                           kNoStream = "never: no stream is open", kNoSocket = "never: no WebSocket is asked for",
                           kNoConnect = "never: nothing is being connected",
                           kNoPlace = "never: there is no connection to the application",
                           kNoCall = "never: the application has answered already",
                           kHeaded = "never: an answer has one head (kAppGarbage says what another is)",
                           kNoHead = "never: a body comes behind its head",
                           kNoEnd = "never: a WebSocket ends with its connection (kAppCloses)",
                           kNoReceipt = "never: no receipt is awaited (kReceipt says what one is)",
                           kNoCode = "never: no code is being redeemed",
                           kNoDecision = "never: it is open under no decision";

// What is seen before anything happens.
constexpr TableCells<At> kReached = {{
    {on(kFresh), "- / - / - / idle"},
    {on(kKept), "200 / w / a / idle || 200 / w / a / closed"},
    {on(kQueued), "- / w / a / idle"},
    {on(kReceipt), "- / - / a / waits"},
    {on(kCode), "- / - / - / waits"},
    {on(kConnecting, kConnectingBody), "- / - / a / connects"},
    {on(kBody), "- / p / a / runs"},
    {on(kWaiting, kUpgrading), "- / w / a / runs"},
    {on(kAnswering), "200+ / w / a / runs"},
    {on(kBoth), "200+ / p / a / runs"},
    {on(kTunnel), "101 / w / a / tunnel"},
    {on(kTunnelHalf), "101:8 / w / a / tunnel"},
}};

constexpr std::array<Row, kEvents> kTable = {{
    // The client.
    {Event::kNext,
     Only::kAll,
     {{
         {on(kFresh), "- / w / a / runs"},
         {on(kKept), "200 / ww / aa / runs || 200,- / ww / aa / runs"},
         {on(kQueued), "200 / ww / aa / runs || 200,- / ww / aa / closed"},
         {on(kReceipt), "= || -,- / w / aa / waits"},
         {on(kCode), "= || -,- / w / a / waits"},
         {on(kConnecting, kConnectingBody), "= || -,- / - / aa / connects"},
         {on(kBody), "400:http_chunk_size . / p! / a / gone || -,- / p w | pw / aa / runs"},
         {on(kWaiting, kUpgrading), "= || -,- / w w | ww / aa / runs"},
         {on(kAnswering), "= || 200+,- / w w | ww / aa / runs"},
         {on(kBoth), "200+ ! / p! / a / gone || 200+,- / p w | pw / aa / runs"},
         {on(kTunnel), "101 / w:80 / a / tunnel || 101,- / w w | ww / aa / tunnel"},
         {on(kTunnelHalf), "101:8 / w:80 / a / tunnel || 101:8,- / w w | ww / aa / tunnel"},
     }}},
    {Event::kHalfHead,
     Only::kAll,
     {{
         {on(kFresh, kKept, kReceipt, kCode, kConnecting, kConnectingBody, kWaiting, kUpgrading, kAnswering), "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kBody), "400:http_chunk_size . / p! / a / gone || ="},
         {on(kBoth), "200+ ! / p! / a / gone || ="},
         {on(kTunnel), "101 / w:9 / a / tunnel || ="},
         {on(kTunnelHalf), "101:8 / w:9 / a / tunnel || ="},
     }}},
    {Event::kBodyRest,
     Only::kAll,
     {{
         {on(kFresh), "400:http_start_line . / - / - / gone || - goaway . / - / - / gone"},
         {on(kKept), "200,400:http_start_line . / w / a / gone || ="},
         {on(kQueued), "200,400:http_start_line . / w / a / gone || 200+ goaway . / w / a / gone"},
         {on(kReceipt, kConnecting), "= || - goaway . / - / a / gone"},
         {on(kCode), "= || - goaway . / - / - / gone"},
         {on(kConnectingBody, kUpgrading), "="},
         {on(kBody), "- / w / a / runs"},
         {on(kWaiting), "= || - goaway . / wx | w! / a / gone"},
         {on(kAnswering), "= || 200+ goaway . / wx | w! / a / gone"},
         {on(kBoth), "200+ / w / a / runs"},
         {on(kTunnel), "101 / w:6 / a / tunnel"},
         {on(kTunnelHalf), "101:8 / w:6 / a / tunnel"},
     }}},
    {Event::kTooMuch,
     Only::kAll,
     {{
         {on(kFresh), "413:request_too_large . / - / - / gone || 413:request_too_large / - / - / idle"},
         {on(kKept),
          "200,413:request_too_large . / w / a / gone || "
          "200,413:request_too_large / w / a / closed"},
         {on(kQueued, kReceipt, kCode, kConnecting, kWaiting, kUpgrading, kAnswering), kNoBody},
         {on(kConnectingBody), "="},
         {on(kBody), "413:request_too_large . / p! / a / gone || 413:request_too_large / p! / a / idle"},
         {on(kBoth), "200+ ! / p! / a / gone || 200+ rst2 / p! / a / closed"},
         {on(kTunnel), "101 / w:2000 / a / tunnel"},
         {on(kTunnelHalf), "101:8 / w:2000 / a / tunnel"},
     }}},
    {Event::kBodyTrailers,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kCode, kConnecting, kWaiting, kUpgrading, kAnswering, kTunnel,
             kTunnelHalf),
          kNoBody},
         {on(kConnectingBody), "="},
         {on(kBody), "- / w / a / runs"},
         {on(kBoth), "200+ / w / a / runs"},
     }}},
    {Event::kGarbage,
     Only::kAll,
     {{
         {on(kFresh), "400:http_start_line . / - / - / gone || - goaway . / - / - / gone"},
         {on(kKept), "200,400:http_start_line . / w / a / gone || 200 goaway . / w / a / gone"},
         {on(kQueued), "200,400:http_start_line . / w / a / gone || 200+ goaway . / w / a / gone"},
         {on(kReceipt, kConnecting, kConnectingBody), "= || - goaway . / - / a / gone"},
         {on(kCode), "= || - goaway . / - / - / gone"},
         {on(kBody), "400:http_chunk_size . / p! / a / gone || - goaway . / px | p! / a / gone"},
         {on(kWaiting, kUpgrading), "= || - goaway . / wx | w! / a / gone"},
         {on(kAnswering), "= || 200+ goaway . / wx | w! / a / gone"},
         {on(kBoth), "200+ ! / p! / a / gone || 200+ goaway . / px | p! / a / gone"},
         {on(kTunnel), "101 / w:10 / a / tunnel || 101 goaway . / wx | w! / a / gone"},
         {on(kTunnelHalf), "101:8 / w:10 / a / tunnel || 101:8 goaway . / wx | w! / a / gone"},
     }}},
    {Event::kHalfClose,
     Only::kAll,
     {{
         {on(kFresh, kCode), "- ~ / - / - / gone"},
         {on(kKept), "200 ~ / w / a / gone"},
         {on(kQueued), "- / w / a / gone"},
         {on(kReceipt, kConnecting, kConnectingBody), "- ~ / - / a / gone"},
         {on(kBody), "- ~ / px | p! / a / gone"},
         {on(kWaiting, kUpgrading), "- ~ / wx | w! / a / gone"},
         {on(kAnswering), "200+ ~ / wx | w! / a / gone"},
         {on(kBoth), "200+ ~ / px | p! / a / gone"},
         {on(kTunnel), "101 . / wx | w! / a / draining || 101 ~ / wx | w! / a / gone"},
         {on(kTunnelHalf), "101:8 . / wx | w! / a / draining || 101:8 ~ / wx | w! / a / gone"},
     }}},
    {Event::kGoodbye,
     Only::kAll,
     {{
         {on(kFresh, kCode), "- ~ / - / - / gone"},
         {on(kKept), "200 ~ / w / a / gone"},
         {on(kQueued), "- / w / a / gone"},
         {on(kReceipt, kConnecting, kConnectingBody), "- ~ / - / a / gone"},
         {on(kBody), "- ~ / px | p! / a / gone"},
         {on(kWaiting, kUpgrading), "- ~ / wx | w! / a / gone"},
         {on(kAnswering), "200+ ~ / wx | w! / a / gone"},
         {on(kBoth), "200+ ~ / px | p! / a / gone"},
         {on(kTunnel), "101 . / wx | w! / a / draining || 101 ~ / wx | w! / a / gone"},
         {on(kTunnelHalf), "101:8 . / wx | w! / a / draining || 101:8 ~ / wx | w! / a / gone"},
     }}},
    {Event::kLeaves,
     Only::kAll,
     {{
         {on(kFresh, kCode), "- / - / - / gone"},
         {on(kKept), "200 / w / a / gone"},
         {on(kQueued), "- / w / a / gone"},
         {on(kReceipt, kConnecting, kConnectingBody), "- / - / a / gone"},
         {on(kBody), "- / px | p! / a / gone"},
         {on(kWaiting, kUpgrading), "- / wx | w! / a / gone"},
         {on(kAnswering), "200+ / wx | w! / a / gone"},
         {on(kBoth), "200+ / px | p! / a / gone"},
         {on(kTunnel), "101 / wx | w! / a / gone"},
         {on(kTunnelHalf), "101:8 / wx | w! / a / gone"},
     }}},
    {Event::kReset,
     Only::kAll,
     {{
         {on(kFresh, kCode), "- / - / - / gone"},
         {on(kKept), "200 / w / a / gone"},
         {on(kQueued), "- / w / a / gone"},
         {on(kReceipt, kConnecting, kConnectingBody), "- / - / a / gone"},
         {on(kBody), "- / px | p! / a / gone"},
         {on(kWaiting, kUpgrading), "- / wx | w! / a / gone"},
         {on(kAnswering), "200+ / wx | w! / a / gone"},
         {on(kBoth), "200+ / px | p! / a / gone"},
         {on(kTunnel), "101 / wx | w! / a / gone"},
         {on(kTunnelHalf), "101:8 / wx | w! / a / gone"},
     }}},
    {Event::kPauses,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading,
             kAnswering, kBoth, kTunnel, kTunnelHalf),
          "="},
     }}},
    {Event::kResumes,
     Only::kAll,
     {{
         {on(kFresh, kKept, kReceipt, kCode, kConnecting, kConnectingBody, kUpgrading), "="},
         {on(kQueued, kWaiting, kAnswering), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kBody, kBoth), "200 . / px | p! / a / gone || 200 / px | p! / a / idle"},
         {on(kTunnel), "101:500000 / w / a / tunnel"},
         {on(kTunnelHalf), "101:500008 / w / a / tunnel"},
     }}},
    {Event::kRst,
     Only::kHttp2Clients,
     {{
         {on(kFresh, kKept), kNoStream},
         {on(kQueued), "- rst8 / w / a / closed"},
         {on(kReceipt, kConnecting, kConnectingBody), "- rst8 / - / a / closed"},
         {on(kCode), "- rst8 / - / - / closed"},
         {on(kBody), "- rst8 / p! / a / closed"},
         {on(kWaiting, kUpgrading), "- rst8 / w! / a / closed"},
         {on(kAnswering), "200+ rst8 / w! / a / closed"},
         {on(kBoth), "200+ rst8 / p! / a / closed"},
         {on(kTunnel), "101 rst8 / w! / a / closed"},
         {on(kTunnelHalf), "101:8 rst8 / w! / a / closed"},
     }}},
    {Event::kSocketEnds,
     Only::kHttp2Clients,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kAnswering, kBoth),
          kNoSocket},
         {on(kUpgrading, kTunnel), "101 e / w:4x | w:4! / a / closed"},
         {on(kTunnelHalf), "101:8 e / w:4x | w:4! / a / closed"},
     }}},
    {Event::kGoaway,
     Only::kHttp2Clients,
     {{
         {on(kFresh), "- goaway . / - / - / gone"},
         {on(kKept, kQueued), "200 goaway . / w / a / gone"},
         {on(kReceipt), "- goaway / - / a / waits"},
         {on(kCode), "- goaway / - / - / waits"},
         {on(kConnecting, kConnectingBody), "- goaway / - / a / connects"},
         {on(kBody), "- goaway / p / a / runs"},
         {on(kWaiting, kUpgrading), "- goaway / w / a / runs"},
         {on(kAnswering), "200+ goaway / w / a / runs"},
         {on(kBoth), "200+ goaway / p / a / runs"},
         {on(kTunnel), "101 goaway / w / a / tunnel"},
         {on(kTunnelHalf), "101:8 goaway / w / a / tunnel"},
     }}},
    // The application.
    {Event::kConnects,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kCode, kBody, kWaiting, kUpgrading, kAnswering, kBoth, kTunnel,
             kTunnelHalf),
          kNoConnect},
         {on(kConnecting), "- / w / a / runs"},
         {on(kConnectingBody), "- / p / a / runs"},
     }}},
    {Event::kRefuses,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kCode, kBody, kWaiting, kUpgrading, kAnswering, kBoth, kTunnel,
             kTunnelHalf),
          kNoConnect},
         {on(kConnecting), "502:upstream_unreachable / - / a / idle || 502:upstream_unreachable / - / a / closed"},
         {on(kConnectingBody), "502:upstream_unreachable . / - / a / gone || 502:upstream_unreachable / - / a / idle"},
     }}},
    {Event::kLateConnect,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kCode, kBody, kWaiting, kUpgrading, kAnswering, kBoth, kTunnel,
             kTunnelHalf),
          kNoConnect},
         {on(kConnecting), "403:access_ended . / ox | o / ac / gone || 403:access_ended / ox | o / ac / closed"},
         {on(kConnectingBody), "403:access_ended . / ox | o / ac / gone || 403:access_ended / ox | o / ac / idle"},
     }}},
    {Event::kInterim,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody, kWaiting, kUpgrading), "="},
         {on(kAnswering, kBoth, kTunnel, kTunnelHalf), kHeaded},
     }}},
    {Event::kHead,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody), "200+ / p / a / runs"},
         {on(kWaiting), "200+ / w / a / runs"},
         {on(kUpgrading),
          "200+ | 101:10 / w / a / runs | tunnel || "
          "502:upstream_answer_invalid | 101:10 / w! | w / a / idle | tunnel"},
         {on(kAnswering, kBoth, kTunnel, kTunnelHalf), kHeaded},
     }}},
    {Event::kSwitch,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody),
          "502:upstream_answer_invalid . | 502:upstream_closed . / p! / a / gone || "
          "502:upstream_answer_invalid | 502:upstream_closed / p! / a / idle"},
         {on(kWaiting),
          "502:upstream_answer_invalid | 502:upstream_closed / w! / a / idle || "
          "502:upstream_answer_invalid | 502:upstream_closed / w! / a / closed"},
         {on(kUpgrading), "101 / w / a / tunnel"},
         {on(kAnswering, kBoth, kTunnel, kTunnelHalf), kHeaded},
     }}},
    {Event::kData,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody, kWaiting, kUpgrading), kNoHead},
         {on(kAnswering, kBoth), "="},
         {on(kTunnel), "101:10 / w / a / tunnel"},
         {on(kTunnelHalf), "101:18 / w / a / tunnel"},
     }}},
    {Event::kWhole,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody, kBoth), "200 . / px | p! / a / gone || 200 / px | p! / a / idle"},
         {on(kWaiting, kAnswering), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kUpgrading),
          "200 | 101:10 . / w | w! / a / idle | gone || "
          "502:upstream_answer_invalid | 101:10 e / w! / a / idle"},
         {on(kTunnel, kTunnelHalf), kNoEnd},
     }}},
    {Event::kTrailers,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody, kWaiting, kUpgrading), kNoHead},
         {on(kAnswering), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kBoth), "200 . / px | p! / a / gone || 200 / px | p! / a / idle"},
         {on(kTunnel, kTunnelHalf), kNoEnd},
     }}},
    {Event::kUntilClose,
     Only::kHttp1Apps,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody), "200 . / p / a / gone || 200 / p / a / idle"},
         {on(kWaiting), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kUpgrading), "200 / w / a / idle || 502:upstream_answer_invalid / w / a / idle"},
         {on(kAnswering, kBoth, kTunnel, kTunnelHalf), kHeaded},
     }}},
    {Event::kAppCloses,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept), "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kBody), "502:upstream_closed . / p / a / gone || 502:upstream_closed / p / a / idle"},
         {on(kWaiting), "502:upstream_closed / w / a / idle || 502:upstream_closed / w / a / closed"},
         {on(kUpgrading), "502:upstream_closed / w / a / idle"},
         {on(kAnswering), "200+ ! / w / a / gone || 200+ rst2 / w / a / closed"},
         {on(kBoth), "200+ ! / p / a / gone || 200+ rst2 / p / a / closed"},
         {on(kTunnel), "101 . | 101 ~ / w / a / gone || 101 e | 101 rst8 / w / a / idle | closed"},
         {on(kTunnelHalf), "101:8 . | 101:8 ~ / w / a / gone || 101:8 e | 101:8 rst8 / w / a / idle | closed"},
     }}},
    {Event::kAppResets,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept), "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kBody), "502:upstream_closed . / p / a / gone || 502:upstream_closed / p / a / idle"},
         {on(kWaiting), "502:upstream_closed / w / a / idle || 502:upstream_closed / w / a / closed"},
         {on(kUpgrading), "502:upstream_closed / w / a / idle"},
         {on(kAnswering), "200+ ! / w / a / gone || 200+ rst2 / w / a / closed"},
         {on(kBoth), "200+ ! / p / a / gone || 200+ rst2 / p / a / closed"},
         {on(kTunnel), "101 . | 101 ~ / w / a / gone || 101 e | 101 rst8 / w / a / idle | closed"},
         {on(kTunnelHalf), "101:8 . | 101:8 ~ / w / a / gone || 101:8 e | 101:8 rst8 / w / a / idle | closed"},
     }}},
    {Event::kAppGarbage,
     Only::kAll,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), "200 / wx / a / idle || 200 / wx / a / closed"},
         {on(kBody),
          "502:upstream_answer_invalid . / p! | px / a / gone || "
          "502:upstream_answer_invalid / p! | px / a / idle"},
         {on(kWaiting),
          "502:upstream_answer_invalid / w! | wx / a / idle || "
          "502:upstream_answer_invalid / w! | wx / a / closed"},
         {on(kUpgrading), "502:upstream_answer_invalid / w! | wx / a / idle"},
         {on(kAnswering), "200+ ! / w! | wx / a / gone || 200+ rst2 / w! | wx / a / closed"},
         {on(kBoth), "200+ ! / p! | px / a / gone || 200+ rst2 / p! | px / a / closed"},
         {on(kTunnel),
          "101:10 | 101 ~ / w | wx / a / tunnel | gone || "
          "101:10 | 101 rst8 / w | wx / a / tunnel | closed"},
         {on(kTunnelHalf),
          "101:18 | 101:8 ~ / w | wx / a / tunnel | gone || "
          "101:18 | 101:8 rst8 / w | wx / a / tunnel | closed"},
     }}},
    {Event::kAppRst,
     Only::kHttp2Apps,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody), "502:upstream_closed . / p! / a / gone || 502:upstream_closed / p! / a / idle"},
         {on(kWaiting), "502:upstream_closed / w! / a / idle || 502:upstream_closed / w! / a / closed"},
         {on(kUpgrading), "502:upstream_closed / w! / a / idle"},
         {on(kAnswering), "200+ ! / w! / a / gone || 200+ rst2 / w! / a / closed"},
         {on(kBoth), "200+ ! / p! / a / gone || 200+ rst2 / p! / a / closed"},
         {on(kTunnel), "101 ~ / w! / a / gone || 101 rst8 / w! / a / closed"},
         {on(kTunnelHalf), "101:8 ~ / w! / a / gone || 101:8 rst8 / w! / a / closed"},
     }}},
    {Event::kAppRefuses,
     Only::kHttp2Apps,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), kNoCall},
         {on(kBody), "502:upstream_closed . / p! / a / gone || 502:upstream_closed / p! / a / idle"},
         {on(kWaiting, kUpgrading), "- / w!w / a / runs"},
         {on(kAnswering), "200+ ! / w! / a / gone || 200+ rst2 / w! / a / closed"},
         {on(kBoth), "200+ ! / p! / a / gone || 200+ rst2 / p! / a / closed"},
         {on(kTunnel), "101 ~ / w! / a / gone || 101 rst8 / w! / a / closed"},
         {on(kTunnelHalf), "101:8 ~ / w! / a / gone || 101:8 rst8 / w! / a / closed"},
     }}},
    {Event::kAppGoaway,
     Only::kHttp2Apps,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), "200 / wx / a / idle || 200 / wx / a / closed"},
         {on(kBody, kWaiting, kUpgrading, kAnswering, kBoth, kTunnel, kTunnelHalf), "="},
     }}},
    {Event::kAppGoawayBefore,
     Only::kHttp2Apps,
     {{
         {on(kFresh, kReceipt, kCode, kConnecting, kConnectingBody), kNoPlace},
         {on(kKept, kQueued), "200 / wx / a / idle || 200 / wx / a / closed"},
         {on(kBody), "502:upstream_closed . / px / a / gone || 502:upstream_closed / px / a / idle"},
         {on(kWaiting, kUpgrading), "- / wx w / a / runs"},
         {on(kAnswering), "200+ ! / wx / a / gone || 200+ rst2 / wx / a / closed"},
         {on(kBoth), "200+ ! / px / a / gone || 200+ rst2 / px / a / closed"},
         {on(kTunnel), "101 ~ / wx / a / gone || 101 rst8 / wx / a / closed"},
         {on(kTunnelHalf), "101:8 ~ / wx / a / gone || 101:8 rst8 / wx / a / closed"},
     }}},
    // The ledger, and who signs in.
    {Event::kReceipt,
     Only::kAll,
     {{
         {on(kFresh, kKept, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering, kBoth,
             kTunnel, kTunnelHalf),
          "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kReceipt), "- / w / a / runs"},
     }}},
    {Event::kLateReceipt,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering,
             kBoth, kTunnel, kTunnelHalf),
          kNoReceipt},
         {on(kReceipt), "504:record_timeout / - / aa / waits || 504:record_timeout,- / - / aa / closed"},
     }}},
    {Event::kOtherBoot,
     Only::kAll,
     {{
         {on(kFresh, kKept, kReceipt, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering,
             kBoth, kTunnel, kTunnelHalf),
          "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
     }}},
    {Event::kCodeGood,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering,
             kBoth, kTunnel, kTunnelHalf),
          kNoCode},
         {on(kCode), "303 / - / - / idle || 303 / - / - / closed"},
     }}},
    {Event::kCodeBad,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering,
             kBoth, kTunnel, kTunnelHalf),
          kNoCode},
         {on(kCode), "403:sign_in_refused . / - / - / gone || 403:sign_in_refused / - / - / closed"},
     }}},
    {Event::kCodeLate,
     Only::kAll,
     {{
         {on(kFresh, kKept, kQueued, kReceipt, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering,
             kBoth, kTunnel, kTunnelHalf),
          kNoCode},
         {on(kCode), "504:sign_in_timeout / - / - / idle || 504:sign_in_timeout / - / - / closed"},
     }}},
    // Time.
    {Event::kDeadline,
     Only::kAll,
     {{
         {on(kFresh), "- . / - / - / gone 10s || - goaway . / - / - / gone 10s"},
         {on(kKept), "200 . / wx / a / gone 75s || 200 goaway . / wx / a / gone 75s"},
         {on(kQueued), "200 . / wx / a / gone 75s || - ! / wx / a / gone 75s"},
         {on(kReceipt), "504:record_timeout / - / a / idle 2s || 504:record_timeout / - / a / closed 2s"},
         {on(kCode), "504:sign_in_timeout / - / - / idle 2s || 504:sign_in_timeout / - / - / closed 2s"},
         {on(kConnecting),
          "502:upstream_unreachable / - / a / idle 5s || "
          "502:upstream_unreachable / - / a / closed 5s"},
         {on(kConnectingBody),
          "502:upstream_unreachable . / - / a / gone 5s || "
          "502:upstream_unreachable / - / a / idle 5s"},
         {on(kBody), "408:request_timeout . / p! / a / gone 60s || 408:request_timeout / p! / a / idle 60s"},
         {on(kWaiting), "504:upstream_timeout / w! / a / idle 60s || 504:upstream_timeout / w! / a / closed 60s"},
         {on(kUpgrading), "504:upstream_timeout / w! / a / idle 60s"},
         {on(kAnswering), "200+ ! / w! / a / gone 300s || 200+ rst2 / w! / a / closed 300s"},
         {on(kBoth), "200+ ! / p! / a / gone 300s || 200+ rst2 / p! / a / closed 300s"},
         {on(kTunnel), "101 ~ / wx | w! / a / gone 3600s || 101 rst8 / wx | w! / a / closed 3600s"},
         {on(kTunnelHalf), "101:8 ~ / wx | w! / a / gone 3600s || 101:8 rst8 / wx | w! / a / closed 3600s"},
     }}},
    {Event::kSessionEnds,
     Only::kAll,
     {{
         {on(kFresh, kCode), kNoDecision},
         {on(kKept), "200 ! / w / ac / gone || 200 goaway . / w / ac / gone"},
         {on(kQueued), "- ! / w / ac / gone"},
         {on(kReceipt, kConnecting), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / closed"},
         {on(kConnectingBody), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / idle"},
         {on(kBody), "403:access_ended . / p! / ac / gone || 403:access_ended / p! / ac / idle"},
         {on(kWaiting), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / closed"},
         {on(kUpgrading), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / idle"},
         {on(kAnswering), "200+ ! / w! / ac / gone || 200+ rst8 / w! / ac / closed"},
         {on(kBoth), "200+ ! / p! / ac / gone || 200+ rst8 / p! / ac / closed"},
         {on(kTunnel), "101 ws1008 . / wx | w! / ac / gone || 101 ws1008 e / w! / ac / closed"},
         {on(kTunnelHalf), "101:8 ! / w! / ac / gone || 101:8 rst8 / w! / ac / closed"},
     }}},
    {Event::kCertificateEnds,
     Only::kAll,
     {{
         {on(kFresh, kCode), kNoDecision},
         {on(kKept), "200 ! / w / ac / gone || 200 goaway . / w / ac / gone"},
         {on(kQueued), "- ! / w / ac / gone"},
         {on(kReceipt, kConnecting), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / closed"},
         {on(kConnectingBody), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / idle"},
         {on(kBody), "403:access_ended . / p! / ac / gone || 403:access_ended / p! / ac / idle"},
         {on(kWaiting), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / closed"},
         {on(kUpgrading), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / idle"},
         {on(kAnswering), "200+ ! / w! / ac / gone || 200+ rst8 / w! / ac / closed"},
         {on(kBoth), "200+ ! / p! / ac / gone || 200+ rst8 / p! / ac / closed"},
         {on(kTunnel), "101 ws1008 . / wx | w! / ac / gone || 101 ws1008 e / w! / ac / closed"},
         {on(kTunnelHalf), "101:8 ! / w! / ac / gone || 101:8 rst8 / w! / ac / closed"},
     }}},
    // A change.
    {Event::kAllows,
     Only::kAll,
     {{
         {on(kFresh, kKept, kReceipt, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering,
             kBoth, kTunnel, kTunnelHalf),
          "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
     }}},
    {Event::kDenies,
     Only::kAll,
     {{
         {on(kFresh, kCode), "="},
         {on(kKept), "200 ! / w / ac / gone || 200 goaway . / w / ac / gone"},
         {on(kQueued), "- ! / w / ac / gone"},
         {on(kReceipt, kConnecting), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / closed"},
         {on(kConnectingBody), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / idle"},
         {on(kBody), "403:access_ended . / p! / ac / gone || 403:access_ended / p! / ac / idle"},
         {on(kWaiting), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / closed"},
         {on(kUpgrading), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / idle"},
         {on(kAnswering), "200+ ! / w! / ac / gone || 200+ rst8 / w! / ac / closed"},
         {on(kBoth), "200+ ! / p! / ac / gone || 200+ rst8 / p! / ac / closed"},
         {on(kTunnel), "101 ws1008 . / wx | w! / ac / gone || 101 ws1008 e / w! / ac / closed"},
         {on(kTunnelHalf), "101:8 ! / w! / ac / gone || 101:8 rst8 / w! / ac / closed"},
     }}},
    {Event::kRedacts,
     Only::kAll,
     {{
         {on(kFresh, kKept, kReceipt, kCode, kConnecting, kConnectingBody, kAnswering, kBoth, kTunnel, kTunnelHalf),
          "="},
         {on(kQueued, kWaiting), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kBody), "200 . / px | p! / a / gone || 200 / px | p! / a / idle"},
         {on(kUpgrading), "101 / w / a / tunnel"},
     }}},
    {Event::kDemandsRecord,
     Only::kAll,
     {{
         {on(kFresh, kKept, kReceipt, kCode, kBody, kWaiting, kUpgrading, kAnswering, kBoth, kTunnel, kTunnelHalf),
          "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kConnecting, kConnectingBody), "- / - / a / waits"},
     }}},
    {Event::kDrainLeave,
     Only::kAll,
     {{
         {on(kFresh), "= || - goaway . / - / - / gone"},
         {on(kKept), "= || 200 goaway . / w / a / gone"},
         {on(kQueued), "200 / w / a / idle || 200 goaway . / w / a / gone"},
         {on(kReceipt), "= || - goaway / - / a / waits"},
         {on(kCode), "= || - goaway / - / - / waits"},
         {on(kConnecting, kConnectingBody), "= || - goaway / - / a / connects"},
         {on(kBody), "= || - goaway / p / a / runs"},
         {on(kWaiting, kUpgrading), "= || - goaway / w / a / runs"},
         {on(kAnswering), "= || 200+ goaway / w / a / runs"},
         {on(kBoth), "= || 200+ goaway / p / a / runs"},
         {on(kTunnel), "= || 101 goaway / w / a / tunnel"},
         {on(kTunnelHalf), "= || 101:8 goaway / w / a / tunnel"},
     }}},
    {Event::kDrainNow,
     Only::kAll,
     {{
         {on(kFresh), "- . / - / - / gone || - goaway . / - / - / gone"},
         {on(kKept, kQueued), "200 . / w / a / gone || 200 goaway . / w / a / gone"},
         {on(kReceipt), "= || - goaway / - / a / waits"},
         {on(kCode), "= || - goaway / - / - / waits"},
         {on(kConnecting, kConnectingBody), "= || - goaway / - / a / connects"},
         {on(kBody), "= || - goaway / p / a / runs"},
         {on(kWaiting, kUpgrading), "= || - goaway / w / a / runs"},
         {on(kAnswering), "= || 200+ goaway / w / a / runs"},
         {on(kBoth), "= || 200+ goaway / p / a / runs"},
         {on(kTunnel), "101 ws1001 . / wx | w! / a / gone || 101 ws1001 e goaway / wx | w! / a / idle"},
         {on(kTunnelHalf), "= || 101:8 goaway / w / a / tunnel"},
     }}},
    {Event::kDrainRestart,
     Only::kAll,
     {{
         {on(kFresh), "- . / - / - / gone || - goaway . / - / - / gone"},
         {on(kKept, kQueued), "200 . / w / a / gone || 200 goaway . / w / a / gone"},
         {on(kReceipt), "= || - goaway / - / a / waits"},
         {on(kCode), "= || - goaway / - / - / waits"},
         {on(kConnecting, kConnectingBody), "= || - goaway / - / a / connects"},
         {on(kBody), "= || - goaway / p / a / runs"},
         {on(kWaiting, kUpgrading), "= || - goaway / w / a / runs"},
         {on(kAnswering), "= || 200+ goaway / w / a / runs"},
         {on(kBoth), "= || 200+ goaway / p / a / runs"},
         {on(kTunnel), "101 ws1012 . / wx | w! / a / gone || 101 ws1012 e goaway / wx | w! / a / idle"},
         {on(kTunnelHalf), "= || 101:8 goaway / w / a / tunnel"},
     }}},
    {Event::kAppRemoved,
     Only::kAll,
     {{
         {on(kFresh), "421:host_unknown . / - / - / gone || 421:host_unknown / - / - / closed"},
         {on(kKept), "200,421:host_unknown . / w / a / gone || 200,421:host_unknown / w / a / closed"},
         {on(kCode), "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
         {on(kReceipt, kConnecting), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / closed"},
         {on(kConnectingBody), "403:access_ended . / - / ac / gone || 403:access_ended / - / ac / idle"},
         {on(kBody), "403:access_ended . / p! / ac / gone || 403:access_ended / p! / ac / idle"},
         {on(kWaiting), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / closed"},
         {on(kUpgrading), "403:access_ended . / w! / ac / gone || 403:access_ended / w! / ac / idle"},
         {on(kAnswering), "200+ ! / w! / ac / gone || 200+ rst8 / w! / ac / closed"},
         {on(kBoth), "200+ ! / p! / ac / gone || 200+ rst8 / p! / ac / closed"},
         {on(kTunnel), "101 ws1008 . / wx | w! / ac / gone || 101 ws1008 e / w! / ac / closed"},
         {on(kTunnelHalf), "101:8 ! / w! / ac / gone || 101:8 rst8 / w! / ac / closed"},
     }}},
    {Event::kAppMoved,
     Only::kAll,
     {{
         {on(kFresh), "502:upstream_unreachable / - / a / idle || 502:upstream_unreachable / - / a / closed"},
         {on(kKept),
          "200,502:upstream_unreachable / w / aa / idle || "
          "200,502:upstream_unreachable / w / aa / closed"},
         {on(kReceipt, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering, kBoth, kTunnel,
             kTunnelHalf),
          "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
     }}},
    {Event::kContext,
     Only::kAll,
     {{
         {on(kFresh, kKept, kReceipt, kCode, kConnecting, kConnectingBody, kBody, kWaiting, kUpgrading, kAnswering,
             kBoth, kTunnel, kTunnelHalf),
          "="},
         {on(kQueued), "200 / w / a / idle || 200 / w / a / closed"},
     }}},
}};

static_assert(is_complete(kTable) && is_complete(kReached), "a state and an event have no cell, or two");

std::string resolve(std::string_view outcome, Spoken spoken) {
  outcome = choose(outcome, " || ", spoken.http2_client);
  std::string out;
  for (;;) {
    const std::size_t end = outcome.find(" / ");
    out += choose(outcome.substr(0, end), " | ", spoken.http2_app);
    if (end == std::string_view::npos) return out;
    out += " / ";
    outcome.remove_prefix(end + 3);
  }
}

bool is_of(Only only, Spoken spoken) {
  switch (only) {
    case Only::kAll: return true;
    case Only::kHttp2Clients: return spoken.http2_client;
    case Only::kHttp2Apps: return spoken.http2_app;
    case Only::kHttp1Apps: return !spoken.http2_app;
  }
  return false;
}

constexpr auto kStateNames = all_spelled<At>();
constexpr auto kEventNames = all_spelled<Event>();
static_assert(kStateNames[0] == "kFresh" && kEventNames[0] == "kNext");

// What a gRPC call hears in place of each of the gateway's own answers.
constexpr std::pair<std::string_view, std::string_view> kCallStatuses[] = {
    {"403:", "g7"}, {"413:", "g13"}, {"421:", "g12"}, {"502:", "g14"}, {"504:", "g4"}};

std::string as_call(std::string outcome) {
  for (const auto& [status, grpc] : kCallStatuses) {
    for (std::size_t at = 0; (at = outcome.find(status, at)) != std::string::npos; at += grpc.size()) {
      const std::size_t end = outcome.find_first_of(" ,", at);
      outcome.replace(at, end - at, "200 " + std::string(grpc));
    }
  }
  return outcome;
}

// And where it differs in more than that from a request over HTTP/2.
struct CallCell {
  Event event;
  TableCell cell;
};

constexpr CallCell kCalls[] = {
    // Its deadlines are its client's to set and the application's to keep, however much of it has come.
    {Event::kDeadline, {on(kBody), "200 g4 / p! / a / idle 60s"}},
    // It is a POST, which is not repeated.
    {Event::kAppRefuses, {on(kWaiting), "200 g14 / w! / a / closed"}},
    {Event::kAppGoawayBefore, {on(kWaiting), "200 g14 / wx / a / closed"}},
    // An answer that has begun can still say how it ends.
    {Event::kSessionEnds, {on(kAnswering), "200 g7 / w! / ac / closed"}},
    {Event::kSessionEnds, {on(kBoth), "200 g7 / p! / ac / closed"}},
    {Event::kCertificateEnds, {on(kAnswering), "200 g7 / w! / ac / closed"}},
    {Event::kCertificateEnds, {on(kBoth), "200 g7 / p! / ac / closed"}},
    {Event::kDenies, {on(kAnswering), "200 g7 / w! / ac / closed"}},
    {Event::kDenies, {on(kBoth), "200 g7 / p! / ac / closed"}},
    {Event::kAppRemoved, {on(kAnswering), "200 g7 / w! / ac / closed"}},
    {Event::kAppRemoved, {on(kBoth), "200 g7 / p! / ac / closed"}},
};

std::string outcome_in(const Row& row, std::size_t state, Spoken spoken) {
  for (const CallCell& call : kCalls) {
    const bool holds = call.event == row.event && (call.cell.states >> state & 1U) != 0;
    if (spoken.grpc && holds) return std::string(call.cell.outcome);
  }
  const std::string outcome = resolve(outcome_of(row.cells, state), spoken);
  return spoken.grpc ? as_call(outcome) : outcome;
}

void check_state(std::size_t state, Spoken spoken) {
  Stage untouched(spoken, false);
  untouched.reach(static_cast<At>(state));
  CHECK(untouched.seen() == resolve(outcome_of(kReached, state), spoken));
  for (const Row& row : kTable) {
    if (!is_of(row.only, spoken)) continue;
    const std::string_view state_name = kStateNames[state],
                           event_name = kEventNames[static_cast<std::size_t>(row.event)];
    CAPTURE(spoken.http2_client);
    CAPTURE(spoken.http2_app);
    CAPTURE(spoken.grpc);
    CAPTURE(state_name);
    CAPTURE(event_name);
    const std::string outcome = outcome_in(row, state, spoken);
    const bool is_possible = !outcome.starts_with("never: ");
    CHECK(untouched.can(row.event) == is_possible);
    if (!is_possible || !untouched.can(row.event)) continue;
    Stage stage(spoken, row.event == Event::kCertificateEnds);
    stage.reach(static_cast<At>(state));
    stage.happen(row.event);
    CHECK(stage.seen() == (outcome == "=" ? untouched.seen() : outcome));
    stage.check_always();
    stage.check_ends_alone();
  }
}

}  // namespace

TEST_CASE("an exchange in every state meets every event as its table says") {
  for (const Spoken spoken :
       {Spoken{false, false}, Spoken{false, true}, Spoken{true, false}, Spoken{true, true}, Spoken{true, true, true}}) {
    for (std::size_t state = 0; state < kStates; ++state) {
      // A call opens no WebSocket.
      const bool is_socket = (on(kUpgrading, kTunnel, kTunnelHalf) >> state & 1U) != 0;
      if (!spoken.grpc || !is_socket) check_state(state, spoken);
    }
  }
}
