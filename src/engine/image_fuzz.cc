// An image (engine/image.h) out of the input: refused, or it decides, changes and is searched without harm.
//
// The input is a header's first bytes and then the sections; the header's sizes are made to fit the file, its digest
// and kind good, so that what lies behind them is reached.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "cedar/parser.h"
#include "engine/search.h"
#include "tests/support/engine_image.h"

namespace {

using namespace wary;
using namespace wary::engine;
using cedar::make_entity;
using cedar::Value;

const cedar::PolicySet& fuzz_policies() {
  static const cedar::PolicySet set = [] {
    const auto parsed = cedar::parse_policies(
        cedar::Source::make("fuzz",
                            "permit(principal in G::\"top\", action, resource in F::\"f\");"
                            "permit(principal, action, resource) when { principal.s like \"te*\" };"
                            "permit(principal, action, resource) when { principal.set.contains(principal.rec) };"
                            "permit(principal, action, resource) when { principal.net.isInRange(principal.net) };"
                            "permit(principal, action, resource) when { principal.getTag(\"k\") == principal.rec };"
                            "permit(principal, action, resource) when { resource.owner in principal.team };"));
    return cedar::PolicySet::from(parsed.policies);
  }();
  return set;
}

void use(const SnapshotPtr& snapshot) {
  Worker worker;
  const cedar::Request request{make_entity("U", "a"), make_entity("Action", "v"), make_entity("D", "d"),
                               Value::record({})};
  for (const std::int64_t now : {0, 1000}) {
    worker.decide(*snapshot, request, UnixTime{now});
    (void)worker.reads(*snapshot);
  }
  const Directory directory(snapshot);
  (void)search(directory, worker, {cedar::Variable::kPrincipal, "U", request, {}, 100, ""}).ok();
  cedar::Entity user;
  user.uid = make_entity("U", "a");
  user.attributes = {{"fresh", Value("new")}, {"s", Value("text")}};
  user.parents = {make_entity("G", "g"), make_entity("H", "new")};
  cedar::Entity group;
  group.uid = make_entity("G", "h");
  group.parents = {make_entity("G", "other")};
  const auto next = snapshot->with({.upserts = {{&user, {}}, {&group, {}}}, .removals = {{"D", "d"}}});
  if (next.ok()) worker.decide(**next, request, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)decode_image_header(ByteView(data, std::min<std::size_t>(size, kImagePage)), size).ok();
  if (size < sizeof(ImageHeader)) return 0;
  ImageHeader header;
  std::memcpy(&header, data, sizeof(header));
  const ImageHeader good = new_image_header(1);
  header.magic = good.magic;
  header.version = good.version;
  header.layout = good.layout;
  header.address = good.address;
  header.label_size %= kImageLabelMax + 1;
  for (std::uint64_t& bytes : header.bytes.of) bytes &= 0x3FFF;  // a section is a few pages at most
  header.file_bytes = image_file_bytes(header.bytes);
  Bytes file = image_header_page(header);
  ByteView rest = ByteView(data, size).subspan(sizeof(header));
  for (const std::uint64_t bytes : header.bytes.of) {
    const ByteView section = rest.first(std::min<std::size_t>(rest.size(), bytes));
    rest = rest.subspan(section.size());
    append(file, section);
    file.resize(file.size() + round_up(bytes, kImagePage) - section.size(), 0);
  }
  if (!test::seal_image(file)) return 0;
  io::SimFiles files(1);
  test::put_file(files, "image", file);
  const auto opened = open_image(files, "image", fuzz_policies().policies());
  if (opened.ok()) use(opened->snapshot);
  return 0;
}
