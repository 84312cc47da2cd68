// Descriptors over UNIX sockets: they arrive, none leaks, and the peer is who the kernel says.
#include "lib/os/unix_socket.h"

#include <array>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {
namespace {

size_t open_descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

constexpr std::array kBytes{std::byte{7}, std::byte{8}, std::byte{9}};

TEST(UnixSocket, CarriesDescriptorsWithTheFirstByteAlone) {
  const auto [ours, theirs] = FileDescriptor::socket_pair();
  const FileDescriptor file = FileDescriptor::memory_file("sent", 12345);
  send_with_descriptors(ours.get(), kBytes, std::array{file.get()});
  std::vector<FileDescriptor> received;
  std::array<std::byte, 1> first;
  std::array<std::byte, 10> rest;
  ASSERT_EQ(receive_with_descriptors(theirs.get(), first, received), 1U);
  ASSERT_EQ(received.size(), 1U);
  ASSERT_EQ(receive_with_descriptors(theirs.get(), rest, received), 2U);
  EXPECT_EQ(received.size(), 1U);
  EXPECT_EQ(rest[1], std::byte{9});
  EXPECT_EQ(::lseek(received[0].get(), 0, SEEK_END), 12345) << "another file";
  EXPECT_EQ(::fcntl(received[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(UnixSocket, HasNothingUntilSomethingIsSentAndZeroBytesAtTheEnd) {
  auto [ours, theirs] = FileDescriptor::socket_pair();
  std::vector<FileDescriptor> none;
  std::array<std::byte, 4> bytes;
  EXPECT_EQ(receive_with_descriptors(theirs.get(), bytes, none), std::nullopt);
  ours = FileDescriptor{};
  EXPECT_EQ(receive_with_descriptors(theirs.get(), bytes, none), 0U);
}

TEST(UnixSocket, ClosesAllDescriptorsWhenMoreComeThanThereIsRoomFor) {
  const auto [ours, theirs] = FileDescriptor::socket_pair();
  const FileDescriptor file = FileDescriptor::memory_file("sent", 0);
  constexpr size_t kMany = 40;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMany * sizeof(int))> control{};
  iovec piece{const_cast<std::byte*>(kBytes.data()), 1};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(kMany * sizeof(int));
  for (size_t i = 0; i < kMany; ++i) {
    const int number = file.get();
    std::memcpy(CMSG_DATA(part) + i * sizeof number, &number, sizeof number);
  }
  ASSERT_EQ(::sendmsg(ours.get(), &message, 0), 1);
  const size_t before = open_descriptors();
  std::vector<FileDescriptor> received;
  std::array<std::byte, 4> bytes;
  try {
    receive_with_descriptors(theirs.get(), bytes, received);
    FAIL() << "forty descriptors were taken";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), EMSGSIZE);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(UnixSocket, TellsItsPeersProcessAndUser) {
  const auto [ours, theirs] = FileDescriptor::socket_pair();
  const Peer peer = peer_of(ours.get());
  EXPECT_EQ(peer.pid, ::getpid());
  EXPECT_EQ(peer.user, ::geteuid());
  pollfd process{peer.process.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&process, 1, 0), 0) << "it lives";
}

TEST(UnixSocket, TellsWhenItsPeersProcessHasEnded) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("memsync-peer-" + std::to_string(::getpid())))
          .string();
  const FileDescriptor listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  int gate[2];
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  const FileDescriptor gate_out{gate[0]};
  FileDescriptor gate_in{gate[1]};
  const pid_t child = ::fork();
  if (child == 0) {
    gate_in = FileDescriptor{};
    const FileDescriptor connection = connect_to_path(path);
    char byte = 0;
    [[maybe_unused]] const auto got = ::read(gate_out.get(), &byte, 1);  // until the parent lets go
    ::_exit(0);
  }
  const FileDescriptor connection{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
  const Peer peer = peer_of(connection.get());
  EXPECT_EQ(peer.pid, child);
  gate_in = FileDescriptor{};
  pollfd process{peer.process.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&process, 1, 20'000), 1);
  ::waitpid(child, nullptr, 0);
  ::unlink(path.c_str());
}

TEST(UnixSocket, NamesThePathThatNobodyListensAt) {
  try {
    connect_to_path("/nonexistent/socket");
    FAIL() << "somebody listened";
  } catch (const std::system_error& problem) {
    EXPECT_STREQ(problem.what(), "connecting to /nonexistent/socket: No such file or directory");
  }
  EXPECT_THROW(connect_to_path(std::string(200, 'x')), std::system_error);
}

}  // namespace
}  // namespace memsync
