#include "harness/push.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "harness/exit_codes.h"
#include "harness/meter.h"
#include "harness/push_connection.h"
#include "harness/push_report.h"
#include "harness/stop_requests.h"

namespace memsync {

namespace {

using mmap_push::PathSource;
using mmap_push::Sender;
using Sources = std::vector<std::unique_ptr<PathSource>>;

std::unique_ptr<PathSource> open_source(const PushPlan& plan, const std::string& path) {
  const mmap_push::PathSettings settings{.detector = plan.settings.detector,
                                         .hash = plan.settings.hash,
                                         .workers = plan.settings.workers,
                                         .block_bytes = plan.settings.sender.block_bytes,
                                         .writers = plan.writers};
  try {
    return std::make_unique<PathSource>(path, settings);
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(problem.what());
  } catch (const std::invalid_argument& problem) {
    const bool sees_calls = plan.settings.detector == DetectorKind::mtime ||
                            plan.settings.detector == DetectorKind::inotify;
    if (!sees_calls || plan.writers != WriterSet::all()) throw;
    throw std::invalid_argument(std::string(problem.what()) +
                                ", or promise that nobody stores through a mapping: --writers "
                                "file-calls");
  }
}

uint64_t size_of(const Sources& sources) {
  uint64_t size = 0;
  for (const auto& source : sources) size += source->size_bytes();
  return size;
}

Sources open_sources(PushPlan& plan) {
  Sources sources;
  uint64_t largest = 0;
  for (const auto& file : plan.files) {
    sources.push_back(open_source(plan, file.path));
    largest = std::max(largest, sources.back()->size_bytes());
  }
  const uint32_t block = block_bytes_for(largest);
  if (plan.has_own_block || block == plan.settings.sender.block_bytes) return sources;
  plan.settings.sender.block_bytes = block;
  return open_sources(plan);
}

class Push {
 public:
  explicit Push(PushPlan plan)
      : plan_(std::move(plan)),
        sources_(open_sources(plan_)),
        stops_(interrupts_, plan_.interval == Nanoseconds::zero() ? StopRequests::First::cancels
                                                                  : StopRequests::First::asks),
        connection_(
            plan_, sources_, [this](uint64_t done, uint64_t total) { show(done, total); },
            stops_.cancelled()) {}

  int run() {
    const auto start = Clock::now();
    run_rounds();
    if (plan_.verify) {
      totals_.verified = connection_.with_sender([](Sender& sender) {
        sender.offer_anew(Deadline::max());
        return sender.sync({}, Deadline::max());
      });
      meter_.reset();
      look_for_missing();
    }
    totals_.elapsed = Clock::now() - start;
    totals_.files = sources_.size();
    totals_.size_bytes = size_of(sources_);
    totals_.bytes_sent = connection_.bytes_sent();
    totals_.times_broken = connection_.times_broken();
    for (size_t i = 0; i < sources_.size(); ++i)
      if (!sources_[i]->problem().empty()) totals_.missing.push_back(plan_.files[i].name);
    report_push(totals_, plan_.json);
    return totals_.missing.empty() ? exit_code::kOk : exit_code::kIncomplete;
  }

 private:
  // After Ctrl-C there is one more, so that nothing written before it is left behind.
  void run_rounds() {
    bool is_last = plan_.interval == Nanoseconds::zero();
    while (true) {
      const Deadline next = after(plan_.interval);
      const SyncReport round = connection_.with_sender([](Sender& sender) {
        // Nothing is sent while nothing changes; a receiver that has gone is heard of here.
        sender.is_asked_to_hand_over(after(std::chrono::seconds(1)));
        return sender.sync({}, Deadline::max());
      });
      meter_.reset();
      add(round, totals_.moved);
      ++totals_.rounds;
      look_for_missing();
      if (plan_.interval > Nanoseconds::zero() && round.chunks_moved > 0)
        report_round(totals_.rounds, round);
      if (is_last) return;
      is_last = wait_until(next, stops_.asked());
    }
  }

  void look_for_missing() {
    missing_.resize(sources_.size());
    for (size_t i = 0; i < sources_.size(); ++i) {
      const std::string& problem = sources_[i]->problem();
      if (!problem.empty() && !missing_[i])
        tell_push(problem + "; the receiver keeps what it has of it");
      if (problem.empty() && missing_[i]) tell_push(sources_[i]->path() + " is there again");
      missing_[i] = !problem.empty();
    }
  }

  void show(uint64_t done, uint64_t total) {
    if (!meter_ || meter_->total_bytes() != total) meter_.emplace(total);
    meter_->show(std::min(done, total));
  }

  PushPlan plan_;
  InterruptWatch interrupts_;
  Sources sources_;
  std::vector<bool> missing_;
  std::optional<Meter> meter_;
  PushTotals totals_;
  StopRequests stops_;
  PushConnection connection_;
};

}  // namespace

int push_command(const PushOptions& options) {
  allow_all_descriptors();
  Push push(plan_of(options));
  try {
    return push.run();
  } catch (const PushFailed& problem) {
    tell_push(problem.what());
    return exit_code::kIncomplete;
  }
}

}  // namespace memsync
