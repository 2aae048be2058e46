"""Masked-LM training of whole models: the loop, and a teacher adapted to its text."""

import copy
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distil.compute.batching import BATCH_TOKENS
from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.teacher.adaptation import AdaptConfig, adapt, keep_share
from distil.teacher.masked_lm import (
    MaskedLMSchedule,
    MaskedLMTraining,
    Sequences,
    SequenceSampler,
    _share,
    encode_lines,
    mask_batch,
)
from distil.teacher.source import TeacherConfig, fetch_teacher
from distil.tokenization.masking import is_held_out
from tests.support import toy

ADAPT = AdaptConfig(
    steps=40, text="data/raw", batch_tokens=512, max_length=24, learning_rate=0.003, warmup_fraction=0.1,
    mask_rate=0.15, sampling_temperature=2.0, heldout_fraction=0.15, checkpoint_every=10, guard=0.0,
    keep=1.0, new_pieces=0, new_pieces_rate=5.0, precision="float32",
)  # fmt: skip
MERGE = {"method": "none", "path": "distil/lexicons", "density": 0.5}


def config(**changes: Any) -> TeacherConfig:
    train = {"vocabulary_size": 200, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
             "intermediate_size": 8, "steps": 1, "batch_tokens": 256, "learning_rate": 0.1}  # fmt: skip
    adapted = ADAPT.model_dump() | changes.pop("adapt", {})
    given = {"source": "folder", "path": "given", "id": "a/b", "revision": "main", "train": train, "adapt": adapted,
             "merge": MERGE | changes.pop("merge", {})}  # fmt: skip
    return TeacherConfig.model_validate(given | changes)


def fetch(out: str, languages: Sequence[str] = toy.LANGUAGES, **changes: Any) -> dict[str, Any]:
    Path(out).mkdir(parents=True)
    return fetch_teacher(config(**changes), list(languages), False, 1, Path(out))


def test_an_adapted_teacher_knows_held_out_text_better_and_the_manifest_says_so(root: Path) -> None:
    plain, adapted = fetch("plain", adapt={"steps": 0}), fetch("adapted")
    assert plain["adapted"] is None
    assert plain["weights_sha256"] != adapted["weights_sha256"]  # and so the cache's identity
    assert adapted["adapted"]["steps"] == 40 and 10_000 < adapted["adapted"]["tokens"] < 30_000
    for language in toy.LANGUAGES:
        figures = adapted["adapted"]["languages"][language]
        assert figures["masked_lm_after"] < figures["masked_lm_before"] - 0.5
        lines = (root / f"data/raw/{language}.txt").read_text(encoding="utf-8").splitlines()
        assert figures["train_sequences"] == sum(not is_held_out(line, 0.15) for line in lines)
    model = load_masked_lm(Path("adapted"), None)  # a whole folder, without the old weights
    assert sorted(path.name for path in Path("adapted").glob("*.safetensors")) == ["model.safetensors"]
    assert not torch.equal(model.lm_head.bias, load_masked_lm(Path("given"), None).lm_head.bias)


def test_two_adaptations_give_the_same_bytes_and_another_seed_gives_others(root: Path) -> None:
    fetch("a"), fetch("b")
    assert sha256_file(Path("a/model.safetensors")) == sha256_file(Path("b/model.safetensors"))
    Path("c").mkdir()
    fetch_teacher(config(), toy.LANGUAGES, False, 2, Path("c"))
    assert sha256_file(Path("a/model.safetensors")) != sha256_file(Path("c/model.safetensors"))


def test_an_adaptation_in_bfloat16_learns_as_well_and_keeps_weights_in_float32(root: Path) -> None:
    exact, near = fetch("exact"), fetch("near", adapt={"precision": "bfloat16"})
    assert exact["weights_sha256"] != near["weights_sha256"]
    assert {tensor.dtype for tensor in load_masked_lm(Path("near"), None).parameters()} == {torch.float32}
    for language in toy.LANGUAGES:
        losses = [found["adapted"]["languages"][language]["masked_lm_after"] for found in (exact, near)]
        assert losses[1] == pytest.approx(losses[0], abs=0.1)


