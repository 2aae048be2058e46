"""The teacher cache: faithful, tied to what it was made from, and never paid twice."""

import json
import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import XLMRobertaModel

from distil.cache.bit_packing import bits_for, unpack_rows
from distil.cache.format import LogitEncoding, TeacherCache, pack_logits
from distil.cache.sparse_logits import SparseLogits, soft_targets
from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, write_checksums
from distil.corpus.build import CorpusConfig, write_corpus
from distil.modeling.xlm_roberta import AttentionTap, attention_rows, load_masked_lm
from distil.teacher.cache_config import CacheConfig
from distil.teacher.cache_writer import FinishedShards
from distil.tokenization.shards import Shard, TokenizedDataset, masked_input
from tests.corpus.test_build import BLOCK as CORPUS
from tests.corpus.test_build import add_task
from tests.support import toy


def opened(world: Path, folder: str = "data/teacher", language: str = "swa") -> TeacherCache:
    return TeacherCache(world / folder / language, TokenizedDataset(world / "data/prepared" / language))


def plain_teacher(world: Path, shard: Shard, sequence: int, variant: int):
    """Log-probabilities at the masked places and all attention of one sequence, by transformers' own eager code."""
    model = load_masked_lm(world / "models/teacher", "teacher")
    model.set_attn_implementation("eager")
    text = masked_input(shard, np.array([sequence]), np.array([variant]), 1)
    with torch.no_grad():
        found = model(torch.from_numpy(text.input_ids), output_attentions=True)
    return text, found.logits[0, text.masked_position].log_softmax(-1), found.attentions


@pytest.mark.parametrize("form", ["full", "hidden", "hidden4", "sampled", "top_k"])
def test_cached_distributions_are_the_teachers(world: Path, tmp_path: Path, form: str) -> None:
    config = toy.CACHE.model_copy(update={"logits": form, "entries": 150, "sampling_temperature": 1.0})
    near = {"atol": 0.6, "rtol": 0.1} if form == "hidden4" else {"atol": 0.15, "rtol": 0.02}
    root = shutil.copytree(world, tmp_path / "w")
    toy.make_cache(root, config, folder="data/other")
    shard, cached = opened(root, "data/other").open("train", 0)
    for sequence, variant in ((0, 0), (len(shard.lengths) - 1, 1)):
        text, log_probs, _ = plain_teacher(root, shard, sequence, variant)
        kept = SparseLogits(*map(torch.tensor, cached.logits(text.cached_rows)))
        torch.testing.assert_close(kept.log_probs, log_probs.gather(1, kept.ids), **near)
        targets = soft_targets(kept, form, 2.0, 1.0)
        dense = torch.zeros_like(log_probs).scatter_add(1, targets.ids, targets.probs)
        missing = 0 if targets.tail is None else targets.tail.max().item()
        assert (dense - (log_probs / 2).softmax(-1)).abs().max() < 0.02 + missing


@pytest.mark.parametrize(("form", "rows"), [("mean", 1.0), ("heads", 1.0), ("mean", 0.4)])
def test_cached_attention_is_the_teachers(world: Path, tmp_path: Path, form: str, rows: float) -> None:
    config = toy.CACHE.model_copy(update={"attention": form, "attention_rows": rows, "attention_layers": (1, -1)})
    root = shutil.copytree(world, tmp_path / "w")
    toy.make_cache(root, config, folder="data/other")
    shard, cached = opened(root, "data/other").open("train", 0)
    sequences, variants = np.array([0, len(shard.lengths) - 1, 3]), np.array([1, 0, 0])
    batch = cached.attention(sequences, variants)
    for number, (sequence, variant) in enumerate(zip(sequences, variants, strict=True)):
        _, _, attentions = plain_teacher(root, shard, sequence, variant)
        length = int(shard.lengths[sequence])
        here = batch.sequence == number
        assert here.sum() == int(np.ceil(rows * length))
        exact = torch.stack([attentions[0][0], attentions[2][0]])  # (2, H, T, T)
        exact = exact.mean(1, keepdim=True) if form == "mean" else exact
        expected = exact.flatten(0, 1)[:, batch.query[here]].transpose(0, 1).numpy()
        np.testing.assert_allclose(batch.values[here][:, :, :length], expected, atol=1 / 400)
        assert (batch.values[here][:, :, length:] == 0).all()


