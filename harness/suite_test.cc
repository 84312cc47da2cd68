// Suites: what is accepted, with which defaults.
#include "harness/suite.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

#include "harness/suite_fakes.h"

namespace memsync {
namespace {

using namespace std::chrono_literals;

// A folder of this test's own, removed with it.
class SuiteFiles : public ::testing::Test {
 protected:
  SuiteFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "memsync-suite-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), "mkdtemp");
    folder_ = name;
  }
  ~SuiteFiles() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path.string();
  }
  // `workload` is one flow map; the rest is the smallest suite.
  Suite parse_with(const std::string& workload) const {
    const std::string text = "{schema: 1, suite: s, workloads: [" + workload +
                             "], links: [{use: local}], approaches: [{use: floor}]}";
    return parse_suite(text, (folder_ / "s.yaml").string(), described_strategies());
  }
  std::filesystem::path folder_;
};

constexpr const char* kExample = R"(schema: 1
suite: lan-pull                      # letters, digits, dashes
question: Does prefetching hide a LAN's latency from a sequential reader?
hypothesis: A window of one BDP reaches 80 % of the raw stream; demand faults alone stay at chunk/RTT.
seed: 7
reps: 20
warmup: 1
timeout: 60s
placement: {source: 0, destination: 1, link: any}
workloads:
  - name: scan
    does: read
    region: 64MiB
    chunk: 4KiB
    content: random
    access: sequential
    touch: 4KiB
    accesses: 4096
  - name: nightly
    does: update
    region: 256MiB
    dirty: 1%
    rounds: 3
    receivers: 1
  - name: move
    does: handover
    region: 64MiB
    writer: {rate: 20MiB/s, span: 16MiB, access: random}
    after: 1s
links:
  - {name: lan, rate: 1Gbit/s, rtt: 5ms, loss: 0.1%, jitter: 0ms, queue: auto, engine: auto}
  - {use: wan, loss: 1%, idle: sleep}
approaches:
  - {use: tcp_copy}
  - {use: userfaultfd, as: uffd-demand, with: {prefetch: none}, cpu: 0}
exclude:
  - {approach: tcp_copy, workload: move, because: it has no hand-over}
)";

