"""Publishing: a dry run shows exactly what an upload sends, the token is said nowhere, refusals are clear."""

import base64
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from distil.core.errors import UserError
from distil.publish import adapt_card, plan
from distil.serving.model_info import read_card
from tests.support import ROOT

TOKEN = "hf_" + "notasecretbutlooksalike"
CARD = """---
license: unknown
library_name: transformers
pipeline_tag: fill-mask
---

# Student

It is small.

## Use

As you like.
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub's interface as an upload of small files needs (huggingface_hub's `create_commit`)."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hub = self.server
        hub.seen.append((self.path, self.headers.get("Authorization")))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer({"error": "Invalid credentials"}, 401)
        if self.path == "/api/repos/create":
            hub.created = json.loads(body)
            return self.answer({"url": f"http://{self.headers['Host']}/me/tiny", "id": "me/tiny"})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self.answer({"files": [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files
            ]})  # fmt: skip
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer({"commitUrl": f"http://{self.headers['Host']}/me/tiny/commit/abc", "commitOid": "abc"})
        return self.answer({"error": "not known here"}, 404)

    def do_GET(self) -> None:
        self.answer({"error": "not known here"}, 404)

    def answer(self, value: dict, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen, server.files, server.created = [], {}, None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.md"
    path.write_text(CARD)
    return path


def publish(hub, tmp_path: Path, *words: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "PYTHONPATH": str(ROOT), "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    line = [sys.executable, "-m", "distil.publish", *words]
    return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_a_dry_run_shows_exactly_what_an_upload_sends(exports, hub, card, tmp_path) -> None:
    options = ["me/tiny", "--model", str(exports / "models/onnx/words/int8"), "--card", str(card)]
    dry = publish(hub, tmp_path, *options, "--dry-run")
    assert dry.returncode == 0 and hub.seen == [] and dry.stderr == ""
    shown = {path: (int(size.replace(",", "")), digest)
             for size, digest, path in re.findall(r"(?m)^ *([\d,]+)  ([0-9a-f]{64})  (\S+)$", dry.stdout)}  # fmt: skip
    done = publish(hub, tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == dry.stdout + f"http://127.0.0.1:{hub.server_port}/me/tiny/commit/abc\n"
    sent = {path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in hub.files.items()}
    assert sent == shown and {"README.md", "model.onnx", "tokenizer.json", "config.json"} <= set(sent)
    assert hub.created["name"] == "tiny" and hub.created["organization"] == "me"
    assert hub.created.get("private") is True or hub.created.get("visibility") == "private"


def test_the_token_is_sent_and_never_said_or_written(exports, hub, card, tmp_path) -> None:
    options = ["me/tiny", "--model", str(exports / "models/onnx/words/int8"), "--card", str(card)]
    done = publish(hub, tmp_path, *options, "--public")
    assert {token for _, token in hub.seen} == {f"Bearer {TOKEN}"}
    refused = publish(hub, tmp_path, *options, token="hf_wrongwrongwrong")
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: me/tiny: the Hub refused (status 401); log in with `hf auth login` or set HF_TOKEN to a token that may "
        "write\n"
    )
    said = done.stdout + done.stderr + refused.stdout + refused.stderr
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for token in (TOKEN, "hf_wrongwrongwrong"):
        assert token not in said and token.encode() not in written


def test_a_hub_out_of_reach_and_a_bad_name_are_said(exports, hub, card, tmp_path) -> None:
    options = ["--model", str(exports / "models/onnx/words/int8"), "--card", str(card)]
    hub.shutdown()
    hub.server_close()
    done = publish(hub, tmp_path, "me/tiny", *options)
    assert done.returncode == 1 and "is out of reach (ConnectError)" in done.stderr
    assert "Traceback" not in done.stderr
    for name in ("tiny", "me/", "a/b/c", "me/ti ny"):
        done = publish(hub, tmp_path, name, *options, "--dry-run")
        assert done.returncode == 1 and done.stderr.startswith("error: HUB_ID: expected NAME/MODEL")


def test_what_goes_is_the_folder_without_hidden_files_and_the_card(exports, card, tmp_path) -> None:
    import shutil

    folder = Path(shutil.copytree(exports / "models/student", tmp_path / "student"))
    (folder / ".env").write_text("HF_TOKEN=x")
    (folder / "README.md").write_text("old")
    (folder / "more").mkdir()
    (folder / "more/a.txt").write_text("a")
    files = {file.path: file for file in plan(folder, card)}
    assert ".env" not in files and "more/a.txt" in files and b"It is small." in files["README.md"].content
    with pytest.raises(UserError, match="nothere.md: no such file; .*run `dvc repro report`"):
        plan(folder, tmp_path / "nothere.md")
    with pytest.raises(UserError, match="expected config.json and model.onnx or model.safetensors"):
        plan(folder / "more", card)


def test_the_card_says_what_these_files_are(exports) -> None:
    about = read_card(exports / "models/onnx/words/int8")
    text = adapt_card(CARD, about._replace(normalised=True), ["model.onnx", "config.json"])
    meta = yaml.safe_load(text.split("---")[1])
    assert meta["pipeline_tag"] == "text-classification" and meta["library_name"] == "onnx"
    assert (
        "A text classification with the labels good, fair, bad; texts of up to 24 tokens; trained on texts in" in text
    )
    viewed = adapt_card(CARD, about._replace(marks="drop", script="latin"), ["model.onnx"])
    assert "; texts are read without combining marks, so ẹ as e; letters of other scripts are translit" in viewed
    assert "combining marks" not in text and "transliterated" not in text
    assert text.index("# Student") < text.index("## These files") < text.index("## Use")
    assert "transformers.Auto" not in text
    with_table = adapt_card(CARD, about._replace(ngrams=True), ["model.safetensors", "ngrams.safetensors"])
    assert "`AutoTokenizer.from_pretrained`; this gives the transformer alone, without the n-gram table" in with_table
    whole = adapt_card(CARD, read_card(exports / "models/onnx/masked_lm/fp32"), ["model.onnx", "model.safetensors"])
    assert "`transformers.AutoModelForMaskedLM.from_pretrained`" in whole and "pipeline_tag: fill-mask" in whole