def test_a_share_of_the_change_is_kept_and_measured(root: Path) -> None:
    fetch("all"), fetch("start", adapt={"steps": 0})
    kept = fetch("half", adapt={"keep": 0.5})
    start, half, whole = (load_masked_lm(Path(name), None) for name in ("start", "half", "all"))
    for (name, one), two, three in zip(start.named_parameters(), half.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(two, (one + three) / 2, msg=name)
    assert kept["adapted"]["keep"] == 0.5
    for figures in kept["adapted"]["languages"].values():
        assert figures["masked_lm_after"] < figures["masked_lm_before"]


def test_all_of_the_change_is_the_adaptation_itself(root: Path) -> None:
    """Not even an entry of the manifest tells of the setting."""
    model, start = load_masked_lm(root / "given", None), load_masked_lm(root / "given", None)
    keep_share(model, {name: torch.zeros_like(each) for name, each in start.named_parameters()}, 1.0)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), start.parameters(), strict=True))
    assert "keep" not in fetch("adapted", adapt={"steps": 2})["adapted"]


def test_a_killed_adaptation_goes_on_and_ends_as_an_uninterrupted_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.teacher import masked_lm as mlm

    whole = fetch("whole")
    drawn, original = [], mlm.mask_batch

    def killed(*args: Any) -> Any:
        drawn.append(1)
        if len(drawn) == 35:  # measuring takes some
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(mlm, "mask_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch("killed")
    assert list(Path(".scratch/teacher").rglob("checkpoint.safetensors"))
    shutil.rmtree("killed")
    before = len(drawn)
    assert fetch("killed") == whole
    assert len(drawn) - before < 40  # it did not start over
    assert sha256_file(Path("whole/model.safetensors")) == sha256_file(Path("killed/model.safetensors"))
    assert not list(Path(".scratch/teacher").rglob("checkpoint.safetensors"))


def test_a_killed_adaptation_of_other_code_starts_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.teacher import masked_lm as mlm
    from distil.teacher import source

    drawn, original = [], mlm.mask_batch

    def counted(*args: Any) -> Any:
        drawn.append(1)
        if len(drawn) == 35:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(mlm, "mask_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        fetch("killed")
    assert list(Path(".scratch/teacher").rglob("checkpoint.safetensors"))
    shutil.rmtree("killed")
    monkeypatch.setattr(source, "code_checksums", lambda stage: {"distil/teacher/masked_lm.py": "edited"})
    before = len(drawn)
    fetch("killed")
    assert len(drawn) - before > 40  # all steps, and both measurements


def test_held_out_lines_are_never_trained_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.teacher import adaptation as module

    seen: list[Sequences] = []

    def trained(model: Any, texts: Any, *rest: Any) -> MaskedLMTraining:
        seen.extend(texts.values())
        return MaskedLMTraining(0, {})

    monkeypatch.setattr(module, "train_masked_lm", trained)
    tokenizer = load_tokenizer(root / "models/teacher")
    special = special_ids(tokenizer)
    adapt(load_masked_lm(root / "given", None), root / "given", toy.LANGUAGES, ADAPT, 1, root)
    found = {tuple(sequence) for text in seen for sequence in text.take(np.arange(len(text.offsets) - 1))}
    for language in toy.LANGUAGES:
        lines = (root / f"data/raw/{language}.txt").read_text(encoding="utf-8").splitlines()
        for line in lines:
            sequence = (special.bos, *tokenizer.encode(line, add_special_tokens=False).ids[:22], special.eos)
            assert (sequence in found) != is_held_out(line, 0.15), line


def test_what_a_smaller_share_holds_out_a_larger_one_does_too() -> None:
    lines = toy.sentences(2000, 3)
    small, large = ({line for line in lines if is_held_out(line, share)} for share in (0.05, 0.2))
    assert small < large and 0.15 < len(large) / 2000 < 0.25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "nowhere"}, r"nowhere/swa\.txt: no such file; .* set teacher\.adapt\.text .* data/raw"),
        ({"max_length": 128}, r"teacher\.adapt\.max_length: expected at most 64, .* found 128"),
        ({"heldout_fraction": 0.000001}, r"swa\.txt: swa: expected text .* to hold out, found .* 0 lines"),
    ],
)  # fmt: skip
def test_a_text_or_length_that_does_not_fit_is_refused(
    root: Path, changes: dict[str, Any], message: str | None
) -> None:
    if message is None:
        return
    with pytest.raises(UserError, match=message):
        fetch("out", adapt=changes)


