"""What a reader of a campaign must know before its figures: damage, gaps, noise."""

from dataclasses import dataclass

from memsync_results.cells import Cell
from memsync_results.digests import UNSIGNED, digest_findings
from memsync_results.load import Campaign
from memsync_results.noise import count_noisy, is_too_noisy
from memsync_results.page import Block, Paragraph

DAMAGED, INCOMPLETE, TOO_NOISY = "DAMAGED", "INCOMPLETE", "TOO NOISY"


@dataclass(frozen=True)
class Standing:
    """How far a results directory can be relied on."""

    words: list[str]  # DAMAGED, INCOMPLETE, TOO_NOISY; [] where nothing stands against it
    faults: list[str]  # for which a verb that only shows results ends with Exit.INCOMPLETE
    notes: list[str]  # what else comes first

    def before(self, headline: str) -> str:
        """The headline with what stands against it."""
        return f"{', '.join(self.words)}: {headline}" if self.words else headline

    def blocks(self) -> list[Block]:
        """The top of a page; [] where nothing stands against the campaign."""
        return [Paragraph(_sentence(text), "alarm")
                for text in [*self.faults, *self.notes]]


def _sentence(text: str) -> str:
    """A file's name keeps its letters."""
    is_name = "." in text.split(" ")[0]
    return f"{text if is_name else text[0].upper() + text[1:]}."


def standing_of(campaign: Campaign, cells: list[Cell]) -> Standing:
    """Judges the directory, not what was measured."""
    changed = [finding for finding in digest_findings(campaign.directory, campaign.manifest)
               if finding != UNSIGNED]
    gaps = _gaps(campaign, cells)
    noise = _noise(cells)
    faults = [*changed, *_lost(campaign, cells)]
    words = {DAMAGED: changed or campaign.is_torn, INCOMPLETE: gaps, TOO_NOISY: noise}
    return Standing([word for word, applies in words.items() if applies], faults,
                    [*noise, *gaps])


def _lost(campaign: Campaign, cells: list[Cell]) -> list[str]:
    found = ["the last line of runs.csv is torn and was left out: memsync run --resume goes on "
             "with a killed campaign"] if campaign.is_torn else []
    if not any(cell.ok_count for cell in cells):
        found.append("no repetition ended ok; the report lists the reasons")
    elif not any(cell.status == "ok" for cell in cells):
        found.append("no cell has all its repetitions")
    return found


def _gaps(campaign: Campaign, cells: list[Cell]) -> list[str]:
    short = [cell for cell in cells if cell.status in ("missing", "incomplete")]
    if not short and campaign.manifest.get("complete", True):
        return []
    return [f"the campaign is incomplete: {len(short)} of {len(cells)} cells lack repetitions; "
            f"memsync run --resume {campaign.name} goes on with it"]


def _noise(cells: list[Cell]) -> list[str]:
    if not is_too_noisy(cells):
        return []
    noisy, counted = count_noisy(cells)
    return [f"too noisy to name winners: {noisy} of {counted} repetitions ran while others used "
            "the machine"]
