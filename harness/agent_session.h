// What an agent keeps between commands: one side of one approach, and the application on it.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "approaches/sync_strategy.h"
#include "harness/application.h"
#include "harness/dirty_rounds.h"
#include "harness/process_meter.h"
#include "harness/suite.h"
#include "lib/os/awake_cpus.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/mapping.h"

namespace memsync {

// Answers the conductor's commands, each a JSON object with a member "do":
//   hello                   who this host is
//   prepare {role, ...}     makes the store (source: filled with the content) and the network
//   open                    opens the side; answers open_s
//   read                    reads as the workload says (destination)
//   write_start, write_stop starts, stops the application (source)
//   hand_over               finalize() and settle() while the application goes on (destination)
//   dirty_and_sync {round}  changes chunks, then sync() (whose changes they are)
//   sync                    sync() alone (source)
//   expect_round {round}    notes what the round's changes will make of the region (destination)
//   await_round             looks every millisecond; answers when all of them were there
//   digest                  of the region as the application sees it
//   echo                    listens (first call), then echoes one stream (real machines)
//   ping {host, probes}     round trips over the network (real machines)
//   finish                  statistics and what the process spent
// Threads: one.
class AgentSession {
 public:
  explicit AgentSession(int shared_memory) : shared_memory_(shared_memory) {}
  ~AgentSession();
  // Throws what the command throws; the text is for the person.
  nlohmann::json answer(const nlohmann::json& request);

 private:
  nlohmann::json prepare(const nlohmann::json& request);
  nlohmann::json open();
  nlohmann::json read();
  nlohmann::json write_start();
  nlohmann::json write_stop();
  nlohmann::json hand_over();
  nlohmann::json dirty_and_sync(const nlohmann::json& request);
  nlohmann::json sync();
  nlohmann::json expect_round(const nlohmann::json& request);
  nlohmann::json await_round();
  nlohmann::json digest();
  nlohmann::json echo_once();
  nlohmann::json ping(const nlohmann::json& request);
  nlohmann::json finish();

  void delay_as_planted() const;
  std::unique_ptr<Backend> make_store();
  void fill_store(Backend& store) const;
  std::unique_ptr<Reader> make_copy() const;
  // Throws what the side parked, if anything; else names the signal.
  [[noreturn]] void throw_access_fault(const AccessFault& fault) const;
  std::span<std::byte> memory() const;

  const int shared_memory_;
  std::optional<AwakeCpus> awake_;  // from prepare() on
  bool is_source_ = false;
  uint64_t seed_ = 0;
  uint64_t draw_ = 0;
  Workload workload_;
  Geometry geometry_;
  Nanoseconds limit_{};
  Mapping shared_mapping_;
  std::unique_ptr<Options> options_;
  std::unique_ptr<Network> link_;     // for measuring it
  std::unique_ptr<Network> network_;  // the approach's
  std::unique_ptr<Listener> echo_;
  const SyncStrategy* strategy_ = nullptr;
  SideSetup setup_;
  std::unique_ptr<Reader> copy_;  // until the side takes it
  std::optional<WriterScript> script_;
  std::vector<ByteChange> awaited_;  // `flip` is what the byte will be
  ProcessMeter meter_;
  std::optional<Deadline> opened_;  // t0
  uint64_t prefetched_at_open_ = 0;
  std::unique_ptr<Side> side_;
  std::unique_ptr<ScheduledApplication> application_;  // after side_: ends first
  // The same for the side's own threads, which stop and start it; null while there is none.
  std::atomic<ScheduledApplication*> running_ = nullptr;
};

}  // namespace memsync
