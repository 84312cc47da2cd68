// One line of what `memsync doctor` says.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace memsync {

//   state   ok, missing or limited
inline nlohmann::json check_row(const std::string& name, const std::string& state,
                                const std::string& detail, const std::string& next_step = "",
                                std::vector<std::string> needed_by = {}) {
  return {{"name", name},
          {"state", state},
          {"detail", detail},
          {"next_step", next_step},
          {"needed_by", std::move(needed_by)}};
}

// One that is ok or else limited; the next step belongs to the latter.
inline nlohmann::json check_row_if(bool ok, const std::string& name, const std::string& detail,
                                   const std::string& next_step) {
  return check_row(name, ok ? "ok" : "limited", detail, ok ? "" : next_step);
}

}  // namespace memsync
