"""Which of the teacher's pieces the student keeps (writes models/tokenizer).

A piece costs the student a row of its embedding table, used or not: AfroXLMR has 250,002 of them, five languages use
a tenth. What is kept is a Unigram vocabulary again. Taking away pieces that are not in the best segmentation of a
text leaves that segmentation the best one, so a text whose pieces are all kept is segmented as by the teacher.
"""

import logging
import string
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from distil.core.arrays import write_arrays
from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, write_checksums, write_json
from distil.core.params import Params
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.runtime.progress import Progress
from distil.tokenization.piece_counts import PieceCounts, read_corpus
from distil.tokenization.tokenizer_files import TOKENIZER, read_tokenizer_files, write_tokenizer_files

log = logging.getLogger("distil")

ALWAYS = string.ascii_letters + string.digits + string.punctuation + "▁"  # ▁ is SentencePiece's space


class VocabularyConfig(Params):
    """Section `vocabulary:` of params.yaml."""

    keep: Literal["full", "coverage", "size", "trunk"]
    coverage: float = Field(gt=0, le=1)
    size: int = Field(ge=200, le=250_002)
    floor: int = Field(ge=0)


def build_vocabulary(
    texts: Mapping[str, Path], teacher: Path, config: VocabularyConfig, out: Path, trunk: Path | None = None
) -> dict[str, Any]:
    """Write models/tokenizer and return its manifest (docs/reference/output-files.md).

    Args:
        texts: language code -> its file, a text a line.
        teacher: a folder with tokenizer.json.
        config: what to keep.
        out: the folder to write, atomically.
        trunk: the student whose pieces are kept, where `config` says so.

    Raises:
        UserError: the teacher's tokenizer is none of XLM-R's, a file is damaged, a language has no text, or there is a
            trunk and other pieces are asked for, or none and its pieces are.
    """
    if (config.keep == "trunk") != (trunk is not None):
        raise UserError(
            f"params.yaml: student.trunk with vocabulary.keep {config.keep}: the trunk's pieces must stay, or old text "
            "would be segmented differently; set vocabulary.keep to trunk" if trunk else
            "params.yaml: vocabulary.keep: trunk keeps the pieces of student.trunk, which is distil/lexicons, none; "
            "name one, or set vocabulary.keep to full, coverage or size"
        )  # fmt: skip
    tokenizer = load_tokenizer(teacher, "teacher")
    files = read_tokenizer_files(teacher, "teacher")
    pieces = files.pieces
    with Progress("vocabulary", sum(_size(path) for path in texts.values()), "B") as progress:
        corpora = {language: read_corpus(language, path, tokenizer, progress) for language, path in texts.items()}
    if config.keep == "full":
        kept = np.arange(len(pieces))
    elif trunk is not None:
        kept = pieces_of_trunk(pieces, trunk)
    else:
        special = {*special_ids(tokenizer), *(token["id"] for token in files.spec["added_tokens"])}
        kept = select_pieces(pieces, [text.counts for text in corpora.values()], special, config)
    with atomic_folder(out) as folder:
        write_tokenizer_files(files, kept, folder)
        write_arrays(folder / "pieces.safetensors", {"teacher_ids": kept.astype(np.int32)})
        trimmed = load_tokenizer(folder)
        languages = {name: _describe(text, kept, trimmed) for name, text in corpora.items()}
        manifest: dict[str, Any] = {
            "keep": config.keep,
            "coverage": min(entry["coverage"] for entry in languages.values()),
            "floor": 0 if config.keep in ("full", "trunk") else config.floor,
            "pieces": len(kept),
            "teacher_pieces": len(pieces),
            "tokenizer_sha256": sha256_file(folder / TOKENIZER),
            "teacher_tokenizer_sha256": sha256_file(teacher / TOKENIZER),
            "languages": languages,
        }
        write_json(folder / "manifest.json", manifest)
        write_checksums(folder)
    log.info("vocabulary: %s of %s pieces kept", f"{len(kept):,}", f"{len(pieces):,}")
    for language, figures in manifest["languages"].items():
        log.info("vocabulary: %s: %.3f %% of its tokens, %.3f pieces a word (teacher %.3f)", language,
                 100 * figures["coverage"], figures["pieces_per_word"], figures["pieces_per_word_teacher"])  # fmt: skip
    return manifest


def pieces_of_trunk(pieces: list[str], trunk: Path) -> np.ndarray:
    """Ids of the teacher's pieces that an earlier student has, ascending.

    Args:
        pieces: the teacher's, by id.
        trunk: a student's folder.

    Raises:
        UserError: the student has a piece that the teacher lacks, or has them in another order.
    """
    files, places = read_tokenizer_files(trunk, "distil"), {piece: number for number, piece in enumerate(pieces)}
    if lacking := [piece for piece in files.pieces if piece not in places]:
        raise UserError(
            f"{trunk}/{TOKENIZER}: expected pieces of models/teacher, found {lacking[0]!r} ({len(lacking):,} of "
            f"{len(files.pieces):,} are not the teacher's); use the teacher of that student"
        )
    kept = np.array([places[piece] for piece in files.pieces])
    if (np.diff(kept) <= 0).any():
        raise UserError(
            f"{trunk}/{TOKENIZER}: expected its pieces in the order of models/teacher, found another; use the teacher "
            "of that student"
        )
    return kept


