// The harness's own floor: both sides map one memory file, so nothing has to move at all.
//
//   destination            shared control page               source
//   command = 1, wake  ──▶ bell, command, answered, error ──▶ suspend_app()
//   resume_app()       ◀── answered = 1, wake             ◀──
#pragma once

#include <exception>
#include <thread>

#include "approaches/sync_strategy.h"
#include "lib/os/mutex.h"

namespace memsync::floor {

// The words both processes wait on and change. They stand in SideSetup::shared_control, never in
// the region. Commands count up from 0: odd ones suspend, even ones resume.
class ControlWords {
 public:
  // Throws std::invalid_argument when `page` is no page.
  explicit ControlWords(std::span<std::byte> page);

  // Destination: gives the next command and waits for its answer. Throws ETIMEDOUT, or what the
  // source's answer names.
  void give_command(Deadline deadline);
  // Destination: gives the next command without waiting for anybody.
  void give_command() noexcept;
  // Source: waits for a command other than `handled`; 0 when rung without one.
  uint32_t wait_for_command(uint32_t handled, uint32_t bell);
  void answer(uint32_t command, int error) noexcept;
  // The state to pass to wait_for_command(); a ring after it was taken is not missed.
  uint32_t bell() const noexcept;
  void ring() noexcept;

 private:
  struct Words {
    uint32_t bell, command, answered, error;
  };
  Words& words_;
};

class SourceSide : public Side {
 public:
  explicit SourceSide(SideSetup setup);
  ~SourceSide() override;
  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  // What was written is there at once.
  std::optional<SyncReport> sync(Deadline) override { return SyncReport{}; }
  Statistics statistics() const override;
  void rethrow_failure() const override {}  // a hook that throws fails the hand-over that asked

 private:
  void obey(std::stop_token stop);

  const SideSetup setup_;
  ControlWords control_;
  std::jthread obeying_;
};

class DestinationSide : public Side, public Handover {
 public:
  explicit DestinationSide(SideSetup setup);
  RegionView region() override { return {.memory = setup_.store->mapping(), .path = {}}; }
  std::optional<SyncReport> sync(Deadline) override { return SyncReport{}; }
  Handover* handover() noexcept override { return this; }
  Statistics statistics() const override;
  void rethrow_failure() const override {}

  HandoverReport finalize(Deadline deadline) override;
  Nanoseconds settle(Deadline) override { return {}; }

 private:
  const SideSetup setup_;
  ControlWords control_;
};

}  // namespace memsync::floor
