// Quantities as people write them.
#include "lib/region/quantity.h"

#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <vector>

namespace memsync {
namespace {

using namespace std::chrono_literals;

TEST(Quantity, IsReadWithItsUnit) {
  EXPECT_EQ(parse_bytes("64MiB"), 64u << 20);
  EXPECT_EQ(parse_bytes("1B"), 1u);
  EXPECT_EQ(parse_bytes("1.5KiB"), 1536u);
  EXPECT_EQ(parse_bytes("2 MB"), 2'000'000u);
  EXPECT_EQ(parse_duration("5ms"), 5ms);
  EXPECT_EQ(parse_duration("0.25us"), 250ns);
  EXPECT_EQ(parse_duration("2min"), 2min);
  EXPECT_EQ(parse_bit_rate("1Gbit/s"), 1'000'000'000u);
  EXPECT_EQ(parse_byte_rate("20MiB/s"), 20u << 20);
  EXPECT_DOUBLE_EQ(parse_ratio("0.1%"), 0.001);
  EXPECT_DOUBLE_EQ(parse_ratio("0"), 0.0);
  EXPECT_EQ(parse_count("4096"), 4096u);
}

TEST(Quantity, WithoutUnitOrWithAnotherIsRefused) {
  for (const char* text : {"64", "", "MiB", "64mib", "64 Mb", "-1MiB", "1e3MiB", "nanMiB", "infMiB",
                           "1MiBx", "1.5B", "99999999999TiB", "0x10KiB"})
    EXPECT_THROW(parse_bytes(text), std::invalid_argument) << text;
  for (const char* text : {"5", "5 m", "5sec", "", "-5ms"})
    EXPECT_THROW(parse_duration(text), std::invalid_argument) << text;
  for (const char* text : {"1Gb/s", "1GB/s", "1000"})
    EXPECT_THROW(parse_bit_rate(text), std::invalid_argument) << text;
  for (const char* text : {"0.1", "1", "-1%"})
    EXPECT_THROW(parse_ratio(text), std::invalid_argument) << text;
  for (const char* text : {"1.5", "-1", "", "ten", "1k", "99999999999999999999"})
    EXPECT_THROW(parse_count(text), std::invalid_argument) << text;
}

TEST(Quantity, NamesTheUnitsInItsRefusal) {
  try {
    parse_duration("5");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "'5' is no duration: write a number and one of ns us ms s min h");
  }
}

TEST(Format, UsesTheUnitThatReadsBest) {
  EXPECT_EQ(format_bytes(33'554'432), "34 MB");
  EXPECT_EQ(format_bytes(1500), "1.5 kB");
  EXPECT_EQ(format_duration(25ms), "25 ms");
  EXPECT_EQ(format_bit_rate(1e9), "1 Gbit/s");
}

TEST(ClosestName, IsFoundWhenItIsNear) {
  const std::vector<std::string> names = {"userfaultfd", "tcp_copy", "floor"};
  EXPECT_EQ(closest_name("userfaulfd", names), "userfaultfd");
  EXPECT_EQ(closest_name("flor", names), "floor");
  EXPECT_EQ(closest_name("completely-else", names), "");
  EXPECT_EQ(did_you_mean("tcpcopy", names), " (did you mean 'tcp_copy'?)");
}

}  // namespace
}  // namespace memsync
