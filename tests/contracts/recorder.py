"""The table that ``--contracts-table=FILE`` writes, of a run of the contract suites alone or of the whole suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.table import Cell, cases, render

_BEGIN, _END = "<!-- written by make contracts -->", "<!-- end -->"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--contracts-table", type=Path, help="write the outcome of every contract case into this page")


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--contracts-table", None)
    if page is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(page))


class _Recorder:
    """Gathers the cells, also from the workers of a parallel run, and writes them into the page between its marks."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._cells: dict[str, Cell] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = next((value for key, value in report.user_properties if key == "case"), None)
        if case is None:
            return
        suite, row, column = map(str, case) if isinstance(case, list | tuple) else ("", "", "")
        before = self._cells.get(report.nodeid)
        passed = report.passed and (before is None or before.passed)
        notes = tuple(str(value) for key, value in report.user_properties if key == "difference")
        self._cells[report.nodeid] = Cell(suite, row, column, passed, notes)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == 0:
            # Nodes in the order of the files: parallel workers report in any order.
            cells = [self._cells[node] for node in sorted(self._cells, key=_place)]
            if lost := set(cases()) - {(cell.suite, cell.row) for cell in cells}:
                raise pytest.UsageError(f"not every case ran, so {self._page} is left as it is; such as {min(lost)}")
            before, _, rest = self._page.read_text().partition(_BEGIN)
            after = rest.partition(_END)[2]
            self._page.write_text(f"{before}{_BEGIN}\n\n{render(cells)}\n{_END}{after}")


def _place(node: str) -> tuple[str, int, str]:
    file, _, name = node.partition("::")
    source = Path(file).read_text().splitlines()
    function = name.partition("[")[0]
    return file, next((i for i, line in enumerate(source) if line.startswith(f"def {function}(")), 0), ""
