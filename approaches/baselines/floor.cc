#include "approaches/baselines/floor.h"

#include <atomic>
#include <stdexcept>

#include "lib/os/error.h"
#include "lib/os/futex.h"
#include "lib/os/mapping.h"

namespace memsync::floor {

namespace {

using Word = std::atomic_ref<uint32_t>;
static_assert(Word::is_always_lock_free);  // or it would not work between processes

SideSetup checked(SideSetup setup) {
  if (!setup.store || setup.store->mapping().size() != setup.geometry.size_bytes)
    throw std::invalid_argument("floor needs a store in shared memory of the region's size");
  return setup;
}

std::span<std::byte> checked_page(std::span<std::byte> page) {
  if (page.size() < page_bytes() || reinterpret_cast<uintptr_t>(page.data()) % page_bytes() != 0)
    throw std::invalid_argument("floor needs a control page that both sides share");
  return page;
}

Statistics nothing_moved(const SideSetup& setup) {
  Statistics result;
  result.payload_received = 0;
  result.payload_sent = 0;
  result.chunks_local = setup.geometry.chunk_count();
  return result;
}

int run_hook(const std::function<void()>& hook) noexcept {
  try {
    if (hook) hook();
    return 0;
  } catch (const std::system_error& problem) {
    return problem.code().value() != 0 ? problem.code().value() : EIO;
  } catch (...) {
    return EIO;
  }
}

}  // namespace

ControlWords::ControlWords(std::span<std::byte> page)
    : words_(*reinterpret_cast<Words*>(checked_page(page).data())) {}

uint32_t ControlWords::bell() const noexcept {
  return Word(words_.bell).load();
}

void ControlWords::ring() noexcept {
  Word(words_.bell).fetch_add(1);
  futex_wake(words_.bell);
}

void ControlWords::give_command() noexcept {
  Word(words_.command).fetch_add(1);
  ring();
}

void ControlWords::give_command(Deadline deadline) {
  const uint32_t command = Word(words_.command).fetch_add(1) + 1;
  ring();
  for (;;) {
    const uint32_t answered = Word(words_.answered).load();
    if (answered == command) break;
    if (!futex_wait(words_.answered, answered, deadline))
      throw_errno("asking the source's application to stop", ETIMEDOUT);
  }
  if (const uint32_t error = Word(words_.error).load(); error != 0)
    throw_errno("stopping the source's application", static_cast<int>(error));
}

uint32_t ControlWords::wait_for_command(uint32_t handled, uint32_t bell_before) {
  if (Word(words_.command).load() == handled) futex_wait(words_.bell, bell_before);
  const uint32_t command = Word(words_.command).load();
  return command == handled ? 0 : command;
}

void ControlWords::answer(uint32_t command, int error) noexcept {
  Word(words_.error).store(static_cast<uint32_t>(error));
  Word(words_.answered).store(command);
  futex_wake(words_.answered);
}

SourceSide::SourceSide(SideSetup setup)
    : setup_(checked(std::move(setup))),
      control_(setup_.shared_control),
      obeying_([this](std::stop_token stop) { obey(stop); }) {}

SourceSide::~SourceSide() {
  obeying_.request_stop();
  control_.ring();
}

void SourceSide::obey(std::stop_token stop) {
  uint32_t handled = 0;
  bool suspended = false;
  for (;;) {
    const uint32_t bell = control_.bell();
    if (stop.stop_requested()) return;
    const uint32_t command = control_.wait_for_command(handled, bell);
    if (command == 0) continue;
    const bool suspend = command % 2 == 1;
    int error = 0;
    if (suspend != suspended) error = run_hook(suspend ? setup_.suspend_app : setup_.resume_app);
    suspended = suspend && error == 0;
    handled = command;
    control_.answer(command, error);
  }
}

Statistics SourceSide::statistics() const {
  return nothing_moved(setup_);
}

DestinationSide::DestinationSide(SideSetup setup)
    : setup_(checked(std::move(setup))), control_(setup_.shared_control) {}

Statistics DestinationSide::statistics() const {
  return nothing_moved(setup_);
}

HandoverReport DestinationSide::finalize(Deadline deadline) {
  HandoverReport report;
  const auto start = Clock::now();
  try {
    control_.give_command(deadline);
    report.suspend = Clock::now() - start;
    if (setup_.resume_app) setup_.resume_app();
  } catch (...) {
    control_.give_command();  // the source goes on, whether it had stopped or not
    throw;
  }
  report.resume = Clock::now() - start - report.suspend;
  return report;
}

}  // namespace memsync::floor
