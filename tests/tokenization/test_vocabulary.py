"""The vocabulary: which pieces are kept, and the stage."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from pydantic import ValidationError

from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.modeling.tokenizer import load_tokenizer, read_as_text, read_manifest, special_ids, teacher_piece_ids
from distil.tokenization import piece_counts, vocabulary
from distil.tokenization.piece_counts import Sample
from distil.tokenization.vocabulary import (
    allocate_by_coverage,
    build_vocabulary,
    most_frequent,
    select_pieces,
)
from stages import vocabulary as stage
from tests.support.vocabulary import HELDOUT, all_lines, ids_of, lines_of, vocabulary_config


def test_most_frequent_takes_the_fewest_pieces_and_the_lower_id_of_a_tie():
    count = np.array([1, 5, 0, 1, 3])  # 10 tokens; by frequency 1, 4, 0, 3
    assert most_frequent(count, 0.5).tolist() == [1]
    assert most_frequent(count, 0.51).tolist() == [1, 4]
    assert most_frequent(count, 0.8).tolist() == [1, 4]
    assert most_frequent(count, 0.81).tolist() == [1, 4, 0]
    assert most_frequent(count, 1.0).tolist() == [1, 4, 0, 3]


def test_most_frequent_counts_in_whole_tokens():
    assert len(most_frequent(np.ones(100, np.int64), 0.07)) == 7  # in floating point 0.07 * 100 > 7
    assert len(most_frequent(np.ones(1000, np.int64), 0.999)) == 999


def test_select_unites_languages_and_adds_special_pieces_and_characters():
    pieces = ["<s>", "▁", "▁ab", "cd", "c", "d", "ɗ", "Z", "xẑ", "▁ɗ", "dc", "好"]
    counts = [np.array([0, 0, 9, 1, 0, 0, 0, 0, 1, 0, 0, 0]), np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0])]
    kept = select_pieces(pieces, counts, {0}, vocabulary_config("coverage", 0.8))
    # By frequency ▁ab and ▁ɗ; then <s>; ▁, c, d and Z of ASCII; ɗ as it occurs; xẑ as ẑ has no other piece.
    # Not kept: cd and dc, too rare; 好, not in the texts.
    assert [pieces[number] for number in kept] == ["<s>", "▁", "▁ab", "c", "d", "ɗ", "Z", "xẑ", "▁ɗ"]


@pytest.mark.parametrize("coverage", [0.6, 0.9, 0.99, 1.0])
def test_coverage_is_reached_in_every_language_also_the_smallest(coverage, texts, teacher, tmp_path):
    manifest = build_vocabulary(texts, teacher, vocabulary_config("coverage", coverage), tmp_path / "out")
    kept, full = set(teacher_piece_ids(tmp_path / "out").tolist()), load_tokenizer(teacher)
    assert manifest["pieces"] == len(kept) < manifest["teacher_pieces"]
    for language, path in texts.items():
        counts = Counter(number for line in lines_of(path) for number in ids_of(full, line))
        share = sum(count for number, count in counts.items() if number in kept) / counts.total()
        entry = manifest["languages"][language]
        assert coverage <= entry["coverage"] == pytest.approx(share, abs=1e-6)
        assert entry["pieces_seen"] == len(counts)


def test_more_coverage_keeps_more_pieces(texts, teacher, tmp_path):
    configs = [vocabulary_config("coverage", coverage) for coverage in (0.5, 0.8, 1.0)]
    sizes = [build_vocabulary(texts, teacher, config, tmp_path / "out")["pieces"] for config in configs]
    assert sizes[0] < sizes[1] < sizes[2]


def test_share_out_gives_the_least_covered_language_its_next_piece():
    # Shares by piece: one language 50, 30, 20 % of pieces 0, 1, 2; the other 40 % of piece 2 and 20 % of 3, 4, 5.
    counts = [np.array([50, 30, 20, 0, 0, 0]), np.array([0, 0, 40, 20, 20, 20])]
    # Nothing is covered: the first language takes piece 0 (50 %). The second takes 2 (40 %; the first is at 70 %), then
    # 3 (60 %), then 4 (80 %). Now the first is behind, at 70 %, and takes 1.
    for size, expected in ((1, {0}), (2, {0, 2}), (3, {0, 2, 3}), (4, {0, 2, 3, 4}), (5, {0, 1, 2, 3, 4})):
        assert allocate_by_coverage(counts, set(), size) == expected
    assert allocate_by_coverage(counts, {2}, 2) == {0}  # piece 2 is kept already: 20 and 40 %
    assert allocate_by_coverage(counts, set(), 100) == {0, 1, 2, 3, 4, 5}  # no more than occur


@pytest.mark.parametrize("floor", [0, 20])
def test_size_is_kept_to_the_piece_and_shared_fairly(floor, texts, teacher, tmp_path):
    out = tmp_path / "out"
    manifest = build_vocabulary(texts, teacher, vocabulary_config("size", size=260, floor=floor), out)
    assert manifest["pieces"] == 260 == len(teacher_piece_ids(out)) and manifest["floor"] == floor
    shares = [entry["coverage"] for entry in manifest["languages"].values()]
    assert manifest["coverage"] == min(shares) > 0.5
    assert max(shares) - min(shares) < 0.2 or floor


@pytest.mark.parametrize("keep", ["size", "coverage"])
def test_a_floor_keeps_the_first_pieces_of_every_language(keep, texts, teacher, tmp_path):
    floor, full = 50, load_tokenizer(teacher)
    config = vocabulary_config(keep, coverage=0.3, size=340, floor=floor)
    manifest = build_vocabulary(texts, teacher, config, tmp_path / "out")
    kept = set(teacher_piece_ids(tmp_path / "out").tolist())
    for language, path in texts.items():
        counts = np.zeros(full.get_vocab_size(), np.int64)
        np.add.at(counts, [number for line in lines_of(path) for number in ids_of(full, line)], 1)
        first = np.argsort(-counts, kind="stable")[: min(floor, np.count_nonzero(counts))]
        assert kept.issuperset(first.tolist())
        assert manifest["languages"][language]["pieces_kept"] >= len(first) > 20


def test_a_trimmed_size_segments_alike_in_all_three_readers_and_gives_the_text_back(texts, teacher, tmp_path):
    from transformers import AutoTokenizer

    out = tmp_path / "out"
    build_vocabulary(texts, teacher, vocabulary_config("size", size=260, floor=20), out)
    fast, loaded = load_tokenizer(out), AutoTokenizer.from_pretrained(out)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(out / "sentencepiece.bpe.model"))
    for line in [*all_lines(texts)[::7], *HELDOUT]:
        assert processor.encode(line, out_type=str) == fast.encode(line, add_special_tokens=False).tokens
        assert loaded(line, add_special_tokens=False)["input_ids"] == ids_of(fast, line)
        assert fast.decode(ids_of(fast, line)) == line or line in HELDOUT
    assert special_ids(fast) == (0, 1, 2, 3, 259)


def test_a_size_without_room_for_what_must_be_kept_is_refused(texts, teacher, tmp_path):
    with pytest.raises(UserError, match=r"vocabulary\.size: expected at least \d+ pieces, .*floor 300, found 200; "):
        build_vocabulary(texts, teacher, vocabulary_config("size", size=200, floor=300), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pieces_per_word_are_those_of_the_texts(texts, teacher, trimmed):
    entry, words = read_manifest(trimmed)["languages"]["hau"], sum(len(line.split()) for line in lines_of(texts["hau"]))
    for field, folder in (("pieces_per_word_teacher", teacher), ("pieces_per_word", trimmed)):
        tokenizer = load_tokenizer(folder)
        pieces = sum(len(ids_of(tokenizer, line)) for line in lines_of(texts["hau"]))
        assert entry[field] == pytest.approx(pieces / words, abs=1e-4)
    assert entry["pieces_per_word"] > entry["pieces_per_word_teacher"]


def test_sample_is_spread_evenly_by_a_power_of_two(monkeypatch):
    monkeypatch.setattr(piece_counts, "SAMPLE_LINES", 4)
    sample = Sample()
    for number in range(10):
        sample.add(str(number), number)
    assert sample.lines == [("0", 0), ("4", 4), ("8", 8)]


def test_special_pieces_are_kept_in_the_teachers_order_with_mask_last(trimmed):
    tokenizer = load_tokenizer(trimmed)
    assert special_ids(tokenizer) == (0, 1, 2, 3, tokenizer.get_vocab_size() - 1)


def test_full_keeps_every_file_byte_for_byte(texts, teacher, tmp_path):
    (plain := tmp_path / "plain").mkdir()
    for name in ("tokenizer.json", "sentencepiece.bpe.model"):
        shutil.copy(teacher / name, plain)
    config = {"tokenizer_class": "XLMRobertaTokenizer"} | {
        f"{role}_token": piece
        for role, piece in {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>",
                            "mask": "<mask>"}.items()
    }  # fmt: skip
    (plain / "tokenizer_config.json").write_text(json.dumps(config))
    manifest = build_vocabulary(texts, plain, vocabulary_config("full", 0.5), tmp_path / "out")
    for path in plain.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert teacher_piece_ids(tmp_path / "out").tolist() == list(range(manifest["teacher_pieces"]))
    assert manifest["coverage"] == 1.0 and manifest["tokenizer_sha256"] == manifest["teacher_tokenizer_sha256"]
    for entry in manifest["languages"].values():
        assert entry["coverage"] == 1.0 and entry["pieces_per_word"] == entry["pieces_per_word_teacher"]


# What the kept pieces do.


def test_a_text_of_kept_pieces_is_segmented_as_before_and_others_without_unk(texts, teacher, trimmed):
    full, small, old = load_tokenizer(teacher), load_tokenizer(trimmed), teacher_piece_ids(trimmed)
    kept, unchanged, changed = set(old.tolist()), 0, 0
    for line in all_lines(texts):
        before, after = ids_of(full, line), ids_of(small, line)
        if kept.issuperset(before):
            unchanged += 1
            assert old[after].tolist() == before
        else:
            changed += 1
            assert len(after) > len(before)
            assert special_ids(small).unk not in after
    assert unchanged > 50 and changed > 50  # both kinds were there


def test_decoding_gives_the_text_back(texts, trimmed):
    tokenizer = load_tokenizer(trimmed)
    for line in all_lines(texts):
        assert tokenizer.decode(ids_of(tokenizer, line)) == line


def test_sentencepiece_model_segments_as_the_fast_tokenizer(texts, trimmed):
    tokenizer = load_tokenizer(trimmed)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(trimmed / "sentencepiece.bpe.model"))
    assert processor.get_piece_size() == tokenizer.get_vocab_size() - 2  # <pad> and <mask> are not in it
    for line in [*all_lines(texts), *HELDOUT]:
        encoding = tokenizer.encode(line, add_special_tokens=False)
        assert processor.encode(line, out_type=str) == encoding.tokens
        # <unk> is 0 there and 3 here; every other piece is one lower there.
        assert [number + 1 if number else 3 for number in processor.encode(line)] == encoding.ids


def test_a_character_outside_the_vocabulary_is_unk_before_and_after(teacher, trimmed):
    for folder in (teacher, trimmed):
        tokenizer = load_tokenizer(folder)
        assert special_ids(tokenizer).unk in ids_of(tokenizer, "umuntu ☃")


def test_teacher_ids_name_the_same_piece_of_the_teacher(teacher, trimmed):
    full, small, old = load_tokenizer(teacher), load_tokenizer(trimmed), teacher_piece_ids(trimmed)
    assert old.dtype == np.int32 and len(old) == small.get_vocab_size()
    assert [full.id_to_token(number) for number in old] == [small.id_to_token(number) for number in range(len(old))]


def test_only_the_vocabulary_and_ids_change(teacher, trimmed):
    before, after = (json.loads((folder / "tokenizer.json").read_text()) for folder in (teacher, trimmed))
    scores = dict(map(tuple, before["model"].pop("vocab")))
    assert all(scores[piece] == score for piece, score in after["model"].pop("vocab"))
    before["added_tokens"][-1]["id"] = len(teacher_piece_ids(trimmed)) - 1  # <mask>
    assert before == after
    config = json.loads((trimmed / "tokenizer_config.json").read_text())
    assert list(config["added_tokens_decoder"]) == [str(len(teacher_piece_ids(trimmed)) - 1)]


def test_transformers_loads_the_folder_with_the_right_special_ids(texts, trimmed):
    from transformers import AutoTokenizer

    loaded, tokenizer = AutoTokenizer.from_pretrained(trimmed), load_tokenizer(trimmed)
    names = ("bos", "pad", "eos", "unk", "mask")
    assert [getattr(loaded, f"{name}_token_id") for name in names] == list(special_ids(tokenizer))
    assert len(loaded) == tokenizer.get_vocab_size()
    for line in [*HELDOUT, *lines_of(texts["yor"])[:20]]:
        assert loaded(line)["input_ids"] == tokenizer.encode(line).ids
    filled = read_as_text(trimmed / "tokenizer.json", mask=True)  # as a text whose masks are filled
    assert loaded("umuntu <mask> cyane")["input_ids"] == filled.encode("umuntu <mask> cyane").ids


# Other layouts than XLM-R's own.


def test_the_same_input_gives_the_same_bytes(texts, teacher, trimmed, tmp_path):
    reverse = dict(reversed(texts.items()))
    build_vocabulary(reverse, teacher, vocabulary_config("coverage", 0.8), tmp_path / "out")
    names = sorted(path.name for path in trimmed.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["checksums.json", "manifest.json", "pieces.safetensors", "sentencepiece.bpe.model",
                     "tokenizer.json", "tokenizer_config.json"]  # fmt: skip
    for name in names:
        assert sha256_file(trimmed / name) == sha256_file(tmp_path / "out" / name)


def test_unused_coverage_does_not_show_when_all_is_kept(texts, teacher, tmp_path):
    manifests = [
        build_vocabulary(texts, teacher, vocabulary_config("full", coverage), tmp_path / "out")
        for coverage in (0.5, 0.9)
    ]
    assert manifests[0] == manifests[1]


def test_a_failed_run_leaves_the_folder_as_it_was(texts, teacher, trimmed, tmp_path, monkeypatch):
    out = Path(shutil.copytree(trimmed, tmp_path / "out"))
    monkeypatch.setattr(vocabulary, "write_arrays", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_vocabulary(texts, teacher, vocabulary_config("full", 1.0), out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert read_manifest(out) == read_manifest(trimmed)


def test_the_stage_reads_params_and_writes_folder_and_cost(texts, teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = "{keep: coverage, coverage: 0.9, size: 300, floor: 0}"
    Path("params.yaml").write_text(
        f"languages: [kin, yor]\nvocabulary: {section}\nstudent: {{trunk: distil/lexicons}}\n"
    )
    Path("data/raw").mkdir(parents=True)
    for language in ("kin", "yor"):
        shutil.copy(texts[language], "data/raw")
    shutil.copytree(teacher, "models/teacher")
    stage.main()
    assert set(read_manifest(Path("models/tokenizer"))["languages"]) == {"kin", "yor"}
    cost = json.loads(Path("metrics/cost/vocabulary.json").read_text())
    assert cost["pieces"] == len(teacher_piece_ids(Path("models/tokenizer"))) and "seconds" in cost


# Faults of the input.


@pytest.mark.parametrize("coverage", [0, -0.1, 1.01, float("nan"), "all"])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    with pytest.raises(ValidationError, match="coverage"):
        vocabulary_config("coverage", coverage)


def test_another_rule_is_refused():
    with pytest.raises(ValidationError, match="keep"):
        vocabulary_config("most", 1)


def test_the_pieces_of_a_trunk_stay_whatever_the_text_is(texts, teacher, tmp_path):
    build_vocabulary({"swa": texts["swa"]}, teacher, vocabulary_config("coverage", 0.8), tmp_path / "trunk")
    kept = build_vocabulary(texts, teacher, vocabulary_config("trunk"), tmp_path / "tokenizer", tmp_path / "trunk")
    for name in ("tokenizer.json", "sentencepiece.bpe.model", "pieces.safetensors"):
        assert (tmp_path / "tokenizer" / name).read_bytes() == (tmp_path / "trunk" / name).read_bytes()
    assert kept["keep"] == "trunk" and kept["languages"]["yor"]["coverage"] < 1


def test_a_trunk_of_another_teacher_is_refused(texts, teacher, tmp_path, broken):
    (broken / "sentencepiece.bpe.model").unlink()
    spec = json.loads((broken / "tokenizer.json").read_text(encoding="utf-8"))
    spec["model"]["vocab"][-2][0] = "▁nowhere"
    (broken / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(UserError, match=r"expected pieces of models/teacher, found '▁nowhere' \(1 of .* are not the"):
        build_vocabulary({"swa": texts["swa"]}, teacher, vocabulary_config("trunk"), tmp_path / "out", broken)


@pytest.mark.parametrize(
    ("keep", "trunk", "sentence"),
    [("full", Path("models/old"), "student.trunk with vocabulary.keep full: the trunk's pieces must stay"),
     ("trunk", None, "vocabulary.keep: trunk keeps the pieces of student.trunk, which is distil/lexicons, none")],
)  # fmt: skip
def test_a_trunk_and_its_pieces_go_together(keep, trunk, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        build_vocabulary({}, tmp_path, vocabulary_config(keep), tmp_path / "out", trunk)
