"""A report as a list of blocks, and the two ways to write one: a single HTML file that needs
nothing else, and Markdown."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str
    tone: str = ""  # "", "note" or "alarm"


class Strong(str):
    """A text that stands out: a cell of a table, or a piece of an item."""


@dataclass(frozen=True)
class Items:
    """A list of sentences, each as its pieces; those that are Strong stand out."""

    items: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Commands:
    """Command lines to copy, each with what it is for."""

    lines: Sequence[tuple[str, str]]  # (purpose, command)


@dataclass(frozen=True)
class Table:
    """rows: one text per column; the first `header_columns` name the row. Numbers align right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    header_columns: int = 1
    folded: bool = False  # shown only when asked for
    tones: Mapping[str, str] = field(default_factory=dict)  # a cell's whole text -> its tone


@dataclass(frozen=True)
class Code:
    caption: str
    text: str


@dataclass(frozen=True)
class Picture:
    name: str  # unique on the page
    title: str
    caption: str
    svg: str  # as written to file
    files: dict[str, str]  # what it is -> path relative to the page
    command: str  # redraws it


Block = Heading | Paragraph | Items | Commands | Table | Code | Picture


@dataclass
class Page:
    title: str
    blocks: list[Block] = field(default_factory=list)
    # Colours of the pictures that follow the reader's light or dark setting.
    colours: dict[str, str] = field(default_factory=dict)  # "#rrggbb" -> CSS variable


SVG_ZOOM = 1.25  # print sizes are small on a screen
_NUMBER = re.compile(r"[+\-−<*]?\d")
_WIDE = 5  # columns that a telephone doesn't show at once
STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def to_html(page: Page) -> str:
    """One file: style and pictures inside, no script, nothing fetched."""
    headings = [block.text for block in page.blocks if isinstance(block, Heading)]
    contents = "\n".join(f'<li><a href="#{_anchor(h)}">{html.escape(h)}</a></li>' for h in headings)
    body = "\n".join(_html_block(block, page) for block in page.blocks)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{html.escape(page.title)}</title>
