// A process that may use only so much memory: a control group of its own. For tests.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync::userfaultfd {

// Where pages go that find no room.
enum class Swap : uint8_t { allowed, none };

inline bool has_swap() {
  std::ifstream file("/proc/swaps");  // a headline, and a line for each
  std::string line;
  return std::getline(file, line) && std::getline(file, line);
}

// How much of this process is swapped out.
inline uint64_t swapped_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (uint64_t kib = 0; word == "VmSwap:" && status >> kib) return kib << 10;
  return 0;
}

// Works with control groups of either version. Source: Linux
// Documentation/admin-guide/cgroup-v2.rst ("Memory") and cgroup-v1/memory.rst.
class MemoryLimit {
 public:
  MemoryLimit(uint64_t bytes, Swap swap) {
    const std::filesystem::path root = "/sys/fs/cgroup";
    const bool is_second = std::filesystem::exists(root / "cgroup.controllers");
    if (is_second) set(root / "cgroup.subtree_control", "+memory");
    folder_ = (is_second ? root : root / "memory") / ("memsync-test-" + std::to_string(::getpid()));
    std::error_code error;
    std::filesystem::create_directory(folder_, error);
    const std::string limit = std::to_string(bytes);
    const bool is_set =
        set(folder_ / (is_second ? "memory.max" : "memory.limit_in_bytes"), limit) &&
        (swap == Swap::allowed || !has_swap() ||
         (is_second ? set(folder_ / "memory.swap.max", "0")
                    : set(folder_ / "memory.memsw.limit_in_bytes", limit)));
    if (!is_set) problem_ = "no control group can be made that limits memory: needs root";
  }
  ~MemoryLimit() {
    std::error_code ignored;
    std::filesystem::remove(folder_, ignored);
  }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

  // Why there is none; empty when there is.
  const std::string& problem() const noexcept { return problem_; }

  // Runs `work` in a child inside the group and returns its status as waitpid(2) does: exit code 0
  // when none of the child's expectations failed.
  int run(const std::function<void()>& work) const {
    const pid_t child = check(::fork(), "fork");
    if (child == 0) {
      if (!set(folder_ / "cgroup.procs", std::to_string(::getpid()))) ::_exit(70);
      work();
      std::fflush(nullptr);
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    check(::waitpid(child, &status, 0), "waiting for the child with little memory");
    return status;
  }

 private:
  static bool set(const std::filesystem::path& file, const std::string& value) {
    std::ofstream stream(file);
    stream << value << std::flush;
    return stream.good();
  }

  std::filesystem::path folder_;
  std::string problem_;
};

}  // namespace memsync::userfaultfd
