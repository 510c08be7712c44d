"""Tables in the layout of the paper's: a row for each subset, columns by measure or region, as Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lckd.sequences import SEQUENCES, Subset

#: Replaced in names before they go into a LaTeX table.
_LATEX_SPECIAL = re.compile(r"[\\&%$#_{}~^]")
_LATEX_ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Row:
    """A row: of a subset, or with a label such as "Average"; its cells, and which of them are bold."""

    head: Subset | str
    cells: tuple[str, ...]
    bold: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        groups: title of each group of columns, and the titles of its columns.
        rows: those of the subsets.
        foot: rows under them.
    """

    caption: str
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[Row, ...]
    foot: tuple[Row, ...] = ()


def best_of(values: Iterable[tuple[int, float]], digits: int = 2) -> frozenset[int]:
    """The columns that hold the largest value, as printed."""
    rounded = {column: round(value, digits) for column, value in values}
    return frozenset(column for column, value in rounded.items() if value == max(rounded.values()))


def markdown(table: Table) -> str:
    """The table in Markdown, its caption above it; ✓ marks the sequences of a subset."""
    columns = [f"{group} {column}" for group, names in table.groups for column in names]
    width = len(SEQUENCES)
    head = [sequence.title for sequence in SEQUENCES] + [column.replace("|", r"\|") for column in columns]
    lines = [_pipes(head), _pipes([":-:"] * width + ["--:"] * len(columns))]
    for row in table.rows + table.foot:
        cells = [f"**{cell}**" if index in row.bold else cell for index, cell in enumerate(row.cells)]
        named = isinstance(row.head, str)
        marks = [str(row.head)] + [""] * (width - 1) if named else ["✓" if s in row.head else "" for s in SEQUENCES]
        lines.append(_pipes(marks + cells))
    return f"{table.caption}\n\n" + "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """The table in LaTeX (packages booktabs and graphicx), as wide as the text; ● marks the sequences of a subset."""
    width, count = len(SEQUENCES), sum(len(names) for _, names in table.groups)
    titles = " & ".join(
        [rf"\multicolumn{{{width}}}{{c}}{{Sequences}}"]
        + [rf"\multicolumn{{{len(names)}}}{{c}}{{{_escaped(group)}}}" for group, names in table.groups]
    )
    columns = [sequence.title for sequence in SEQUENCES] + [name for _, names in table.groups for name in names]
    foot = [r"\midrule", *map(_latex_row, table.foot)] if table.foot else []
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(table.caption)}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{{'c' * width}{'r' * count}}}",
        r"\toprule",
        titles + r" \\",
        " & ".join(map(_escaped, columns)) + r" \\",
        r"\midrule",
        *map(_latex_row, table.rows),
        *foot,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(row: Row) -> str:
    if isinstance(row.head, str):
        marks = [rf"\multicolumn{{{len(SEQUENCES)}}}{{c}}{{{_escaped(row.head)}}}"]
    else:
        marks = [r"$\bullet$" if sequence in row.head else r"$\circ$" for sequence in SEQUENCES]
    cells = [rf"\textbf{{{_escaped(c)}}}" if i in row.bold else _escaped(c) for i, c in enumerate(row.cells)]
    return " & ".join(marks + cells) + r" \\"


def _escaped(text: str) -> str:
    return _LATEX_SPECIAL.sub(lambda found: _LATEX_ESCAPED.get(found[0], "\\" + found[0]), text)


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
