// Our ends against the original's behaviour: unmodified_peer.py, written from the description
// alone.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "approaches/mmap_push/thesis/test_support.h"
#include "lib/os/error.h"
#include "lib/os/process.h"

namespace memsync::mmap_push::thesis::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kBlock = 4096;

// The peer in a process of its own, connected to `socket`.
class UnmodifiedPeer {
 public:
  UnmodifiedPeer(const std::string& role, const std::string& path, FileDescriptor socket) {
    auto [in, lines_in] = ends();
    auto [lines_out, out] = ends();
    ProcessSetup setup;
    setup.arguments = {MEMSYNC_PYTHON, MEMSYNC_THESIS_PEER,    role,
                       path,           std::to_string(kBlock), "3"};
    setup.descriptors = {{in.get(), 0}, {out.get(), 1}, {socket.get(), 3}};
    process_ = Process::start(setup);
    input_ = std::move(lines_in);
    output_ = std::move(lines_out);
  }
  // One round of a source: what it listed.
  json round() {
    write_all(input_.get(), "\n", 1, "asking the peer for a round");
    std::string line;
    for (char letter = 0; letter != '\n'; line += letter)
      read_all(output_.get(), &letter, 1, "waiting for the peer's round");
    return json::parse(line);
  }
  void leave() { input_ = FileDescriptor{}; }
  bool ended_well() {
    const auto end = process_->wait_until(soon());
    return end && end->signal == 0 && end->exit_code == 0;
  }

 private:
  static std::pair<FileDescriptor, FileDescriptor> ends() {
    int numbers[2];
    check(::pipe2(numbers, O_CLOEXEC), "pipe");
    return {FileDescriptor{numbers[0]}, FileDescriptor{numbers[1]}};
  }
  FileDescriptor input_, output_;
  std::optional<Process> process_;
};

class ThesisPeer : public TwoFiles {
 protected:
  // Our receiver at work, and the unmodified source.
  void begin_receiving() {
    auto [ours, theirs] = FileDescriptor::socket_pair();
    receiving_.emplace(stream_of(std::move(ours)), received_file(), small_blocks());
    peer_.emplace("source", source_path(), std::move(theirs));
  }
  void end_receiving() {
    peer_->leave();
    EXPECT_TRUE(peer_->ended_well());
    EXPECT_EQ(receiving_->end(), 0);
  }
  std::optional<Receiving> receiving_;
  std::optional<UnmodifiedPeer> peer_;
};

TEST_F(ThesisPeer, ReceivesEachChangeOfOurSourceInOneRound) {
  auto [ours, theirs] = FileDescriptor::socket_pair();
  UnmodifiedPeer peer("receiver", received_path(), std::move(theirs));
  std::string bytes = random_bytes(1, 41'060);
  {
    write_file(source_path(), bytes);
    ThesisSource source(stream_of(std::move(ours)), source_file(), small_blocks());
    const auto round = [&](const std::string& change) {
      write_file(source_path(), bytes);
      const auto report = source.round(soon());
      EXPECT_EQ(read_file(received_path()), bytes) << change;
      return report.chunks_moved;
    };
    EXPECT_EQ(round("everything"), 11U);
    EXPECT_EQ(round("nothing"), 0U);
    bytes[4097] ^= 1;
    EXPECT_EQ(round("the middle, xF1"), 2U);
    bytes.resize(40'960);
    EXPECT_EQ(round("shorter by the tail"), 1U);
    bytes.resize(8192);
    EXPECT_EQ(round("shorter by whole blocks, xF2"), 1U);
    bytes += std::string(5000, '\0');
    EXPECT_EQ(round("longer by zeros"), 2U);
    bytes.clear();
    EXPECT_EQ(round("empty"), 0U);
    EXPECT_EQ(round("still empty"), 0U);
    bytes = "a";
    EXPECT_EQ(round("one byte"), 1U);
  }
  EXPECT_TRUE(peer.ended_well());
}

TEST_F(ThesisPeer, KeepsItsBytesWhenOurSourceIsGone) {  // xF6
  write_file(source_path(), random_bytes(1, 8192));
  write_file(received_path(), random_bytes(2, 8192));
  auto [ours, theirs] = FileDescriptor::socket_pair();
  UnmodifiedPeer peer("receiver", received_path(), std::move(theirs));
  ThesisSource source(stream_of(std::move(ours)), source_file(), small_blocks());
  fs::remove(source_path());
  EXPECT_EQ(error_of([&] { source.round(soon()); }), ENOENT);
  EXPECT_EQ(read_file(received_path()), random_bytes(2, 8192));
}

TEST_F(ThesisPeer, SendsToOurReceiver) {
  std::string bytes = random_bytes(1, 41'060);
  write_file(source_path(), bytes);
  begin_receiving();
  EXPECT_EQ(peer_->round()["blocks"].size(), 11U);
  EXPECT_TRUE(files_are_equal());
  EXPECT_EQ(peer_->round(), (json{{"blocks", json::array()}, {"cutoff", 3996}}));
  bytes.back() ^= 1;
  write_file(source_path(), bytes + "more");
  EXPECT_EQ(peer_->round(), (json{{"blocks", {10}}, {"cutoff", 3992}}));
  EXPECT_TRUE(files_are_equal());
  fs::resize_file(source_path(), 5000);
  EXPECT_EQ(peer_->round()["blocks"], json({1}));
  EXPECT_TRUE(files_are_equal());
  fs::resize_file(source_path(), 0);
  EXPECT_EQ(peer_->round()["cutoff"], -1);
  EXPECT_TRUE(files_are_equal());
  end_receiving();
}

// What the README says of an unmodified source: only its own end could correct these.
TEST_F(ThesisPeer, CutsOurReceivedFileForOneRoundAfterAChangeInTheMiddle) {
  std::string bytes = random_bytes(1, 41'060);
  write_file(source_path(), bytes);
  begin_receiving();
  peer_->round();
  bytes[4097] ^= 1;
  write_file(source_path(), bytes);
  EXPECT_EQ(peer_->round()["blocks"], json({1}));
  EXPECT_EQ(fs::file_size(received_path()), 2 * kBlock - 3996);
  EXPECT_EQ(peer_->round()["blocks"].size(), 10U);
  EXPECT_TRUE(files_are_equal());
  end_receiving();
}

TEST_F(ThesisPeer, NeverTellsOurReceiverOfAShrinkByWholeBlocks) {
  write_file(source_path(), random_bytes(1, 8192));
  begin_receiving();
  peer_->round();
  fs::resize_file(source_path(), 4096);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(peer_->round()["blocks"].size(), 0U);
  EXPECT_EQ(fs::file_size(received_path()), 8192U);
  end_receiving();
}

TEST_F(ThesisPeer, EmptiesOurReceivedFileWhenItsOwnIsGone) {
  write_file(source_path(), random_bytes(1, 8192));
  begin_receiving();
  peer_->round();
  fs::remove(source_path());
  EXPECT_EQ(peer_->round()["cutoff"], -1);
  EXPECT_EQ(fs::file_size(received_path()), 0U);
  end_receiving();
}

}  // namespace
}  // namespace memsync::mmap_push::thesis::test
