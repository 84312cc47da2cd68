// Whatever a receiver answers: a named error at the source, whose bytes go to the next receiver.
#include <gtest/gtest.h>

#include "approaches/mmap_push/raw_peer.h"

namespace memsync::mmap_push {
namespace {

using std::byte;

constexpr uint64_t kSize = 3 * 4096 + 100;

const std::error_code kMalformed = make_error_code(RegionError::malformed);
const std::error_code kRefused = make_error_code(RegionError::refused);
const std::error_code kEnded = of_errno(ECONNRESET);

Bytes source_bytes() {
  return seeded(kSize, 1);
}
Script hello() {
  return Script::of(Role::receiver);
}
Script has(uint64_t size) {
  return hello().say(Kind::have, Have{size, {}});
}
Table digests(uint64_t first, uint64_t count) {
  return {first, std::vector<Digest>(count, Digest{1, 2})};
}
Script acknowledged() {
  return has(0).say(Kind::done, Done{1, table_digest(source_bytes())});
}

struct Answered {
  const char* name;
  Bytes bytes;
  std::error_code expected;
};

std::vector<Answered> answers() {
  Hello version{.version = 0, .role = Role::receiver}, role{.role = Role::source};
  std::vector<Answered> all = {
      {"greets_in_another_version", Script(version).bytes(), kRefused},
      {"greets_as_a_source", Script(role).bytes(), kRefused},
      {"greets_with_http", seeded(4096, 3), kRefused},
      {"says_nothing", {}, kEnded},
      {"greets_by_half", seeded(31, 3), kEnded},
      {"greets_and_ends", hello().bytes(), kEnded},
      {"has_a_length_of_minus_one", hello().header(Kind::have, 0xffffffff).bytes(), kMalformed},
      {"has_a_length_of_2_31", hello().header(Kind::have, 1U << 31).bytes(), kMalformed},
      {"has_a_length_of_one_too_many", hello().header(Kind::have, kPayloadMax + 1).bytes(),
       kMalformed},
      {"says_what_sources_say", hello().say(Kind::offer, Offer{1, 4096, "a"}).bytes(), kMalformed},
      {"is_of_no_kind", hello().header(Kind{0}, 24).bytes(), kMalformed},
      {"has_flags", hello().header(Kind::have, 24, 0, 1).bytes(), kMalformed},
      {"has_nothing", hello().header(Kind::have, 0).bytes(), kMalformed},
      {"has_too_little", hello().say(Kind::have, Bytes(23)).bytes(), kMalformed},
      {"has_too_much", hello().say(Kind::have, Bytes(25)).bytes(), kMalformed},
      {"has_2_63_bytes", has(1ULL << 63).bytes(), kMalformed},
      {"has_2_47_bytes", has(1ULL << 47).bytes(), kMalformed},
      {"has_another_file", hello().say(Kind::have, Have{}, 1).bytes(), kMalformed},
      {"has_and_ends", has(0).bytes(), kEnded},
      {"has_and_ends_before_its_table", has(kSize).bytes(), kEnded},
      {"answers_done_first", hello().say(Kind::done, Done{}).bytes(), kMalformed},
      {"has_twice", has(0).say(Kind::have, Have{}).bytes(), kMalformed},
      {"has_a_table_that_nobody_asked_for", has(0).say(Kind::table, digests(0, 1)).bytes(),
       kMalformed},
      {"has_a_table_of_nothing", has(kSize).say(Kind::table, Bytes(8)).bytes(), kMalformed},
      {"has_half_a_digest", has(kSize).say(Kind::table, Bytes(8 + 15)).bytes(), kMalformed},
      {"has_a_table_too_long", has(kSize).say(Kind::table, digests(0, 5)).bytes(), kMalformed},
      {"has_a_table_far_too_long", has(4096).say(Kind::table, digests(0, 10'000)).bytes(),
       kMalformed},
      {"has_a_table_from_elsewhere", has(kSize).say(Kind::table, digests(1, 1)).bytes(),
       kMalformed},
      {"has_a_table_from_minus_one", has(kSize).say(Kind::table, digests(UINT64_MAX, 1)).bytes(),
       kMalformed},
      {"has_a_table_twice",
       has(kSize).say(Kind::table, digests(0, 2)).say(Kind::table, digests(0, 2)).bytes(),
       kMalformed},
      {"has_half_a_table", has(kSize).say(Kind::table, digests(0, 2)).bytes(), kEnded},
      {"has_another_files_table", has(kSize).say(Kind::table, digests(0, 4), 1).bytes(),
       kMalformed},
      {"is_done_with_another_round",
       has(0).say(Kind::done, Done{2, table_digest(source_bytes())}).bytes(), kMalformed},
      {"is_done_with_other_bytes", has(0).say(Kind::done, Done{1, {1, 2}}).bytes(), kMalformed},
      {"is_done_with_another_file",
       has(0).say(Kind::done, Done{1, table_digest(source_bytes())}, 1).bytes(), kMalformed},
      {"is_done_too_shortly", has(0).say(Kind::done, Bytes(23)).bytes(), kMalformed},
      {"gives_up", has(0).say(Kind::failed, Failure{ENOSPC, "my disk"}).bytes(), of_errno(ENOSPC)},
      {"gives_up_at_once", hello().say(Kind::failed, Failure{0, ""}).bytes(),
       of_errno(ECONNABORTED)},
      {"gives_up_by_half", has(0).say(Kind::failed, Bytes(3)).bytes(), kMalformed},
      {"is_done_twice",
       acknowledged().say(Kind::done, Done{1, table_digest(source_bytes())}).bytes(), kMalformed},
      {"is_done_and_ends", acknowledged().bytes(), kEnded},
  };
  return all;
}

class AReceiver : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(That, AReceiver, testing::Range(size_t{0}, answers().size()),
                         [](const auto& test) { return answers()[test.param].name; });

// Two rounds are tried, so that what comes after a good one is read, too.
Ending push(TestSource& source, const Bytes& answers, int how) {
  auto [ours, theirs] = stream_pair();
  theirs->write_all(answers, after(PushPair::kPatience));
  ::shutdown(theirs->descriptor(), how);
  return ending_of([&, &stream = *ours] {
    const Deadline deadline = after(how < 0 ? std::chrono::milliseconds(20) : PushPair::kPatience);
    Sender sender(stream, {}, deadline);
    sender.offer("data", source, deadline);
    sender.sync({}, deadline);
    sender.is_asked_to_hand_over(deadline);
    source.write(0, {byte{1}});
    sender.sync({}, deadline);
  });
}

TEST_P(AReceiver, IsRefusedAndTheSourceGoesOnWithAnother) {
  const Answered answered = answers()[GetParam()];
  TestSource source(source_bytes(), true);
  const Ending ending = push(source, answered.bytes, SHUT_WR);
  EXPECT_EQ(ending.code, answered.expected) << ending.text;
  PushPair pair;
  pair.connect().offer("data", source, after(PushPair::kPatience));
  pair.sync();
  EXPECT_EQ(pair.contents("data"), source.bytes);
}

TEST(AReceiver, ThatStallsAnywhereIsLeftAtTheDeadline) {
  const Script script = has(kSize).say(Kind::table, digests(0, 4)).say(Kind::done, Done{1, {}});
  TestSource source(source_bytes());
  for (size_t cut = 0; cut < script.bytes().size(); cut += 3) {
    const Ending ending = push(
        source,
        Bytes(script.bytes().begin(), script.bytes().begin() + static_cast<std::ptrdiff_t>(cut)),
        -1);
    EXPECT_EQ(ending.code, of_errno(ETIMEDOUT)) << cut << ": " << ending.text;
  }
}

// A peer that asks for ever can't keep the source from its work or its deadline.
TEST(AReceiver, ThatAsksManyTimesIsHeardOnce) {
  Script script = has(0);
  for (int i = 0; i < 1000; ++i) script.header(Kind::take_over, 0);
  script.say(Kind::done, Done{1, table_digest(source_bytes())});
  auto [ours, theirs] = stream_pair();
  theirs->write_all(script.bytes(), after(PushPair::kPatience));
  TestSource source(source_bytes());
  Sender sender(*ours, {}, after(PushPair::kPatience));
  sender.offer("data", source, after(PushPair::kPatience));
  sender.sync({}, after(PushPair::kPatience));
  EXPECT_TRUE(sender.is_asked_to_hand_over(after(PushPair::kPatience)));
}

// A full disk at the receiver is a full disk at the source, and no broken pipe: the source reads
// why before it says so.
TEST(AReceiver, ThatGaveUpInTheMiddleOfARoundIsQuoted) {
  auto [ours, theirs] = stream_pair();
  const auto receiving = std::async(std::launch::async, [&stream = *theirs] {
    stream.write_all(has(0).say(Kind::failed, Failure{ENOSPC, "writing the received file"}).bytes(),
                     after(PushPair::kPatience));
    Bytes some(1 << 20);
    stream.read_all(some, after(PushPair::kPatience));
    stream.shut_down();
  });
  TestSource source(seeded(4 << 20, 1));  // more than the socket holds
  const Ending ending = ending_of([&, &stream = *ours] {
    Sender sender(stream, {}, after(PushPair::kPatience));
    sender.offer("data", source, after(PushPair::kPatience));
    sender.sync({}, after(PushPair::kPatience));
  });
  EXPECT_EQ(ending.code, of_errno(ENOSPC)) << ending.text;
}

}  // namespace
}  // namespace memsync::mmap_push
