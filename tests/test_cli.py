"""The command `distil` and what the package gives in Python."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import distil
from distil import cli
from distil.serving.predictor import Predictor
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def command(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "distil", *words]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_package_declares_the_command() -> None:
    assert PROJECT["scripts"] == {"distil": "distil.cli:main"}


def test_without_a_command_it_lists_all_of_them() -> None:
    done = command()
    assert done.returncode == 0 and done.stdout == command("--help").stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")] == list(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_help_under_its_own_name(name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: distil {name} "), done.stderr


def test_a_slip_in_the_name_is_refused_with_the_command_that_was_meant() -> None:
    done = command("perdict")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: distil: unknown command 'perdict', expected predict, ")
    assert done.stderr.endswith("; did you mean `predict`?\n")


def test_a_package_that_is_not_installed_is_named_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'", name="yaml.nodes")

    monkeypatch.setattr(cli.importlib, "import_module", missing)
    monkeypatch.setattr(sys, "argv", ["distil", "preset", "--list"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    said = "error: distil preset: the package yaml.nodes is not installed; run `pip install 'distil[pipeline]'`\n"
    assert capsys.readouterr().err == said


def test_the_packages_that_predict_imports_are_those_that_are_always_installed(exports: Path) -> None:
    code = (
        "import sys, distil\n"
        "distil.load('models/onnx/words/int8').predict(['zuri sana'])\n"
        "import distil.cli, distil.serving.cli\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(found & {'numpy', 'onnxruntime', 'tokenizers', 'torch', 'yaml', 'pydantic', 'tqdm', 'dvc'}))"
    )
    line = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(line, cwd=exports, capture_output=True, text=True, check=True)
    always = [name.partition(">")[0] for name in PROJECT["dependencies"]]
    assert done.stdout.split() == always == ["numpy", "onnxruntime", "tokenizers"]


def test_load_predicts_as_the_command_does_and_a_bad_text_gets_an_error_in_its_place(exports: Path) -> None:
    folder = exports / "models/onnx/words/fp32"
    model = distil.load(folder)
    found = model.predict(["zuri sana", "", "a\ud800b", "zuri sana"])
    assert found[0] == found[3] == Predictor(folder)(["zuri sana"])[0]
    assert found[1] == {"error": "empty line"} and "not UTF-8" in found[2]["error"]
    assert model.predict(iter(())) == []
    with pytest.raises(TypeError, match=r"expected a list of texts"):
        model.predict("zuri sana")


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = "import sys, distil; print(*sorted(name for name in sys.modules if name.startswith('distil')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["distil"]
