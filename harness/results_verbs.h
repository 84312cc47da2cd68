// The verbs that read results: Python, one package beside this program.
#pragma once

#include <string>
#include <vector>

namespace memsync {

// Hands over to the package; does not return when it succeeds.
int results_command(const std::string& verb, const std::vector<std::string>& arguments);

enum class TableTo : uint8_t { standard_output, standard_error };
// `memsync demands` of a campaign that has just ended: writes demands.csv and prints it as a table.
// Whatever is wrong with that is said on stderr and is no failure of the campaign.
void tell_demands(const std::string& results_directory, TableTo where);

}  // namespace memsync
