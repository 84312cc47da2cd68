// A writer that does anything, a connection that is cut anywhere, a receiver that starts anew at
// any time: equal at each quiet point.
#include <deque>
#include <fcntl.h>
#include <gtest/gtest.h>

#include "approaches/mmap_push/push_pair.h"
#include "lib/region/digest.h"

namespace memsync::mmap_push {
namespace {

using std::byte;

struct Way {
  uint64_t seed;
  Consistency consistency;
  Publish publish;
  Compression compression;
  bool keeps;  // patches
};

// Every pair of choices at least once, each with a seed of its own.
std::vector<Way> ways() {
  std::vector<Way> all;
  for (const Consistency consistency :
       {Consistency::fuzzy, Consistency::quiet, Consistency::snapshot})
    for (const Publish publish : {Publish::versions, Publish::in_place})
      for (const bool other : {false, true}) {
        const auto number = all.size();
        all.push_back({number + 1, consistency, publish,
                       (number + number / 4) % 2 == 0 ? Compression::zstd : Compression::off,
                       other});
      }
  return all;
}

class RandomWriter : public testing::TestWithParam<Way> {};
std::string name_of_way(const testing::TestParamInfo<Way>& test) {
  static constexpr const char* kNames[] = {"fuzzy", "quiet", "snapshot"};
  const Way& way = test.param;
  return "seed_" + std::to_string(way.seed) + "_" + kNames[static_cast<int>(way.consistency)] +
         (way.publish == Publish::versions ? "_versions" : "_in_place") +
         (way.compression == Compression::zstd ? "_zstd" : "") + (way.keeps ? "_patches" : "");
}
INSTANTIATE_TEST_SUITE_P(Ways, RandomWriter, testing::ValuesIn(ways()), name_of_way);

// Both the model and the application: whatever is done to the bytes is done here.
class Application {
 public:
  static constexpr uint64_t kSizeMax = 40 * 4096;

  Application(TestSource& source, uint64_t seed) : source_(source), draws_(seed) {}

  void write_something() {
    ++operations;
    const uint64_t what = draws_.below(1000);
    const uint64_t size = source_.bytes.size();
    if (what < 4 && keeps_length) return;
    if (what < 2) return resize(draws_.below(kSizeMax));
    if (what < 4) return resize(draws_.below(40) * 4096);  // on a block's boundary, and to nothing
    if (size == 0) return;
    const uint64_t offset = draws_.below(size);
    const uint64_t room = size - offset;
    if (what < 20)  // a hole
      return source_.write(offset, Bytes(std::min(room, draws_.below(3 * 4096) + 1)));
    if (what < 40)  // what compresses
      return source_.write(offset, Bytes(std::min(room, draws_.below(9000) + 1), byte{3}));
    if (what < 60)
      return source_.write(offset, seeded(std::min(room, draws_.below(9000) + 1), what));
    source_.write(offset, seeded(std::min(room, draws_.below(8) + 1), draws_.next()));
  }
  uint64_t operations = 0;
  bool keeps_length = false;

 private:
  void resize(uint64_t size) {
    const uint64_t old = source_.bytes.size();
    source_.bytes.resize(size);
    if (size > old) source_.write(old, Bytes(size - old));
  }

