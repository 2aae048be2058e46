"""The files for clusters: what a scheduler would refuse is refused here."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parent.parent / "docs/examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.sbatch")), ids=lambda path: path.name)
def test_slurm_files_are_shell_with_directives_first(path: Path) -> None:
    assert shutil.which("bash")
    subprocess.run(["bash", "-n", str(path)], check=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert lines[0] == "#!/bin/bash" and all(re.match(r"#SBATCH --[a-z-]+=\S+$", lines[at]) for at in directives)
    first_command = next(at for at, line in enumerate(lines) if line and not line.startswith("#"))
    assert max(directives) < first_command  # Slurm reads none behind the first command


def test_kubernetes_objects_have_what_the_api_asks_for() -> None:
    claim, job = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["restartPolicy"] in ("Never", "OnFailure")  # what a job may have
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    subprocess.run(["bash", "-n", "-c", container["command"][-1]], check=True)


def test_the_commands_of_the_examples_exist(tmp_path: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES.iterdir())
    for command in sorted(set(re.findall(r"\bdvc (?:exp )?(?:run|repro|push|pull)\b", text))):
        done = subprocess.run([*command.split(), "--help"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, command
