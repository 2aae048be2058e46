"""benchmarks/README.md and the long tests name every benchmark that there is."""

import ast

from tests.benchmarks.test_smallest import MEASURING, OF_ANOTHER, PICTURES, TABLES, keys_to_look_at
from tests.support import ROOT


def test_every_benchmark_has_a_row_and_is_run_by_a_long_test() -> None:
    programs = {
        path.stem for path in (ROOT / "benchmarks").glob("*.py")
        if any(isinstance(node, ast.FunctionDef) and node.name == "main"
               for node in ast.parse(path.read_text(encoding="utf-8")).body)
    }  # fmt: skip
    assert programs - OF_ANOTHER == {*MEASURING, *TABLES, *PICTURES} == set(keys_to_look_at())