def test_from_layer_inputs_every_head_is_made_anew(world: Path, tmp_path: Path) -> None:
    root = shutil.copytree(world, tmp_path / "w")
    toy.make_cache(root, toy.CACHE.model_copy(update={"attention": "inputs"}), folder="data/other")
    cache = opened(root, "data/other")
    cache.verify()
    shard, cached = cache.open("train", 0)
    batch = cached.attention(np.array([4]), np.array([1]))
    length, kept = int(shard.lengths[4]), {name: torch.tensor(array) for name, array in cache.projections().items()}
    assert batch.values.shape == (length, 1, 32) and batch.query.tolist() == list(range(length))
    states = torch.from_numpy(batch.values[:, 0])[None]
    query, key = (F.linear(states, kept[f"3.{name}.weight"], kept[f"3.{name}.bias"]) for name in ("query", "key"))
    every = torch.zeros(length, dtype=torch.int64)
    found = attention_rows(query, key, 4, every, torch.arange(length), torch.ones(1, length, dtype=torch.bool))
    _, _, attentions = plain_teacher(root, shard, 4, 1)
    torch.testing.assert_close(found, attentions[2][0].transpose(0, 1), atol=0.02, rtol=0.1)
    assert set(kept) == {f"3.{name}.{part}" for name in ("query", "key", "value") for part in ("weight", "bias")}


@pytest.mark.parametrize("form", ["full", "hidden"])
def test_a_pass_in_bfloat16_is_near_and_another_cache(world: Path, tmp_path: Path, form: str) -> None:
    root = shutil.copytree(world, tmp_path / "w")
    config = toy.CACHE.model_copy(update={"logits": form, "attention": "inputs"})
    toy.make_cache(root, config, folder="data/exact")
    toy.make_cache(root, config.model_copy(update={"precision": "bfloat16"}), folder="data/near")
    exact, near = opened(root, "data/exact"), opened(root, "data/near")
    assert [cache.manifest["precision"] for cache in (exact, near)] == ["float32", "bfloat16"]
    (shard, one), (_, other) = exact.open("train", 0), near.open("train", 0)
    text = masked_input(shard, np.array([0]), np.array([0]), 1)
    targets = []
    for cached in (one, other):
        kept = SparseLogits(*map(torch.tensor, cached.logits(text.cached_rows)))
        targets.append(torch.zeros(len(kept.ids), 200).scatter(1, kept.ids, soft_targets(kept, form, 1.0, 2.0).probs))
    assert 0 < (targets[0] - targets[1]).abs().max() < 0.02
    states = [cached.attention(np.array([0]), np.array([0])).values for cached in (one, other)]
    np.testing.assert_allclose(states[1], states[0], atol=0.1)


def test_layer_inputs_need_every_row() -> None:
    with pytest.raises(ValueError, match="attention_rows must be 1"):
        CacheConfig(**toy.CACHE.model_dump() | {"attention": "inputs", "attention_rows": 0.5})


def test_the_tap_agrees_with_eager_attention_and_carries_gradients(world: Path) -> None:
    model = load_masked_lm(world / "models/teacher", "teacher")
    tap = AttentionTap(model, [2])
    ids = torch.tensor([[0, 9, 8, 7, 2], [0, 5, 2, 1, 1]])
    mask = ids != 1
    model.roberta(ids, attention_mask=mask)
    rows, queries = torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2])
    probs = tap.probs(2, rows, queries, mask)
    model.set_attn_implementation("eager")
    exact = model.roberta(ids, attention_mask=mask, output_attentions=True).attentions[1]
    torch.testing.assert_close(probs, exact[rows, :, queries])
    probs[0, 0, 1].backward()
    assert model.roberta.encoder.layer[0].output.dense.weight.grad.abs().sum() > 0


def test_the_same_input_gives_the_same_bytes_whatever_lies_in_scratch(own_world: Path) -> None:
    files = sorted((own_world / "data/teacher").rglob("*.*"))
    before = [sha256_file(path) for path in files]
    some = sorted((own_world / "scratch").glob("*.safetensors"))
    some[0].unlink()
    some[1].write_bytes(some[1].read_bytes()[:-1])  # damaged: noticed and computed again
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world)
    assert [sha256_file(path) for path in files] == before


def test_finished_shards_cost_no_forward_pass(own_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.teacher import outputs

    calls = []
    original = outputs.TeacherPass.shard
    monkeypatch.setattr(outputs.TeacherPass, "shard", lambda *args: calls.append(1) or original(*args))
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world)
    assert not calls
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world, toy.CACHE.model_copy(update={"entries": 13}))
    heldout = 2  # one shard a language, whose entries did not change
    assert len(calls) == len(list((own_world / "data/teacher").rglob("*.safetensors"))) - heldout


