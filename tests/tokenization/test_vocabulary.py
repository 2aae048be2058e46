"""The vocabulary: special pieces, trimming, tokenizer files, and stages.vocabulary."""

import io
import json
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from pydantic import ValidationError
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from distil.core.arrays import write_arrays
from distil.core.errors import UserError
from distil.core.files import sha256_file, write_checksums
from distil.modeling.tokenizer import load_tokenizer, read_as_text, read_manifest, special_ids, teacher_piece_ids
from distil.tokenization import vocabulary as trimming
from distil.tokenization.tokenizer_files import read_tokenizer_files, write_tokenizer_files
from distil.tokenization.vocabulary import (
    Sample,
    VocabularyConfig,
    allocate_by_coverage,
    build_vocabulary,
    most_frequent,
    select_pieces,
)
from stages import vocabulary as stage

WORDS = {
    "kin": "umuntu abantu igihugu amazi inzira umwana abana ishuri umunsi mwiza cyane nyuma ubwo akazi inka ijwi",
    "swa": "mtu watu nchi maji njia mtoto watoto shule siku nzuri sana baada wakati kazi ng'ombe sauti kitabu habari",
    "hau": "mutum mutane ƙasa ruwa hanya yaro yara makaranta rana kyau sosai bayan lokaci aiki ɗaki ƴanci ɓera Ƙofa",
    "ibo": "mmadụ ndị ala mmiri ụzọ nwa ụmụ akwụkwọ ụbọchị ọma nke ọrụ ehi olu ụlọ ṅụọ ihe ọha nnọọ mgbe",
    "yor": "ènìyàn àwọn ilẹ̀ omi ọ̀nà ọmọ ilé ìwé ọjọ́ dára gan-an lẹ́yìn ìgbà iṣẹ́ màlúù ohùn ṣùgbọ́n Ọlọ́run ẹ̀kọ́ kí",
}
LINES = {"kin": 12, "swa": 250, "hau": 200, "ibo": 200, "yor": 200}  # kin is the smallest by far
HELDOUT = [
    "Umuntu yagiye mu ishuri, 2024!",
    "Ƙasa ɗaya ce; ina ƴanci?",
    "Ụmụ akwụkwọ nọ n'ụlọ (3).",
    "Ẹ̀kọ́ dára – ṣé ọmọ ni?",
]


def vocabulary_config(keep, coverage=1.0, size=300, floor=0):
    return VocabularyConfig(keep=keep, coverage=coverage, size=size, floor=floor)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """language -> a file of sentences with few frequent words and many rare compounds."""
    folder, rng = tmp_path_factory.mktemp("raw"), random.Random(1)
    for language, lines in LINES.items():
        words = WORDS[language].split()
        weights = [1 / rank for rank in range(1, len(words) + 1)]
        words += [one + other for one, other in zip(rng.choices(words, k=60), rng.choices(words, k=60), strict=True)]
        weights += [0.01] * 60
        sentences = [" ".join(rng.choices(words, weights, k=rng.randint(4, 9))) for _ in range(lines)]
        sentences[3:7] = [f"{sentence}, {number}." for number, sentence in enumerate(sentences[3:7])]
        sentences[-1] += " qẑ"  # characters that occur once
        (folder / f"{language}.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return {language: folder / f"{language}.txt" for language in LINES}


@pytest.fixture(scope="module")
def teacher(texts, tmp_path_factory):
    """A folder with a small tokenizer in XLM-R's layout."""
    folder, model = tmp_path_factory.mktemp("teacher"), io.BytesIO()
    lines = [line for path in texts.values() for line in _lines(path)] + HELDOUT
    lines += ["ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789", "好 大 地"]  # 好: not in the texts
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="unigram", vocab_size=600, hard_vocab_limit=False,
        character_coverage=1.0, normalization_rule_name="nmt_nfkc", num_threads=1, minloglevel=2,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    proto = ModelProto.FromString(model.getvalue())
    head = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    vocab = head + [(piece.piece, piece.score) for piece in proto.pieces[3:]] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    mask = {str(len(vocab) - 1): {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False,
                                  "single_word": False, "special": True}}  # fmt: skip
    config = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, "added_tokens_decoder": mask}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def trimmed(texts, teacher, tmp_path_factory):
    """models/tokenizer at coverage 0.8."""
    out = tmp_path_factory.mktemp("models") / "tokenizer"
    build_vocabulary(texts, teacher, vocabulary_config("coverage", 0.8), out)
    return out


