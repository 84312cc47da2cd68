#include "lib/transport/native/limits.h"

#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/os/file_descriptor.h"

namespace memsync::native {
namespace {

constexpr uint64_t kGbitPerS = 125'000'000;

TEST(UnsentLimit, IsOneBatchOnAnyNetworkAndGrowsOnlyWhereItIsGoneInHalfAMillisecond) {
  for (const uint64_t rate : {uint64_t{0}, kGbitPerS / 10, kGbitPerS, 4 * kGbitPerS})
    EXPECT_EQ(unsent_limit_at(rate), kBatchPayload) << rate;
  EXPECT_EQ(unsent_limit_at(10 * kGbitPerS), 512U << 10);
  EXPECT_EQ(unsent_limit_at(25 * kGbitPerS), 1U << 20);
  EXPECT_EQ(unsent_limit_at(~uint64_t{0}), UnsentLimit::kMax);
}

size_t limit_of(int socket) {
  int bytes = 0;
  socklen_t size = sizeof bytes;
  EXPECT_EQ(::getsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, &size), 0);
  return static_cast<size_t>(bytes);
}

TEST(UnsentLimit, IsSetOnASocketAndIsWhatItSays) {
  const FileDescriptor socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  UnsentLimit limit(socket.get());
  EXPECT_EQ(limit_of(socket.get()), UnsentLimit::kMin);
  limit.follow(100 * UnsentLimit::kMax);
  EXPECT_EQ(limit.bytes(), UnsentLimit::kMin) << "nothing has moved";
  EXPECT_EQ(limit_of(socket.get()), limit.bytes());
}

TEST(UnsentLimit, OfAUnixSocketStaysAtOneBatch) {
  const FileDescriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  UnsentLimit limit(socket.get());
  limit.follow(100 * UnsentLimit::kMax);
  EXPECT_EQ(limit.bytes(), UnsentLimit::kMin);
}

}  // namespace
}  // namespace memsync::native
