"""The hub's real clients against a stand-in on the loopback address, on good days and bad ones."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import distil.sources.hub_models
import distil.teacher.source
from distil.core.errors import UserError
from tests.support.hub_client import Client
from tests.support.standin_hub import Fault, StandinHub

ROWS = [f"row {number} {'x' * 300}" for number in range(600)]
README = """---
configs:
- config_name: kin_Latn
  data_files:
  - split: train
    path: data/kin_Latn/train/*.parquet
---
"""


def parquet(rows):
    # row groups of 100 rows, uncompressed: a group is 30 kB
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": rows}), stream, row_group_size=100, compression="none", use_dictionary=False)
    return stream.getvalue()


DATA = {"README.md": README.encode(), "data/kin_Latn/train/000.parquet": parquet(ROWS[:400]),
        "data/kin_Latn/train/001.parquet": parquet(ROWS[400:])}  # fmt: skip
MODEL = {"config.json": b"{}", "model.safetensors": b"weights" * 5000, "pytorch_model.bin": b"pickle",
         "tokenizer.json": b"{}", "modeling_custom.py": b"raise SystemExit"}  # fmt: skip


@pytest.fixture(scope="module")
def hub():
    with StandinHub() as hub:
        hub.add("datasets/org/data", DATA, ("main", "v1"))
        hub.add("models/org/model", MODEL)
        hub.add("models/org/secret", MODEL, gated=True)
        hub.add("datasets/org/secret", DATA, gated=True)
        yield hub


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    client = Client(hub, tmp_path_factory.mktemp("home"))
    yield client
    client.close()


@pytest.fixture(autouse=True)
def no_faults_left(hub):
    hub.asked.clear()
    yield
    hub.faults.clear()


@pytest.fixture(scope="module")
def data(hub):
    return hub.repositories["datasets/org/data"].refs["main"]


def test_a_data_set_is_streamed_whole_at_its_commit(hub, client, data):
    assert client("commit", "org/data", "v1") == data
    assert client("texts", "org/data", "kin_Latn", data) == ROWS
    assert all(data in path for _, path, _ in hub.asked if "resolve" in path)


def test_no_more_is_fetched_than_is_read(hub, client, data):
    assert client("texts", "org/data", "kin_Latn", data, "text", 3) == ROWS[:12]  # blocks of 1,000 bytes
    assert not any("001.parquet" in path for _, path, _ in hub.asked)


def test_a_data_set_that_is_not_there_is_told_with_what_to_check(client):
    # the hub does not tell a name that does not exist from one that is private
    assert "private, gated or misspelt" in client("commit", "org/none", "main")
    assert "404" in client("commit", "org/data", "no-such-tag")
    assert "check dataset, config, split and revision" in client("commit", "org/data", "no-such-tag")


def test_a_config_or_a_column_that_is_not_there_is_named(client, data):
    assert "BuilderConfig 'swa_Latn' not found" in client("texts", "org/data", "swa_Latn", data)
    assert "expected a column `body`, found text" in client("texts", "org/data", "kin_Latn", data, "body")


def test_a_gated_data_set_needs_the_token(hub, client, tmp_path):
    assert "accept its terms on the hub and log in" in client("commit", "org/secret", "main")
    with_token = Client(hub, tmp_path, HF_TOKEN=hub.token)
    assert with_token("commit", "org/secret", "main") == hub.repositories["datasets/org/secret"].refs["main"]
    assert with_token("snapshot", "org/secret", "main")[0] == hub.repositories["models/org/secret"].refs["main"]
    with_token.close()


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_asked_again(hub, client, data, status):
    hub.break_next("GET api/datasets/org/data/revision", Fault("status", status), Fault("status", status))
    assert client("commit", "org/data", "main") == data
    hub.break_next("GET datasets/org/data/resolve", *[Fault("status", status)] * 2)
    assert client("texts", "org/data", "kin_Latn", data) == ROWS


def test_a_hub_that_stays_busy_is_given_up_with_a_sentence(hub, client):
    hub.break_next("GET api/datasets/org/data/revision", *[Fault("status", 429)] * 100)
    assert "UserError: org/data at main: the hub gave no data" in (found := client("commit", "org/data", "main"))
    assert "run again later" in found
    assert len(hub.asked) < 50


@pytest.mark.parametrize("fault", [Fault("cut", after=5000), Fault("stall", after=5000, seconds=1.5)])
def test_a_stream_that_breaks_is_taken_up_and_nothing_is_lost_or_comes_twice(hub, client, data, fault):
    hub.break_next("GET datasets/org/data/resolve/" + data + "/data/kin_Latn/train/001.parquet", fault)
    assert client("texts", "org/data", "kin_Latn", data) == ROWS


def test_a_stream_goes_on_inside_a_file_after_the_clients_own_attempts_are_used_up(hub, client):
    rows = [f"row {number} {'y' * 60_000}" for number in range(300)]  # 18 MB: the client reads 5 MB at a time
    commit = hub.add(
        "datasets/org/large", {"README.md": README.encode(), "data/kin_Latn/train/0.parquet": parquet(rows)}
    )
    # The second request is in the middle of the file; the client asks six times.
    good = [Fault("none")] * 2
    hub.break_next("GET datasets/org/large/resolve/" + commit + "/data", *good, *[Fault("status", 503)] * 9)
    found = client("texts", "org/large", "kin_Latn", commit)
    assert [text.split()[:2] for text in found] == [row.split()[:2] for row in rows]
    assert len([path for _, path, _ in hub.asked if path.endswith("0.parquet")]) > 11


def test_a_stream_that_stays_broken_is_an_error_and_not_a_shorter_corpus(hub, client, data):
    part = "GET datasets/org/data/resolve/" + data + "/data/kin_Latn/train/001.parquet"
    hub.break_next(part, *[Fault("cut", after=10)] * 1000)
    assert client("texts", "org/data", "kin_Latn", data).startswith("UserError: org/data at ")


def test_bytes_that_are_not_the_data_are_an_error(hub, client, data):
    part = "GET datasets/org/data/resolve/" + data + "/data/kin_Latn/train/001.parquet"
    hub.break_next(part, *[Fault("garbage")] * 1000)
    assert client("texts", "org/data", "kin_Latn", data).startswith("UserError: org/data at ")


def test_a_branch_that_moves_while_it_is_read_changes_nothing(hub, client, data):
    moved = hub.add("datasets/org/data", DATA | {"data/kin_Latn/train/000.parquet": parquet(["other"])})
    try:
        assert client("texts", "org/data", "kin_Latn", data) == ROWS
        assert client("commit", "org/data", "main") == moved != data
    finally:
        hub.repositories["datasets/org/data"].refs["main"] = data


def test_a_teacher_is_fetched_once_without_pickles_and_code(hub, client):
    commit = hub.repositories["models/org/model"].refs["main"]
    expected = [commit, {"config.json": 2, "model.safetensors": 35_000, "tokenizer.json": 2}]
    assert client("snapshot", "org/model", "main") == expected
    assert not any("pytorch_model" in path or ".py" in path for _, path, _ in hub.asked)
    hub.asked.clear()
    assert client("snapshot", "org/model", "main") == expected
    assert not any(method == "GET" and "resolve" in path for method, path, _ in hub.asked)


def test_a_teacher_whose_download_breaks_is_resumed(hub, tmp_path):
    client = Client(hub, tmp_path)
    hub.break_next("GET org/model/resolve", Fault("cut", after=3), Fault("cut", after=8000), Fault("stall", 0, 1.5, 5))
    assert client("snapshot", "org/model", "main")[1]["model.safetensors"] == 35_000
    client.close()


def test_a_teacher_whose_weights_are_not_those_of_the_hub_is_refused_and_fetched_anew(hub, tmp_path):
    client = Client(hub, tmp_path)
    hub.break_next("GET org/model/resolve/" + hub.repositories["models/org/model"].refs["main"] + "/model",
                   Fault("garbage"))  # fmt: skip
    assert "model.safetensors came with another sha256" in client("snapshot", "org/model", "main")
    assert client("snapshot", "org/model", "main")[1]["model.safetensors"] == 35_000
    client.close()


def test_a_teacher_that_is_gated_or_not_there_is_told_with_what_to_do(client):
    assert "hf auth login" in client("snapshot", "org/secret", "main")
    assert "check the id" in client("snapshot", "org/none", "main")
    assert "revision no-such-tag" in client("snapshot", "org/model", "no-such-tag")


def test_offline_every_sentence_says_what_to_do(hub, tmp_path):
    client = Client(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "use `source: files`" in client("commit", "org/data", "main")
    assert "the hub cannot be reached and no copy is in its cache" in client("snapshot", "org/model", "main")
    client.close()
    nobody = Client(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert "use `source: files`" in nobody("commit", "org/data", "main")
    assert "the hub cannot be reached and no copy is in its cache" in nobody("snapshot", "org/model", "main")
    nobody.close()


def test_a_teacher_of_another_architecture_is_refused_before_its_weights_are_fetched(tmp_path, monkeypatch):
    asked = []

    def hub_snapshot(name, revision, patterns, section):
        asked.append(patterns)
        return tmp_path

    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    monkeypatch.setattr(distil.sources.hub_models, "hub_snapshot", hub_snapshot)
    with pytest.raises(UserError, match="expected xlm-roberta, found bert; any XLM-R masked .* Davlan/afro-xlmr-large"):
        distil.teacher.source._download("org/model", "main")
    assert asked == [["config.json"]]