@pytest.fixture
def broken(teacher, tmp_path):
    """A copy of the teacher to damage."""
    return Path(shutil.copytree(teacher, tmp_path / "broken"))


def _lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def _all_lines(texts):
    return [line for path in texts.values() for line in _lines(path)]


def _ids(tokenizer, line):
    return tokenizer.encode(line, add_special_tokens=False).ids


def _edit(path, change):
    spec = json.loads(path.read_text(encoding="utf-8"))
    change(spec)
    path.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")


# What is kept.


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
        counts = Counter(number for line in _lines(path) for number in _ids(full, line))
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
        np.add.at(counts, [number for line in _lines(path) for number in _ids(full, line)], 1)
        first = np.argsort(-counts, kind="stable")[: min(floor, np.count_nonzero(counts))]
        assert kept.issuperset(first.tolist())
        assert manifest["languages"][language]["pieces_kept"] >= len(first) > 20


def test_a_trimmed_size_segments_alike_in_all_three_readers_and_gives_the_text_back(texts, teacher, tmp_path):
    from transformers import AutoTokenizer

    out = tmp_path / "out"
    build_vocabulary(texts, teacher, vocabulary_config("size", size=260, floor=20), out)
    fast, loaded = load_tokenizer(out), AutoTokenizer.from_pretrained(out)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(out / "sentencepiece.bpe.model"))
    for line in [*_all_lines(texts)[::7], *HELDOUT]:
        assert processor.encode(line, out_type=str) == fast.encode(line, add_special_tokens=False).tokens
        assert loaded(line, add_special_tokens=False)["input_ids"] == _ids(fast, line)
        assert fast.decode(_ids(fast, line)) == line or line in HELDOUT
    assert special_ids(fast) == (0, 1, 2, 3, 259)


def test_a_size_without_room_for_what_must_be_kept_is_refused(texts, teacher, tmp_path):
    with pytest.raises(UserError, match=r"vocabulary\.size: expected at least \d+ pieces, .*floor 300, found 200; "):
        build_vocabulary(texts, teacher, vocabulary_config("size", size=200, floor=300), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pieces_per_word_are_those_of_the_texts(texts, teacher, trimmed):
    entry, words = read_manifest(trimmed)["languages"]["hau"], sum(len(line.split()) for line in _lines(texts["hau"]))
    for field, folder in (("pieces_per_word_teacher", teacher), ("pieces_per_word", trimmed)):
        tokenizer = load_tokenizer(folder)
        pieces = sum(len(_ids(tokenizer, line)) for line in _lines(texts["hau"]))
        assert entry[field] == pytest.approx(pieces / words, abs=1e-4)
    assert entry["pieces_per_word"] > entry["pieces_per_word_teacher"]


def test_sample_is_spread_evenly_by_a_power_of_two(monkeypatch):
    monkeypatch.setattr(trimming, "SAMPLE_LINES", 4)
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
    for line in _all_lines(texts):
        before, after = _ids(full, line), _ids(small, line)
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
    for line in _all_lines(texts):
        assert tokenizer.decode(_ids(tokenizer, line)) == line


def test_sentencepiece_model_segments_as_the_fast_tokenizer(texts, trimmed):
    tokenizer = load_tokenizer(trimmed)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(trimmed / "sentencepiece.bpe.model"))
    assert processor.get_piece_size() == tokenizer.get_vocab_size() - 2  # <pad> and <mask> are not in it
    for line in [*_all_lines(texts), *HELDOUT]:
        encoding = tokenizer.encode(line, add_special_tokens=False)
        assert processor.encode(line, out_type=str) == encoding.tokens
        # <unk> is 0 there and 3 here; every other piece is one lower there.
        assert [number + 1 if number else 3 for number in processor.encode(line)] == encoding.ids


