"""One clone pushes what was computed, and another takes it up: docs/guides/share.md, on a folder and on an S3 server.

The commands are DVC's own on real repositories. A pipeline of five stages stands in for ours where only DVC's part
matters; the last test shares the real one.
"""

import hashlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
import yaml

from tests.support.remotes import BUCKET, Traffic, s3_server
from tests.support.repository import AFTER_DISTIL, ROOT, STAGES, Repository, environment, ran, unchanged

pytestmark = pytest.mark.slow

SHARDS = 60
HEAVY = ["data/raw", "models/teacher"]  # what a person may want to keep to themselves
PIPELINE = """
stages:
  tasks:
    foreach: [words]
    do: {cmd: python make.py tasks, deps: [make.py], outs: [data/tasks/words]}
  corpus: {cmd: python make.py corpus, deps: [make.py, data/tasks], outs: [data/raw]}
  teacher: {cmd: python make.py teacher, deps: [make.py], outs: [models/teacher]}
  cache_teacher:
    {cmd: python make.py cache_teacher, deps: [make.py, data/raw, models/teacher], outs: [data/teacher]}
  distil: {cmd: python make.py distil, deps: [make.py, data/teacher], params: [alpha], outs: [models/student]}
"""
MAKE = f"""
import hashlib, os, sys
from pathlib import Path

stage = sys.argv[1]
with open(os.environ["RUNS"], "a") as runs:
    print(stage, file=runs)

def write(name, about, size=1000):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(hashlib.sha256(about.encode()).digest() * size)

if stage == "tasks":
    write("data/tasks/words/train.tsv", "labels")
elif stage == "corpus":
    write("data/raw/swa.txt", "text")
elif stage == "teacher":
    write("models/teacher/model.safetensors", "weights")
elif stage == "cache_teacher":
    for number in range({SHARDS}):
        write(f"data/teacher/train-{{number:05d}}.safetensors", f"shard {{number}}")
else:
    write("models/student/model.safetensors", Path("params.yaml").read_text())
"""


class Shared(NamedTuple):
    """A repository whose results are there to be shared, and where to."""

    first: Repository
    git: Path  # the bare repository that both clones know as origin
    url: str  # of the DVC remote
    traffic: Traffic | None  # of an S3 server
    scratch: Path

    def clone(self, name: str) -> Repository:
        """A fresh clone with caches of its own, as on another machine."""
        env = environment(self.scratch / name) | {key: self.first.env[key] for key in self.first.env if "AWS" in key}
        other = Repository(self.scratch / name / "distil", env | {"RUNS": str(self.scratch / name / "runs")})
        other.root.parent.mkdir()
        other.run("git", "clone", "--quiet", str(self.git), str(other.root), cwd=self.scratch)
        return other

    def stored(self) -> set[str]:
        """md5s of the objects in the remote."""
        if self.traffic is None:
            # Not what a killed push leaves behind under a temporary name.
            found = (Path(self.url) / "files/md5").glob("??/*")
            return {f"{path.parent.name}{path.name}" for path in found if path.suffix != ".tmp"}
        found = client(self.first.env["AWS_ENDPOINT"]).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [entry["Key"] for page in found for entry in page.get("Contents", [])]
        return {"".join(key.rsplit("/", 2)[1:]) for key in keys if "/files/md5/" in key}


def client(address: str):
    return boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1"
    )


def runs(repository: Repository) -> list[str]:
    """Stages of the small pipeline that were computed in this clone."""
    path = Path(repository.env["RUNS"])
    return path.read_text().split() if path.is_file() else []


