"""The command lines under a report: check it, draw it again, measure it again.

They name the directory by its own name, so a page is the same from wherever it was made.
"""

import shlex

from memsync_results.load import Campaign
from memsync_results.page import Block, Commands, Heading, Paragraph

# Of `memsync run`, what changes what is measured; True where a value follows.
_REPEATED = {"--reps": True, "--seed": True, "--filter": True, "--content": True, "--peer": True,
             "--controls": False}


def command_blocks(campaign: Campaign) -> list[Block]:
    """Three command lines, and where they run."""
    commit = str(campaign.manifest.get("git_sha") or "")[:12]
    of_commit = f"; measured by the program of commit {commit}" if commit else ""
    return [
        Heading("Check, redraw, repeat"),
        Paragraph(f"Run in the folder that holds {campaign.name}; memsync is build/release/memsync "
                  f"of a checkout built by scripts/build release{of_commit}."),
        Commands([
            ("checks that no file was changed and every planned row is there",
             program("verify", campaign)),
            ("draws every figure and this page again, to the same bytes",
             program("report", campaign)),
            ("measures again, into a new directory", f"memsync run {_repeated(campaign)}"),
        ]),
    ]


def program(verb: str, campaign: Campaign) -> str:
    return f"memsync {verb} {shlex.quote(campaign.name)}"


def _repeated(campaign: Campaign) -> str:
    """The suite as the directory keeps it, and the options that it was run with.

    A suite that names files looks for them beside itself, so it is run from where it came.
    """
    names_files = any(word in campaign.suite_text for word in ("file:", "trace:"))
    came_from = str(campaign.manifest.get("suite_path") or "")
    suite = came_from if names_files and came_from else f"{campaign.name}/suite.yaml"
    given = [str(word) for word in campaign.manifest.get("argv") or []]
    words = [suite]
    for k, word in enumerate(given):
        option, equals, _ = word.partition("=")
        if option in _REPEATED:
            words.append(word)
            if _REPEATED[option] and not equals:
                words += given[k + 1:k + 2]
    return " ".join(map(shlex.quote, words))
