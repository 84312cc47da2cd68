// Either end is killed after each byte or so of a round; a new connection converges.
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "approaches/mmap_push/thesis/test_support.h"
#include "lib/os/error.h"

namespace memsync::mmap_push::thesis::test {
namespace {

// Lets so many bytes pass, in both directions together, and then kills its process.
class KillingStream : public Stream {
 public:
  KillingStream(std::unique_ptr<Stream> next, size_t bytes)
      : next_(std::move(next)), left_(bytes) {}
  std::optional<size_t> read_some(std::span<const iovec> into) override {
    const iovec part = clipped(into[0]);
    return passed(next_->read_some({&part, 1}));
  }
  std::optional<size_t> write_some(std::span<const iovec> from) override {
    const iovec part = clipped(from[0]);
    return passed(next_->write_some({&part, 1}));
  }
  int descriptor() const noexcept override { return next_->descriptor(); }
  void shut_down() noexcept override { next_->shut_down(); }
  uint64_t bytes_read() const noexcept override { return next_->bytes_read(); }
  uint64_t bytes_written() const noexcept override { return next_->bytes_written(); }

 private:
  iovec clipped(iovec whole) const {
    if (left_ == 0) ::kill(::getpid(), SIGKILL);
    whole.iov_len = std::min(whole.iov_len, left_);
    return whole;
  }
  std::optional<size_t> passed(std::optional<size_t> moved) {
    left_ -= moved.value_or(0);
    return moved;
  }
  std::unique_ptr<Stream> next_;
  size_t left_;
};

class ThesisDeaths : public TwoFiles {
 protected:
  static Settings settings() {
    Settings one = small_blocks(512);
    one.workers = 1;  // a forked child has no other threads
    return one;
  }
  // The source has grown, changed in the middle, and the received file is as it was before.
  void prepare() const {
    std::string bytes = random_bytes(1, 2000);
    write_file(received_path(), bytes);
    bytes[600] ^= 1;
    write_file(source_path(), bytes + random_bytes(2, 1100));
  }
  // One round of which `dying` runs in a child over a stream that kills it after `bytes`, and
  // `living` here. True when the child came to its end.
  static bool round(size_t bytes, const std::function<void(std::unique_ptr<Stream>)>& dying,
                    const std::function<void(std::unique_ptr<Stream>)>& living) {
    auto [ours, theirs] = connection();
    const pid_t child = check(::fork(), "fork");
    if (child == 0) {
      ours.reset();
      try {
        dying(std::make_unique<KillingStream>(std::move(theirs), bytes));
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    theirs.reset();
    living(std::move(ours));
    int status = 0;
    check(::waitpid(child, &status, 0), "waitpid");
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return !WIFSIGNALED(status);
  }
};

TEST_F(ThesisDeaths, OfTheReceiverAtAnyStepAreReportedAndHealed) {
  size_t deaths = 0;
  for (size_t bytes = 0;; bytes += bytes < 150 ? 3 : 101, ++deaths) {
    prepare();
    bool is_whole = false;
    const bool lived = round(
        bytes,
        [&](auto stream) {
          ThesisReceiver(std::move(stream), received_file(), settings()).serve({});
        },
        [&](auto stream) {
          ThesisSource source(std::move(stream), source_file(), settings());
          const int error = error_of([&] { source.round(soon()); });
          is_whole = error == 0;
          EXPECT_TRUE(is_whole || error == ECONNRESET || error == EPIPE) << error;
        });
    // What round() says is true even of a receiver that dies right afterwards.
    EXPECT_TRUE(!is_whole || files_are_equal()) << bytes;
    sync_once(settings());
    ASSERT_TRUE(files_are_equal()) << "killed after " << bytes << " bytes";
    if (lived) break;
  }
  EXPECT_GT(deaths, 60U);
}

TEST_F(ThesisDeaths, OfTheSourceAtAnyStepAreReportedOrTheEndAndHealed) {
  size_t deaths = 0;
  for (size_t bytes = 0;; bytes += bytes < 150 ? 3 : 101, ++deaths) {
    prepare();
    const bool lived = round(
        bytes,
        [&](auto stream) {
          ThesisSource(std::move(stream), source_file(), settings()).round(soon());
        },
        [&](auto stream) {
          ThesisReceiver receiver(std::move(stream), received_file(), settings());
          const int error = error_of([&] { receiver.serve({}); });
          EXPECT_TRUE(error == 0 || error == ECONNRESET) << error;
        });
    sync_once(settings());
    ASSERT_TRUE(files_are_equal()) << "killed after " << bytes << " bytes";
    if (lived) break;
  }
  EXPECT_GT(deaths, 60U);
}

}  // namespace
}  // namespace memsync::mmap_push::thesis::test