def test_shards_that_other_code_made_are_computed_again(own_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.teacher import outputs

    calls = []
    original = outputs.TeacherPass.shard
    monkeypatch.setattr(outputs.TeacherPass, "shard", lambda *args: calls.append(1) or original(*args))
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world, code="edited")
    assert len(calls) == len(list((own_world / "data/teacher").rglob("*.safetensors")))


def test_prune_keeps_what_is_named(own_world: Path) -> None:
    notes = sorted((own_world / "scratch").glob("*.json"))
    wanted = read_json(notes[0], "cache_teacher")["sha256"]
    FinishedShards(own_world / "scratch", {}).prune({wanted})
    assert [path.stem for path in (own_world / "scratch").glob("*.safetensors")] == [notes[0].stem]


FIELDS = {
    "format_version": 99, "language": "kin", "tokenizer_sha256": "0" * 64, "pieces": 5, "max_length": 77,
    "mask_rate": 0.3,
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_a_manifest_that_does_not_fit_is_refused_by_field(own_world: Path, field: str) -> None:
    path = own_world / "data/teacher/swa/manifest.json"
    manifest = json.loads(path.read_text())
    expected = manifest[field]
    path.write_text(json.dumps(manifest | {field: FIELDS[field]}))
    write_checksums(path.parent, path.name)
    with pytest.raises(UserError) as error:
        opened(own_world)
    assert all(part in str(error.value) for part in (f": {field}:", str(expected), str(FIELDS[field]), "dvc repro"))


def test_a_cache_of_other_text_is_refused(own_world: Path) -> None:
    toy.make_prepared(own_world, seed=2)
    with pytest.raises(UserError, match=r"splits\.\w+\.shards\.0\.prepared_sha256: expected"):
        opened(own_world)


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[-1] ^= 1
    elif how == "truncate":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = bytearray()
    path.unlink()
    if how != "delete":
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete"])
@pytest.mark.parametrize("folder", ["data/teacher", "data/prepared"])
def test_a_damaged_file_is_named_before_it_is_used(own_world: Path, folder: str, how: str) -> None:
    path = own_world / folder / "swa/train-00000.safetensors"
    damage(path, how)
    with pytest.raises(UserError, match=f"{path}.*dvc repro") as error:
        cache = opened(own_world)
        cache.verify()
        cache.open("train", 0)
    assert "\n" not in str(error.value)


def test_shards_that_would_grow_too_large_are_refused_with_the_number_to_use(world: Path, tmp_path: Path) -> None:
    from distil.teacher import cache_writer as caching

    root = shutil.copytree(world, tmp_path / "w")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caching, "MAX_SHARD_BYTES", 20_000)
        with pytest.raises(UserError, match=r"shard_tokens.*set it to \d+ or less"):
            toy.make_cache(root, folder="data/other", scratch="other")


def test_reading_many_sequences_gives_each_its_own(world: Path) -> None:
    shard, cached = opened(world).open("train", 0)
    every = np.arange(len(shard.lengths))
    together = cached.attention(every, np.ones_like(every))
    for sequence in (0, 5, len(every) - 1):
        alone = cached.attention(np.array([sequence]), np.array([1]))
        here = together.sequence == sequence
        np.testing.assert_array_equal(together.values[here][:, :, : alone.values.shape[2]], alone.values)
        np.testing.assert_array_equal(together.query[here], alone.query)