TEST(Suite, ReadsTheExampleOfItsDocumentation) {
  const Suite suite = parse_suite(kExample, "lan-pull.yaml", described_strategies());
  EXPECT_EQ(suite.name, "lan-pull");
  EXPECT_EQ(suite.text, kExample);
  EXPECT_EQ(suite.seed, 7u);
  EXPECT_EQ(suite.timeout, 60s);
  EXPECT_EQ(suite.placement.source, 0u);
  EXPECT_EQ(suite.placement.destination, 1u);
  EXPECT_FALSE(suite.placement.link.has_value());

  ASSERT_EQ(suite.workloads.size(), 3u);
  EXPECT_EQ(suite.workloads[0].access_count(), 4096u);
  EXPECT_FALSE(suite.workloads[0].writer.has_value());
  EXPECT_DOUBLE_EQ(suite.workloads[1].dirty_ratio.value(), 0.01);
  EXPECT_EQ(suite.workloads[1].rounds, 3u);
  EXPECT_FALSE(suite.workloads[1].access_count().has_value());
  const WriterSpec& writer = suite.workloads[2].writer.value();
  EXPECT_EQ(writer.bytes_per_second, 20u << 20);
  EXPECT_EQ(writer.span_bytes, 16u << 20);
  EXPECT_EQ(writer.access.order, AccessOrder::random);
  EXPECT_EQ(suite.workloads[2].after, 1s);

  ASSERT_EQ(suite.links.size(), 2u);
  EXPECT_EQ(suite.links[0].shape, (LinkShape{1'000'000'000, 5ms, 0.001, 0ms, std::nullopt}));
  EXPECT_EQ(suite.links[1].name, "wan");
  EXPECT_EQ(suite.links[1].shape, (LinkShape{100'000'000, 50ms, 0.01, 0ms, std::nullopt}));
  EXPECT_FALSE(suite.links[1].engine.has_value());

  EXPECT_EQ(suite.links[0].idle, IdleCpus::awake);
  EXPECT_EQ(suite.links[1].idle, IdleCpus::sleep);

  ASSERT_EQ(suite.approaches.size(), 2u);
  EXPECT_EQ(suite.placement_of(suite.approaches[0]).destination, 1u);
  EXPECT_EQ(suite.placement_of(suite.approaches[1]).destination, 0u);
  EXPECT_EQ(suite.approaches[0].as, "tcp_copy");
  EXPECT_EQ(suite.approaches[1].as, "uffd-demand");
  EXPECT_EQ(suite.approaches[1].with.at("prefetch"), "none");
  EXPECT_EQ(suite.exclusions.at(0).workloads, std::vector<std::string>{"move"});
  EXPECT_TRUE(suite.exclusions.at(0).links.empty());
}

TEST(SuiteLinks, HaveProfilesOfWhatGoesWrong) {
  const Suite suite = parse_suite(
      "{schema: 1, suite: s, workloads: [{name: w, does: read, region: 1MiB}], approaches: "
      "[{use: floor}], links: [{use: nat}, {use: outage}, {use: outage, name: short, cut_for: 1s, "
      "cut_after: 200ms}, {use: wan}]}",
      "s.yaml", described_strategies());
  EXPECT_EQ(suite.links[0].shape, suite.links[3].shape);
  EXPECT_EQ(suite.links[0].dials, Dials::destination);
  EXPECT_FALSE(suite.links[0].cut);
  EXPECT_EQ(suite.links[1].shape, (LinkShape{1'000'000'000, 1ms, 0, 0ms, std::nullopt}));
  EXPECT_EQ(suite.links[1].dials, Dials::any);
  EXPECT_EQ(suite.links[1].cut->after, 1s);
  EXPECT_EQ(suite.links[1].cut->length, 5s);
  EXPECT_EQ(suite.links[2].cut->after, 200ms);
  EXPECT_EQ(suite.links[2].cut->length, 1s);
  EXPECT_EQ(suite.links[3].dials, Dials::any);
  EXPECT_FALSE(suite.links[3].cut);
}

TEST_F(SuiteFiles, WatchTheDestinationsOnlyWhereReceiversAreAsked) {
  EXPECT_FALSE(parse_with("{name: w, does: update, region: 1MiB}").workloads[0].is_watched);
  const Workload one =
      parse_with("{name: w, does: update, region: 1MiB, receivers: 1}").workloads[0];
  EXPECT_TRUE(one.is_watched);
  EXPECT_EQ(one.receivers, 1u);
  EXPECT_FALSE(
      parse_with("{name: w, does: update, region: 1MiB, receivers: 2, writer: {rate: 1MiB/s}}")
          .workloads[0]
          .is_watched);
}

TEST_F(SuiteFiles, DefaultsAreThoseOfTheTables) {
  const Suite suite = parse_with("{name: w, does: read, region: 10000B}");
  EXPECT_EQ(suite.seed, 1u);
  EXPECT_EQ(suite.reps, 20u);
  EXPECT_EQ(suite.warmup, 1u);
  EXPECT_EQ(suite.timeout, 60s);
  EXPECT_EQ(suite.links[0].shape, LinkShape{});
  const Workload& read = suite.workloads[0];
  EXPECT_EQ(read.chunk_bytes, 4096u);
  EXPECT_EQ(read.touch_bytes, 4096u);
  EXPECT_EQ(read.content.kind, ContentSpec::Kind::random);
  EXPECT_EQ(read.access.order, AccessOrder::sequential);
  EXPECT_EQ(read.access_count(), 3u) << "the tail of 1808 B is an access too";

  const Workload update = parse_with("{name: w, does: update, region: 1MiB}").workloads[0];
  EXPECT_DOUBLE_EQ(update.dirty_ratio.value(), 0.01);
  EXPECT_EQ(update.rounds, 1u);
  EXPECT_EQ(update.receivers, 1u);

  const Workload handover = parse_with("{name: w, does: handover, region: 1MiB}").workloads[0];
  EXPECT_EQ(handover.writer.value().bytes_per_second, 20u << 20);
  EXPECT_EQ(handover.writer->span_bytes, 1u << 20);
  EXPECT_EQ(handover.after, 1s);
}

TEST_F(SuiteFiles, TouchDefaultsToATinyRegionWhole) {
  const Workload read = parse_with("{name: w, does: read, region: 1B}").workloads[0];
  EXPECT_EQ(read.touch_bytes, 1u);
  EXPECT_EQ(read.access_count(), 1u);
}

TEST_F(SuiteFiles, AFileIsTheRegionUnlessLessIsAskedFor) {
  write("bytes.bin", std::string(1237, 'x'));
  EXPECT_EQ(parse_with("{name: w, does: read, content: file:bytes.bin}").workloads[0].region_bytes,
            1237u);
  EXPECT_EQ(parse_with("{name: w, does: read, content: file:bytes.bin, region: 3B}")
                .workloads[0]
                .region_bytes,
            3u);
}

TEST_F(SuiteFiles, ATraceIsReadOncePerLine) {
  write("t.txt", "0\n4096\n17\n");
  const Workload read =
      parse_with("{name: w, does: read, region: 8KiB, access: trace:t.txt}").workloads[0];
  EXPECT_EQ(read.access.trace, (std::vector<uint64_t>{0, 4096, 17}));
  EXPECT_EQ(read.access_count(), 3u);
}

TEST_F(SuiteFiles, AnyFileBecomesEveryRegion) {
  Suite suite = parse_suite(kExample, "lan-pull.yaml", described_strategies());
  const std::string one_byte = write("one.bin", "x");
  use_content_file(suite, one_byte);
  for (const Workload& workload : suite.workloads) {
    EXPECT_EQ(workload.region_bytes, 1u);
    EXPECT_EQ(workload.content.path, one_byte);
    EXPECT_EQ(workload.content.kind, ContentSpec::Kind::file);
  }
  EXPECT_EQ(suite.workloads[0].touch_bytes, 1u);
  EXPECT_EQ(suite.workloads[2].writer.value().span_bytes, 1u);
}

TEST_F(SuiteFiles, ALargerFileWidensOnlyASpanThatNobodyWrote) {
  const std::string path = write("large.bin", std::string(10007, 'x'));
  Suite whole = parse_with("{name: w, does: handover, region: 4KiB}");
  use_content_file(whole, path);
  EXPECT_EQ(whole.workloads[0].writer.value().span_bytes, 10007u);
  Suite part = parse_with("{name: w, does: handover, region: 8KiB, writer: {span: 4KiB}}");
  use_content_file(part, path);
  EXPECT_EQ(part.workloads[0].writer.value().span_bytes, 4096u);
  EXPECT_EQ(part.workloads[0].region_bytes, 10007u);
}

std::string content_refusal(Suite suite, const std::string& path) {
  try {
    use_content_file(suite, path);
  } catch (const SuiteError& problem) {
    return problem.what();
  }
  return "accepted";
}

TEST_F(SuiteFiles, ContentThatCannotBeARegionIsRefused) {
  const Suite suite = parse_with("{name: w, does: read, region: 4KiB}");
  const std::string folder = folder_.string();
  EXPECT_EQ(content_refusal(suite, folder + "/absent"),
            "content: " + folder + "/absent: No such file or directory");
  EXPECT_EQ(content_refusal(suite, write("empty", "")), "content: " + folder + "/empty is empty");
  EXPECT_EQ(content_refusal(suite, folder), "content: " + folder + " is no regular file");
  EXPECT_EQ(content_refusal(suite, "/dev/zero"), "content: /dev/zero is no regular file");
  write("t.txt", "4095\n");
  const Suite traced = parse_with("{name: w, does: read, region: 4KiB, access: trace:t.txt}");
  EXPECT_EQ(content_refusal(traced, write("ten", "0123456789")),
            "content: " + folder + "/t.txt:1: byte 4095 is past the end of the region of 10 B");
}

TEST_F(SuiteFiles, ContentThatMayNotBeReadIsRefused) {
  const Suite suite = parse_with("{name: w, does: read, region: 4KiB}");
  const std::string path = write("secret", "x");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  constexpr uid_t kNobody = 65534;  // root may read everything
  const bool was_root = ::geteuid() == 0 && ::seteuid(kNobody) == 0;
  const std::string refusal = content_refusal(suite, path);
  if (was_root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_EQ(refusal, "content: opening " + path + ": Permission denied");
}

TEST_F(SuiteFiles, ASuiteIsFoundByNameOrPath) {
  const std::string text =
      "schema: 1\nsuite: mine\nquestion: Why?\nworkloads: [{name: w, does: read, region: 1B}]\n"
      "links: [{use: local}]\napproaches: [{use: floor}]\n";
  const std::string path = write("mine.yaml", text);
  const std::vector<std::string> folders = {folder_.string() + "/absent", folder_.string()};
  EXPECT_EQ(load_suite("mine", folders, described_strategies()).path, path);
  EXPECT_EQ(load_suite(path, {}, described_strategies()).name, "mine");
  const auto shipped = shipped_suites(folder_.string());
  ASSERT_EQ(shipped.size(), 1u);
  EXPECT_EQ(shipped[0].question, "Why?");
  EXPECT_EQ(shipped[0].problem, "");
  try {
    load_suite("mime", folders, described_strategies());
    FAIL();
  } catch (const SuiteError& problem) {
    EXPECT_STREQ(problem.what(),
                 "there is no suite 'mime' (did you mean 'mine'?); there are: mine; or give the "
                 "path of a .yaml file");
  }
}

}  // namespace
}  // namespace memsync
