"""The files for clusters: what a scheduler would refuse is refused here."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.sbatch")), ids=lambda path: path.name)
def test_slurm_files_are_shell_with_directives_first(path: Path) -> None:
    assert shutil.which("bash")
    subprocess.run(["bash", "-n", str(path)], check=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert lines[0] == "#!/bin/bash" and all(re.match(r"#SBATCH --[a-z-]+=\S+$", lines[at]) for at in directives)
    first_command = next(at for at, line in enumerate(lines) if line and not line.startswith("#"))
    assert max(directives) < first_command  # Slurm reads none behind the first command


def test_the_parts_of_a_sweep_are_the_grid_and_what_is_done_is_left_out(tmp_path: Path) -> None:
    script = EXAMPLES / "sweep-part.sh"
    (tmp_path / "dvc").write_text(
        '#!/bin/bash\n[[ "$2" == list ]] && { echo b; exit; }\necho "$*" >> "$(dirname "$0")/said"\n', encoding="utf-8"
    )
    (tmp_path / "dvc").chmod(0o755)
    (tmp_path / "git").write_text("#!/bin/bash\n", encoding="utf-8")
    (tmp_path / "git").chmod(0o755)
    (tmp_path / "grid").write_text("a x=1 y=2\nb x=2\nc x=3\n", encoding="utf-8")
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SWEEP_GRID": str(tmp_path / "grid")}
    parts = []
    for number in "01":
        subprocess.run(["bash", str(script), number, "2"], check=True, env=env, stdin=subprocess.DEVNULL)
        parts.append((tmp_path / "said").read_text().splitlines() if (tmp_path / "said").exists() else [])
    run = "exp run --pull --name"
    first = ["pull", f"{run} a -S x=1 -S y=2", "exp push origin a", f"{run} c -S x=3", "exp push origin c"]
    assert parts == [first, [*first, "pull"]]  # b, the second machine's, is on the remote
    for wrong in (["2", "2"], ["x", "2"], ["0", "0"], []):
        done = subprocess.run(["bash", str(script), *wrong], env=env, capture_output=True, text=True)
        assert done.returncode == 1 and "usage" in done.stderr


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
