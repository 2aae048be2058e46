"""Put a model's folder with its card on the Hugging Face Hub: `distil publish ID --model DIR [--dry-run]`.

`--dry-run` shows every file that would go, with its size and sha256, and sends nothing. The token is the one that
`hf auth login` stored or HF_TOKEN holds; huggingface_hub reads it itself: it passes through no line of this file.
"""

import argparse
import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple, NoReturn

from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.runtime.process import program, run_command
from distil.runtime.standard_streams import write_output
from distil.serving.model_info import Card, read_card

CARD = Path("metrics/model_card.md")
LARGEST = 50 * 10**9  # bytes of one file on the Hub
_TAGS = {
    "text_classification": "text-classification", "token_classification": "token-classification",
    "masked_lm": "fill-mask",
}  # fmt: skip
_CLASSES = {
    "text_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification", "masked_lm": "AutoModelForMaskedLM",
}  # fmt: skip


class File(NamedTuple):
    """A file of the upload."""

    path: str  # in the repository
    content: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @property
    def sha256(self) -> str:
        """Hex."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        return sha256_file(self.content)


def plan(folder: Path, card: Path) -> list[File]:
    """Everything that would go: the folder's files in their order, hidden ones left out, and the card as README.md.

    Raises:
        UserError: no model in the folder, no card, or a file that is too large for the Hub.
    """
    about = read_card(folder)
    try:
        text = card.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{card}: no such file; the report writes it: run `dvc repro report`") from None
    files = [
        File(path.relative_to(folder).as_posix(), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    files = [file for file in files if file.path != "README.md"]
    for file in files:
        if file.size > LARGEST:
            raise UserError(f"{folder / file.path}: {file.size:,} bytes; the Hub takes files up to {LARGEST:,}")
    return [File("README.md", adapt_card(text, about, [file.path for file in files]).encode()), *files]


def adapt_card(text: str, about: Card, names: list[str]) -> str:
    """The student's card with what these files are: its kind in the metadata, and how they are used."""
    library = "transformers" if "model.safetensors" in names else "onnx"
    text = re.sub(r"(?m)^pipeline_tag: .*$", f"pipeline_tag: {_TAGS[about.kind]}", text, count=1)
    text = re.sub(r"(?m)^library_name: .*$", f"library_name: {library}", text, count=1)
    uses = ["`python -m distil.predict --model FOLDER` of a local copy: lines of text in, JSON lines out"]
    if library == "transformers":
        alone = "; this gives the transformer alone, without the n-gram table" if about.ngrams else ""
        uses.append(f"`transformers.{_CLASSES[about.kind]}.from_pretrained` and `AutoTokenizer.from_pretrained`{alone}")
    if "model.onnx" in names:
        uses.append("ONNX Runtime: inputs `input_ids` and `attention_mask`, int64 (batch, tokens); output `logits`")
    kind = about.kind.replace("_", " ").replace("masked lm", "masked language model")
    told = [f"A {kind}" + (f" with the labels {', '.join(about.labels)}" if about.labels else ""),
            f"texts of up to {about.max_length} tokens"]  # fmt: skip
    if about.normalised:
        told.append("trained on texts in lower case without links, accounts, digits, punctuation and emoji")
    if about.marks == "drop":
        told.append("texts are read without combining marks, so ẹ as e")
    if about.script == "latin":
        told.append("letters of other scripts are transliterated to Latin ones by uroman, which `distil[latin]` brings")
    section = (
        f"## These files\n\n{'; '.join(told)}. Use them through\n\n" + "".join(f"- {use}\n" for use in uses) + "\n"
    )
    before, heading, after = text.partition("\n## ")
    return f"{before}\n{section}{heading.lstrip()}{after}" if heading else f"{text}\n{section}"


def show(hub_id: str, endpoint: str, private: bool, files: list[File]) -> str:
    """What a dry run prints: where to, and every file with bytes and sha256."""
    lines = [f"{endpoint}/{hub_id}, model repository, {'private' if private else 'public'} where it is new"]
    lines += [f"{file.size:>14,}  {file.sha256}  {file.path}" for file in files]
    return "\n".join([*lines, f"{sum(file.size for file in files):>14,}  bytes in {len(files)} files"]) + "\n"


def upload(hub_id: str, private: bool, files: list[File]) -> str:
    """Make the repository where there is none and put the files there in one commit; returns its address.

    Raises:
        UserError: not logged in, refused by the Hub, or the Hub is out of reach.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    api = HfApi()
    try:
        api.create_repo(hub_id, private=private, exist_ok=True)
        done = api.create_commit(
            hub_id, [CommitOperationAdd(file.path, file.content) for file in files],
            commit_message="Upload the model with its card",
        )  # fmt: skip
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no"
        advice = (
            "log in with `hf auth login` or set HF_TOKEN to a token that may write"
            if status in (401, 403)
            else ("see whether the name is right and try again")
        )
        raise UserError(f"{hub_id}: the Hub refused (status {status}); {advice}") from None
    except (HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise UserError(
            f"{hub_id}: the Hub at {api.endpoint} is out of reach ({type(error).__name__}); see to the network, "
            "HF_ENDPOINT and HF_HUB_OFFLINE, and try again: nothing is there by halves"
        ) from None
    return str(done.commit_url)


def main() -> None:
    """Upload, or with --dry-run show what would go."""
    parser = argparse.ArgumentParser(
        prog=program("python -m distil.publish"), description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("hub_id", help="NAME/MODEL on the Hub")
    parser.add_argument(
        "--model", type=Path, default=Path("models/student"), help="the folder; models/student if not given"
    )
    parser.add_argument("--card", type=Path, default=CARD, help=f"becomes README.md ({CARD})")
    parser.add_argument("--public", action="store_true", help="a new repository is public instead of private")
    parser.add_argument("--dry-run", action="store_true", help="show what would go and send nothing")
    chosen = parser.parse_args()
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", chosen.hub_id, re.ASCII):
        raise UserError(f"HUB_ID: expected NAME/MODEL as on the Hub, found {chosen.hub_id!r}")
    files = plan(chosen.model, chosen.card)
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    write_output(show(chosen.hub_id, endpoint, not chosen.public, files).encode())
    if not chosen.dry_run:
        write_output(f"{upload(chosen.hub_id, not chosen.public, files)}\n".encode())


def run() -> NoReturn:
    """The command."""
    run_command(main)


if __name__ == "__main__":
    run()
