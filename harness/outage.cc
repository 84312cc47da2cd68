#include "harness/outage.h"

namespace memsync {

void Outage::begin() {
  start_ = Clock::now();
}

Deadline Outage::next() const {
  if (!start_ || mended_at_) return Deadline::max();
  return cut_at_ ? *cut_at_ + spec_.length : *start_ + spec_.after;
}

void Outage::act() {
  if (Clock::now() < next()) return;
  if (!cut_at_) {
    link_.set_cut(true);
    cut_at_ = Clock::now();
  } else {
    link_.set_cut(false);
    mended_at_ = Clock::now();
  }
}

Nanoseconds Outage::end() {
  if (cut_at_ && !mended_at_) {
    link_.set_cut(false);
    mended_at_ = Clock::now();
  }
  start_.reset();
  return cut_at_ ? *mended_at_ - *cut_at_ : Nanoseconds::zero();
}

}  // namespace memsync
