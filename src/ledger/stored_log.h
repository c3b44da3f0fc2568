// StoredLog: a ledger's directory as it lies on the disk, read by somebody who trusts none of it: an auditor, a copy on
// another machine, a backup. Nothing is ever written there, nothing is locked, and no process of wary has to run.
//
//   WARY_ASSIGN_OR_RETURN(CheckReport report, check_stored_log(files, "/backup/ledger", vkey));
//   for (const CheckFinding& finding : report.findings) print(finding.to_string());   // file, offset, what
//   WARY_RETURN_IF_ERROR(export_stored_log(files, "/backup/ledger", vkey, "/srv/log"));
//
// Every stored byte is compared with what it must be: records with their checksums, hashes with the entries, the head
// and the checkpoint with the tree, reserved space with zeros. Entries behind the newest checkpoint are held together
// by checksums alone; their batch must be whole. A running ledger may be read too, but what it writes meanwhile can
// look unfinished. Functions; any thread. Limits: those of segments; memory grows with 32 bytes an entry. Errors:
// ledger_missing (no ledger lies there), note_key, and those of io; what is wrong in the files is a finding, never an
// error. Of export: ledger_corrupt.
#pragma once

#include <string>

#include "ledger/ledger.h"

namespace wary::ledger {

Result<CheckReport> check_stored_log(io::Files& files, const std::string& directory, std::string_view vkey);
// The static tlog-tiles layout at the newest checkpoint's size. Refused when check_stored_log finds anything wrong.
Status export_stored_log(io::Files& files, const std::string& directory, std::string_view vkey, const std::string& out);

}  // namespace wary::ledger
