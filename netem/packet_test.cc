// Frames as a TUN device gives them, and frames as nobody should.
#include "netem/packet.h"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace memsync {
namespace {

// A frame of IPv4 + TCP (32 bytes of header, as with time stamps) and `payload` bytes.
std::vector<std::byte> tcp_frame(size_t payload, uint8_t gso_type, uint16_t gso_size) {
  std::vector<std::byte> frame(10 + 52 + payload);
  frame[1] = std::byte{gso_type};
  frame[4] = std::byte(gso_size & 0xFF);
  frame[5] = std::byte(gso_size >> 8);
  frame[10] = std::byte{0x45};
  frame[10 + 9] = std::byte{6};
  frame[10 + 20 + 12] = std::byte{0x80};
  return frame;
}

TEST(WireSize, OfAPlainPacketIsItsLength) {
  EXPECT_EQ(wire_size(tcp_frame(100, 0, 0)), (WireSize{1, 152}));
}

TEST(WireSize, OfATcpSuperpacketCountsTheHeadersOfEverySegment) {
  EXPECT_EQ(wire_size(tcp_frame(44 * 1448, 1, 1448)), (WireSize{44, 44 * 1500}));
  EXPECT_EQ(wire_size(tcp_frame(44 * 1448 + 1, 1, 1448)), (WireSize{45, 44 * 1500 + 53}));
  EXPECT_EQ(wire_size(tcp_frame(44 * 1448, 0x81, 1448)), (WireSize{44, 44 * 1500}));  // with ECN
}

TEST(WireSize, OfAUdpSuperpacketCountsEightBytesOfUdpHeader) {
  auto frame = tcp_frame(2 * 1472 - 24, 5, 1472);
  frame[10 + 9] = std::byte{17};
  EXPECT_EQ(wire_size(frame), (WireSize{2, 3000}));
}

TEST(WireSize, RefusesWhatIsNoIpPacketOrContradictsItself) {
  EXPECT_FALSE(wire_size({}));
  EXPECT_FALSE(wire_size(std::vector<std::byte>(10)));
  EXPECT_FALSE(wire_size(std::vector<std::byte>(100)));  // version 0
  EXPECT_FALSE(wire_size(tcp_frame(3000, 1, 0)));        // segments of no bytes
  EXPECT_FALSE(wire_size(tcp_frame(3000, 77, 1448)));    // an unknown kind
  EXPECT_FALSE(wire_size(std::vector<std::byte>(kMaxFrameBytes + 1, std::byte{0x45})));
  auto frame = tcp_frame(3000, 1, 1448);
  frame[10 + 20 + 12] = std::byte{0x40};  // a TCP header of 16 bytes
  EXPECT_FALSE(wire_size(frame));
  frame = tcp_frame(0, 1, 1448);
  frame[10 + 20 + 12] = std::byte{0xF0};  // a TCP header that is longer than the packet
  EXPECT_FALSE(wire_size(frame));
  frame = tcp_frame(3000, 1, 1448);
  frame[10] = std::byte{0x44};  // an IP header of 16 bytes
  EXPECT_FALSE(wire_size(frame));
}

TEST(WireSize, OfEveryCutOffFrameIsSafe) {
  const auto frame = tcp_frame(100, 1, 50);
  for (size_t size = 0; size <= frame.size(); ++size) {
    const auto wire = wire_size(std::span(frame).first(size));
    if (size < 10 + 52) {
      EXPECT_FALSE(wire) << size;
    } else {
      EXPECT_TRUE(wire) << size;
    }
  }
}

}  // namespace
}  // namespace memsync