<style>
{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><h1>{html.escape(page.title)}</h1></header>
<nav aria-label="Sections"><ul>
{contents}
</ul></nav>
<main id="content" tabindex="-1">
{body}
</main>
</body>
</html>
"""


def to_markdown(page: Page) -> str:
    return "\n\n".join([f"# {page.title}", *map(_markdown_block, page.blocks)]) + "\n"


def _html_block(block: Block, page: Page) -> str:
    match block:
        case Heading(text):
            return f'<h2 id="{_anchor(text)}">{html.escape(text)}</h2>'
        case Paragraph(text, tone):
            opening = f'<p class="{tone}">' if tone else "<p>"
            return f"{opening}{html.escape(text)}</p>"
        case Items(items):
            listed = "\n".join(f"<li>{''.join(map(_html_piece, item))}</li>" for item in items)
            return f"<ul>\n{listed}\n</ul>"
        case Commands(lines):
            return "<dl>\n" + "\n".join(
                f"<dt>{html.escape(purpose)}</dt>"
                f'<dd><pre class="copy" tabindex="0">{html.escape(command)}</pre></dd>'
                for purpose, command in lines) + "\n</dl>"
        case Table():
            return _html_table(block)
        case Code(caption, text):
            return (f"<details><summary>{html.escape(caption)}</summary>"
                    f'<pre tabindex="0">{html.escape(text)}</pre></details>')
        case Picture():
            return _html_picture(block, page.colours)


def _html_piece(text: str) -> str:
    escaped = html.escape(text)
    return f"<strong>{escaped}</strong>" if isinstance(text, Strong) else escaped


def _numeric_columns(table: Table) -> set[int]:
    """Those that hold numbers and nothing else, empty cells apart."""
    columns = [[row[k] for row in table.rows if row[k]] for k in range(len(table.columns))]
    return {k for k, texts in enumerate(columns)
            if k >= table.header_columns and texts and all(map(_is_number, texts))}


def _is_number(text: str) -> bool:
    """Whether a cell is a quantity, its interval or a count, and no sentence."""
    return bool(_NUMBER.match(text)) and ", " not in text


def _html_table(table: Table) -> str:
    caption = html.escape(table.caption)
    numeric = _numeric_columns(table)
    classes = [' class="number"' if k in numeric else "" for k in range(len(table.columns))]
    head = "".join(f'<th scope="col"{classes[k]}>{html.escape(column)}</th>'
                   for k, column in enumerate(table.columns))
    rows = "\n".join(
        "<tr>" + "".join(
            f'<th scope="row">{_html_piece(text)}</th>' if k < table.header_columns
            else _html_cell(text, k in numeric, table.tones.get(text, ""))
            for k, text in enumerate(row)
        ) + "</tr>"
        for row in table.rows
    )
    wide = ' wide' if len(table.columns) >= _WIDE else ""
    whole = (
        f'<div class="scroll{wide}" tabindex="0" role="region" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )
    if table.folded:
        return f"<details><summary>{html.escape(_summary(table))}</summary>{whole}</details>"
    return whole


def _summary(table: Table) -> str:
    """What a folded table shows of its caption: the first sentence."""
    return table.caption.partition(". ")[0]


def _html_cell(text: str, is_number: bool, tone: str) -> str:
    classes = " ".join(filter(None, ["number" if is_number else "", tone]))
    opening = f'<td class="{classes}">' if classes else "<td>"
    return f"{opening}{_html_piece(text)}</td>"


def _html_picture(picture: Picture, colours: dict[str, str]) -> str:
    files = ", ".join(
        f'<a href="{html.escape(path)}">{html.escape(what)}</a>'
        for what, path in picture.files.items()
    )
    return (
        f'<figure id="{picture.name}">\n{_inline_svg(picture, colours)}\n'
        f"<figcaption><strong>{html.escape(picture.title)}.</strong> "
        f"{html.escape(picture.caption)}<br>Files: {files}. "
        f"Redraw: <code>{html.escape(picture.command)}</code></figcaption></figure>"
    )


def _inline_svg(picture: Picture, colours: dict[str, str]) -> str:
    """The drawing as an element of the page: own ids, the page's colours, a name to read out."""
    svg = picture.svg[picture.svg.index("<svg"):].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(
        r' id="([^"]+)"',
        lambda found: f' id="{picture.name}-{found[1]}"' if found[1] in used else "", svg,
    )
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{picture.name}-", svg)
    for colour, variable in colours.items():
        svg = svg.replace(colour, f"var({variable})")
    width = re.search(r'<svg[^>]*? width="([^"]+)"', svg)
    end = svg.index(">")
    opening = re.sub(r' (?:xmlns(?::xlink)?|version|width|height)="[^"]*"', "", svg[:end])
    shown = f'style="max-width: calc({SVG_ZOOM} * {width[1]})"' if width else ""
    return (f'{opening} {shown} role="img" aria-label="{html.escape(picture.title)}"'
            + svg[end:])


def _markdown_block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Paragraph(text, tone):
            return f"> {text}" if tone else text
        case Items(items):
            return "\n".join(f"* {''.join(map(_markdown_piece, item))}" for item in items)
        case Commands(lines):
            listed = "\n".join(f"{command}  # {purpose}" for purpose, command in lines)
            return f"```sh\n{listed}\n```"
        case Table():
            return _markdown_table(block)
        case Code(caption, text):
            return _markdown_fold(caption, f"````\n{text.rstrip()}\n````")
        case Picture():
            return (f"![{block.title}]({block.files['SVG']})\n\n**{block.title}.** {block.caption} "
                    f"Redraw: `{block.command}`")


def _markdown_table(table: Table) -> str:
    numeric = _numeric_columns(table)
    rules = ["---:" if k in numeric else "---" for k in range(len(table.columns))]
    lines = [list(map(_markdown_cell, table.columns)), rules,
             *([_markdown_piece(text) for text in row] for row in table.rows)]
    grid = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    captioned = f"*{_markdown_cell(table.caption)}*\n\n{grid}"
    if table.folded:
        return _markdown_fold(
            _summary(table), grid if _summary(table) == table.caption else captioned)
    return captioned


def _markdown_fold(caption: str, inside: str) -> str:
    """Blank lines around `inside`, or it would not be read as Markdown."""
    return f"<details><summary>{html.escape(caption)}</summary>\n\n{inside}\n\n</details>"


def _markdown_piece(text: str) -> str:
    plain = _markdown_cell(text)
    return f"**{plain}**" if isinstance(text, Strong) else plain


def _markdown_cell(text: str) -> str:
    return re.sub(r"([|*<])", r"\\\1", text).replace("\n", " ")


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
