// TUN devices in namespaces of their own.
#include "lib/os/tun_device.h"

#include <array>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/process.h"

namespace memsync {
namespace {

class TunDevice : public testing::Test {
 protected:
  void SetUp() override {
    try {
      network_ = std::make_unique<NetworkNamespace>(NetworkNamespace::create());
      network_->run([&] { device_ = make_tun_device("tun-test", Offloads::on); });
    } catch (const std::system_error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  std::unique_ptr<NetworkNamespace> network_;
  FileDescriptor device_;
};

TEST_F(TunDevice, GivesWhatIsSentThroughItBehindAHeaderOfTenBytes) {
  ASSERT_TRUE(run_tool({"ip", "-batch", "-"},
                       "link set tun-test up\naddr add 10.9.0.1/24 dev tun-test\n", network_.get())
                  .ok());
  network_->set_sysctl("net/ipv6/conf/tun-test/disable_ipv6", "1");
  network_->run([] {
    const FileDescriptor socket{check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket")};
    sockaddr_in target{};
    target.sin_family = AF_INET;
    target.sin_port = htons(9);
    target.sin_addr.s_addr = htonl(0x0A090002);
    ASSERT_EQ(::sendto(socket.get(), "hello", 5, 0, reinterpret_cast<const sockaddr*>(&target),
                       sizeof target),
              5);
  });
  std::array<char, 2000> frame{};
  ssize_t got = 0;
  do {  // IPv6 may have announced itself before it was switched off
    pollfd readable{device_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&readable, 1, 10'000), 1);
    got = ::read(device_.get(), frame.data(), frame.size());
    ASSERT_GT(got, 10);
  } while (frame[10] != 0x45);
  EXPECT_EQ(got, 10 + 20 + 8 + 5);
  EXPECT_EQ(std::string(frame.data() + 38, 5), "hello");
}

TEST_F(TunDevice, DoesNotBlockAReaderWhenNothingIsThere) {
  char byte = 0;
  EXPECT_EQ(::read(device_.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(TunDevice, StaysWithItsNamespaceWhenTheDescriptorIsClosed) {
  device_ = FileDescriptor{};
  EXPECT_TRUE(run_tool({"ip", "link", "show", "tun-test"}, "", network_.get()).ok());
}

TEST_F(TunDevice, ThatCannotBeMadeIsNamed) {
  try {
    network_->run([] { make_tun_device("no/name", Offloads::off); });
    FAIL() << "made a device of that name";
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("making the TUN device no/name"));
  }
}

}  // namespace
}  // namespace memsync
