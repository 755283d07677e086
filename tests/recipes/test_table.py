"""The table recipe: cells by row and by column, so that either is one range read."""

from __future__ import annotations

from typing import Any

import fdb.tuple
import pytest

from phasm_fdb.database.transactional import transactional


class Table:
    def __init__(self, space: Any) -> None:
        self.by_row, self.by_column = space["row"], space["column"]

    @transactional
    def set_cell(self, tr: Any, row: Any, column: Any, value: Any) -> None:
        tr[self.by_row.pack((row, column))] = fdb.tuple.pack((value,))
        tr[self.by_column.pack((column, row))] = fdb.tuple.pack((value,))

    @transactional
    def get_cell(self, tr: Any, row: Any, column: Any) -> Any:
        found = tr[self.by_row.pack((row, column))]
        return fdb.tuple.unpack(bytes(found))[0] if found.present() else None

    @transactional
    def set_row(self, tr: Any, row: Any, cells: dict[Any, Any]) -> None:
        for column in self.get_row(tr, row):
            del tr[self.by_column.pack((column, row))]
        del tr[self.by_row.range((row,))]
        for column, value in cells.items():
            self.set_cell(tr, row, column, value)

    @transactional
    def get_row(self, tr: Any, row: Any) -> dict[Any, Any]:
        return self._line(tr, self.by_row, row)

    @transactional
    def get_column(self, tr: Any, column: Any) -> dict[Any, Any]:
        return self._line(tr, self.by_column, column)

    def _line(self, tr: Any, index: Any, name: Any) -> dict[Any, Any]:
        cells = tr[index.range((name,))]
        return {index.unpack(bytes(cell.key))[1]: fdb.tuple.unpack(bytes(cell.value))[0] for cell in cells}


@pytest.fixture
def table(database: Any, space: Any) -> Table:
    table = Table(space)
    table.set_row(database, "ann", {"age": 40, "town": "Ulm"})
    table.set_row(database, "bob", {"age": 30, "town": "Bonn", "pet": "cat"})
    return table


def test_a_cell(database: Any, table: Table) -> None:
    assert table.get_cell(database, "ann", "age") == 40
    assert table.get_cell(database, "ann", "pet") is None


def test_a_row_and_a_column(database: Any, table: Table) -> None:
    assert table.get_row(database, "bob") == {"age": 30, "town": "Bonn", "pet": "cat"}
    assert table.get_column(database, "age") == {"ann": 40, "bob": 30}


def test_a_row_that_is_set_again_loses_its_other_cells_in_both_orders(database: Any, table: Table) -> None:
    table.set_row(database, "bob", {"age": 31})
    assert table.get_row(database, "bob") == {"age": 31}
    assert table.get_column(database, "pet") == {}
    assert table.get_column(database, "age") == {"ann": 40, "bob": 31}


def test_a_cell_keeps_both_orders_in_step(database: Any, table: Table) -> None:
    table.set_cell(database, "ann", "pet", "dog")
    assert table.get_column(database, "pet") == {"ann": "dog", "bob": "cat"}
