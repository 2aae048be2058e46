"""Text -> token ids and masks: nothing lost, nothing moved when text is added."""

from pathlib import Path

import numpy as np
import pytest

from distil.core.errors import UserError
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.tokenization.prepare import prepare_language
from distil.tokenization.shards import TokenizedDataset, masked_input, ragged_indices
from tests.support import toy


def prepare(root: Path, out: Path, lines: list[str], **changes: object) -> TokenizedDataset:
    text = out / "swa.txt"
    out.mkdir(parents=True, exist_ok=True)
    text.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    config = toy.TOKENIZE.model_copy(update=changes)
    prepare_language("swa", text, root / "models/tokenizer", config, 1, out / "swa")
    return TokenizedDataset(out / "swa")


def sequences(prepared: TokenizedDataset, split: str) -> set[tuple[int, ...]]:
    found = set()
    for entry in prepared.shards(split):
        shard = prepared.open(entry)
        found |= {tuple(shard.ids[a:b].tolist()) for a, b in zip(shard.offsets[:-1], shard.offsets[1:], strict=True)}
    return found


def test_every_line_becomes_sequences_or_is_counted(world: Path, tmp_path: Path) -> None:
    lines = [*toy.sentences(300, 5), "a", ""]
    prepared = prepare(world, tmp_path, lines, min_length=6)
    manifest = prepared.manifest
    assert manifest["lines_read"] == len(lines) == manifest["texts"] + sum(manifest["dropped"].values())
    assert manifest["dropped"]["too_short"] >= 2
    special = special_ids(load_tokenizer(world / "models/tokenizer"))
    for split in ("train", "heldout"):
        for ids in sequences(prepared, split):
            assert 6 <= len(ids) <= 24 and ids[0] == special.bos and ids[-1] == special.eos
            assert not set(ids[1:-1]) & {special.bos, special.eos, special.pad, special.mask}


def test_a_long_text_is_cut_into_sequences_that_hold_all_of_it(world: Path, tmp_path: Path) -> None:
    line = " ".join(toy.sentences(30, 6))
    tokenizer = load_tokenizer(world / "models/tokenizer")
    prepared = prepare(world, tmp_path, [line, *toy.sentences(60, 7)], shard_tokens=1_000_000)
    wanted = tokenizer.encode(line, add_special_tokens=False).ids
    pieces = [wanted[start : start + 22] for start in range(0, len(wanted), 22)]
    found = sequences(prepared, "train") | sequences(prepared, "heldout")
    assert all((0, *piece, 2) in found for piece in pieces if len(piece) >= 2)


def test_more_text_moves_nothing_from_one_side_to_the_other(world: Path, tmp_path: Path) -> None:
    lines = toy.sentences(400, 8)
    first, second = prepare(world, tmp_path / "a", lines[:200]), prepare(world, tmp_path / "b", lines)
    for split in ("train", "heldout"):
        assert sequences(first, split) <= sequences(second, split)


def test_shards_of_text_that_was_there_before_stay_as_they_are(world: Path, tmp_path: Path) -> None:
    lines = toy.sentences(400, 9)
    first, second = prepare(world, tmp_path / "a", lines[:200]), prepare(world, tmp_path / "b", lines)
    whole = [entry["sha256"] for entry in first.shards("train")][:-1]  # the last one was not full
    assert whole and [entry["sha256"] for entry in second.shards("train")][: len(whole)] == whole


def test_the_cap_holds_and_is_counted(world: Path, tmp_path: Path) -> None:
    prepared = prepare(world, tmp_path, toy.sentences(400, 10), max_tokens=1500)
    assert 1500 <= prepared.manifest["splits"]["train"]["tokens"] < 1500 + 3 * 24  # one text more
    assert prepared.manifest["dropped"]["over_cap"] > 100


def test_a_language_with_too_little_text_is_an_error_that_names_it(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"swa: no sequence left for the (train|heldout) split of 1 lines"):
        prepare(world, tmp_path, ["a"])


def test_masked_input_puts_the_masks_where_they_are_and_keeps_the_rest(world: Path) -> None:
    prepared = TokenizedDataset(world / "data/prepared/swa")
    shard = prepared.open(prepared.shards("train")[0])
    numbers, variants = np.array([3, 0, len(shard.lengths) - 1]), np.array([1, 0, 1])
    text = masked_input(shard, numbers, variants, pad_id=1)
    for row, number in enumerate(numbers):
        ids = shard.ids[shard.offsets[number] : shard.offsets[number + 1]].astype(np.int64)
        here = text.masked_sequence == row
        restored = text.input_ids[row].copy()
        restored[text.masked_position[here]] = text.gold[here]
        np.testing.assert_array_equal(restored[: len(ids)], ids)
        assert (text.input_ids[row, len(ids) :] == 1).all()
    np.testing.assert_array_equal(shard.mask_positions[text.cached_rows], text.masked_position)


def test_ragged_indices_by_hand() -> None:
    assert ragged_indices(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


def test_the_manifest_repeats_the_script_of_the_text_only_where_it_was_changed(world: Path, tmp_path: Path) -> None:
    text = tmp_path / "swa.txt"
    text.write_text("".join(f"{line}\n" for line in toy.sentences(60, 9)), encoding="utf-8")
    for script, found in (("latin", {"script": "latin"}), ("keep", {})):
        manifest = prepare_language("swa", text, world / "models/tokenizer", toy.TOKENIZE, 1, tmp_path / script, script)
        assert {key: manifest[key] for key in manifest if key == "script"} == found
