#include "approaches/userfaultfd/prefetch/guide.h"

#include <stdexcept>

namespace memsync::userfaultfd {

namespace {

std::string text_of(const SideSetup& setup, std::string_view option) {
  if (setup.options == nullptr)
    throw std::invalid_argument("this way of pulling ahead needs the option '" +
                                std::string(option) + "'");
  return setup.options->text(option);
}

std::vector<UnitIndex> order_from(const std::vector<ByteRange>& ranges, const TraceShape& shape) {
  for (const ByteRange& range : ranges)
    if (!lies_within(range.offset, range.length, shape.region_bytes))
      throw std::invalid_argument("option 'first': " + std::to_string(range.length) + " bytes at " +
                                  std::to_string(range.offset) + " leave the region of " +
                                  std::to_string(shape.region_bytes));
  return in_order_of(ranges, shape.unit_bytes);
}

}  // namespace

Guide::Guide(const Settings& settings, const SideSetup& setup, const Priority& priority)
    : shape_{.region_bytes = setup.geometry.size_bytes, .unit_bytes = settings.unit_bytes} {
  if (settings.prefetch == Prefetch::trace)
    follow_trace(text_of(setup, "trace"), setup.keep_dir);
  else if (settings.prefetch == Prefetch::priority)
    order_ = priority ? by_priority(shape_.unit_count(), priority)
                      : order_from(parse_ranges(text_of(setup, "first")), shape_);
}

void Guide::follow_trace(const std::string& name, const std::string& folder) {
  const bool is_path = name.find('/') != std::string::npos;
  if (!is_path && folder.empty())
    throw std::invalid_argument("option 'trace': '" + name +
                                "' is a name, and this side was given no directory to keep it in: "
                                "write a path with a slash");
  path_ = is_path ? name : folder + "/" + name + ".trace";
  auto trace = read_trace(path_, shape_);
  use_ = trace ? TraceUse::replayed : TraceUse::recorded;
  if (trace) order_ = std::move(*trace);
}

Guidance Guide::guidance() {
  return {.order = order_, .touches = use_ == TraceUse::recorded ? &touches_ : nullptr};
}

void Guide::keep() const {
  if (use_ == TraceUse::recorded && !touches_.empty()) write_trace(path_, shape_, touches_);
}

}  // namespace memsync::userfaultfd