  TestSource& source_;
  SeededDraws draws_;
};

// A reader that goes on reading what it has opened.
struct Reader {
  FileDescriptor file;
  Bytes expected;
  Bytes now() const {
    Bytes bytes(expected.size() + 1);
    const ssize_t got = ::pread(file.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(static_cast<size_t>(check(got, "reading an old version")));
    return bytes;
  }
};

TEST_P(RandomWriter, IsFollowedByteByByte) {
  const Way way = GetParam();
  RecordProperty("seed", static_cast<int>(way.seed));
  SCOPED_TRACE("seed " + std::to_string(way.seed));
  PushPair pair(way.publish, {way.consistency, way.compression, 4096});
  TestSource source(seeded(100'000, way.seed), way.keeps);
  SeededDraws draws(mix64(way.seed));
  Application writer(source, way.seed);

  bool is_paused = false, is_quiet = true;
  uint64_t cut_at = 0, looks = 0;  // copies until the connection is cut; 0: it is not
  Bytes at_the_pause;
  const WriterControl control{.pause =
                                  [&] {
                                    is_paused = true;
                                    at_the_pause = source.bytes;
                                  },
                              .resume = [&] { is_paused = false; }};
  source.on_copy = [&](uint64_t) {
    if (cut_at > 0 && --cut_at == 0) pair.dialled().shut_down();
    if (!is_paused && !is_quiet)
      for (uint64_t i = draws.below(30); i > 0; --i) writer.write_something();
  };
  source.on_changed = [&] {
    // quiet: the writer rests after a while
    writer.keeps_length = true;  // its length has been looked at already
    if (!is_paused && !is_quiet && ++looks < 4)
      for (uint64_t i = draws.below(30); i > 0; --i) writer.write_something();
    writer.keeps_length = false;
    if (looks >= 4) is_quiet = true;
  };
  ReceiverEvents events;
  uint64_t published = 0;
  events.published = [&](ReceivedFile&, const End&, bool) {
    ++published;
    if (way.consistency == Consistency::snapshot) {
      EXPECT_EQ(digest_of(pair.contents("data")), digest_of(at_the_pause));
    }
  };

  const bool tells_readers = way.publish == Publish::versions;
  std::deque<Reader> readers;
  bool is_connected = false;
  uint64_t cuts = 0, restarts = 0;
  while (writer.operations < 100'000 && !HasFailure()) {
    for (uint64_t i = draws.below(400); i > 0; --i) writer.write_something();
    if (draws.below(20) == 0) {
      pair.restart_receiver(way.publish);
      is_connected = false;
      ++restarts;
    }
    is_quiet = draws.below(3) == 0;
    looks = 0;
    if (draws.below(8) == 0) cut_at = draws.below(30) + 1;
    const Bytes before = is_connected || published > 0 ? pair.contents("data") : Bytes{};
    try {
      if (!is_connected) pair.connect(events).offer("data", source, after(PushPair::kPatience));
      is_connected = true;
      pair.sync(control);
      if (is_quiet || way.consistency == Consistency::quiet) {
        ASSERT_EQ(digest_of(pair.contents("data")), digest_of(source.bytes))
            << writer.operations << " operations";
      }
    } catch (const std::system_error& problem) {
      // Cut by us: nothing else may end a round.
      ASSERT_TRUE(problem.code().value() == ECONNRESET || problem.code().value() == EPIPE)
          << problem.what();
      pair.disconnect();
      is_connected = is_paused = false;
      ++cuts;
      const bool was_published = pair.contents("data") != before;
      if (way.publish == Publish::versions && was_published &&
          way.consistency == Consistency::snapshot) {
        ASSERT_EQ(pair.contents("data"), at_the_pause);
      }
    }
    cut_at = 0;
    if (tells_readers && published > 0 && draws.below(4) == 0) {
      readers.push_back({FileDescriptor::open(pair.path("data"), O_RDONLY), pair.contents("data")});
      if (readers.size() > 3) readers.pop_front();
    }
    for (const Reader& reader : readers) {
      ASSERT_EQ(digest_of(reader.now()), digest_of(reader.expected))
          << "an old version changed under its reader";
    }
  }
  EXPECT_GE(writer.operations, 100'000u);
  EXPECT_GT(cuts, 0u);
  EXPECT_GT(restarts, 0u);
  is_quiet = true;
  if (!is_connected) pair.connect(events).offer("data", source, after(PushPair::kPatience));
  pair.sync(control);
  EXPECT_EQ(digest_of(pair.contents("data")), digest_of(source.bytes));
}

}  // namespace
}  // namespace memsync::mmap_push
