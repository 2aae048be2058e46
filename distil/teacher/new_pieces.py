"""New pieces of each language in a teacher's tokenizer, before the teacher is adapted to the language's text.

Vocabulary augmentation (Chau and Smith 2021, arXiv 2106.09063): what a multilingual tokenizer cuts into many pieces
becomes one. A new piece starts as the mean of the pieces that it replaces and has to be learned. Candidates are the
pieces of a Unigram model of the language alone (Kudo 2018, arXiv 1804.10959), so that those in a text do not overlap.
"""

import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log as ln
from pathlib import Path
from typing import NamedTuple

import sentencepiece
import torch
from tokenizers import Tokenizer
from transformers import XLMRobertaForMaskedLM

from distil.core.errors import UserError
from distil.modeling.tokenizer import load_tokenizer
from distil.teacher.weights import VOCABULARY_ROWS
from distil.tokenization.tokenizer_files import add_pieces, read_tokenizer_files

log = logging.getLogger("distil")

UNIGRAM_PIECES = 8000  # of a language; 8 for each new one where that is more
LEAST_COUNT = 5  # occurrences of a new piece in the text: a rarer one is not learned
MOST_LINES = 200_000  # of a language that are read, spread evenly
MARGIN = 0.1  # nats by which a new piece is above its old segmentation at least
UNKNOWN_PENALTY = 10.0  # nats of <unk> below the rarest piece, in SentencePiece and in tokenizers


class Candidate(NamedTuple):
    """A piece that a tokenizer lacks."""

    piece: str
    score: float  # natural logarithm of its share of all pieces
    parts: list[int]  # ids of the pieces that it replaces


class NewPieces(NamedTuple):
    """What was put in."""

    rows: slice  # ids
    languages: dict[str, dict[str, float]]  # code -> "pieces", and "pieces_per_word_before" and "..._after"


def add_new_pieces(
    model: XLMRobertaForMaskedLM,
    tokenizer: Path,
    train: Mapping[str, Sequence[str]],
    heldout: Mapping[str, Sequence[str]],
    count: int,
    text: Path,
) -> NewPieces:
    """Extend a model in place and write the extended tokenizer.

    The language of most pieces a word chooses first; what several want is counted for the first one.

    Args:
        model: a teacher; each of its new rows, of embedding and head, is the mean of those of the pieces it replaces.
        tokenizer: the folder of its tokenizer, whose files are replaced.
        train: lines of each language, from which pieces are chosen.
        heldout: other lines, on which pieces a word are measured.
        count: new pieces of each language, 1 or more.
        text: the folder of LANG.txt, named in errors.

    Raises:
        UserError: a language has too few candidates, or the tokenizer's files are at fault.
    """
    files, old = read_tokenizer_files(tokenizer, "teacher"), load_tokenizer(tokenizer, "teacher")
    before = {language: _pieces_per_word(old, lines) for language, lines in heldout.items()}
    scores: list[tuple[str, float]] = files.spec["model"]["vocab"]
    chosen: dict[str, Candidate] = {}
    for language in sorted(train, key=lambda language: -before[language]):
        found = [each for each in candidates(train[language], old, scores, count) if each.piece not in chosen]
        if len(found) < count:
            raise UserError(
                f"{text / language}.txt: expected at least {count:,} words or parts of words that occur {LEAST_COUNT} "
                f"times and are no piece yet, found {len(found):,}; lower teacher.adapt.new_pieces or give more text"
            )
        chosen |= {each.piece: each for each in found[:count]}
    first = add_pieces(files, [(each.piece, each.score) for each in chosen.values()], tokenizer)
    _add_rows(model, first, [each.parts for each in chosen.values()])
    new = load_tokenizer(tokenizer, "teacher")
    languages = {}
    for language, lines in heldout.items():
        after = _pieces_per_word(new, lines)
        log.info("teacher: %s: %d new pieces, %.2f -> %.2f pieces a word", language, count, before[language], after)
        languages[language] = {
            "pieces": count,
            "pieces_per_word_before": round(before[language], 4),
            "pieces_per_word_after": round(after, 4),
        }
    return NewPieces(slice(first, first + len(chosen)), languages)


def candidates(
    lines: Sequence[str], tokenizer: Tokenizer, scores: Sequence[tuple[str, float]], count: int
) -> list[Candidate]:
    """Pieces of a language that a tokenizer lacks, those first that save most tokens of the text.

    A piece saves count * (old pieces - 1) tokens. Its score is the logarithm of its share of the Unigram model's
    pieces in the text, raised above the sum of its old pieces' where needed, or it would never be chosen.

    Args:
        lines: of one language.
        tokenizer: of the teacher.
        scores: the teacher's pieces by id, with their scores.
        count: how many are wanted.
    """
    step, normalizer = max(1, -(-len(lines) // MOST_LINES)), tokenizer.normalizer
    text = [normalizer.normalize_str(line) if normalizer else line for line in lines[::step]]
    counts = _unigram_counts(text, max(UNIGRAM_PIECES, 8 * count))
    known, total = {piece for piece, _ in scores}, sum(counts.values())
    unknown = min(score for _, score in scores) - UNKNOWN_PENALTY
    unk_id = tokenizer.token_to_id("<unk>")
    found = []
    for piece, occurs in counts.items():
        if occurs < LEAST_COUNT or piece in known or not any(character.isalpha() for character in piece):
            continue
        parts = [token.id for token in tokenizer.model.tokenize(piece)]
        of_parts = sum(unknown if number == unk_id else scores[number][1] for number in parts)
        if len(parts) > 1:
            score = max(ln(occurs / total), of_parts + MARGIN)
            found.append((occurs * (len(parts) - 1), Candidate(piece, score, parts)))
    found.sort(key=lambda each: (-each[0], each[1].piece))
    return [candidate for _, candidate in found]


def _unigram_counts(text: Sequence[str], pieces: int) -> Counter[str]:
    """How often each piece of a Unigram model of the text occurs in it; empty where the text is too little for one."""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=model, model_type="unigram", vocab_size=pieces,
            hard_vocab_limit=False, normalization_rule_name="identity", num_threads=1, minloglevel=2,
        )  # fmt: skip
    except RuntimeError:
        return Counter()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    counts: Counter[str] = Counter()
    for line in text:
        counts.update(processor.encode(line, out_type=str))
    return counts


@torch.no_grad()
def _add_rows(model: XLMRobertaForMaskedLM, first: int, parts: Sequence[Sequence[int]]) -> None:
    """Put a row for each of `parts` before row `first` of embedding and head: the mean of the rows of its ids."""
    before = {name: each.clone() for name, each in model.state_dict().items() if name in VOCABULARY_ROWS}
    model.resize_token_embeddings(model.config.vocab_size + len(parts), mean_resizing=False)
    after = model.state_dict()
    for name, old in before.items():
        means = torch.stack([old[list(ids)].mean(dim=0) for ids in parts])
        after[name].copy_(torch.cat([old[:first], means, old[first:]]))


def _pieces_per_word(tokenizer: Tokenizer, lines: Sequence[str]) -> float:
    """A word is a run of characters between white space."""
    pieces = sum(map(len, tokenizer.encode_batch_fast(list(lines), add_special_tokens=False)))
    return pieces / max(1, sum(len(line.split()) for line in lines))