def test_a_character_outside_the_vocabulary_is_unk_before_and_after(teacher, trimmed):
    for folder in (teacher, trimmed):
        tokenizer = load_tokenizer(folder)
        assert special_ids(tokenizer).unk in _ids(tokenizer, "umuntu ☃")


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
    for line in [*HELDOUT, *_lines(texts["yor"])[:20]]:
        assert loaded(line)["input_ids"] == tokenizer.encode(line).ids
    filled = read_as_text(trimmed / "tokenizer.json", mask=True)  # as a text whose masks are filled
    assert loaded("umuntu <mask> cyane")["input_ids"] == filled.encode("umuntu <mask> cyane").ids


# Other layouts than XLM-R's own.


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

    _edit(broken / "tokenizer.json", special_last)
    out = tmp_path / "out"
    build_vocabulary(texts, broken, vocabulary_config("coverage", 1.0), out)
    full, small, old = (
        Tokenizer.from_file(str(broken / "tokenizer.json")),
        Tokenizer.from_file(str(out / "tokenizer.json")),
        teacher_piece_ids(out),
    )
    assert small.get_vocab_size() < full.get_vocab_size()
    lines = [*_lines(texts["kin"]), "ala <mask> ☃"]  # of several lengths, so that some are padded
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
    _edit(broken / "tokenizer.json", lambda spec: spec.update(
        truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}))  # fmt: skip
    config = vocabulary_config("coverage", 0.9)
    manifests = [build_vocabulary(texts, folder, config, tmp_path / "out") for folder in (teacher, broken)]
    assert manifests[0]["languages"] == manifests[1]["languages"]


# Same bytes, whole or not at all.


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
    monkeypatch.setattr(trimming, "write_arrays", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_vocabulary(texts, teacher, vocabulary_config("full", 1.0), out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert read_manifest(out) == read_manifest(trimmed)


def test_the_stage_reads_params_and_writes_folder_and_cost(texts, teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = "{keep: coverage, coverage: 0.9, size: 300, floor: 0}"
    Path("params.yaml").write_text(f"languages: [kin, yor]\nvocabulary: {section}\n")
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


def _drop_mask(folder):
    def change(spec):
        spec["added_tokens"].pop()
        spec["model"]["vocab"].pop()

    _edit(folder / "tokenizer.json", change)


def _swap_pieces(folder):
    def change(spec):
        vocab = spec["model"]["vocab"]
        vocab[10], vocab[11] = vocab[11], vocab[10]

    _edit(folder / "tokenizer.json", change)


def _drop_last_piece(folder):
    def change(spec):
        del spec["model"]["vocab"][-2]
        spec["added_tokens"][-1]["id"] -= 1

    _edit(folder / "tokenizer.json", change)


FAULTS = {
    "no tokenizer.json": (lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json: no such file"),
    "not JSON": (lambda f: (f / "tokenizer.json").write_text('{"model": '), r"tokenizer\.json: damaged"),
    "not UTF-8": (lambda f: (f / "tokenizer.json").write_bytes(b"\xff\xfe"), r"tokenizer\.json: damaged"),
    "not a tokenizer": (lambda f: (f / "tokenizer.json").write_text("[]"), r"tokenizer\.json: damaged"),
    "no added tokens": (
        lambda f: _edit(f / "tokenizer.json", lambda s: s["added_tokens"][0].pop("content")),
        r"tokenizer\.json: damaged",
    ),
    "BPE": (
        lambda f: _edit(f / "tokenizer.json", lambda s: s["model"].update(type="BPE")),
        "expected a Unigram model.*found BPE",
    ),
    "WordPiece of an old file": (
        lambda f: _edit(f / "tokenizer.json", lambda s: s.update(model={"vocab": {"a": 0}})),
        "expected a Unigram model",
    ),
    "no mask": (_drop_mask, "lacks <mask>"),
    "a swapped piece": (_swap_pieces, r"sentencepiece\.bpe\.model: piece 9: expected '.+' of score .* found '.+' of"),
    "another score": (
        lambda f: _edit(f / "tokenizer.json", lambda s: s["model"]["vocab"][9].__setitem__(1, -9.5)),
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
        lambda f: _edit(f / "tokenizer_config.json", lambda s: s["added_tokens_decoder"].update(
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
