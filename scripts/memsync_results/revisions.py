"""A revision of this repository as a built program: in this tree, or a worktree in build/ab."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from memsync_results.exits import Exit, Refusal

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Build:
    """One side's program."""

    side: str  # "base" or "head"
    revision: str  # 40 digits
    program: Path

    def __str__(self) -> str:
        return f"{self.side} {self.revision[:12]}"

    def run_help(self) -> str:
        """What `run` of this build says of its options: an older one may lack some."""
        return subprocess.run([str(self.program), "run", "--help"], capture_output=True, text=True,
                              check=False).stdout


def revision_of(side: str, name: str) -> str:
    """The 40 digits of a revision's name. Raises Refusal (USAGE)."""
    revision = _git(ROOT, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not revision:
        raise Refusal(Exit.USAGE, f"--{side}: {name} is no revision of {ROOT}")
    return revision


def build_of(side: str, revision: str) -> Build:
    """Builds a revision: this tree where it is just that one, else its worktree, which is kept.

    Raises Refusal (INTERNAL) where there is no such tree or it does not build.
    """
    tree = ROOT if _is_tree_of(ROOT, revision) else ROOT / "build" / "ab" / revision[:12]
    if not tree.exists():
        _git(ROOT, "worktree", "prune")
        made = subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", "--force",
                               str(tree), revision], capture_output=True, text=True, check=False)
        if made.returncode:
            raise Refusal(Exit.INTERNAL, f"no tree of {revision}: {last_line(made.stderr)}")
    if not _is_tree_of(tree, revision):  # edited, or left half made by an interrupt
        raise Refusal(Exit.INTERNAL, f"{tree} is not {revision[:12]} as it was committed; "
                      f"git worktree remove --force {tree} clears it away")
    print(f"building {side} {revision[:12]} in {tree}", file=sys.stderr)
    built = subprocess.run([str(tree / "scripts" / "build"), "release", "memsync", "memsync-link"],
                           capture_output=True, text=True, check=False)
    if built.returncode:
        raise Refusal(Exit.INTERNAL, f"{side} {revision[:12]} does not build: "
                      f"{last_line(built.stderr)}")
    return Build(side, revision, tree / "build" / "release" / "memsync")


def last_line(text: str) -> str:
    """Where a program that failed says why."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _is_tree_of(tree: Path, revision: str) -> bool:
    return _git(tree, "rev-parse", "HEAD") == revision and not _git(
        tree, "status", "--porcelain", "--untracked-files=no")


def _git(tree: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(tree), *arguments], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip()
