// Arithmetic over columns and quantities, as a suite's demands write it.
#pragma once

#include <string>
#include <string_view>

namespace memsync {

// The formula with every quantity in its SI unit, so that whoever evaluates it needs numbers, names
// of columns, + - * / ( ) min max and nothing else: "1.5 * rtt_p50_meas_s + 3ms" becomes
// "1.5*rtt_p50_meas_s+0.003". Throws std::invalid_argument with one sentence.
std::string checked_formula(std::string_view text);

}  // namespace memsync
