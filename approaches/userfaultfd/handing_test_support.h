// What the tests of hand-offs share: another process, and a handler whose source is scripted.
#pragma once

#include <algorithm>
#include <csignal>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "approaches/userfaultfd/fault_server.h"
#include "approaches/userfaultfd/handed_region.h"
#include "approaches/userfaultfd/scripted_source.h"
#include "lib/backend/stores.h"
#include "lib/os/mapping.h"
#include "lib/region/digest.h"
#include "lib/transport/transport_test_support.h"

namespace memsync::userfaultfd::test {

inline constexpr uint64_t kSeed = 11;
inline constexpr uint64_t kMiB = 1 << 20;
inline constexpr uint64_t kSize = 4 * kMiB + 123;

inline std::vector<std::byte> expected(uint64_t offset, uint64_t length) {
  std::vector<std::byte> bytes(length);
  fill_content(ContentKind::random, kSeed, bytes, offset);
  return bytes;
}
inline std::byte expected_at(uint64_t offset) {
  return expected(offset, 1)[0];
}

// Another process, forked before this one has threads. It begins when it is told to; what `work`
// returns is its exit code.
class OtherProcess {
 public:
  template <typename Work>
  explicit OtherProcess(Work work) {
    auto [ours, theirs] = FileDescriptor::socket_pair();
    line_ = std::move(ours);
    pid_ = ::fork();
    if (pid_ != 0) return;
    line_ = std::move(theirs);
    int code = 99;
    try {
      wait();
      code = work(*this);
    } catch (const std::exception& problem) {
      std::fprintf(stderr, "the other process: %s\n", problem.what());
    }
    ::_exit(code);
  }
  ~OtherProcess() {
    if (pid_ > 0) end();
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  // A step of either: tell() lets the other side's wait() return.
  void tell() const {
    const char byte = 0;
    write_all(line_.get(), &byte, 1, "telling the other process");
  }
  void wait() const {
    char byte = 0;
    read_all(line_.get(), &byte, 1, "waiting for the other process");
  }
  void signal(int number) const { ::kill(pid_, number); }
  // Waits until a SIGSTOP has reached it.
  void wait_until_stopped() const { ::waitpid(pid_, nullptr, WUNTRACED); }
  int end() {
    int status = 0;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }
  int exit_code() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  FileDescriptor line_;
};

class Handing : public testing::Test {
 protected:
  std::string path() const { return folder_.path() + "/faults"; }
  HandedRegion::Handler handler() const { return {path(), served_.dialect}; }

  // Starts answering; children are forked before that.
  void serve() {
    served_.region_bytes = kSize;
    served_.user = ::geteuid();
    served_.connect = [this] { return connect(); };
    served_.tell = [this](const std::string& sentence) {
      MutexLock lock(mutex_);
      told_.push_back(sentence);
      changed_.notify_all();
    };
    network_ = make_address_network("unix:" + path());
    server_ = std::make_unique<FaultServer>(network_->listen(""), served_);
  }
  std::unique_ptr<RegionService> connect() {
    auto source = std::make_unique<ScriptedSource>(reader_);
    if (script_) script_(*source);
    MutexLock lock(mutex_);
    source_ = source.get();
    changed_.notify_all();
    return source;
  }
  // Of the application that was served last.
  ScriptedSource& source() {
    MutexLock lock(mutex_);
    while (source_ == nullptr) changed_.wait(mutex_);
    return *source_;
  }
  void wait_until_told(const std::string& part) {
    MutexLock lock(mutex_);
    while (std::none_of(told_.begin(), told_.end(), [&](const std::string& sentence) {
      return sentence.find(part) != std::string::npos;
    }))
      changed_.wait(mutex_);
  }

  // What an application does that reads everything: 0 when all of it is right.
  static int read_everything(const HandedRegion::Handler& handler) {
    const Mapping mapping = Mapping::anonymous(kSize);
    const HandedRegion region(mapping.bytes(), 0, handler, memsync::test::soon());
    const bool right = digest_of(mapping.bytes()) == digest_of(expected(0, kSize));
    const auto tail = mapping.page_span().subspan(kSize);
    return right && std::all_of(tail.begin(), tail.end(),
                                [](std::byte b) { return b == std::byte{}; })
               ? 0
               : 1;
  }

  const memsync::test::TemporaryDirectory folder_;
  ServedFaults served_;
  std::function<void(ScriptedSource&)> script_;
  PatternReader reader_{ContentKind::random, kSeed, kSize};
  Mutex mutex_;
  Condition changed_;
  ScriptedSource* source_ GUARDED_BY(mutex_) = nullptr;
  std::vector<std::string> told_ GUARDED_BY(mutex_);
  std::unique_ptr<Network> network_;
  std::unique_ptr<FaultServer> server_;  // last: its threads end before what they use
};

}  // namespace memsync::userfaultfd::test