def select_pieces(
    pieces: list[str], counts: list[np.ndarray], special: set[int], config: VocabularyConfig
) -> np.ndarray:  # fmt: skip
    """Ids of the pieces to keep, ascending.

    In any case `special`; letters, digits and punctuation of ASCII; for every character of the texts the piece that is
    this character alone, so that whatever the teacher can spell of them the kept pieces can spell too; and each
    language's `floor` most frequent pieces. Beside them for each language its most frequent pieces up to `coverage` of
    its tokens, or as many as `size` leaves room for (`allocate_by_coverage`).

    Args:
        pieces: by id.
        counts: for each language (pieces,) how often each occurs.
        special: ids kept whatever their counts.
        config: what to keep, `coverage` or `size`.

    Raises:
        UserError: `size` has no room for what is kept in any case.
    """
    kept = special | _spelling(pieces, counts, special)
    spelling = len(kept)
    for count in counts:
        order = _by_frequency(count)
        kept.update(order[: min(config.floor, int(np.count_nonzero(count)))].tolist())
    if config.keep == "size":
        if len(kept) > config.size:
            raise UserError(
                f"params.yaml: vocabulary.size: expected at least {len(kept):,} pieces, {spelling:,} of them special "
                f"or single characters and the others under vocabulary.floor {config.floor}, found {config.size:,}; "
                "raise size or lower floor"
            )
        kept.update(allocate_by_coverage(counts, kept, config.size))
    else:
        for count in counts:
            kept.update(most_frequent(count, config.coverage).tolist())
    return np.array(sorted(kept))


def _spelling(pieces: list[str], counts: list[np.ndarray], special: set[int]) -> set[int]:
    """Ids without which a character of the texts could not be spelled."""
    seen = set(np.flatnonzero(sum(counts)).tolist()) - special
    alone = {piece: number for number, piece in enumerate(pieces) if len(piece) == 1}
    characters = set(ALWAYS).union(*(pieces[number] for number in seen))
    kept = {alone[character] for character in characters if character in alone}
    # A character without a piece of its own lives in longer ones only.
    return kept | {number for number in seen if any(character not in alone for character in pieces[number])}


def allocate_by_coverage(counts: list[np.ndarray], kept: set[int], size: int) -> set[int]:
    """Pieces that fill `kept` up to `size`: the least covered language gets its most frequent missing piece, again and
    again. Fewer when every piece that occurs is kept.

    Equal shares of the pieces would be fair to no one: a language of long words needs more of them for the same text.

    Args:
        counts: for each language (pieces,) how often each occurs.
        kept: ids that are kept already.
        size: pieces in all.

    Returns:
        The new ids.
    """
    table = np.stack(counts) / np.array([max(1, count.sum()) for count in counts])[:, None]  # (languages, pieces)
    queues = [iter(_by_frequency(count)[: np.count_nonzero(count)].tolist()) for count in counts]
    covered = table[:, sorted(kept)].sum(axis=1)
    added: set[int] = set()
    waiting = set(range(len(counts)))
    while waiting and len(kept) + len(added) < size:
        language = min(waiting, key=lambda number: (covered[number], number))
        piece = next((piece for piece in queues[language] if piece not in kept and piece not in added), None)
        if piece is None:
            waiting.discard(language)
        else:
            added.add(piece)
            covered += table[:, piece]
    return added


def _by_frequency(count: np.ndarray) -> np.ndarray:
    """All ids, the most frequent first; of two equally frequent ones the lower first."""
    return np.argsort(-count, kind="stable")


def most_frequent(count: np.ndarray, coverage: float) -> np.ndarray:
    """Ids of the fewest pieces that make up `coverage` of all tokens; of two equally frequent ones the lower id first.

    Args:
        count: (pieces,) how often each occurs.
        coverage: above 0, at most 1.
    """
    order = _by_frequency(count)
    # As a fraction of whole tokens: in floating point 0.07 * 100 is more than 7.
    needed = ceil(Fraction(repr(coverage)) * int(count.sum()))
    return order[: int(np.searchsorted(np.cumsum(count[order]), needed)) + 1]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro corpus`") from None


def _describe(text: PieceCounts, kept: np.ndarray, trimmed: Tokenizer) -> dict[str, Any]:
    """A language's entry in the manifest. A word is a run of characters between white space."""
    lines = [line for line, _ in text.sample]
    words = sum(len(line.split()) for line in lines)
    encodings = trimmed.encode_batch_fast(lines, add_special_tokens=False)
    return {
        "coverage": round(int(text.counts[kept].sum()) / int(text.counts.sum()), 6),
        "pieces_seen": int(np.count_nonzero(text.counts)),
        "pieces_kept": int(np.count_nonzero(text.counts[kept])),
        "pieces_per_word_teacher": round(sum(pieces for _, pieces in text.sample) / words, 4),
        "pieces_per_word": round(sum(map(len, encodings)) / words, 4),
    }
