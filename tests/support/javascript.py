"""Node with the packages of tests/web/package.json. Without, tests are skipped; where CI is set they fail."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

NODE = shutil.which("node")
MODULES = ROOT / ".tools/npm/node_modules"
THERE = NODE is not None and MODULES.is_dir()

needs_node = pytest.mark.skipif(
    not THERE and not os.environ.get("CI"), reason="no Node.js or no npm packages here; `make node` brings the packages"
)


def run_node(script: Path, *arguments: object, given: Any) -> Any:
    """What a script writes to standard output as JSON, with `given` as JSON on its standard input."""
    if not THERE:
        pytest.fail("CI is set and there is no Node.js or no npm packages; .ci/run installs them")
    line = [str(NODE), "--no-warnings", str(script), *map(str, arguments)]
    done = subprocess.run(line, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
