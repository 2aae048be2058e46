"""Tokenizer files: renumbered, read again, and refused where they are at fault."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import Tokenizer

from distil.core.arrays import write_arrays
from distil.core.errors import UserError
from distil.core.files import write_checksums
from distil.modeling.tokenizer import load_tokenizer, read_manifest, special_ids, teacher_piece_ids
from distil.tokenization.tokenizer_files import read_tokenizer_files, write_tokenizer_files
from distil.tokenization.vocabulary import (
    build_vocabulary,
)
from tests.support.vocabulary import edit, lines_of, vocabulary_config


@pytest.mark.parametrize("kind", ["TemplateProcessing", "RobertaProcessing", "Sequence"])
def test_ids_are_renumbered_wherever_tokenizer_json_names_them(kind, texts, broken, tmp_path):
    (broken / "sentencepiece.bpe.model").unlink()
    (broken / "tokenizer_config.json").unlink()

    def special_last(spec):
        vocab = spec["model"]["vocab"]
        vocab[:] = vocab[4:-1] + vocab[:4]  # <mask> beyond the model's vocabulary
        ids = {piece: number for number, (piece, _) in enumerate(vocab)} | {"<mask>": len(vocab)}
        spec["model"]["unk_id"] = ids["<unk>"]
        for token in spec["added_tokens"]:
            token["id"] = ids[token["content"]]
        spec["added_tokens"].sort(key=lambda token: token["id"])
        spec["padding"] = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                           "pad_id": ids["<pad>"], "pad_type_id": 0, "pad_token": "<pad>"}  # fmt: skip
        template = spec["post_processor"]
        for token in template["special_tokens"].values():
            token["ids"] = [ids[token["id"]]]
        roberta = {"type": "RobertaProcessing", "sep": ["</s>", ids["</s>"]], "cls": ["<s>", ids["<s>"]],
                   "trim_offsets": True, "add_prefix_space": False}  # fmt: skip
        spec["post_processor"] = {"TemplateProcessing": template, "RobertaProcessing": roberta,
                                  "Sequence": {"type": "Sequence", "processors": [template]}}[kind]  # fmt: skip

    edit(broken / "tokenizer.json", special_last)
    out = tmp_path / "out"
    build_vocabulary(texts, broken, vocabulary_config("coverage", 1.0), out)
    full, small, old = (
        Tokenizer.from_file(str(broken / "tokenizer.json")),
        Tokenizer.from_file(str(out / "tokenizer.json")),
        teacher_piece_ids(out),
    )
    assert small.get_vocab_size() < full.get_vocab_size()
    lines = [*lines_of(texts["kin"]), "ala <mask> ☃"]  # of several lengths, so that some are padded
    for before, after in zip(full.encode_batch(lines), small.encode_batch(lines), strict=True):
        assert old[after.ids].tolist() == before.ids
        assert after.tokens == before.tokens


def test_a_folder_without_tokenizer_config_gets_one(texts, broken, tmp_path):
    from transformers import AutoTokenizer

    (broken / "tokenizer_config.json").unlink()
    build_vocabulary(texts, broken, vocabulary_config("full", 1.0), tmp_path / "out")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert loaded.mask_token_id == special_ids(load_tokenizer(broken)).mask


def test_truncation_in_the_teachers_tokenizer_does_not_shorten_the_count(texts, teacher, broken, tmp_path):
    edit(broken / "tokenizer.json", lambda spec: spec.update(
        truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}))  # fmt: skip
    config = vocabulary_config("coverage", 0.9)
    manifests = [build_vocabulary(texts, folder, config, tmp_path / "out") for folder in (teacher, broken)]
    assert manifests[0]["languages"] == manifests[1]["languages"]


# Same bytes, whole or not at all.


def _drop_mask(folder):
    def change(spec):
        spec["added_tokens"].pop()
        spec["model"]["vocab"].pop()

    edit(folder / "tokenizer.json", change)


def _swap_pieces(folder):
    def change(spec):
        vocab = spec["model"]["vocab"]
        vocab[10], vocab[11] = vocab[11], vocab[10]

    edit(folder / "tokenizer.json", change)


def _drop_last_piece(folder):
    def change(spec):
        del spec["model"]["vocab"][-2]
        spec["added_tokens"][-1]["id"] -= 1

    edit(folder / "tokenizer.json", change)


FAULTS = {
    "no tokenizer.json": (lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json: no such file"),
    "not JSON": (lambda f: (f / "tokenizer.json").write_text('{"model": '), r"tokenizer\.json: damaged"),
    "not UTF-8": (lambda f: (f / "tokenizer.json").write_bytes(b"\xff\xfe"), r"tokenizer\.json: damaged"),
    "not a tokenizer": (lambda f: (f / "tokenizer.json").write_text("[]"), r"tokenizer\.json: damaged"),
    "no added tokens": (
        lambda f: edit(f / "tokenizer.json", lambda s: s["added_tokens"][0].pop("content")),
        r"tokenizer\.json: damaged",
    ),
    "BPE": (
        lambda f: edit(f / "tokenizer.json", lambda s: s["model"].update(type="BPE")),
        "expected a Unigram model.*found BPE",
    ),
    "WordPiece of an old file": (
        lambda f: edit(f / "tokenizer.json", lambda s: s.update(model={"vocab": {"a": 0}})),
        "expected a Unigram model",
    ),
    "no mask": (_drop_mask, "lacks <mask>"),
    "a swapped piece": (_swap_pieces, r"sentencepiece\.bpe\.model: piece 9: expected '.+' of score .* found '.+' of"),
    "another score": (
        lambda f: edit(f / "tokenizer.json", lambda s: s["model"]["vocab"][9].__setitem__(1, -9.5)),
        r"sentencepiece\.bpe\.model: piece 8: expected '.+' of score -9\.5",
    ),
    "a piece less": (
        _drop_last_piece,
        r"expected (\S+) pieces besides the special ones.*found (?!\1;)\S+;",
    ),
    "damaged SentencePiece": (
        lambda f: (f / "sentencepiece.bpe.model").write_bytes(b"\x0a\xff\xff"),
        r"sentencepiece\.bpe\.model: damaged",
    ),
    "empty SentencePiece": (
        lambda f: (f / "sentencepiece.bpe.model").write_bytes(b""),
        r"sentencepiece\.bpe\.model: expected the first pieces",
    ),
    "damaged config": (lambda f: (f / "tokenizer_config.json").write_text("{"), r"tokenizer_config\.json: damaged"),
    "a list as config": (lambda f: (f / "tokenizer_config.json").write_text("[]"), "expected settings by name"),
    "config of another tokenizer": (
        lambda f: edit(f / "tokenizer_config.json", lambda s: s["added_tokens_decoder"].update(
            {"250001": s["added_tokens_decoder"].popitem()[1]})),
        r"tokenizer_config\.json: added token '<mask>'.*found 250001",
    ),
}  # fmt: skip


@pytest.mark.parametrize("keep", ["full", "coverage"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_teacher_at_fault_is_refused_in_one_sentence(fault, keep, texts, broken, tmp_path):
    damage, message = FAULTS[fault]
    damage(broken)
    with pytest.raises(UserError, match=message) as error:
        build_vocabulary(texts, broken, vocabulary_config(keep, 0.9), tmp_path / "out")
    assert str(broken) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_a_language_without_text_is_named(content, texts, teacher, tmp_path):
    (tmp_path / "hau.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"hau\.txt: hau: expected text, found none in \d lines"):
        build_vocabulary(texts | {"hau": tmp_path / "hau.txt"}, teacher, vocabulary_config("full", 1),
                         tmp_path / "out")  # fmt: skip


def test_text_that_is_missing_or_not_utf8_is_named(texts, teacher, tmp_path):
    config = vocabulary_config("full", 1)
    with pytest.raises(UserError, match=r"none\.txt: no such file; run `dvc repro corpus`"):
        build_vocabulary({"hau": tmp_path / "none.txt"}, teacher, config, tmp_path / "out")
    (tmp_path / "hau.txt").write_bytes(b"mutum\xff\n")
    with pytest.raises(UserError, match=r"hau\.txt: not UTF-8"):
        build_vocabulary({"hau": tmp_path / "hau.txt"}, teacher, config, tmp_path / "out")


@pytest.mark.parametrize(
    "ids",
    [
        {"teacher_ids": np.arange(3, dtype=np.int32)},  # too few
        {"teacher_ids": "int64"},
        {"teacher_ids": "swapped"},
        {"teacher_ids": "too high"},
        {"other": np.arange(3, dtype=np.int32)},
    ],
)
def test_teacher_ids_that_do_not_fit_the_manifest_are_refused(ids, trimmed, tmp_path):
    folder = Path(shutil.copytree(trimmed, tmp_path / "copy"))
    right = teacher_piece_ids(folder)
    swapped, high = right.copy(), right.copy()
    swapped[[5, 6]] = right[[6, 5]]
    high[-1] = read_manifest(folder)["teacher_pieces"]
    changed = {"int64": right.astype(np.int64), "swapped": swapped, "too high": high}
    arrays = {name: changed[value] if isinstance(value, str) else value for name, value in ids.items()}
    write_arrays(folder / "pieces.safetensors", arrays)
    write_checksums(folder)
    with pytest.raises(UserError, match=r"pieces\.safetensors: teacher_ids: expected .* run `dvc repro --force vocab"):
        teacher_piece_ids(folder)


def test_a_missing_tokenizer_folder_names_the_stage_that_makes_it(tmp_path):
    for read in (load_tokenizer, teacher_piece_ids, read_manifest):
        with pytest.raises(UserError, match="dvc repro vocabulary"):
            read(tmp_path)


def test_writing_keeps_what_it_did_not_read(teacher, tmp_path):
    files = read_tokenizer_files(teacher, "teacher")
    kept = np.delete(np.arange(len(files.pieces)), [20, 30])
    write_tokenizer_files(files, kept, tmp_path)
    before, after = (
        ModelProto.FromString((folder / "sentencepiece.bpe.model").read_bytes()) for folder in (teacher, tmp_path)
    )
    assert after.normalizer_spec == before.normalizer_spec
    assert after.trainer_spec.vocab_size == len(after.pieces) == len(before.pieces) - 2
    assert list(after.pieces) == [piece for number, piece in enumerate(before.pieces) if number not in (19, 29)]
