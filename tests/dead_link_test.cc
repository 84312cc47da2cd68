// A link that dies under a region service: whoever waits is told, and nobody waits for ever.
#include <gtest/gtest.h>
#include <latch>
#include <unistd.h>
#include <vector>

#include "lib/backend/stores.h"
#include "lib/transport/local_region.h"
#include "lib/transport/transport.h"
#include "netem/link.h"

namespace memsync {
namespace {

using namespace std::chrono_literals;

constexpr Geometry kGeometry{.size_bytes = 1 << 20, .chunk_bytes = 4096};

// Collects the completions of a number of requests.
class Answers : public CompletionSink {
 public:
  explicit Answers(std::ptrdiff_t expected) : left_(expected) {}
  void completed(std::span<Completion> done) noexcept override {
    for (const Completion& completion : done) {
      if (completion.error) last_error_ = completion.error;
      left_.count_down();
    }
  }
  void wait() { left_.wait(); }
  std::error_code last_error() const { return last_error_; }

 private:
  std::latch left_;
  std::error_code last_error_;
};

class DeadLink : public testing::Test {
 protected:
  void SetUp() override {
    LinkSetup setup;
    for (const EngineState& engine : probe_engines())
      if (engine.available && engine.engine != LinkEngine::none) setup.engine = engine.engine;
    if (setup.engine == LinkEngine::none) GTEST_SKIP() << "needs a link engine that can be cut";
    setup.shape.rtt = 2ms;
    setup.tun_program = MEMSYNC_LINK_PROGRAM;
    link_ = make_link(setup);
    const std::map<std::string, std::string> addresses = {
        {"source", link_->source_address()}, {"destination0", link_->destination_address()}};
    source_network_ = make_tcp_network("source", addresses);
    destination_network_ = make_tcp_network("destination0", addresses);
    link_->source().run([&] {
      served_ = native_transport().serve(*source_network_, "region", kGeometry, region_, local_);
    });
  }

  std::unique_ptr<RegionService> connect(Nanoseconds limit = 10s) {
    std::unique_ptr<RegionService> service;
    link_->destination().run([&] {
      service = native_transport().connect(*destination_network_, "source", "region", kGeometry,
                                           region_, after(limit));
    });
    return service;
  }

  // One read of the first page; the error it ended with.
  std::error_code read(RegionService& service, Nanoseconds limit) {
    std::vector<std::byte> page(4096);
    const ReadRequest request{.offset = 0, .into = page, .tag = 1};
    Answers answers(1);
    service.start_reads({&request, 1}, Urgency::demand, after(limit), answers);
    answers.wait();
    return answers.last_error();
  }

  RegionId region_;
  MemoryBackend store_{kGeometry.size_bytes};
  LocalRegion local_{store_, nullptr, region_, {}};
  std::unique_ptr<Link> link_;
  std::unique_ptr<Network> source_network_, destination_network_;
  std::unique_ptr<ServedRegion> served_;
};

TEST_F(DeadLink, EndsARequestAtItsDeadline) {
  const auto service = connect();
  ASSERT_FALSE(read(*service, 10s));
  link_->set_cut(true);
  const Deadline before = Clock::now();
  EXPECT_EQ(read(*service, 300ms), std::errc::timed_out);
  EXPECT_GE(Clock::now() - before, 300ms);
}

TEST_F(DeadLink, EndsARequestWithoutADeadlineByTheKeepAlive) {
  const auto service = connect();
  ASSERT_FALSE(read(*service, 10s));
  link_->set_cut(true);
  const std::error_code error = read(*service, 24h);
  EXPECT_TRUE(error == std::errc::timed_out || error == std::errc::connection_reset)
      << error.message();
  // Dead is dead: what comes later fails at once instead of waiting again.
  const Deadline before = Clock::now();
  EXPECT_TRUE(read(*service, 24h));
  EXPECT_LT(Clock::now() - before, 1s);
}

TEST_F(DeadLink, ThatIsMendedCarriesNewConnections) {
  const auto lost = connect();
  link_->set_cut(true);
  EXPECT_TRUE(read(*lost, 200ms));
  link_->set_cut(false);
  const auto fresh = connect();
  EXPECT_FALSE(read(*fresh, 10s));
}

TEST_F(DeadLink, MakesConnectingFailAtItsDeadline) {
  link_->set_cut(true);
  try {
    connect(400ms);
    FAIL() << "connected over a dead link";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::timed_out) << error.what();
  }
}

}  // namespace
}  // namespace memsync
