#include "lib/detection/writers.h"

namespace memsync {

std::string_view name_of(Writer writer) {
  switch (writer) {
    case Writer::stores:
      return "stores";
    case Writer::other_mapping:
      return "other_mapping";
    case Writer::file_calls:
      return "file_calls";
    case Writer::other_process:
      break;
  }
  return "other_process";
}

std::string WriterSet::names() const {
  std::string names;
  for (const Writer writer : kWriters)
    if (contains(writer)) names += (names.empty() ? "" : ", ") + std::string(name_of(writer));
  return names.empty() ? "nothing" : names;
}

}  // namespace memsync
