"""Pinned files from an address, on bad days too; the server is a stand-in on the loopback address."""

import hashlib
from pathlib import Path

import pytest
import yaml

import distil.sources.download
from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.sources.download import Pin, fetch
from distil.sources.pinned_files import read_pins
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from tests.support.standin_hub import Fault, StandinHub
from tests.tasks.test_build import TEXT

BODY = bytes(range(256)) * 40
COMMIT = "0123456789" * 4
PINS = Path(__file__).parents[2] / "distil/datasets"
SHARED = PINS.parents[2] / "shared/data"  # beside the checkout


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(distil.sources.download, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(distil.sources.download, "_CHUNK", 1000)
    monkeypatch.setattr(distil.sources.download, "TIMEOUT_SECONDS", (0.3, 0.3))
    with StandinHub() as hub:
        hub.plain["data/kin/train.tsv"] = BODY
        yield hub


def pin(hub, body=BODY, path="data/kin/train.tsv"):
    return Pin(f"{hub.address}/{path}", hashlib.sha256(body).hexdigest(), len(body))


def gets(hub):
    return [span for _, _, span in hub.asked]


def test_a_file_is_fetched_once(hub, tmp_path):
    path = fetch(pin(hub))
    assert path.read_bytes() == BODY
    assert path.name == "train.tsv" and path.resolve().is_relative_to(tmp_path / ".scratch/downloads")
    assert fetch(pin(hub)) == path
    assert gets(hub) == [""]


def test_a_body_cut_off_in_the_middle_is_gone_on_with_where_it_stopped(hub):
    hub.break_next("GET data", Fault("cut", after=5000), Fault("cut", after=2000))
    assert fetch(pin(hub)).read_bytes() == BODY
    assert gets(hub) == ["", "bytes=5000-", "bytes=7000-"]


def test_a_connection_that_stalls_is_dropped_and_taken_up_again(hub):
    hub.break_next("GET data", Fault("stall", after=3000, seconds=1.0))
    assert fetch(pin(hub)).read_bytes() == BODY
    assert gets(hub) == ["", "bytes=3000-"]


def test_a_busy_server_is_asked_again(hub):
    hub.break_next("GET data", Fault("status", 429), Fault("status", 503))
    assert fetch(pin(hub)).read_bytes() == BODY
    assert len(hub.asked) == 3


def test_a_server_that_stays_busy_is_left_alone_after_five_attempts(hub):
    hub.break_next("GET data", *[Fault("status", 503)] * 9)
    with pytest.raises(UserError, match=r"HTTP 503 .*5 attempts; run again .*`source: files`"):
        fetch(pin(hub))
    assert len(hub.asked) == 5


def test_what_came_before_a_run_gave_up_is_not_fetched_again(hub):
    hub.break_next("GET data", Fault("cut", after=4000), *[Fault("status", 503)] * 5)
    with pytest.raises(UserError):
        fetch(pin(hub))
    hub.faults.clear()
    hub.asked.clear()
    assert fetch(pin(hub)).read_bytes() == BODY
    assert gets(hub) == ["bytes=4000-"]


def test_an_address_that_is_gone_is_not_asked_twice(hub):
    with pytest.raises(UserError, match="HTTP 404 .*correct it in the file of pins"):
        fetch(pin(hub, path="data/gone.tsv"))
    assert len(hub.asked) == 1


def test_another_file_of_the_same_size_is_refused_and_leaves_nothing(hub, tmp_path):
    hub.break_next("GET data", Fault("garbage"), Fault("garbage"))
    with pytest.raises(UserError, match="expected the sha256 [0-9a-f]{64}, found [0-9a-f]{64}"):
        fetch(pin(hub))
    assert len(hub.asked) == 2  # the first may have been a part of an older file
    assert [path.name for path in tmp_path.glob(".scratch/downloads/*/*")] == ["lock"]


def test_a_damaged_part_is_begun_again(hub):
    part = fetch(pin(hub)).with_name("train.tsv.part")
    part.with_name("train.tsv").unlink()
    part.write_bytes(b"x" * 100)
    assert fetch(pin(hub)).read_bytes() == BODY
    assert gets(hub) == ["", "bytes=100-", ""]


def test_a_file_that_has_grown_is_refused(hub, tmp_path):
    with pytest.raises(UserError, match="expected 5 bytes, found more"):
        fetch(pin(hub, b"short"))
    assert not list(tmp_path.glob(".scratch/downloads/*/*.part"))


def test_offline_the_sentence_says_what_to_do(hub):
    nobody = Pin("http://127.0.0.1:9/data/kin/train.tsv", "0" * 64, 5)
    with pytest.raises(UserError, match=r"could not be downloaded \(ConnectionError.*set `source: files` and `path`"):
        fetch(nobody)


def pins_file(folder, hub, files):
    entries = {name: {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)} for name, body in files.items()}
    tree = {"name": "Mine", "licence": "CC BY 4.0", "repository": "https://example.org", "commit": COMMIT,
            "address": hub.address + "/{commit}/{file}", "files": entries}  # fmt: skip
    (folder / "pins.yaml").write_text(yaml.safe_dump(tree))
    return tree