def test_a_stage_killed_at_any_shard_goes_on_with_the_next_and_ends_bit_for_bit_the_same(
    own_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.teacher import outputs

    files = sorted((own_world / "data/teacher").rglob("*.*"))
    whole = [sha256_file(path) for path in files]
    shards = len(list((own_world / "data/teacher").rglob("*.safetensors")))
    original = outputs.TeacherPass.shard
    for survived in range(shards):
        calls: list[int] = []

        def killed(*args, calls=calls, survived=survived):
            if len(calls) == survived:
                raise KeyboardInterrupt
            calls.append(1)
            return original(*args)

        shutil.rmtree(own_world / "data/teacher")
        shutil.rmtree(own_world / "scratch")
        monkeypatch.setattr(outputs.TeacherPass, "shard", killed)
        with pytest.raises(KeyboardInterrupt):
            toy.make_cache(own_world)
        calls.clear()
        monkeypatch.setattr(outputs.TeacherPass, "shard", lambda *args, calls=calls: calls.append(1) or original(*args))
        shutil.rmtree(own_world / "data/teacher")
        toy.make_cache(own_world)
        assert len(calls) == shards - survived
        assert [sha256_file(path) for path in files] == whole


def test_a_new_language_computes_its_own_part_only(own_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.teacher import outputs

    calls = []
    original = outputs.TeacherPass.shard
    before = {path: sha256_file(path) for path in (own_world / "data/teacher").rglob("*.*")}
    monkeypatch.setattr(outputs.TeacherPass, "shard", lambda *args: calls.append(args[1].path) or original(*args))
    monkeypatch.setattr(toy, "LANGUAGES", [*toy.LANGUAGES, "kin"])
    (own_world / "data/raw/kin.txt").write_text("\n".join(toy.sentences(150, 9)) + "\n", encoding="utf-8")
    toy.make_prepared(own_world)  # with the vocabulary as it was
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world)
    assert calls and all("kin" in path.parts for path in calls)
    assert all(sha256_file(path) == digest for path, digest in before.items())


class Reading:
    """What the teacher's encoder is given while this is open: forward passes, and tokens without padding."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes = self.tokens = 0
        original = XLMRobertaModel.forward

        def counted(model, input_ids, attention_mask, **others):
            self.passes += 1
            self.tokens += int(attention_mask.sum())
            return original(model, input_ids, attention_mask=attention_mask, **others)

        monkeypatch.setattr(XLMRobertaModel, "forward", counted)


def corpus_to_cache(root: Path, shard_tokens: int) -> dict[str, tuple[dict[str, dict], int]]:
    """Every stage anew from text/LANG.txt on, with the full vocabulary: shards by checksum, and tokens, of each split.

    The work of a shard is its tokens times its variants.
    """
    for folder in ("data/raw", "models/tokenizer", "data/prepared", "data/teacher"):
        shutil.rmtree(root / folder, ignore_errors=True)
    config = CorpusConfig(**CORPUS | {"path": str(root / "text")})
    write_corpus(config, toy.LANGUAGES, root / "data/tasks", root / "data/raw")
    toy.make_vocabulary(root)
    toy.make_prepared(root, toy.TOKENIZE.model_copy(update={"shard_tokens": shard_tokens}))
    toy.make_cache(root)
    found = {}
    for language in toy.LANGUAGES:
        for split, about in TokenizedDataset(root / "data/prepared" / language).manifest["splits"].items():
            shards = {entry["sha256"]: entry | {"work": entry["tokens"] * about["mask_variants"]}
                      for entry in about["shards"]}  # fmt: skip
            found[f"{language}/{split}"] = shards, about["tokens"]
    return found


def test_ten_times_the_text_adds_shards_and_the_teacher_reads_only_what_is_new(
    own_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 1000
    lines = {language: toy.sentences(2000, 40 + number) for number, language in enumerate(toy.LANGUAGES)}
    (own_world / "text").mkdir()
    add_task(own_world, "words", {"dev": ["hakuna"], "test": ["kitu"]}, toy.LANGUAGES)
    shutil.rmtree(own_world / "scratch")

    def write(count: int) -> None:
        for language in toy.LANGUAGES:
            text = "".join(f"{line}\n" for line in lines[language][:count])
            (own_world / "text" / f"{language}.txt").write_text(text, encoding="utf-8")

    write(200)
    first = Reading(monkeypatch)
    before = corpus_to_cache(own_world, limit)
    cached = {path: sha256_file(path) for path in (own_world / "data/teacher").rglob("*.safetensors")}
    assert first.tokens == sum(entry["work"] for shards, _ in before.values() for entry in shards.values())

    write(2000)
    second = Reading(monkeypatch)
    after = corpus_to_cache(own_world, limit)
    new = [entry for name, (shards, _) in after.items() for sha, entry in shards.items() if sha not in before[name][0]]
    assert second.tokens == sum(entry["work"] for entry in new)
    for name, (shards, tokens) in before.items():
        language, split = name.split("/")
        full = [entry for entry in shards.values() if entry["tokens"] >= limit]
        assert full or split == "heldout"
        for entry in full:  # the same text, and the same bytes of the teacher, under the same name
            assert after[name][0][entry["sha256"]]["file"] == entry["file"]
            path = own_world / "data/teacher" / language / entry["file"]
            assert sha256_file(path) == cached[path]
        # What is read a second time: the one shard that was not full.
        again = sum(entry["tokens"] for sha, entry in shards.items() if sha not in after[name][0])
        assert again == tokens - sum(entry["tokens"] for entry in full) < limit
        assert after[name][1] > 9 * tokens

    third = Reading(monkeypatch)
    corpus_to_cache(own_world, limit)
    assert third.passes == 0


def test_a_full_disk_leaves_no_half_written_shard_and_the_next_try_goes_on(
    own_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: sha256_file(path) for path in (own_world / "data/teacher").rglob("*.*")}
    shutil.rmtree(own_world / "data/teacher")
    shutil.rmtree(own_world / "scratch")
    opened_for_writing: list[Path] = []
    original = Path.open

    class Full:
        """The third shard finds the disk full in its middle."""

        def __init__(self, stream: BinaryIO) -> None:
            self.stream, self.pieces = stream, 0

        def __enter__(self):
            return self

        def __exit__(self, *args: object) -> None:
            self.stream.close()

        def write(self, piece) -> int:
            self.pieces += 1
            if self.pieces == 4:
                raise OSError(28, "No space left on device")
            return self.stream.write(piece)

    def full(path: Path, mode: str = "r", *args, **kwargs):
        stream = original(path, mode, *args, **kwargs)
        if mode == "wb":
            opened_for_writing.append(path)
        return Full(stream) if len(opened_for_writing) == 3 and mode == "wb" else stream

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*scratch/\w+\.safetensors'"):
            toy.make_cache(own_world)
    assert len(opened_for_writing) == 3
    assert not list((own_world / "scratch").glob("*.tmp"))
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world)
    assert all(sha256_file(path) == digest for path, digest in before.items())


def test_the_example_in_the_documentation_reads_the_cache_with_numpy_alone(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs/internals/cache-format.md").read_text(encoding="utf-8")
    example = page.split("```python")[1].split("```")[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 15 and "import distil" not in example
    monkeypatch.chdir(world)
    exec(compile(example, "docs/internals/cache-format.md", "exec"), {})
    _, cached = opened(world).open("train", 0)
    expected = cached.logits(np.array([0]))[0][0].tolist()
    assert [int(word) for word in capsys.readouterr().out.split("[")[1].rstrip("]\n").split()] == expected


def test_identifiers_of_the_full_vocabulary_survive_the_cache() -> None:
    form = LogitEncoding("sampled", 3, 250_002, 1.0)
    ids = np.array([[250_001, 131_072, 5]])
    arrays = pack_logits(ids, np.log([[0.5, 0.3, 0.2]]), np.zeros(1), form)
    assert arrays["logit_ids"].shape == (1, 7)  # 3 * 18 bits
    np.testing.assert_array_equal(unpack_rows(arrays["logit_ids"], 3, form.id_bits), ids)


def test_a_reader_of_another_form_refuses_the_version_of_four_bits(own_world: Path) -> None:
    path = own_world / "data/teacher/swa/manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"format_version": 2}))
    write_checksums(path.parent, path.name)
    with pytest.raises(UserError, match="format_version: expected 1, found 2"):
        opened(own_world)


def test_a_narrower_packing_of_identifiers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.cache.format.bits_for", lambda pieces: bits_for(pieces) - 1)
    form = LogitEncoding("sampled", 3, 250_002, 1.0)
    with pytest.raises(ValueError, match="do not fit into 17 bits"):
        pack_logits(np.array([[250_001, 131_072, 5]]), np.log([[0.5, 0.3, 0.2]]), np.zeros(1), form)


@pytest.mark.parametrize(("form", "version"), [("hidden", 1), ("hidden4", 2)])
def test_the_decoder_of_hidden_states_is_stored_once_and_checked(
    world: Path, tmp_path: Path, form: str, version: int
) -> None:
    root = shutil.copytree(world, tmp_path / "w")
    toy.make_cache(root, toy.CACHE.model_copy(update={"logits": form}), folder="data/other")
    assert opened(root, "data/other").manifest["format_version"] == version
    assert [path.parent.name for path in (root / "data/other").rglob("decoder.safetensors")] == ["other"]
    opened(root, "data/other").verify()
    damage(root / "data/other/decoder.safetensors", "flip")
    with pytest.raises(UserError, match=r"decoder\.safetensors.*dvc repro --force cache_teacher"):
        opened(root, "data/other").verify()
