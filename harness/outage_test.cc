// When a link is cut and mended, by whoever looks after it.
#include "harness/outage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>

namespace memsync {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::ElementsAre;

// A link of which only its cuts are of interest.
class CutLink : public Link {
 public:
  std::vector<bool> cuts;

  const NetworkNamespace& source() const noexcept override { return network_; }
  const NetworkNamespace& destination() const noexcept override { return network_; }
  std::string source_address() const override { return ""; }
  std::string destination_address() const override { return ""; }
  std::vector<LinkHost> hosts() const override { return {}; }
  LinkEngine engine() const noexcept override { return LinkEngine::none; }
  const LinkShape& shape() const noexcept override { return shape_; }
  WireCounters counters() const override { return {}; }
  std::vector<HostCounters> host_counters() const override { return {}; }
  Nanoseconds engine_cpu() const override { return {}; }
  void set_cut(bool cut) override { cuts.push_back(cut); }
  void check_alive() override {}

 private:
  NetworkNamespace network_ = NetworkNamespace::current();
  LinkShape shape_;
};

TEST(Outage, CutsNothingBeforeItsTimeNorBeforeItBegins) {
  CutLink link;
  Outage outage(link, {.after = {}, .length = hours(1)});
  outage.act();
  EXPECT_EQ(outage.next(), Deadline::max());
  Outage later(link, {.after = hours(1), .length = hours(1)});
  later.begin();
  later.act();
  EXPECT_GT(later.next(), after(milliseconds(3'500'000)));
  EXPECT_EQ(later.end(), Nanoseconds::zero());
  EXPECT_THAT(link.cuts, ElementsAre());
}

TEST(Outage, CutsOnceMendsOnceAndSaysHowLongItWas) {
  CutLink link;
  Outage outage(link, {.after = {}, .length = milliseconds(20)});
  outage.begin();
  outage.act();
  EXPECT_THAT(link.cuts, ElementsAre(true));
  sleep_until_deadline(outage.next());
  outage.act();
  EXPECT_THAT(link.cuts, ElementsAre(true, false));
  EXPECT_EQ(outage.next(), Deadline::max());
  outage.act();
  EXPECT_GE(outage.end(), milliseconds(20));
  EXPECT_THAT(link.cuts, ElementsAre(true, false));
}

TEST(Outage, IsMendedByItsEnd) {
  CutLink link;
  Outage outage(link, {.after = {}, .length = hours(1)});
  outage.begin();
  outage.act();
  EXPECT_GT(outage.end(), Nanoseconds::zero());
  EXPECT_THAT(link.cuts, ElementsAre(true, false));
  outage.act();
  EXPECT_EQ(outage.next(), Deadline::max());
}

}  // namespace
}  // namespace memsync
