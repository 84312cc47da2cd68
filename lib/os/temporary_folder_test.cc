// A folder that goes with its object, whatever was put into it.
#include "lib/os/temporary_folder.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace memsync {
namespace {

namespace fs = std::filesystem;

TEST(TemporaryFolder, IsOursAloneAndGoesWithAllThatIsInIt) {
  std::string path;
  {
    auto folder = TemporaryFolder::make(fs::temp_directory_path());
    path = folder.path();
    const std::string start = TemporaryFolder::kPrefix + std::to_string(::getpid()) + "-";
    EXPECT_TRUE(fs::path(path).filename().string().starts_with(start)) << path;
    struct stat about{};
    ASSERT_EQ(::stat(path.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777, 0700u);
    fs::create_directory(path + "/inner");
    std::ofstream(path + "/inner/file") << "something";
    const TemporaryFolder moved = std::move(folder);
    EXPECT_TRUE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(TemporaryFolder, FollowsNoLinkOutOfItself) {
  const auto outside = TemporaryFolder::make(fs::temp_directory_path());
  std::ofstream(outside.path() + "/kept") << "something";
  const std::string gone = [&] {
    const auto folder = TemporaryFolder::make(fs::temp_directory_path());
    fs::create_directory_symlink(outside.path(), folder.path() + "/link");
    return folder.path();
  }();
  EXPECT_FALSE(fs::exists(gone));
  EXPECT_TRUE(fs::exists(outside.path() + "/kept"));
}

TEST(TemporaryFolder, SaysWhereItCouldNotBeMade) {
  try {
    TemporaryFolder::make("/nowhere/at/all");
    FAIL() << "made a folder nowhere";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), ENOENT);
    EXPECT_NE(std::string(problem.what()).find("/nowhere/at/all"), std::string::npos);
  }
}

}  // namespace
}  // namespace memsync