def test_held_out_text_without_a_piece_is_refused(root: Path) -> None:
    path = Path("data/raw/swa.txt")
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if not is_held_out(line, 0.15)]
    bare = [line for line in ("\u200b" * count for count in range(1, 60)) if is_held_out(line, 0.15)]
    assert bare  # lines that only zero-width spaces are in: no white space, and yet no piece
    path.write_text("\n".join(lines + bare), encoding="utf-8")
    with pytest.raises(UserError, match=r"data/raw/swa\.txt: swa: expected text to hold out in which the teacher's "
                       r"tokenizer finds pieces, found \d+ lines without one; give more text"):  # fmt: skip
        fetch("out")


def test_a_teacher_trained_here_is_not_adapted() -> None:
    with pytest.raises(ValueError, match=r"adapt\.steps is 40 with source train: expected 0"):
        config(source="train")


def test_languages_are_drawn_by_the_root_of_their_tokens() -> None:
    # 9,000 and 1,000 tokens in sequences of 10 and 5; at temperature 2 tokens come as 3 to 1.
    long = Sequences(np.zeros(9000, np.int32), np.arange(0, 9001, 10))
    short = Sequences(np.ones(1000, np.int32), np.arange(0, 1001, 5))
    for temperature, expected in ((1.0, 9.0), (2.0, 3.0), (1000.0, 1.0)):
        draws = SequenceSampler([long, short], MaskedLMSchedule(1, 2000, 0.1, 0.1, 0.15, temperature), 1000)
        tokens = np.zeros(2)
        for parts in islice(draws.steps(1, 0), 80):
            assert len(parts) == 2 and all(sum(map(len, part)) <= 1000 for part in parts)
            ids = np.concatenate([sequence for part in parts for sequence in part])
            tokens += [(ids == 0).sum(), (ids == 1).sum()]
        assert tokens[0] / tokens[1] == pytest.approx(expected, rel=0.08)
        assert tokens.sum() / 80 == pytest.approx(2000, rel=0.05)


def test_steps_taken_up_in_the_middle_are_those_of_the_beginning() -> None:
    text = Sequences(np.arange(5000, dtype=np.int32), np.array([0, *np.cumsum(np.arange(1, 99)), 5000]))
    draws = SequenceSampler([text], MaskedLMSchedule(1, 300, 0.1, 0.1, 0.15, 1.0), 100)
    whole, rest = islice(draws.steps(1, 0), 45), islice(draws.steps(1, 20), 25)
    for one, other in zip(list(whole)[20:], rest, strict=True):
        assert [[row.tolist() for row in part] for part in one] == [[row.tolist() for row in part] for part in other]


def test_masks_follow_the_rate_and_gold_is_what_stood_there() -> None:
    special = toy.special_ids(toy_tokenizer())
    chosen = [np.array([0, *range(10, 10 + length), 2], np.int32) for length in (40, 20)]
    batch = mask_batch(chosen, 0.15, special, 200, np.random.default_rng(2))
    assert len(batch.gold) == 6 + 3 and batch.mask.sum(dim=1).tolist() == [42, 22]
    for row, column, gold in zip(batch.row.tolist(), batch.column.tolist(), batch.gold.tolist(), strict=True):
        assert chosen[row][column] == gold and 0 < column < len(chosen[row]) - 1
    untouched = batch.mask.clone()
    untouched[batch.row, batch.column] = False
    for row, ids in enumerate(chosen):
        here = untouched[row].nonzero().squeeze(1)
        assert batch.input_ids[row, here].tolist() == ids[here.numpy()].tolist()


def toy_tokenizer() -> Any:
    from tokenizers import Tokenizer, models

    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(chr(0x4E00 + number) for number in range(195)), "<mask>"]
    return Tokenizer(models.Unigram([(piece, 0.0) for piece in pieces], unk_id=3, byte_fallback=False))