SPLITS = {
    f"kin/{split}.tsv": f"tweet\tlabel\nIjambo rya {split}\tpositive\n".encode() for split in ("train", "dev", "test")
}


def test_a_task_is_read_from_pinned_addresses(hub, tmp_path):
    hub.plain.update({f"{COMMIT}/{name}": body for name, body in SPLITS.items()})
    pins_file(tmp_path, hub, SPLITS)
    config = TaskConfig(**TEXT | {"source": "url", "path": "pins.yaml"})
    manifest = write_task("mine", config, ["kin"], 1, tmp_path / "out")
    assert manifest["origin"] == f"Mine, https://example.org at {COMMIT}, CC BY 4.0"
    assert "Ijambo rya test" in (tmp_path / "out/kin/test.jsonl").read_text()
    hub.plain.clear()
    write_task("mine", config, ["kin"], 1, tmp_path / "out")  # all of it is on this disk now


def test_a_language_that_is_not_pinned_is_named(hub, tmp_path):
    pins_file(tmp_path, hub, SPLITS)
    config = TaskConfig(**TEXT | {"source": "url", "path": "pins.yaml"})
    with pytest.raises(
        UserError, match=r"tasks.mine.pattern: swa/train.tsv is not in pins.yaml, which has kin/dev.tsv"
    ):
        write_task("mine", config, ["swa"], 1, tmp_path / "out")


def test_files_on_disk_are_compared_with_their_pins(hub, tmp_path):
    for name, body in SPLITS.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(body)
    pins_file(tmp_path, hub, SPLITS)
    config = TaskConfig(**TEXT | {"verify": "pins.yaml"})
    write_task("mine", config, ["kin"], 1, tmp_path / "out")
    (tmp_path / "in/kin/dev.tsv").write_text("tweet\tlabel\nOther\tpositive\n")
    with pytest.raises(UserError, match=r"in/kin/dev.tsv: expected the sha256 .* \(Mine at commit 0123456\), found"):
        write_task("mine", config, ["kin"], 1, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"commit": "main"}, "pins.yaml.commit: string should match"),
        ({"address": "ftp://x/{file}"}, "pins.yaml.address: string should match"),
        ({"files": {"a": {"sha256": "0"}}}, "pins.yaml: a.sha256: string should match"),
        ({"files": []}, "expected the keys name, licence"),
        ({"mirror": "x"}, "pins.yaml.mirror: unknown key"),
    ],
)
def test_a_file_of_pins_that_cannot_work_is_refused_by_name(hub, tmp_path, change, message):
    tree = pins_file(tmp_path, hub, SPLITS) | change
    (tmp_path / "pins.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError, match=message):
        read_pins(tmp_path / "pins.yaml")
    with pytest.raises(UserError, match="none.yaml: not a file of pins"):
        read_pins(tmp_path / "none.yaml")


def test_the_pins_of_the_package_cover_three_splits_of_five_languages():
    for name, ending in (("afrisenti", "tsv"), ("masakhaner1", "txt")):
        pins = read_pins(PINS / f"{name}.yaml")
        expected = {f"{lang}/{split}.{ending}" for lang in ("hau", "ibo", "kin", "swa", "yor")
                    for split in ("train", "dev", "test")}  # fmt: skip
        assert set(pins.files) == expected
        assert len({file.sha256 for file in pins.files.values()}) == 15
        assert pins.pin("kin/dev." + ending).address.endswith(f"/{pins.commit}/data/kin/dev.{ending}")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not beside this checkout")
@pytest.mark.parametrize("name", ["afrisenti", "masakhaner1"])
def test_the_pins_are_those_of_the_files_beside_this_checkout(name):
    for file, expected in read_pins(PINS / f"{name}.yaml").files.items():
        path = SHARED / name / file
        assert (sha256_file(path), path.stat().st_size) == (expected.sha256, expected.bytes)
