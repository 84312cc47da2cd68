// Somebody else's program: its line, its output and its process group within bounds.
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include "harness/peer_process.h"
#include "harness/peer_programs.h"
#include "harness/peer_report.h"
#include "harness/sha256.h"

namespace memsync {
namespace {

using testing::HasSubstr;

const std::string kDigest(64, 'a');

std::string line_with(const std::string& members) {
  return R"({"duration_s": 0.5, "bytes": 4096, "sha256": ")" + kDigest + "\"" + members + "}\n";
}

std::string refusal(const std::string& output) {
  try {
    parse_peer_report(output);
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "accepted";
}

TEST(PeerReport, HoldsWhatTheLineSays) {
  const PeerReport report =
      parse_peer_report(line_with(R"(, "latency_p50_s": 1e-5, "latency_p99_s": 0, "faults": 7)"));
  EXPECT_EQ(report.duration_s, 0.5);
  EXPECT_EQ(report.bytes, 4096u);
  EXPECT_EQ(report.sha256, kDigest);
  EXPECT_EQ(report.latency_p50_s, 1e-5);
  EXPECT_EQ(report.latency_p99_s, 0.0);
  EXPECT_EQ(report.faults, 7u);
  EXPECT_FALSE(parse_peer_report(line_with("")).faults.has_value());
  EXPECT_EQ(refusal(R"({"duration_s":1,"bytes":0,"xxh3_128":")" + std::string(32, '0') + "\"}"),
            "accepted");  // without a line's end
}

TEST(PeerReport, IsRefusedForWhatCannotBe) {
  const struct {
    std::string output;
    const char* sentence;
  } cases[] = {
      {"", "ended without a line"},
      {" \n\n", "ended without a line"},
      {"hello\n", "no JSON object: 'hello'"},
      {"[1]\n", "no JSON object"},
      {"{\"duration_s\": NaN}\n", "no JSON object"},
      {line_with("") + line_with(""), "more than one line"},
      {"progress 10 %\n" + line_with(""),
       "more than one line on stdout, the first 'progress 10 %'"},
      {"{}", "duration_s is missing"},
      {"{\"duration_s\": 1}", "bytes is missing"},
      {line_with(", \"duration_s\": -1"), "duration_s is no number from 0 on"},
      {line_with(", \"duration_s\": 0"), "duration_s is 0"},
      {line_with(", \"duration_s\": 1e999"), "no JSON object"},
      {line_with(", \"duration_s\": \"1\""), "duration_s is no number"},
      {line_with(", \"bytes\": -1"), "bytes is no whole number"},
      {line_with(", \"bytes\": 1.5"), "bytes is no whole number"},
      {line_with(", \"bytes\": true"), "bytes is no whole number"},
      {line_with(", \"faults\": 1e3"), "faults is no whole number"},
      {line_with(", \"latency_p50_s\": null"), "latency_p50_s is no number"},
      {line_with(", \"sha256\": \"abc\""), "sha256 is not 64 lower-case hexadecimal digits"},
      {line_with(", \"sha256\": \"" + std::string(64, 'A') + "\""), "sha256 is not 64"},
      {line_with(", \"sha256\": 7"), "sha256 is not 64"},
      {R"({"duration_s":1,"bytes":1})", "one of sha256 and xxh3_128"},
      {line_with(", \"xxh3_128\": \"" + std::string(32, '0') + "\""), "one of sha256 and xxh3_128"},
      {line_with(", \"duration\": 1"),
       "there is no member 'duration' (did you mean 'duration_s'?)"},
      {std::string(50'000, '['), "no JSON object"},
  };
  for (const auto& each : cases) EXPECT_THAT(refusal(each.output), HasSubstr(each.sentence));
}

TEST(PeerReport, QuotesNothingThatATerminalWouldObey) {
  EXPECT_EQ(quotable("a\x1b[2J\n\xff"), "a?[2J??");
  EXPECT_EQ(quotable(std::string(1000, 'x')).size(), 203u);
}

ProcessSetup shell(const std::string& script) {
  ProcessSetup setup;
  setup.arguments = {"/bin/sh", "-c", script};
  return setup;
}

// Listens until `done`, a minute at most: a test that hangs is a failure of its own.
template <typename Done>
void listen_until(PeerProcess& process, Done done) {
  const Deadline limit = after(std::chrono::minutes(1));
  while (!done() && Clock::now() < limit) {
    std::vector<pollfd> waits;
    process.add_waits(waits);
    ::poll(waits.data(), waits.size(), 1000);
    process.listen();
  }
}

TEST(PeerProcess, KeepsWhatItSaysApartAndKnowsItsEnd) {
  PeerProcess process(shell("echo said; echo complained >&2; cat; exit 3"));  // cat: stdin is empty
  listen_until(process, [&] { return process.end().has_value(); });
  ASSERT_TRUE(process.end().has_value());
  EXPECT_EQ(process.end()->exit_code, 3);
  EXPECT_EQ(process.said(), "said\n");
  EXPECT_EQ(process.complaints(), "complained\n");
  EXPECT_FALSE(process.said_too_much());
}

TEST(PeerProcess, KeepsNoMoreThanItsBounds) {
  PeerProcess process(shell("yes complained >&2 & yes said"));
  listen_until(process, [&] { return process.said_too_much(); });
  EXPECT_TRUE(process.said_too_much());
  listen_until(process, [&] { return process.complaints().size() == PeerProcess::kComplaintMax; });
  EXPECT_EQ(process.said().size(), PeerProcess::kOutputMax);
  EXPECT_EQ(process.stop().signal, SIGKILL);
}

// Readable at its end, when whoever holds the other one is gone.
TEST(PeerProcess, EndsWhomItStarted) {
  for (const char* ending : {"exit 0", "kill -9 $$", "sleep 1000"}) {
    auto [ours, theirs] = FileDescriptor::pipe();
    ASSERT_EQ(::fcntl(theirs.get(), F_SETFD, 0), 0);  // inherited by name, which exec keeps
    {
      PeerProcess process(
          shell("(sleep 1000 & sleep 1000) & echo started; " + std::string(ending)));
      theirs = FileDescriptor{};
      listen_until(process, [&] { return process.said_a_line(); });
      if (std::string(ending) != "sleep 1000")
        listen_until(process, [&] { return process.end().has_value(); });
    }
    pollfd end{ours.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&end, 1, 60'000), 1) << ending;
    char byte = 0;
    EXPECT_EQ(::read(ours.get(), &byte, 1), 0) << ending;
  }
}

TEST(PeerProcess, SaysThatAProgramCannotBeStarted) {
  ProcessSetup setup;
  setup.arguments = {"/nowhere/at/all"};
  EXPECT_THROW(PeerProcess{setup}, std::system_error);
}

TEST(PeerPrograms, AreNamedOnceAndCanBeExecuted) {
  const std::array<std::string, 1> good = {"one=/bin/sh"};
  EXPECT_EQ(parse_peers(good).at("one"), "/bin/sh");
  for (const std::vector<std::string>& given : {std::vector<std::string>{"one"},
                                                {"=x"},
                                                {"one="},
                                                {"one=/etc/passwd"},
                                                {"one=/bin"},
                                                {"one=/nowhere"},
                                                {"one=/bin/sh", "one=/bin/sh"}})
    EXPECT_THROW(parse_peers(given), std::invalid_argument) << given[0];
}

TEST(Sha256, IsTheStandards) {
  // FIPS 180-4, example "abc".
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  RunningSha256 digest;
  for (const char letter : std::string("abc")) digest.update(std::as_bytes(std::span(&letter, 1)));
  EXPECT_EQ(digest.hex(), sha256_hex("abc"));
}

}  // namespace
}  // namespace memsync