def test_long_lines_are_cut_and_empty_ones_left_out(world: Path) -> None:
    tokenizer = load_tokenizer(world / "models/tokenizer")
    special = special_ids(tokenizer)
    text = encode_lines(["aeị bo", "", "ọ " * 100], tokenizer, special, 16)
    assert len(text.offsets) == 3 and np.diff(text.offsets)[1] == 16
    for sequence in text.take(np.arange(2)):
        assert sequence[0] == special.bos and sequence[-1] == special.eos


def test_the_parts_of_a_step_hold_little_padding_and_add_up_to_the_gradient_of_the_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.teacher import masked_lm as mlm

    tokenizer, model = load_tokenizer(root / "given"), load_masked_lm(root / "given", None)
    special = special_ids(tokenizer)
    text = encode_lines([" ".join(["aeị bo"] * (1 + number % 20)) for number in range(200)], tokenizer, special, 64)
    parts: list[Any] = []
    draw = mlm.mask_batch

    def kept(*given: Any) -> Any:
        parts.append(draw(*given))
        return parts[-1]

    monkeypatch.setattr(mlm, "mask_batch", kept)
    monkeypatch.setitem(BATCH_TOKENS, "cpu", 256)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *given: torch.tensor(0.0))
    untrained = copy.deepcopy(model)
    mlm.train_masked_lm(model, {"kin": text}, special, MaskedLMSchedule(1, 2048, 0.001, 0.0, 0.15, 1.0), 1, "adapt")
    assert len(parts) == 8
    assert sum(part.mask.sum() for part in parts) > 0.85 * sum(part.mask.numel() for part in parts)

    logits = [
        untrained(part.input_ids, attention_mask=part.mask.long()).logits[part.row, part.column] for part in parts
    ]
    torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat([part.gold for part in parts])).backward()
    for (name, trained), plain in zip(model.named_parameters(), untrained.parameters(), strict=True):
        assert trained.grad is not None and plain.grad is not None, name
        torch.testing.assert_close(trained.grad, plain.grad, rtol=1e-4, atol=1e-6)


def test_the_learning_rate_rises_and_falls_and_is_never_zero() -> None:
    schedule = MaskedLMSchedule(100, 1, 0.1, 0.1, 0.15, 1.0)
    shares = [_share(step, schedule) for step in range(100)]
    assert shares[0] == pytest.approx(0.1) and max(shares) == 1.0 == shares[9]
    assert shares[54] == pytest.approx(46 / 90) and shares[99] == pytest.approx(1 / 90)
    assert _share(0, schedule._replace(warmup_fraction=0.0)) == 1.0


@pytest.mark.slow
def test_a_guard_leaves_bad_steps_out_of_an_adaptation_and_a_kill_behind_them_changes_no_byte(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.teacher import masked_lm as mlm

    original, seen, bad = mlm._losses, [], set()

    def losses(model: Any, head: Any, batch: Any, *rest: Any) -> Any:
        found = original(model, head, batch, *rest)
        if not torch.is_grad_enabled():
            return found
        seen.append(hash(tuple(batch.gold.tolist())))
        return found * 1e4 if seen[-1] in bad else found

    monkeypatch.setattr(mlm, "_losses", losses)
    length = {"steps": 90, "checkpoint_every": 20}
    plain, guarded = fetch("plain", adapt=length), fetch("guarded", adapt={**length, "guard": 8.0})
    assert plain["weights_sha256"] == guarded["weights_sha256"]  # on, and nothing to leave out
    assert "guard" not in plain["adapted"] and not Path("plain/events.csv").exists()
    bad |= {seen[number] for number in (70, 82, 83, 84)}
    whole = fetch("whole", adapt={**length, "guard": 8.0})
    assert whole["adapted"]["guard"] == {"deviations": 8.0, "skipped": 4, "rollbacks": 1}
    assert Path("whole/events.csv").read_text(encoding="utf-8").count("roll back") == 1
    drawn = len(seen)

    def killed(*given: Any) -> Any:
        if len(seen) - drawn == 87:
            raise KeyboardInterrupt
        return losses(*given)

    with monkeypatch.context() as patch:
        patch.setattr(mlm, "_losses", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch("killed", adapt={**length, "guard": 8.0})
    shutil.rmtree("killed")
    assert fetch("killed", adapt={**length, "guard": 8.0}) == whole
    assert Path("killed/events.csv").read_bytes() == Path("whole/events.csv").read_bytes()
