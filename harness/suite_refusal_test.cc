// Suites that are refused: each with its place and its sentence.
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

#include "harness/suite.h"
#include "harness/suite_document.h"
#include "harness/suite_fakes.h"

namespace memsync {
namespace {

// What is wrong with `text` as a suite; "accepted" when nothing is.
std::string refusal(const std::string& text, const std::string& path = "s.yaml") {
  try {
    parse_suite(text, path, described_strategies());
  } catch (const SuiteError& problem) {
    return problem.what();
  }
  return "accepted";
}

struct Refused {
  const char* text;
  const char* sentence;
};

std::string head(const std::string& keys) {
  return "{schema: 1, suite: s" + (keys.empty() ? "" : ", " + keys);
}
const char* const kRest =
    ", workloads: [{name: w, does: read, region: 1MiB}], links: [{use: local}], approaches: [{use: "
    "floor}]}";

TEST(SuiteRefusal, NamesTheKeyOfTheSuiteItself) {
  const Refused cases[] = {
      {"reps: 0", "s.yaml:1:29: `reps`: 0 is too small: at least 1"},
      {"reps: -1", "s.yaml:1:29: `reps`: '-1' is no whole number"},
      {"reps: 1.5", "s.yaml:1:29: `reps`: '1.5' is no whole number"},
      {"reps: 10001", "s.yaml:1:29: `reps`: 10001 is too large: at most 10000"},
      {"warmup: -1", "s.yaml:1:31: `warmup`: '-1' is no whole number"},
      {"seed: x", "s.yaml:1:29: `seed`: 'x' is no whole number"},
      {"timeout: 0s", "s.yaml:1:32: `timeout`: 0s is too small: at least 1ms"},
      {"timeout: 60",
       "s.yaml:1:32: `timeout`: '60' is no duration: write a number and one of ns us ms s min h"},
      {"timeout: -5s",
       "s.yaml:1:32: `timeout`: '-5s' is no duration: write a number and one of ns us ms s min h"},
      {"timeout: 25h", "s.yaml:1:32: `timeout`: 25h is too large: at most 24h"},
      {"timeuot: 5s", "s.yaml:1:23: there is no key 'timeuot' here (did you mean 'timeout'?)"},
      {"seed: 1, seed: 2", "s.yaml:1:32: key 'seed' is given twice, first in line 1"},
      {"seed: ", "s.yaml:1:29: `seed` has no value (a word like null needs quotes)"},
      {"seed: [1]", "s.yaml:1:29: `seed` is a single value"},
      {"question: '  '", "s.yaml:1:33: `question`: no words"},
      {"placement: {source: -1}",
       "s.yaml:1:43: `source`: '-1' is no CPU: any, or its number from 0 on"},
      {"placement: {source: 4096}", "s.yaml:1:43: `source`: 4096 is too large: at most 4095"},
      {"placement: {sorce: 0}",
       "s.yaml:1:35: there is no key 'sorce' here (did you mean 'source'?)"},
      {"placement: 3", "s.yaml:1:34: `placement` is a map, like {key: value}"},
      {"exclude: []", "s.yaml:1:32: `exclude` is empty: at least one item"},
      {"exclude: [{because: x}]",
       "s.yaml:1:43: `because`: of what? name an approach, a workload or a link to leave out"},
      {"exclude: [{link: local}]",
       "s.yaml:1:33: key 'because' is missing: the reason that the report prints"},
      {"exclude: [{link: locl, because: x}]",
       "s.yaml:1:40: `link`: the suite has no link 'locl' (did you mean 'local'?)"},
      {"exclude: [{approach: flor, because: x}]",
       "s.yaml:1:44: `approach`: the suite has no approach 'flor' (did you mean 'floor'?)"},
      {"exclude: [{workload: v, because: x}]",
       "s.yaml:1:44: `workload`: the suite has no workload 'v' (did you mean 'w'?)"},
      {"exclude: [{link: local|locl, because: x}]",
       "s.yaml:1:40: `link`: the suite has no link 'locl' (did you mean 'local'?)"},
      {"exclude: [{link: '', because: x}]",
       "s.yaml:1:40: `link`: '' ends where a label should follow"},
      {"exclude: [{link: local|, because: x}]",
       "s.yaml:1:40: `link`: 'local|' ends where a label should follow"},
      {"<<: {seed: 1}", "s.yaml:1:23: there is no key '<<' here"},
  };
  for (const Refused& each : cases) EXPECT_EQ(refusal(head(each.text) + kRest), each.sentence);
  EXPECT_EQ(refusal(head("warmup: 0") + kRest), "accepted");
}

TEST(SuiteRefusal, NamesWhatIsMissing) {
  const Refused cases[] = {
      {"{suite: s}", "s.yaml:1:1: key 'schema' is missing: version of this grammar"},
      {"{schema: 1}",
       "s.yaml:1:1: key 'suite' is missing: name of the suite, part of its results' directory"},
      {"{schema: 1, suite: s}",
       "s.yaml:1:1: key 'workloads' is missing: what the applications do with the region"},
      {"{schema: 1, suite: s, workloads: [{name: w, does: read, region: 1B}]}",
       "s.yaml:1:1: key 'links' is missing: the networks between source and destination"},
      {"{schema: 1, suite: s, workloads: [{name: w, does: read, region: 1B}], links: [{use: lan}]}",
       "s.yaml:1:1: key 'approaches' is missing: what keeps the region in sync"},
  };
  for (const Refused& each : cases) EXPECT_EQ(refusal(each.text), each.sentence);
}

TEST(SuiteRefusal, NamesAnotherSchemaAndAnotherName) {
  EXPECT_EQ(refusal(std::string("{schema: 2, suite: s") + kRest),
            "s.yaml:1:10: `schema`: 2 is too large: at most 1");
  EXPECT_EQ(
      refusal(std::string("{schema: 1, suite: my_suite") + kRest),
      "s.yaml:1:20: `suite`: 'my_suite' is no name of a suite: 1 to 64 letters, digits, dashes");
  EXPECT_EQ(refusal(std::string("{schema: 1, suite: ../x") + kRest),
            "s.yaml:1:20: `suite`: '../x' is no name of a suite: 1 to 64 letters, digits, dashes");
}

// `item` at line 3 column 3 of the list `key`.
std::string with_item(const std::string& key, const std::string& item) {
  std::string text = "schema: 1\n" + key + ":\n- " + item + "\nsuite: s\n";
  if (key != "workloads") text += "workloads: [{name: w, does: read, region: 1MiB}]\n";
  if (key != "links") text += "links: [{use: local}]\n";
  if (key != "approaches") text += "approaches: [{use: floor}]\n";
  return text;
}

TEST(SuiteRefusal, NamesTheKeyOfAWorkload) {
  const Refused cases[] = {
      {"{}", "s.yaml:3:3: key 'name' is missing: label of the workload, unique"},
      {"word",
       "s.yaml:3:3: each of `workloads` is a map with keys of: name, does, region, chunk, content, "
       "access, draws, touch, "
       "accesses, threads, source, for, dirty, writer, changes, rounds, receivers, after"},
      {"{name: w, does: raed, region: 1B}",
       "s.yaml:3:19: `does`: 'raed' is none of read update handover (did you mean 'read'?)"},
      {"{name: a/b, does: read, region: 1B}",
       "s.yaml:3:10: `name`: 'a/b' is no label: 1 to 64 letters, digits, - _ . +, the first a "
       "letter or digit"},
      {"{name: None, does: read, region: 1B}",
       "s.yaml:3:10: `name`: 'None' is no label: readers of CSV take it for a missing value"},
      {"{name: null, does: read, region: 1B}",
       "s.yaml:3:10: `name` has no value (a word like null needs quotes)"},
      {"{name: w, does: read}",
       "s.yaml:3:3: `region`: is missing: say how large it is, like 64MiB"},
      {"{name: w, does: read, region: 0B}", "s.yaml:3:33: `region`: 0B is too small: at least 1B"},
      {"{name: w, does: read, region: 64}",
       "s.yaml:3:33: `region`: '64' is no size: write a number and one of B kB MB GB TB KiB MiB "
       "GiB TiB"},
      {"{name: w, does: read, region: 64Mb}",
       "s.yaml:3:33: `region`: '64Mb' is no size: write a number and one of B kB MB GB TB KiB MiB "
       "GiB TiB"},
      {"{name: w, does: read, region: -1B}",
       "s.yaml:3:33: `region`: '-1B' is no size: write a number and one of B kB MB GB TB KiB MiB "
       "GiB TiB"},
      {"{name: w, does: read, region: 2000000TiB}",
       "s.yaml:3:33: `region`: 2000000TiB is too large: at most 1048576TiB"},
      {"{name: w, does: read, region: 99999999TiB}",
       "s.yaml:3:33: `region`: '99999999TiB' is too large a size"},
      {"{name: w, does: read, region: 1.5B}",
       "s.yaml:3:33: `region`: '1.5B' is no whole number of B"},
      {"{name: w, does: read, region: 1MiB, chunk: 5000B}",
       "s.yaml:3:46: `chunk`: 5000B is no power of two"},
      {"{name: w, does: read, region: 1MiB, chunk: 2KiB}",
       "s.yaml:3:46: `chunk`: 2KiB is too small: at least 4KiB"},
      {"{name: w, does: read, region: 1MiB, touch: 0B}",
       "s.yaml:3:46: `touch`: 0B is too small: at least 1B"},
      {"{name: w, does: read, region: 1KiB, touch: 2KiB}",
       "s.yaml:3:46: `touch`: 2KiB is larger than the region of 1024 B"},
      {"{name: w, does: read, region: 1KiB, accesses: 0}",
       "s.yaml:3:49: `accesses`: 0 is too small: at least 1"},
      {"{name: w, does: read, region: 1KiB, accesses: 1, for: 2s}",
       "s.yaml:3:57: `for`: beside `accesses`: one of the two"},
      {"{name: w, does: read, region: 1KiB, for: 0s}",
       "s.yaml:3:44: `for`: 0s is too small: at least 1ms"},
      {"{name: w, does: read, region: 1KiB, for: 2}",
       "s.yaml:3:44: `for`: '2' is no duration: write a number and one of ns us ms s min h"},
      {"{name: w, does: read, region: 1KiB, rounds: 2}",
       "s.yaml:3:47: `rounds`: does not belong to a workload that does read"},
      {"{name: w, does: read, region: 1KiB, writer: {}}",
       "s.yaml:3:47: `writer`: does not belong to a workload that does read"},
      {"{name: w, does: handover, region: 1KiB, accesses: 2}",
       "s.yaml:3:53: `accesses`: does not belong to a workload that does handover"},
      {"{name: w, does: handover, region: 1KiB, receivers: 2}",
       "s.yaml:3:54: `receivers`: does not belong to a workload that does handover"},
      {"{name: w, does: update, region: 1KiB, access: random}",
       "s.yaml:3:49: `access`: does not belong to a workload that does update"},
      {"{name: w, does: update, region: 1KiB, after: 1s}",
       "s.yaml:3:48: `after`: belongs to an update with a `writer`"},
      {"{name: w, does: update, region: 1KiB, touch: 1B}",
       "s.yaml:3:48: `touch`: belongs to an update with a `writer`"},
      {"{name: w, does: update, region: 1KiB, dirty: 1%, writer: {}}",
       "s.yaml:3:60: `writer`: beside `dirty`: one of the two"},
      {"{name: w, does: update, region: 1KiB, writer: {}, changes: destination}",
       "s.yaml:3:49: `writer`: writes at the source; leave it out where changes are made at the "
       "destination"},
      {"{name: w, does: read, region: 1KiB, changes: destination}",
       "s.yaml:3:48: `changes`: does not belong to a workload that does read"},
      {"{name: w, does: update, region: 1KiB, dirty: 1}",
       "s.yaml:3:48: `dirty`: '1' is no share: write a number and one of %"},
      {"{name: w, does: update, region: 1KiB, dirty: 0}",
       "s.yaml:3:48: `dirty`: '0' is bare: write 0%"},
      {"{name: w, does: update, region: 1KiB, dirty: 101%}",
       "s.yaml:3:48: `dirty`: 101% is too large: at most 100%"},
      {"{name: w, does: update, region: 1KiB, rounds: 0}",
       "s.yaml:3:49: `rounds`: 0 is too small: at least 1"},
      {"{name: w, does: update, region: 1KiB, receivers: 0}",
       "s.yaml:3:52: `receivers`: 0 is too small: at least 1"},
      {"{name: w, does: handover, region: 1KiB, writer: {rate: 20MiB}}",
       "s.yaml:3:58: `rate`: '20MiB' is no rate: write a number and one of B/s kB/s MB/s GB/s "
       "KiB/s MiB/s GiB/s"},
      {"{name: w, does: handover, region: 1KiB, writer: {rate: 0B/s}}",
       "s.yaml:3:58: `rate`: 0B/s is too small: at least 1B/s"},
      {"{name: w, does: handover, region: 1KiB, writer: {span: 2KiB}}",
       "s.yaml:3:58: `span`: 2KiB is larger than the region of 1024 B"},
      {"{name: w, does: handover, region: 1MiB, writer: {span: 1KiB}, touch: 4KiB}",
       "s.yaml:3:72: `touch`: 4KiB is larger than the writer's span of 1024 B"},
      {"{name: w, does: handover, region: 1KiB, after: 1}",
       "s.yaml:3:50: `after`: '1' is no duration: write a number and one of ns us ms s min h"},
      {"{name: w, does: read, region: 1KiB, content: rnadom}",
       "s.yaml:3:48: `content`: 'rnadom' is no content: random, text, zero or file:PATH"},
      {"{name: w, does: read, region: 1KiB, content: 'file:'}",
       "s.yaml:3:48: `content`: 'file:' is no content: random, text, zero or file:PATH"},
      {"{name: w, does: read, region: 1KiB, content: file:/nowhere/x}",
       "s.yaml:3:48: `content`: /nowhere/x: No such file or directory"},
      {"{name: w, does: read, region: 1KiB, content: file:/dev/zero}",
       "s.yaml:3:48: `content`: /dev/zero is no regular file"},
      {"{name: w, does: read, region: 1KiB, access: zipf:5}",
       "s.yaml:3:47: `access`: '5' is no theta of zipf: a number above 0 and below 5"},
      {"{name: w, does: read, region: 1KiB, access: zipf:0}",
       "s.yaml:3:47: `access`: '0' is no theta of zipf: a number above 0 and below 5"},
      {"{name: w, does: read, region: 1KiB, access: zipf:nan}",
       "s.yaml:3:47: `access`: 'nan' is no theta of zipf: a number above 0 and below 5"},
      {"{name: w, does: read, region: 1KiB, access: 'zipf:'}",
       "s.yaml:3:47: `access`: '' is no theta of zipf: a number above 0 and below 5"},
      {"{name: w, does: read, region: 1KiB, access: zipf}",
       "s.yaml:3:47: `access`: 'zipf' is no order of accesses: sequential, random, zipf:THETA, "
       "stride:BYTES or "
       "trace:PATH"},
      {"{name: w, does: read, region: 1KiB, access: stride:0B}",
       "s.yaml:3:47: `access`: a stride of 0 B never moves"},
      {"{name: w, does: read, region: 1KiB, access: stride:64}",
       "s.yaml:3:47: `access`: '64' is no size: write a number and one of B kB MB GB TB KiB MiB "
       "GiB TiB"},
      {"{name: w, does: read, region: 1KiB, access: stride:1KiB}",
       "s.yaml:3:47: `access`: a stride of 1024 B leaves the 1024 B there are"},
      {"{name: w, does: read, region: 1KiB, access: trace:/nowhere/t}",
       "s.yaml:3:47: `access`: /nowhere/t: No such file or directory"},
      {"{name: w, does: read, region: 1KiB, draws: fresh}",
       "s.yaml:3:46: `draws`: `fresh`, and sequential accesses are not drawn"},
      {"{name: w, does: read, region: 1KiB, access: random, draws: afresh}",
       "s.yaml:3:62: `draws`: 'afresh' is none of same fresh (did you mean 'fresh'?)"},
      {"{name: w, does: update, region: 1KiB, changes: destination, receivers: 2}",
       "s.yaml:3:74: `receivers`: more than one, and the changes are made at the destination"},
      {"{name: w, does: read, region: 1KiB, access: random:4}",
       "s.yaml:3:47: `access`: 'random:4' is no order of accesses: sequential, random, zipf:THETA, "
       "stride:BYTES or "
       "trace:PATH"},
  };
  for (const Refused& each : cases)
    EXPECT_EQ(refusal(with_item("workloads", each.text)), each.sentence);
}

TEST(SuiteRefusal, NamesTheKeyOfALink) {
  const Refused cases[] = {
      {"{rtt: 1ms}", "s.yaml:3:3: a link has a `name`, or a profile to `use`"},
      {"{use: lam}",
       "s.yaml:3:9: `use`: 'lam' is none of local lan wan nat outage (did you mean 'lan'?)"},
      {"{use: nat, dials: source}", "s.yaml:3:21: `dials`: 'source' is none of any destination"},
      {"{use: outage, cut_for: 0ms, cut_after: 2s}",
       "s.yaml:3:42: `cut_after`: of a link that is never cut: say `cut_for` too"},
      {"{use: lan, cut_for: 5}",
       "s.yaml:3:23: `cut_for`: '5' is no duration: write a number and one of ns us ms s min h"},
      {"{name: l, rtt: 0}",
       "s.yaml:3:18: `rtt`: '0' is no duration: write a number and one of ns us ms s min h"},
      {"{name: l, rtt: 2h}", "s.yaml:3:18: `rtt`: 2h is too large: at most 1h"},
      {"{name: l, rate: 1GB/s}",
       "s.yaml:3:19: `rate`: '1GB/s' is no rate: write a number and one of bit/s kbit/s Mbit/s "
       "Gbit/s"},
      {"{name: l, rate: 0bit/s}", "s.yaml:3:19: `rate`: 0bit/s is too small: at least 1kbit/s"},
      {"{name: l, loss: 0.5}",
       "s.yaml:3:19: `loss`: '0.5' is no share: write a number and one of %"},
      {"{name: l, loss: 100%}", "s.yaml:3:19: `loss`: 100% is too large: at most 99%"},
      {"{name: l, loss: -1%}",
       "s.yaml:3:19: `loss`: '-1%' is no share: write a number and one of %"},
      {"{name: l, queue: 0B}", "s.yaml:3:20: `queue`: 0B is too small: at least 1B"},
      {"{name: l, engine: ns3}", "s.yaml:3:21: `engine`: 'ns3' is none of auto tc tun none"},
      {"{name: l, jitter: 5}",
       "s.yaml:3:21: `jitter`: '5' is no duration: write a number and one of ns us ms s min h"},
      {"{use: lan}\n- {name: lan}",
       "s.yaml:4:3: there are two links named 'lan', the first in line 3"},
      {"{use: lan, engine: tc}\n- {use: wan}\n- {use: local, engine: tun}",
       "s.yaml:5:3: link 'local' asks for another engine than 'lan': one engine for all links of a "
       "suite"},
  };
  for (const Refused& each : cases)
    EXPECT_EQ(refusal(with_item("links", each.text)), each.sentence);
  EXPECT_EQ(refusal(with_item("links", "{name: l, loss: 0}")), "accepted");
  EXPECT_EQ(refusal(with_item("links", "{use: lan, cut_for: 0ms}")), "accepted");
}

TEST(SuiteRefusal, NamesTheApproachAndItsOption) {
  const Refused cases[] = {
      {"{use: userfaulfd}",
       "s.yaml:3:9: `use`: there is no approach 'userfaulfd' (did you mean 'userfaultfd'?); there "
       "are: userfaultfd "
       "tcp_copy floor mmap_push"},
      {"{as: x}",
       "s.yaml:3:3: key 'use' is missing: name of the approach, as `memsync list` gives it; "
       "peer:NAME: the program of --peer NAME=EXECUTABLE"},
      {"{use: floor}\n- {use: floor}",
       "s.yaml:4:3: there are two approaches named 'floor', the first in line 3"},
      {"{use: userfaultfd, with: {prefech: none}}",
       "s.yaml:3:29: userfaultfd: there is no option 'prefech' (did you mean 'prefetch'?)"},
      {"{use: userfaultfd, with: {prefetch: some}}",
       "s.yaml:3:29: userfaultfd: option 'prefetch': 'some' is none of "
       "none|around|window|trend|trace|priority"},
      {"{use: userfaultfd, with: {unit: 64}}",
       "s.yaml:3:29: userfaultfd: option 'unit': '64' is no size: write a number and one of B kB "
       "MB GB TB KiB MiB "
       "GiB TiB"},
      {"{use: userfaultfd, with: {unit: 4KiB, unit: 8KiB}}",
       "s.yaml:3:41: option 'unit' is given twice"},
      {"{use: userfaultfd, with: {unit: [4KiB]}}",
       "s.yaml:3:35: option 'unit' takes a single value"},
      {"{use: userfaultfd, with: none}", "s.yaml:3:28: `with` is a map, like {key: value}"},
  };
  for (const Refused& each : cases)
    EXPECT_EQ(refusal(with_item("approaches", each.text)), each.sentence);
}

TEST(SuiteRefusal, NamesWhatIsNoYaml) {
  const Refused cases[] = {
      {"", "s.yaml:1:1: the suite is empty"},
      {"# only a comment\n", "s.yaml:1:1: the suite is empty"},
      {"schema: 1\n\tsuite: s\n", "s.yaml:2:1: a tab in the indentation: YAML wants spaces"},
      {"schema: 1\nsuite: \x01\n", "s.yaml:2:8: not text: a suite is UTF-8 without control bytes"},
      {"schema: \xff\xfe\n", "s.yaml:1:9: not text: a suite is UTF-8 without control bytes"},
      {"schema: \xed\xa0\x80\n", "s.yaml:1:9: not text: a suite is UTF-8 without control bytes"},
      {"schema: \"\\e[31m\"\n", "s.yaml:1:9: control bytes are no part of a suite"},
      {"schema: {a: 1\n", "s.yaml:2:1: not YAML: end of map flow not found"},
      {"schema: &one 1\n",
       "s.yaml:1:9: anchors and aliases are not part of a suite: write the value out"},
      {"schema: *one\n", "s.yaml:1:9: not YAML: the referenced anchor is not defined"},
      {"schema: !!int 1\n",
       "s.yaml:1:9: tags are not part of a suite: leave 'tag:yaml.org,2002:int' out"},
      {"? [a]\n: b\n", "s.yaml:1:3: a key is a plain word"},
      {"[[[[[[[[[[[]]]]]]]]]]]", "s.yaml:1:9: nested more than 8 deep"},
      {"--- {a: 1}\n--- {b: 2}\n", "s.yaml: more than one YAML document: one file, one suite"},
  };
  for (const Refused& each : cases) EXPECT_EQ(refusal(each.text), each.sentence);
  EXPECT_THAT(refusal("just words\n"),
              ::testing::StartsWith("s.yaml:1:1: a suite is a map with keys of: schema, "));
  EXPECT_EQ(refusal(std::string(1000, 'k') + ": 1\n"),
            "s.yaml:1:1: there is no key '" + std::string(600 - 17, 'k') + "...");
  EXPECT_EQ(refusal(std::string(kSuiteBytesMax + 1, '#')),
            "s.yaml: larger than 1048576 B: no suite");
  EXPECT_THAT(refusal(std::string(kSuiteBytesMax, '[')),
              ::testing::EndsWith("nested more than 8 deep"));
  EXPECT_EQ(refusal(std::string(kSuiteBytesMax, '\0')),
            "s.yaml:1:1: not text: a suite is UTF-8 without control bytes");
}

TEST(SuiteRefusal, NamesTheFilesThatAreNotAsTheyShouldBe) {
  std::string name = (std::filesystem::temp_directory_path() / "memsync-refusal-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  const std::filesystem::path folder = name;
  const auto write = [&](const char* file, const std::string& bytes) {
    std::ofstream(folder / file) << bytes;
  };
  write("empty", "");
  write("short", "12345");
  write("word", "0\nten\n");
  write("minus", "-1\n");
  write("far", "0\n1024\n");
  write("huge", "99999999999999999999\n");
  write("blank", "0\n\n1\n");
  const struct {
    const char* keys;
    std::string sentence;
  } cases[] = {
      {"content: file:empty", ": `content`: " + name + "/empty is empty"},
      {"content: file:.", ": `content`: " + name + "/ is no regular file"},
      {"content: file:short", ": `region`: 1KiB is larger than " + name + "/short of 5 B"},
      {"access: trace:empty", ": `access`: " + name + "/empty is empty"},
      {"access: trace:word",
       ": `access`: " + name + "/word:2: 'ten' is no byte offset: a decimal number from 0 on"},
      {"access: trace:minus",
       ": `access`: " + name + "/minus:1: '-1' is no byte offset: a decimal number from 0 on"},
      {"access: trace:far",
       ": `access`: " + name + "/far:2: byte 1024 is past the end of the region of 1024 B"},
      {"access: trace:huge",
       ": `access`: " + name +
           "/huge:1: byte 99999999999999999999 is past the end of the region of 1024 B"},
      {"access: trace:blank",
       ": `access`: " + name + "/blank:2: '' is no byte offset: a decimal number from 0 on"},
  };
  for (const auto& each : cases)
    EXPECT_THAT(refusal(with_item("workloads", "{name: w, does: read, region: 1KiB, " +
                                                   std::string(each.keys) + "}"),
                        name + "/s.yaml"),
                ::testing::EndsWith(each.sentence));
  std::filesystem::remove_all(folder);
  for (const auto& [path, sentence] : std::vector<std::pair<std::string, std::string>>{
           {"/nowhere/s.yaml", "/nowhere/s.yaml: No such file or directory"},
           {"/dev/", "/dev/: no regular file"}}) {
    try {
      load_suite(path, {}, described_strategies());
      FAIL() << path;
    } catch (const SuiteError& problem) {
      EXPECT_EQ(problem.what(), sentence);
    }
  }
}

}  // namespace
}  // namespace memsync
