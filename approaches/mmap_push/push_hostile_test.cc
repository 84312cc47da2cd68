// Whatever a source says: a named error, the connection ended, the readers' version untouched, and
// the next connection served.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "approaches/mmap_push/raw_peer.h"

namespace memsync::mmap_push {
namespace {

using std::byte;

constexpr uint64_t kSize = 4 * 4096 + 100;

const std::error_code kMalformed = make_error_code(RegionError::malformed);
const std::error_code kRefused = make_error_code(RegionError::refused);

Script hello() {
  return Script::of(Role::source);
}
Script offered() {
  return hello().say(Kind::offer, Offer{kSize, 4096, "data"});
}
Script begun(uint64_t size = kSize) {
  return offered().say(Kind::begin, Begin{1, size});
}
Bytes named(const std::string& name) {
  return encode(Offer{kSize, 4096, name});
}
Bytes piece(uint32_t offset, uint32_t length, size_t bytes) {
  return bytes_of(offset) + bytes_of(length) + Bytes(bytes, byte{7});
}
Bytes packed(const Bytes& bytes) {
  Bytes result(ZSTD_compressBound(bytes.size()));
  result.resize(ZSTD_compress(result.data(), result.size(), bytes.data(), bytes.size(), 1));
  return result;
}
Bytes times(unsigned count, const Bytes& bytes) {
  Bytes result;
  while (count-- > 0) result = result + bytes;
  return result;
}

struct Said {
  const char* name;
  Bytes bytes;
  std::error_code expected;
};

std::vector<Said> greetings() {
  Hello version{.version = 2, .role = Role::source}, role{.role = Role::receiver};
  Hello magic{.role = Role::source}, length{.role = Role::source, .hello_bytes = 64};
  magic.magic[3] = '!';
  return {
      {"greets_in_another_version", Script(version).bytes(), kRefused},
      {"greets_as_a_receiver", Script(role).bytes(), kRefused},
      {"greets_as_nobody", Script(Hello{}).bytes(), kRefused},
      {"greets_with_other_letters", Script(magic).bytes(), kRefused},
      {"greets_at_another_length", Script(length).bytes(), kRefused},
      {"greets_with_http", seeded(4096, 3), kRefused},
      {"says_nothing", {}, of_errno(ECONNRESET)},
      {"greets_by_half", seeded(31, 3), of_errno(ECONNRESET)},
  };
}

std::vector<Said> headers() {
  std::vector<Said> said = {
      {"has_a_length_of_minus_one", begun().header(Kind::blocks, 0xffffffff).bytes(), kMalformed},
      {"has_a_length_of_2_31", begun().header(Kind::blocks, 1U << 31).bytes(), kMalformed},
      {"has_a_length_of_one_too_many", begun().header(Kind::blocks, kPayloadMax + 1).bytes(),
       kMalformed},
      {"is_of_no_kind", hello().header(Kind{0}, 0).bytes(), kMalformed},
      {"is_of_an_unknown_kind", hello().header(Kind{11}, 0).bytes(), kMalformed},
      {"is_of_the_last_kind", hello().header(Kind{255}, 0).bytes(), kMalformed},
      {"is_a_receivers", offered().say(Kind::have, Have{}).bytes(), kMalformed},
      {"asks_a_receiver_to_take_over", hello().header(Kind::take_over, 0).bytes(), kMalformed},
      {"has_unknown_flags", begun().header(Kind::end, 40, 0, 4).bytes(), kMalformed},
      {"has_an_ends_flags", offered().header(Kind::begin, 16, 0, kFlagPublish).bytes(), kMalformed},
      {"is_final_and_not_published", begun().header(Kind::end, 40, 0, kFlagFinal).bytes(),
       kMalformed},
      {"has_reserved_bytes", hello().header(Kind::offer, 16, 0, 0, 1).bytes(), kMalformed},
      {"is_of_a_file_too_many", hello().header(Kind::offer, 16, kFilesMax).bytes(), kMalformed},
      {"is_of_file_minus_one", hello().header(Kind::begin, 16, 0xffffffff).bytes(), kMalformed},
  };
  for (const Kind kind : {Kind::offer, Kind::ask_table, Kind::begin})
    said.push_back(
        {"is_empty", offered().header(kind, 0, kind == Kind::offer).bytes(), kMalformed});
  for (const Kind kind : {Kind::blocks, Kind::zeros, Kind::patch, Kind::packed, Kind::end})
    said.push_back({"is_empty_in_a_round", begun().header(kind, 0).bytes(), kMalformed});
  for (const Kind kind : {Kind::blocks, Kind::zeros, Kind::patch, Kind::packed, Kind::end})
    said.push_back({"comes_before_a_round", offered().say(kind, Bytes(40)).bytes(), kMalformed});
  for (const Kind kind :
       {Kind::ask_table, Kind::begin, Kind::blocks, Kind::zeros, Kind::patch, Kind::end})
    said.push_back(
        {"is_of_a_file_never_offered", hello().say(kind, Bytes(40)).bytes(), kMalformed});
  return said;
}

std::vector<Said> offers() {
  const auto offer = [](uint64_t size, uint32_t block) {
    return hello().say(Kind::offer, Offer{size, block, "data"}).bytes();
  };
  std::vector<Said> said = {
      {"offers_2_63_bytes", offer(1ULL << 63, 1 << 20), kMalformed},
      {"offers_minus_one_bytes", offer(UINT64_MAX, 1 << 20), kMalformed},
      {"offers_too_many_blocks", offer(1ULL << 47, 4096), kMalformed},
      {"offers_too_many_large_blocks", offer(1ULL << 47, 1 << 20), kMalformed},
      {"offers_half_a_message", hello().say(Kind::offer, Bytes(11)).bytes(), kMalformed},
      {"offers_no_name", hello().say(Kind::offer, named("")).bytes(), kRefused},
      {"offers_in_no_order", hello().say(Kind::offer, named("data"), 1).bytes(), kMalformed},
      {"offers_a_number_twice", offered().say(Kind::offer, named("other")).bytes(), kMalformed},
      {"offers_a_name_twice", offered().say(Kind::offer, named("data"), 1).bytes(), kMalformed},
      // The first file's blocks would be written to what is no longer there.
      {"offers_a_name_twice_in_other_blocks",
       offered()
           .say(Kind::offer, Offer{kSize, 8192, "data"}, 1)
           .say(Kind::begin, Begin{1, 1})
           .bytes(),
       kMalformed},
      {"offers_within_a_round", begun().say(Kind::offer, named("other"), 1).bytes(), kMalformed},
      {"offers_too_long_a_name",
       hello().say(Kind::offer, named(std::string(kNameMax + 1, 'a'))).bytes(), kMalformed},
  };
  for (const uint32_t block : {0u, 1u, 3u, 2048u, 4097u, 2u << 20, 1u << 31, 0xffffffffu})
    said.push_back({"offers_such_blocks", offer(kSize, block), kMalformed});
  const std::string nul(1, '\0');
  for (const std::string& name : std::vector<std::string>{
           std::string("."), std::string(".."), std::string("../data"), std::string("a/../../data"),
           std::string("a/.."), std::string("./data"), std::string("/data"), std::string("/"),
           std::string("a//data"), std::string("a/"), "da" + nul + "ta", nul, std::string("da\nta"),
           std::string("\x1b[2J"), std::string("da\x7fta"), std::string(kPartMax + 1, 'a'),
           ".memsync-spare.data", "a/.memsync-spare.b/c", std::string(".memsync-spare.")})
    said.push_back({"offers_such_a_name", hello().say(Kind::offer, named(name)).bytes(), kRefused});
  return said;
}

std::vector<Said> rounds() {
  const Bytes block = seeded(4096, 8);
  std::vector<Said> said = {
      {"begins_with_2_63_bytes", begun(1ULL << 63).bytes(), kMalformed},
      {"begins_with_2_47_bytes", begun(1ULL << 47).bytes(), kMalformed},
      {"begins_too_long", offered().say(Kind::begin, Bytes(17)).bytes(), kMalformed},
      {"begins_within_a_round", begun().say(Kind::begin, Begin{2, kSize}).bytes(), kMalformed},
      {"ends_another_round", begun().say(Kind::end, End{.round = 2, .table = {}}).bytes(),
       kMalformed},
      {"ends_with_another_digest",
       begun().say(Kind::end, End{.round = 1, .table = {1, 2}}, 0, kFlagPublish).bytes(),
       of_errno(EBADMSG)},
      {"ends_before_yesterday",
       begun().say(Kind::end, End{.round = 1, .table = {}, .suspend = Nanoseconds(-1)}).bytes(),
       kMalformed},
      {"ends_too_long", begun().say(Kind::end, Bytes(41)).bytes(), kMalformed},
      {"hears_of_blocks_that_are_not", offered().say(Kind::ask_table, BlockRun{0, 6}).bytes(),
       kMalformed},
      {"hears_of_no_blocks", offered().say(Kind::ask_table, BlockRun{0, 0}).bytes(), kMalformed},
      {"hears_of_too_many_blocks", offered().say(Kind::ask_table, BlockRun{UINT64_MAX, 2}).bytes(),
       kMalformed},
      {"gives_up", offered().say(Kind::failed, Failure{EIO, "my disk"}).bytes(), of_errno(EIO)},
      {"gives_up_with_no_reason", offered().say(Kind::failed, Failure{-5, ""}).bytes(),
       of_errno(ECONNABORTED)},
      {"gives_up_at_length", offered().say(Kind::failed, Bytes((64 << 10) + 1)).bytes(),
       kMalformed},
      {"gives_up_by_half", offered().say(Kind::failed, Bytes(3)).bytes(), kMalformed},
      {"places_nothing", begun().place(Kind::blocks, 0, {}).bytes(), kMalformed},
      {"places_behind_the_end", begun().place(Kind::blocks, 5, block).bytes(), kMalformed},
      {"places_far_behind_the_end", begun().place(Kind::blocks, 1ULL << 63, block).bytes(),
       kMalformed},
      {"places_at_minus_one", begun().place(Kind::blocks, UINT64_MAX, block).bytes(), kMalformed},
      {"places_across_the_end", begun().place(Kind::blocks, 4, block).bytes(), kMalformed},
      {"places_half_a_block", begun().place(Kind::blocks, 0, Bytes(100)).bytes(), kMalformed},
      {"places_one_and_a_half", begun().place(Kind::blocks, 0, Bytes(6000)).bytes(), kMalformed},
      {"places_a_block_twice",
       begun().place(Kind::blocks, 1, block).place(Kind::blocks, 1, block).bytes(), kMalformed},
      {"places_descending",
       begun().place(Kind::blocks, 2, block).place(Kind::blocks, 1, block).bytes(), kMalformed},
      {"places_zeros_and_a_block_twice",
       begun().say(Kind::zeros, BlockRun{0, 3}).place(Kind::blocks, 2, block).bytes(), kMalformed},
      {"places_no_zeros", begun().say(Kind::zeros, BlockRun{0, 0}).bytes(), kMalformed},
      {"places_zeros_behind_the_end", begun().say(Kind::zeros, BlockRun{4, 2}).bytes(), kMalformed},
      {"places_minus_one_zeros", begun().say(Kind::zeros, BlockRun{1, UINT64_MAX}).bytes(),
       kMalformed},
      {"packs_what_is_not_packed", begun().place(Kind::packed, 0, block).bytes(), kMalformed},
      {"packs_a_bomb", begun().place(Kind::packed, 0, packed(Bytes(64 << 20))).bytes(), kMalformed},
      {"packs_many_bombs",
       begun().place(Kind::packed, 0, times(100, packed(Bytes(1 << 20)))).bytes(), kMalformed},
      {"packs_too_many_blocks", begun().place(Kind::packed, 0, packed(Bytes(1 << 20))).bytes(),
       kMalformed},
      {"packs_half_a_block", begun().place(Kind::packed, 0, packed(Bytes(100))).bytes(),
       kMalformed},
      {"packs_nothing", begun().place(Kind::packed, 0, packed({})).bytes(), kMalformed},
  };
  const std::pair<const char*, Bytes> patches[] = {
      {"patches_behind_the_block", piece(4096, 1, 1)},
      {"patches_across_its_end", piece(4095, 2, 2)},
      {"patches_at_minus_one", piece(0xffffffff, 1, 1)},
      {"patches_minus_one_bytes", piece(1, 0xffffffff, 100)},
      {"patches_nothing", piece(0, 0, 0)},
      {"patches_without_a_piece", {}},
      {"patches_overlapping", piece(10, 20, 20) + piece(29, 5, 5)},
      {"patches_descending", piece(10, 20, 20) + piece(0, 5, 5)},
      {"patches_the_same_twice", piece(10, 20, 20) + piece(10, 20, 20)},
      {"patches_by_half", piece(10, 20, 19)},
      {"patches_by_half_a_header", piece(10, 20, 20) + Bytes(7)},
  };
  for (const auto& [name, patch] : patches)
    said.push_back({name, begun().place(Kind::patch, 0, patch).bytes(), kMalformed});
  said.push_back({"patches_behind_the_last_block",
                  begun().place(Kind::patch, 4, piece(100, 1, 1)).bytes(), kMalformed});
  said.push_back({"patches_a_block_that_is_not",
                  begun().place(Kind::patch, 5, piece(0, 1, 1)).bytes(), kMalformed});
  said.push_back({"patches_a_block_that_nobody_holds",
                  begun(kSize + 4096).place(Kind::patch, 5, piece(0, 1, 1)).bytes(), kMalformed});
  said.push_back(
      {"patches_a_block_twice",
       begun().place(Kind::patch, 0, piece(0, 1, 1)).place(Kind::patch, 0, piece(0, 1, 1)).bytes(),
       kMalformed});
  return said;
}

std::vector<Said> everything() {
  std::vector<Said> all;
  for (auto part : {greetings(), headers(), offers(), rounds()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

class ASource : public testing::TestWithParam<Publish> {};
INSTANTIATE_TEST_SUITE_P(That, ASource, testing::Values(Publish::versions, Publish::in_place),
                         [](const auto& test) {
                           return test.param == Publish::in_place ? "in_place" : "versions";
                         });

void expect_harmless(const Said& said, Publish publish) {
  RawReceiving receiving(publish);
  const Bytes before = seeded(kSize, 1), later = seeded(kSize, 2);
  receiving.bring("data", before);
  const Ending ending = receiving.hear(said.bytes);
  EXPECT_EQ(ending.code, said.expected) << ending.text;
  EXPECT_FALSE(ending.text.empty());
  if (publish == Publish::versions) {
    EXPECT_EQ(file_bytes(receiving.path("data")), before);
  }
  // The folder of this connection serves the next one, and so does one that starts anew.
  receiving.bring("data", later);
  EXPECT_EQ(file_bytes(receiving.path("data")), later);
  receiving.hear(said.bytes);
  receiving.received.reset();
  receiving.received =
      std::make_unique<ReceivedFolder>(receiving.folder.path(), publish, Durable::off);
  receiving.bring("data", before);
  EXPECT_EQ(file_bytes(receiving.path("data")), before);
}

// Frames of any length (xF5), names that lead elsewhere (xF8), and all else that is not the
// protocol. In one process: what is said takes longer to put together than to refuse.
TEST_P(ASource, IsRefusedAndHarmsNothing) {
  for (const Said& said : everything()) {
    SCOPED_TRACE(said.name);
    expect_harmless(said, GetParam());
  }
}

TEST(AReceiver, TellsTheSourceWhyItGivesUp) {
  RawReceiving receiving;
  receiving.hear(begun().place(Kind::patch, 0, {}).bytes());
  const std::string heard(reinterpret_cast<const char*>(receiving.heard.data()),
                          receiving.heard.size());
  EXPECT_THAT(heard, testing::HasSubstr("a patch of block 0, which is not held"));
}

// A conversation with each kind of message, of two rounds.
Script conversation(const Bytes& bytes) {
  Bytes patched = bytes;
  patched[5] = byte{7};
  const auto part = [&](uint64_t from, uint64_t to) {
    return Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                 bytes.begin() + static_cast<std::ptrdiff_t>(to));
  };
  return offered()
      .say(Kind::ask_table, BlockRun{0, 5})
      .say(Kind::begin, Begin{1, kSize})
      .place(Kind::blocks, 0, part(0, 8192))
      .place(Kind::packed, 2, packed(part(8192, 12'288)))
      .say(Kind::zeros, BlockRun{3, 1})
      .place(Kind::blocks, 4, part(16'384, kSize))
      .say(Kind::end, End{.round = 1, .table = table_digest(bytes)}, 0, kFlagPublish)
      .say(Kind::begin, Begin{2, kSize})
      .place(Kind::patch, 0, piece(5, 1, 1))
      .say(Kind::end, End{.round = 2, .table = table_digest(patched)}, 0, kFlagPublish);
}

// After each byte of it that matters: at a message's start and end, within its header, within its
// numbers and within its bytes.
std::vector<size_t> cuts(const Script& script) {
  std::vector<size_t> all = {0, 1, 31};
  for (size_t i = 0; i < script.starts().size(); ++i) {
    const size_t start = script.starts()[i];
    const size_t end =
        i + 1 < script.starts().size() ? script.starts()[i + 1] : script.bytes().size();
    for (const size_t at : {start, start + 1, start + 11, start + 12, start + 13, start + 19,
                            start + 20, start + 21, (start + end) / 2, end - 1})
      if (at < end) all.push_back(at);
  }
  return all;
}

class ASourceThat : public testing::TestWithParam<RawReceiving::Then> {};
INSTANTIATE_TEST_SUITE_P(Within, ASourceThat,
                         testing::Values(RawReceiving::Then::ends, RawReceiving::Then::stalls),
                         [](const auto& test) {
                           return test.param == RawReceiving::Then::ends ? "ends" : "stalls";
                         });

TEST_P(ASourceThat, LeavesAWholeVersionWhereverItStops) {
  const bool ends = GetParam() == RawReceiving::Then::ends;
  const Bytes before = seeded(kSize, 1);
  Bytes first = seeded(kSize, 2);
  std::fill_n(first.begin() + 3 * 4096, 4096, byte{0});
  Bytes second = first;
  second[5] = byte{7};
  const Script script = conversation(first);
  const size_t begin_one = script.starts()[2], begin_two = script.starts()[8];
  RawReceiving receiving;
  for (const size_t cut : cuts(script)) {
    SCOPED_TRACE("after " + std::to_string(cut) + " bytes");
    const bool is_between =
        cut == begin_two || std::ranges::find(script.starts().begin(), script.starts().begin() + 3,
                                              cut) != script.starts().begin() + 3;
    if (!ends && is_between) continue;  // a source may rest between rounds as long as it likes
    receiving.bring("data", before);
    const Ending ending = receiving.hear(
        Bytes(script.bytes().begin(), script.bytes().begin() + static_cast<std::ptrdiff_t>(cut)),
        GetParam(), ends ? PushPair::kPatience : std::chrono::milliseconds(5));
    if (is_between)
      EXPECT_EQ(ending.code, std::error_code{}) << ending.text;
    else
      EXPECT_EQ(ending.code, of_errno(ends ? ECONNRESET : ETIMEDOUT)) << ending.text;
    EXPECT_EQ(file_bytes(receiving.path("data")), cut < begin_two ? before : first);
  }
  EXPECT_GT(begin_two, begin_one);
  receiving.bring("data", before);
  EXPECT_EQ(receiving.hear(script.bytes()).code, std::error_code{});
  EXPECT_EQ(file_bytes(receiving.path("data")), second);
}

TEST(AReceiver, TakesNoMoreThanItsLimits) {
  RawReceiving receiving(Publish::versions, {.file_bytes = 1 << 20, .blocks = 300});
  EXPECT_EQ(receiving.hear(begun((1 << 20) + 1).bytes()).code, kRefused);
  EXPECT_EQ(receiving
                .hear(begun(1 << 20)
                          .say(Kind::zeros, BlockRun{0, 256})
                          .say(Kind::end, End{.round = 1, .table = table_digest(Bytes(1 << 20))}, 0,
                               kFlagPublish)
                          .say(Kind::offer, named("other"), 1)
                          .say(Kind::begin, Begin{1, 45 * 4096}, 1)
                          .bytes())
                .code,
            kRefused);
  EXPECT_EQ(file_bytes(receiving.path("data")), Bytes(1 << 20));
}

}  // namespace
}  // namespace memsync::mmap_push
