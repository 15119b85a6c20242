"""Text files as tables, however a spreadsheet saved them.

UTF-8 with or without a byte order mark, UTF-16 with one, else Windows-1252; commas, semicolons or tabs, whichever gives
the heading most words that are known; ``sep=;`` or a title above, empty lines, lines of a comment, the rule below a heading
in Markdown and empty columns at the end are no data.  A row with a wrong count of cells, or a quote that never ends, is
refused by itself.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

#: beginnings of files that are no text, and what to do with them
BINARY = {
    b"PK\x03\x04": "is a workbook or an archive: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "is an old workbook: save the sheet as CSV",
    b"\x1f\x8b": "is packed with gzip: unpack it",
    b"PAR1": "is Parquet: pass pandas.read_parquet(...), or save it as CSV",
    b"%PDF": "is a PDF: copy its table into a CSV file",
}
SEPARATORS = (",", ";", "\t", "|")
#: no text has these characters
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


#: a cell of the line below the heading of a table in Markdown
RULE = re.compile(r":?-{3,}:?")
#: lines above the heading in which a title may stand, and how many known words make a heading of one
ABOVE, HEADING = 10, 3


class Table(NamedTuple):
    """Headings and rows of text; the line of each row, why some are no row (by place), and what separates cells."""

    header: list[str]
    rows: list[list[Any]]
    lines: list[int]
    odd: dict[int, str]
    separator: str = ","


def text_of(content: bytes, name: str) -> str:
    """The text of a file.

    Raises
    ------
    ValueError
        In one line, for anything else than text.
    """
    for begins, advice in BINARY.items():
        if content.startswith(begins):
            raise ValueError(f"{name}: {advice}")
    nothing = f"{name}: is no text in UTF-8, UTF-16 or Windows-1252, so no CSV file"
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = content.decode("utf-16")
            if not re.search("[A-Za-z]", text):
                raise ValueError(nothing)
        else:
            text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            raise ValueError(nothing) from None
    if CONTROL.search(text):
        raise ValueError(nothing)
    return text


def table(text: str, name: str, known: Callable[[str], bool]) -> Table:
    """A text as a table.

    Parameters
    ----------
    known : callable
        Says of a heading whether anything is called so.
    """
    told = re.match(r"\s*sep=(.)\s*?(?:\r\n|\r|\n)", text)
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    skipped = 0
    if told:
        skipped = 1
    while skipped < len(lines) and (not lines[skipped].strip(" ,;\t|\r\n") or lines[skipped].startswith("#")):
        if lines[skipped].startswith("#") and max(lines[skipped].count(s) for s in SEPARATORS) >= 3:
            break  # a column of numbers of rows
        skipped += 1
    if skipped >= len(lines) or not "".join(lines[skipped:]).strip():
        raise ValueError(f"{name}: is empty")
    if not told:
        skipped += _title(lines[skipped : skipped + ABOVE], known)
    separator = told[1] if told else _separator(lines[skipped], known)
    try:
        found = list(_parsed(lines[skipped:], separator, skipped))
        odd: dict[int, str] = {}
    except csv.Error as error:
        found, odd = _by_line(lines[skipped:], separator, skipped)
        if skipped in odd or len(odd) >= sum(any(c.strip() for c in cells) for _, cells in found[1:]):
            raise ValueError(
                f"{name}, line {min(odd, default=skipped) + 1}: is not well-formed CSV ({error})"
            ) from None
    return _shaped(found, odd, separator, name)


def _title(lines: Sequence[str], known: Callable[[str], bool]) -> int:
    """Lines above the heading: none where the first one has a word that is known."""
    worth = [max(_worth(line, separator, known)[0] for separator in SEPARATORS) for line in lines]
    return next((i for i, words in enumerate(worth) if words >= HEADING), 0) if not worth[0] else 0


def _worth(line: str, separator: str, known: Callable[[str], bool]) -> tuple[int, int]:
    """How many cells of a line are known, and how many there are."""
    try:
        cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        cells = line.split(separator)
    return sum(known(c) for c in cells), len(cells)


def _separator(line: str, known: Callable[[str], bool]) -> str:
    """What separates the cells of the heading."""
    return max(SEPARATORS, key=lambda separator: _worth(line, separator, known))


def _parsed(lines: Sequence[str], separator: str, skipped: int) -> list[tuple[int, list[str]]]:
    """Rows with the line where each begins."""
    reader = csv.reader(lines, strict=True, delimiter=separator)
    found, begins = [], 1
    for cells in reader:
        found.append((begins + skipped, cells))
        begins = reader.line_num + 1
    return found


def _by_line(lines: Sequence[str], separator: str, skipped: int) -> tuple[list[tuple[int, list[str]]], dict[int, str]]:
    """Rows of a file in which a quote does not end: each line by itself; the lines that are none, and why."""
    found: list[tuple[int, list[str]]] = []
    odd: dict[int, str] = {}
    for i, line in enumerate(lines):
        try:
            cells = next(csv.reader([line], strict=True, delimiter=separator), [])
        except csv.Error as error:
            cells, odd[i + skipped] = [line], f"is not well-formed CSV ({error})"
        found.append((i + 1 + skipped, cells))
    return found, odd


def _shaped(found: Sequence[tuple[int, list[str]]], odd: dict[int, str], separator: str, name: str) -> Table:
    header = [" ".join(c.split()) for c in found[0][1]]
    while header and not header[-1]:
        header.pop()
    width = len(header)
    rows: list[list[Any]] = []
    lines: list[int] = []
    why: dict[int, str] = {}
    for line, cells in found[1:]:
        if not any(c.strip() for c in cells):
            continue
        if (len(cells) == 1 and cells[0].startswith("#")) or all(RULE.fullmatch(c.strip()) for c in cells if c.strip()):
            continue
        while len(cells) > width and not cells[-1].strip():
            cells = cells[:-1]
        if line - 1 in odd:
            why[len(rows)] = odd[line - 1]
        elif len(cells) != width:
            hint = " (a number with commas stands in quotes)" if len(cells) > width and separator == "," else ""
            why[len(rows)] = f"has {len(cells)} cells where the header has {width}{hint}"
        rows.append(cells if len(rows) not in why else [None] * width)
        lines.append(line)
    named = [c or f"column {i + 1}" for i, c in enumerate(header)]
    if not named:
        raise ValueError(f"{name}: is empty")
    return Table(named, rows, lines, why, separator)
