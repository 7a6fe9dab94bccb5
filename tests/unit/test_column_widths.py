"""Tables on narrow terminals: cells fold at blanks, no word is cut, no column is lost."""

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from grokcrit.cli.shell import BESIDE_CELLS, column_widths

ROWS = [
    ["option", "value", "with a fit", "crossing", "clear"],
    ["all points of the sweep", "", "12", "6 of 24", "1 of 24"],
    ["init", "normal:0.5", "6", "3 of 12", "0 of 12"],
]


@pytest.mark.parametrize("width", range(10, 90, 3))
def test_every_word_is_whole_at_any_width(width):
    widths = column_widths(ROWS, width)
    needed = sum(widths) + BESIDE_CELLS * len(widths) + 2
    console = Console(file=io.StringIO(), width=max(width, needed))
    table = Table(box=box.SIMPLE_HEAD)
    for name, each in zip(ROWS[0], widths, strict=True):
        table.add_column(name, width=each)
    for row in ROWS[1:]:
        table.add_row(*row)
    console.print(table)
    printed = console.file.getvalue()
    for row in ROWS:
        for cell in row:
            for word in cell.split():
                assert word in printed
    assert printed.split().count("24") == 2  # of the last column, too


def test_columns_give_up_what_they_can_and_no_more_than_they_must():
    longest = [max(map(len, cells)) for cells in zip(*ROWS, strict=True)]
    assert column_widths(ROWS, 100) == longest
    assert sum(column_widths(ROWS, 60)) + BESIDE_CELLS * 5 + 2 == 60
    assert column_widths(ROWS, 10) == [6, 10, 4, 8, 5]
