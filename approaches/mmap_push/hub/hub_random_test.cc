// Anything in any order: writes, lengths, receivers that come, go and start anew, hubs too. In the
// end all of them are equal, and no receiver ever shows bytes that were no version.
#include <gtest/gtest.h>
#include <random>
#include <set>

#include "approaches/mmap_push/hub/hub_pair.h"

namespace memsync::mmap_push {
namespace {

class HubRandom : public testing::TestWithParam<uint64_t> {};

TEST_P(HubRandom, EveryReceiverShowsVersionsAndEndsWithTheLastOne) {
  std::mt19937_64 random(GetParam());
  const auto below = [&](uint64_t limit) { return random() % limit; };
  RunningHub hub;
  const std::vector<std::string> names = {"one", "deep/two"};
  std::map<std::string, std::set<std::string>> versions;  // by digest
  std::map<std::string, std::unique_ptr<HubPusher>> pushers;
  const auto push = [&](const std::string& name, Bytes bytes) {
    pushers[name] = std::make_unique<HubPusher>(hub.network(), name, std::move(bytes));
  };
  for (const std::string& name : names) push(name, seeded(below(200'000), 1));
  std::vector<std::unique_ptr<HubReceiver>> receivers;
  for (unsigned i = 0; i < 3; ++i)
    receivers.push_back(std::make_unique<HubReceiver>(hub.network()));
  for (unsigned step = 0; step < 60; ++step) {
    const std::string& name = names[below(names.size())];
    TestSource& source = pushers[name]->source;
    HubReceiver& receiver = *receivers[below(receivers.size())];
    switch (below(8)) {
      case 0:
        source.bytes.resize(below(200'000), static_cast<std::byte>(step));
        break;
      case 1:
        receiver.disconnect();
        break;
      case 2:
        receiver.restart();
        break;
      case 3:
        receiver.disconnect();
        receiver.connect();
        break;
      case 4:
        if (below(3) > 0) break;
        for (const auto& one : receivers) one->disconnect();
        {
          std::map<std::string, Bytes> last;
          for (const auto& [its_name, pusher] : pushers) last[its_name] = pusher->source.bytes;
          pushers.clear();
          hub.stop();
          hub.start();
          for (const auto& [its_name, bytes] : last) push(its_name, bytes);
        }
        break;
      default:
        if (!source.bytes.empty()) {
          const uint64_t at = below(source.bytes.size());
          source.write(at, seeded(1 + below(source.bytes.size() - at), random()));
        }
    }
    HubPusher& pusher = *pushers[name];
    versions[name].insert(to_hex(digest_of(pusher.source.bytes)));
    pusher.sync();
    for (const auto& one : receivers) {
      for (const std::string& file : names) {
        if (!std::filesystem::exists(one->path(file))) continue;
        ASSERT_TRUE(versions[file].contains(to_hex(digest_of(one->contents(file)))))
            << file << " in step " << step << " of seed " << GetParam();
      }
    }
  }
  for (const std::string& name : names) {
    versions[name].insert(to_hex(digest_of(pushers[name]->source.bytes)));
    pushers[name]->sync();
  }
  for (const auto& receiver : receivers) {
    receiver->disconnect();
    const unsigned before = receiver->happened.times("settled");
    receiver->connect();
    ASSERT_TRUE(receiver->happened.wait_for("settled", before + 1));
    for (const std::string& name : names)
      EXPECT_EQ(receiver->contents(name), pushers[name]->source.bytes)
          << name << " of seed " << GetParam();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, HubRandom, testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace memsync::mmap_push
