"""Nothing that is read can run code, nothing secret is written, nothing listens to other machines."""

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from distil.core.errors import UserError
from distil.corpus.build import write_corpus
from distil.finetuning.classifier import load_classifier
from distil.modeling.xlm_roberta import load_masked_lm
from distil.tracking.run import complete_run
from tests.faults.pipeline import LANGUAGES, LAST, ROOT, STEPS, Zygote, make_root
from tests.faults.test_input import CORPUS

CODE = [path for folder in ("distil", "stages", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
TOKEN = "hf_AMarkerThatMustNeverBeWritten"


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trapped(world: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model folder with pickles beside its weights, and the folder that appears when one of them is opened."""
    folder, sprung = Path(shutil.copytree(world / "models/teacher", tmp_path / "model")), tmp_path / "sprung"
    for name in (
        "pytorch_model.bin",
        "model.pt",
        "pytorch_model.pt",
        "training_args.bin",
        "tokenizer.pkl",
        "adapter_model.bin",
    ):
        (folder / name).write_bytes(pickle.dumps(Malicious(sprung)))
    torch.save({"weight": Malicious(sprung)}, folder / "optimizer.pt")
    (folder / "modeling_evil.py").write_text(f"import os\nos.mkdir({str(sprung)!r})\n", encoding="utf-8")
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace(
        "{", '{"auto_map": {"AutoConfig": "modeling_evil.Config", "AutoModelForMaskedLM": "modeling_evil.Model"},', 1
    ), encoding="utf-8")  # fmt: skip
    return folder, sprung


def test_the_trap_springs_where_a_pickle_is_opened(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(tmp_path / "sprung")))
    assert (tmp_path / "sprung").is_dir()


def test_pickles_and_code_beside_the_weights_are_never_opened(trapped: tuple[Path, Path]) -> None:
    folder, sprung = trapped
    load_masked_lm(folder, None)
    load_masked_lm(folder, "teacher")
    load_classifier(folder, "text_classification", ["a", "b"], 32, "distil")
    load_classifier(folder, "token_classification", ["O", "B-X"], 32, "distil")
    assert not sprung.exists()


def test_pickles_without_safetensors_are_refused(trapped: tuple[Path, Path]) -> None:
    folder, sprung = trapped
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin, which can run code and is not opened"):
        load_masked_lm(folder, None)
    with pytest.raises(UserError):
        load_classifier(folder, "text_classification", ["a", "b"], 32, "distil")
    assert not sprung.exists()


def test_no_code_opens_pickles_runs_text_or_unpacks_archives() -> None:
    forbidden = re.compile(
        r"trust_remote_code\s*=\s*True|\bpickle\b\.|import pickle|torch\.load\((?!.*weights_only=True)|joblib"
        r"|(?<![.\w])(eval|exec)\(|shell\s*=\s*True|os\.system|yaml\.unsafe_load|yaml\.load\((?!.*Loader=)"
        r"|import (tarfile|zipfile)|unpack_archive|allow_pickle\s*=\s*True"
    )
    found = [f"{path.name}: {hit.group(0)}" for path in CODE
             for hit in forbidden.finditer(path.read_text(encoding="utf-8"))]  # fmt: skip
    assert found == []
    opened = [path.name for path in CODE if "torch.load(" in path.read_text(encoding="utf-8")]
    assert opened == ["weights.py"]  # the one file that opens a pickle, with torch's restricted unpickler


@pytest.mark.parametrize("name", ["swa.zip", "swa.tar", "swa.tar.gz", "swa.txt.gz"])
def test_an_archive_is_refused_or_read_as_the_text_it_is_not_and_nothing_of_it_is_unpacked(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "tasks/t").mkdir(parents=True)
    (tmp_path / "tasks/t/manifest.json").write_text(
        json.dumps({"task": "t", "kind": "text_classification", "labels": [], "languages": {}}), encoding="utf-8"
    )
    content, path = b"habari ya asubuhi rafiki yangu\n" * 9, tmp_path / "in" / name
    evil = ["../escaped.txt", "../../escaped.txt", str(tmp_path / "escaped.txt"), "inside.txt"]
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as pack:
            for each in evil:
                pack.writestr(each, content)
    else:
        with tarfile.open(path, "w:gz" if name.endswith(".gz") else "w") as pack:
            for each in evil:
                entry = tarfile.TarInfo(each)
                entry.size = len(content)
                pack.addfile(entry, io.BytesIO(content))
    config = CORPUS.model_copy(update={"path": str(tmp_path / "in"), "pattern": "{lang}" + name.removeprefix("swa")})
    if name == "swa.txt.gz":  # the lines of a tar file, whatever they are
        write_corpus(config, ["swa"], tmp_path / "tasks", tmp_path / "out")
    else:
        with pytest.raises(UserError, match=f"{name}: expected a name that ends in .txt"):
            write_corpus(config, ["swa"], tmp_path / "tasks", tmp_path / "out")
    assert list(tmp_path.parent.rglob("escaped.txt")) + list(tmp_path.rglob("inside.txt")) == []


def test_servers_listen_on_this_machine_only() -> None:
    texts = [ROOT / "Makefile", ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *CODE]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert "0.0.0.0" not in text, path
        for host in re.findall(r"--host[ =](\S+)", text):
            assert host == "127.0.0.1", path
        for command in re.findall(r"^\s*(?:\S+=\S+ )*mlflow server (?:[^\n]*\\\n)*[^\n]*", text, re.MULTILINE):
            assert "--host 127.0.0.1" in command, path


def test_every_locked_package_has_hashes_and_no_index_is_named() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    packages = [block for block in blocks if re.match(r"[A-Za-z0-9._-]+==", block)]
    assert len(packages) > 50 and all("--hash=sha256:" in block for block in packages)
    assert "index-url" not in text and "git+" not in text
    assert "--require-hashes" in (ROOT / "Makefile").read_text(encoding="utf-8")


AUDITED = {
    "clean": ("No known vulnerabilities found", 0, "No known vulnerabilities found"),
    "found": ("Found 1 known vulnerability in 1 package\nurllib3 1.0 PYSEC-1", 1, "urllib3 1.0 PYSEC-1"),
    "unknown": ("ERROR:pip_audit._cli:filelock: Dependency not found on PyPI", 1, "audit: not done"),
    "unreachable": ("Traceback (most recent call last):\n  File\nConnectionError: refused", 1, "audit: not done"),
}  # fmt: skip


@pytest.mark.parametrize("case", AUDITED)
def test_an_audit_that_could_not_be_done_never_passes_for_a_clean_one(tmp_path: Path, case: str) -> None:
    said, status, expected = AUDITED[case]
    tool, ready = tmp_path / "uv", tmp_path / "ready"
    script = f"#!/bin/sh\necho \"$@\" > {tmp_path}/asked\ncat <<'END'\n{said}\nEND\nexit {status}\n"
    tool.write_text(script, encoding="utf-8")
    tool.chmod(0o755)
    ready.touch()  # the environment is there
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "audit", f"UV={tool}", f"READY={ready}"], cwd=ROOT, env=env, text=True,
                          capture_output=True)  # fmt: skip
    assert (done.returncode == 0) == (status == 0) and expected in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert "--strict" in asked and "--require-hashes" in asked and "requirements.lock" in asked


def holding(folder: Path, secret: str) -> list[str]:
    """Files that hold a text, in UTF-8 or in UTF-16."""
    forms = [secret.encode(), secret.encode("utf-16-le")]
    return [str(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
            and any(form in path.read_bytes() for form in forms)]  # fmt: skip


@pytest.mark.faults
def test_no_stage_writes_or_says_the_token(zygote: Zygote, tmp_path: Path) -> None:
    root = make_root(tmp_path / "repository")
    for step in [*STEPS, *LAST]:
        assert TOKEN not in zygote.run(root, step.name, HF_TOKEN=TOKEN, HUGGING_FACE_HUB_TOKEN=TOKEN)
    assert (root / "metrics/report.html").is_file() and (root / "metrics/model_card.md").is_file()
    assert holding(root, TOKEN) == [] and holding(root, LANGUAGES[0]) != []


@pytest.mark.faults
def test_mlflow_never_sees_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert complete_run("ab" * 32, params, {"heldout/swa/kl": 1.0}, {"student": "x"}, {}, [Path("params.yaml")])
    assert (tmp_path / "mlflow.db").stat().st_size > 10_000 and holding(tmp_path, TOKEN) == []