def start(repository: Repository, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=repository.root, env=repository.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The small pipeline after one `dvc repro`; read only."""
    folder = tmp_path_factory.mktemp("computed")
    first = Repository(folder / "distil", environment(folder) | {"RUNS": str(folder / "runs")})
    first.root.mkdir()
    first.run("git", "init", "--quiet", "--initial-branch=main")
    first.run("dvc", "init", "--quiet")
    (first.root / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (first.root / "make.py").write_text(MAKE, encoding="utf-8")
    (first.root / "params.yaml").write_text("alpha: 0.5\n", encoding="utf-8")
    first.run("dvc", "repro")
    first.commit("the results")
    assert sorted(runs(first)) == ["cache_teacher", "corpus", "distil", "tasks", "teacher"]
    return first


@pytest.fixture(params=["folder", "s3"])
def shared(request: pytest.FixtureRequest, computed: Repository, tmp_path: Path) -> Iterator[Shared]:
    """A copy of it with a remote of either kind, nothing pushed yet."""
    shutil.copytree(computed.root, tmp_path / "first/distil")
    env = environment(tmp_path / "first") | {"RUNS": str(tmp_path / "first/runs")}
    first = Repository(tmp_path / "first/distil", env)
    first.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "origin.git"))
    first.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    if request.param == "folder":
        yield prepare(Shared(first, tmp_path / "origin.git", str(tmp_path / "remote"), None, tmp_path))
        return
    with s3_server() as (address, traffic):
        client(address).create_bucket(Bucket=BUCKET)
        env |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT": address}  # fmt: skip
        first = first._replace(env=env)
        yield prepare(Shared(first, tmp_path / "origin.git", f"s3://{BUCKET}/cache", traffic, tmp_path))


def prepare(shared: Shared) -> Shared:
    """Name the remote in .dvc/config, as docs/guides/share.md does, and push the commit."""
    shared.first.run("dvc", "remote", "add", "--default", "store", shared.url)
    if shared.traffic:
        shared.first.run("dvc", "remote", "modify", "store", "endpointurl", shared.first.env["AWS_ENDPOINT"])
    shared.first.commit("a remote")
    shared.first.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    return shared


def test_a_fresh_clone_pulls_and_computes_nothing_and_takes_up_experiments(shared: Shared) -> None:
    first = shared.first
    first.run("dvc", "exp", "run", "--temp", "--name", "higher", "-S", "alpha=0.9")
    assert runs(first) == ["distil"]
    first.run("dvc", "push")
    first.run("dvc", "push", "--run-cache")
    first.run("dvc", "exp", "push", "origin", "higher")

    other = shared.clone("other")
    other.run("dvc", "pull")
    output = other.run("dvc", "repro")
    assert runs(other) == [] and ran(output) == []
    assert len(unchanged(output)) == 5
    # The experiment is there too, its model included; and its params give its result again without a training.
    other.run("dvc", "exp", "pull", "origin", "higher")
    other.run("dvc", "exp", "apply", "higher")
    assert "alpha: 0.9" in (other.root / "params.yaml").read_text()
    assert "Data and pipelines are up to date." in other.run("dvc", "status")

    third = shared.clone("third")
    third.run("dvc", "pull")
    third.run("dvc", "pull", "--run-cache")
    third.run(
        "dvc", "exp", "run", "--pull", "-S", "alpha=0.9"
    )  # --pull: the run cache names results, and does not hold them
    assert runs(third) == []
    student = "models/student/model.safetensors"
    assert (third.root / student).read_bytes() == (other.root / student).read_bytes()


def test_teacher_and_corpus_can_stay_at_home(shared: Shared) -> None:
    shared.first.run("dvc", "push", "data/tasks/words", "data/teacher", "models/student")
    secret = {path.name for path in (shared.first.root / ".dvc/cache/files/md5").glob("??/*")} - {
        md5[2:] for md5 in shared.stored()
    }
    assert len(secret) == 4  # both folders and the file in each
    other = shared.clone("other")
    other.run("dvc", "pull", "data/tasks/words", "data/teacher", "models/student")
    output = other.run("dvc", "repro", "--allow-missing")
    assert runs(other) == [] and len(unchanged(output)) == 5
    assert not any((other.root / folder).exists() for folder in HEAVY)
    # Another student from the shared cache: neither the corpus nor the teacher is made or asked for.
    other.run("dvc", "exp", "run", "--allow-missing", "-S", "alpha=0.1")
    assert runs(other) == ["distil"]


def test_two_clones_take_the_parts_of_a_sweep_and_a_third_has_all_of_it(shared: Shared) -> None:
    first = shared.first
    first.run("dvc", "push")
    (shared.scratch / "grid").write_text("".join(f"alpha-{alpha} alpha={alpha}\n" for alpha in (1, 2, 3)))
    done = []
    for number in (0, 1, 0):  # the first part again: its results are on the remote
        clone = shared.clone(f"part-{len(done)}")
        clone.env["SWEEP_GRID"] = str(shared.scratch / "grid")
        clone.run("bash", str(ROOT / "docs/examples/sweep-part.sh"), str(number), "2")
        done.append(len(runs(clone)))
        assert set(runs(clone)) <= {"distil"}
    assert done == [2, 1, 0]
    third = shared.clone("third")
    third.run("dvc", "exp", "pull", "origin", "--all-commits")
    assert set(third.run("dvc", "exp", "list", "--name-only", "--all-commits").split()) == {
        f"alpha-{n}" for n in (1, 2, 3)
    }
    third.run("dvc", "exp", "apply", "alpha-3")
    student = third.root / "models/student/model.safetensors"
    assert student.read_bytes()[:32] == hashlib.sha256(b"alpha: 3\n").digest()


def test_an_interrupted_push_continues_with_what_is_missing(shared: Shared) -> None:
    first, total = shared.first, len(list((shared.first.root / ".dvc/cache/files/md5").glob("??/*")))
    there = interrupted(shared, first, "PUT", ["dvc", "push", "--jobs", "1"], lambda: len(shared.stored()))
    assert 0 < there < total
    old = times(shared)
    if shared.traffic:
        shared.traffic.start_anew()
    push_again(shared)
    assert len(shared.stored()) == total
    assert {name: times(shared)[name] for name in old} == old  # nothing was sent twice
    if shared.traffic:
        assert len(shared.traffic.of("PUT")) == total - there
    other = shared.clone("other")
    other.run("dvc", "pull")
    other.run("dvc", "repro")
    assert runs(other) == []


def push_again(shared: Shared) -> None:
    """As docs/guides/share.md says: where DVC names a list of a folder remote that the kill cut off, it goes first."""
    done = subprocess.run(["dvc", "push"], cwd=shared.first.root, env=shared.first.env, capture_output=True, text=True)
    if done.returncode:
        assert shared.traffic is None, done.stderr  # an object of S3 is whole or not there
        named = re.search(r"object (\w+\.dir) is corrupted", done.stderr)
        assert named, done.stderr
        remove_object(shared, named[1])
        shared.first.run("dvc", "push")


def test_a_list_that_a_kill_left_cut_off_is_named_and_sent_again_once_it_is_removed(shared: Shared) -> None:
    if shared.traffic:
        pytest.skip("an object of S3 is whole or not there")
    total = len(list((shared.first.root / ".dvc/cache/files/md5").glob("??/*")))
    shared.first.run("dvc", "push")
    md5 = folder_list(shared.first, "data/teacher")
    path = Path(shared.url) / "files/md5" / md5[:2] / md5[2:]
    path.chmod(0o644)
    path.write_bytes(b"")
    push_again(shared)
    assert path.read_bytes() == (shared.first.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_bytes()
    assert len(shared.stored()) == total


def test_an_interrupted_pull_continues_with_what_is_missing(shared: Shared) -> None:
    shared.first.run("dvc", "push")
    total, other = len(shared.stored()), shared.clone("other")

    interrupted(shared, other, "GET", ["dvc", "pull", "--jobs", "1"], lambda: len(whole(other)))
    there = whole(other)
    assert 0 < len(there) < total
    if shared.traffic:
        shared.traffic.start_anew()
    other.run("dvc", "pull")
    if shared.traffic:  # lists of folders are read more than once, files that are there not again
        fetched = {"".join(path.rsplit("/", 2)[1:]) for path in shared.traffic.of("GET") if not path.endswith(".dir")}
        assert fetched == {md5 for md5 in shared.stored() - there if not md5.endswith(".dir")}
    assert whole(other) == shared.stored()
    other.run("dvc", "repro")
    assert runs(other) == []
    for folder in ("data", "models"):
        assert tree(other.root / folder) == tree(shared.first.root / folder)


def whole(repository: Repository) -> set[str]:
    """Objects of a clone's cache whose bytes are those of their name."""
    found = {}
    for path in (repository.root / ".dvc/cache/files/md5").glob("??/*"):
        with suppress(FileNotFoundError):  # a temporary name, gone meanwhile
            found[f"{path.parent.name}{path.name}"] = hashlib.md5(path.read_bytes()).hexdigest()
    return {name for name, md5 in found.items() if name.removesuffix(".dir") == md5}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(shared: Shared) -> dict[str, str]:
    """When each whole object of the remote was written; a folder can hold one that a kill cut off."""
    if shared.traffic is None:
        found = (Path(shared.url) / "files/md5").glob("??/*")
        return {str(path): str(path.stat().st_mtime_ns) for path in found
                if hashlib.md5(path.read_bytes()).hexdigest() == f"{path.parent.name}{path.stem}"}  # fmt: skip
    found = client(shared.first.env["AWS_ENDPOINT"]).list_objects_v2(Bucket=BUCKET)["Contents"]
    return {entry["Key"]: str(entry["LastModified"]) for entry in found}


def interrupted(shared: Shared, where: Repository, method: str, command: list[str], count: Callable[[], int]) -> int:
    """Kill a transfer after about a third of the objects; how many there are then."""
    if shared.traffic:
        shared.traffic.start_anew(hold=(method, SHARDS // 3))
    process = start(where, *command)
    if shared.traffic:
        assert shared.traffic.reached.wait(60)
    else:
        end = time.monotonic() + 60
        while count() < 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.0005)
    process.kill()
    assert process.wait() == -signal.SIGKILL  # in the middle, not after its end
    if shared.traffic:
        shared.traffic.let_go()
        time.sleep(1)  # for the requests that were on their way
    return count()


def damage_object(shared: Shared, how: str) -> tuple[str, str]:
    """Damage the object of one shard in the remote: which file of the workspace it is, and its md5."""
    name = "data/teacher/train-00007.safetensors"
    data = bytearray((shared.first.root / name).read_bytes())
    md5 = hashlib.md5(data).hexdigest()
    if how == "flip":
        data[100] ^= 1
    else:
        del data[len(data) // 2 :]
    if shared.traffic:
        server = client(shared.first.env["AWS_ENDPOINT"])
        server.put_object(Bucket=BUCKET, Key=f"cache/files/md5/{md5[:2]}/{md5[2:]}", Body=bytes(data))
    else:
        path = Path(shared.url) / "files/md5" / md5[:2] / md5[2:]
        path.chmod(0o644)
        path.write_bytes(data)
    return name, md5


def folder_list(repository: Repository, out: str) -> str:
    """The object that lists a folder, as dvc.lock names it."""
    stages = yaml.safe_load((repository.root / "dvc.lock").read_text(encoding="utf-8"))["stages"].values()
    (md5,) = {found["md5"] for stage in stages for found in stage["outs"] if found["path"] == out}
    return md5


def remove_object(shared: Shared, md5: str) -> None:
    if shared.traffic:
        server = client(shared.first.env["AWS_ENDPOINT"])
        server.delete_object(Bucket=BUCKET, Key=f"cache/files/md5/{md5[:2]}/{md5[2:]}")
    else:
        (Path(shared.url) / "files/md5" / md5[:2] / md5[2:]).unlink(missing_ok=True)


@pytest.mark.parametrize("how", ["flip", "truncate"])
def test_a_damaged_object_of_the_remote_never_becomes_a_file_and_is_put_right(shared: Shared, how: str) -> None:
    shared.first.run("dvc", "remote", "modify", "store", "verify", "true")
    shared.first.commit("verify")
    shared.first.run("git", "push", "--quiet")
    shared.first.run("dvc", "push")
    name, md5 = damage_object(shared, how)
    other = shared.clone("other")
    done = subprocess.run(["dvc", "pull"], cwd=other.root, env=other.env, capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    assert not (other.root / name).exists()
    # The first clone has the right bytes. A push sends what is not there, and takes a folder whose list is there for
    # whole, so the damaged object and the list go first.
    remove_object(shared, md5)
    remove_object(shared, folder_list(shared.first, "data/teacher"))
    shared.first.run("dvc", "push")
    other.run("dvc", "pull")
    assert (other.root / name).read_bytes() == (shared.first.root / name).read_bytes()
    other.run("dvc", "repro")
    assert runs(other) == []


def test_our_pipeline_is_taken_up_by_a_clone_that_computes_nothing(made: Repository, tmp_path: Path) -> None:
    first = Repository(tmp_path / "first", made.env)
    made.run("git", "clone", "--quiet", str(made.root), str(first.root))
    made.run("git", "clone", "--quiet", "--bare", str(made.root), str(tmp_path / "origin.git"))
    first.run("git", "remote", "set-url", "origin", str(tmp_path / "origin.git"))
    first.run("dvc", "cache", "dir", "--local", str(made.root / ".dvc/cache"))
    shared = Shared(first, tmp_path / "origin.git", str(tmp_path / "remote"), None, tmp_path)
    first.run("dvc", "remote", "add", "--default", "store", shared.url)
    first.commit("a remote")
    first.run("git", "push", "--quiet", "origin", "HEAD")
    first.run("dvc", "checkout")
    first.run("dvc", "push", "--run-cache")

    other = shared.clone("whole")
    other.run("dvc", "pull")
    output = other.run("dvc", "repro")
    assert ran(output) == [] and set(unchanged(output)) == STAGES
    assert other.run("git", "status", "--short") == ""
    output = other.run(
        "dvc", "exp", "run", "-S", "loss.alpha=0.5"
    )  # another student: nothing in front of it is computed
    assert AFTER_DISTIL - {"evaluate"} <= set(ran(output)) <= AFTER_DISTIL  # the same answers are not scored again

    lean = shared.clone("lean")
    tasks = ["data/tasks/sentiment", "data/tasks/entities"]
    lean.run("dvc", "pull", *tasks, "data/prepared", "data/teacher", "models/tokenizer", "models/student")
    output = lean.run("dvc", "repro", "--allow-missing")
    assert ran(output) == [] and set(unchanged(output)) == STAGES
    assert not any((lean.root / folder).exists() for folder in HEAVY)
