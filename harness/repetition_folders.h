// What a repetition has on disk: its agents' logs, and the folder that its cell keeps.
#pragma once

#include <string>

#include "harness/columns.h"
#include "harness/repetition.h"

namespace memsync {

// <results>/logs/<run_id>.<host>.log
std::string log_path(const RepetitionSetup& setup, const std::string& host);

// Makes and names the folder of this host for what it keeps from one repetition of the cell to the
// next; "" between real machines, where nobody could make it.
std::string make_keep_folder(const RepetitionSetup& setup, const std::string& host);

// Removes the logs and the kept folders in which nothing is; names a log that stays in the row.
void remove_empty_files(const RepetitionSetup& setup, Row& row);

}  // namespace memsync
