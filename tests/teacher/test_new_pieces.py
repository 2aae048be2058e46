"""New pieces in a teacher's tokenizer: which, with which rows, in all of its files, and learned at their own rate."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from distil.compute.optimizer import adamw
from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.teacher.masked_lm import FasterRows, _take_step
from distil.teacher.new_pieces import add_new_pieces, candidates
from distil.teacher.source import TeacherConfig
from distil.teacher.weights import VOCABULARY_ROWS
from distil.tokenization.tokenizer_files import add_pieces, read_tokenizer_files
from distil.tokenization.vocabulary import VocabularyConfig, build_vocabulary
from tests.support import toy
from tests.support.vocabulary import edit
from tests.teacher.test_adaptation import config, fetch

COUNT = 12  # of each language


def texts() -> dict[str, list[str]]:
    return {code: Path(f"data/raw/{code}.txt").read_text(encoding="utf-8").splitlines() for code in toy.LANGUAGES}


def extended(count: int = COUNT) -> Any:
    """`given` with new pieces: the model, and what was put in."""
    model = load_masked_lm(Path("given"), None)
    return model, add_new_pieces(model, Path("given"), texts(), texts(), count, Path("data/raw"))


def ids(tokenizer: Tokenizer, line: str) -> list[int]:
    return tokenizer.encode(line, add_special_tokens=False).ids


def test_the_pieces_that_save_most_tokens_are_chosen_and_a_text_has_fewer_tokens(root: Path) -> None:
    old = load_tokenizer(root / "given")
    _, new = extended()
    tokenizer = load_tokenizer(root / "given")
    assert new.rows == slice(199, 199 + 2 * COUNT)  # 200 pieces, the last of them <mask>
    assert tokenizer.get_vocab_size() == 200 + 2 * COUNT == special_ids(tokenizer).mask + 1
    for language, lines in texts().items():
        figures, words = new.languages[language], sum(len(line.split()) for line in lines)
        assert figures["pieces"] == COUNT
        for name, fast in (("before", old), ("after", tokenizer)):
            tokens = sum(len(ids(fast, line)) for line in lines)
            assert figures[f"pieces_per_word_{name}"] == pytest.approx(tokens / words, abs=1e-4)
        assert figures["pieces_per_word_after"] < figures["pieces_per_word_before"] - 0.1


def test_candidates_are_ranked_by_the_tokens_that_they_save_and_lack_in_the_tokenizer(root: Path) -> None:
    """`abcabc` is in 9 lines and takes several pieces; `bcd` in 4 lines is too rare to be learned."""
    tokenizer, scores = load_tokenizer(root / "given"), read_tokenizer_files(root / "given", "teacher").spec["model"]
    lines = ["abcabc 12 ọ bcd", *["abcabc ọ", "kkk dada dada"] * 4, *["kkk 12"] * 3, *["kkk bcd"] * 3]
    found = candidates(lines, tokenizer, scores["vocab"], 5)
    known = {piece for piece, _ in scores["vocab"]}
    assert found and not known & {each.piece for each in found}
    assert all(any(map(str.isalpha, each.piece)) for each in found)
    assert not [each for each in found if "bcd" in each.piece]
    saved = [sum(f"▁{word}".count(each.piece) for line in lines for word in line.split()) * (len(each.parts) - 1)
             for each in found]  # fmt: skip
    assert saved[0] == max(saved)
    for each in found:
        assert each.parts == [token.id for token in tokenizer.model.tokenize(each.piece)] and len(each.parts) > 1
        assert each.score > sum(scores["vocab"][number][1] for number in each.parts)


def test_a_new_piece_is_chosen_for_its_own_text(root: Path) -> None:
    _, new = extended()
    tokenizer = load_tokenizer(root / "given")
    for number in range(new.rows.start, new.rows.stop):
        piece = tokenizer.id_to_token(number)
        assert [token.id for token in tokenizer.model.tokenize(piece)] == [number], piece


def test_both_files_segment_alike_and_transformers_reads_them(root: Path) -> None:
    extended()
    fast = load_tokenizer(root / "given")
    slow = sentencepiece.SentencePieceProcessor(model_file="given/sentencepiece.bpe.model")
    assert slow.get_piece_size() == fast.get_vocab_size() - 2  # neither <pad> nor <mask>
    loaded = AutoTokenizer.from_pretrained("given")
    assert loaded.mask_token_id == special_ids(fast).mask == fast.get_vocab_size() - 1
    for line in [line for lines in texts().values() for line in lines[:60]] + ["好 abc!"]:
        assert [number + 1 if number else 3 for number in slow.encode(line)] == ids(fast, line), line
        assert loaded(line)["input_ids"][1:-1] == ids(fast, line)
    read_tokenizer_files(root / "given", "teacher")  # compares pieces and scores


def test_new_rows_start_as_the_mean_of_the_old_pieces_and_all_others_stay(root: Path) -> None:
    before, old = load_masked_lm(root / "given", None), load_tokenizer(root / "given")
    with torch.no_grad():
        before.lm_head.bias.copy_(torch.arange(200.0))
    before.save_pretrained("given")
    model, new = extended()
    tokenizer = load_tokenizer(root / "given")
    assert model.config.vocab_size == 200 + 2 * COUNT
    assert model.lm_head.decoder.weight is model.get_input_embeddings().weight
    assert model.lm_head.decoder.bias is model.lm_head.bias
    tables = [each for name, each in model.named_parameters() if name in VOCABULARY_ROWS]
    olds = [each for name, each in before.named_parameters() if name in VOCABULARY_ROWS]
    assert sorted(table.dim() for table in tables) == [1, 2]
    for table, was in zip(tables, olds, strict=True):
        assert torch.equal(table[:199], was[:199]) and torch.equal(table[-1], was[-1])  # <mask> is last
        for number in range(new.rows.start, new.rows.stop):
            parts = [token.id for token in old.model.tokenize(tokenizer.id_to_token(number))]
            assert len(parts) > 1
            torch.testing.assert_close(table[number], was[parts].mean(dim=0))


def test_a_text_of_old_pieces_alone_is_answered_as_before(root: Path) -> None:
    before, old = load_masked_lm(root / "given", None), load_tokenizer(root / "given")
    model, _ = extended()
    tokenizer = load_tokenizer(root / "given")
    line = next(line for lines in texts().values() for line in lines if ids(old, line) == ids(tokenizer, line))
    mask, shifted = special_ids(old).mask, special_ids(tokenizer).mask
    given = torch.tensor([[0, *ids(old, line), mask, 2]])
    with torch.no_grad():
        one = before(given).logits
        other = model(torch.where(given == mask, shifted, given)).logits
    torch.testing.assert_close(other[..., :199], one[..., :199])


def test_what_two_languages_want_is_counted_for_the_one_of_most_pieces_a_word(root: Path) -> None:
    shutil.copyfile("data/raw/yor.txt", "data/raw/swa.txt")
    with Path("data/raw/yor.txt").open("a", encoding="utf-8") as stream:
        stream.write("mnmnmnmnmnmn\n" * 40)
    _, new = extended()
    tokenizer = load_tokenizer(root / "given")
    pieces = [tokenizer.id_to_token(number) for number in range(new.rows.start, new.rows.stop)]
    assert len(set(pieces)) == 2 * COUNT
    assert new.languages["yor"]["pieces_per_word_before"] > new.languages["swa"]["pieces_per_word_before"]
    assert any("mnmn" in piece for piece in pieces[:COUNT]) and not any("mnmn" in piece for piece in pieces[COUNT:])


def test_an_adaptation_with_new_pieces_learns_them_and_everything_after_reads_them(root: Path) -> None:
    plain, made = fetch("plain"), fetch("made", adapt={"new_pieces": COUNT})
    assert "new_pieces" not in plain["adapted"] and made["vocabulary"] == 200 + 2 * COUNT
    assert set(made["adapted"]["new_pieces"]) == set(toy.LANGUAGES)
    assert made["tokenizer_sha256"] == sha256_file(Path("made/tokenizer.json")) != plain["tokenizer_sha256"]
    for figures in made["adapted"]["languages"].values():
        assert figures["masked_lm_after"] < figures["masked_lm_before"] - 0.3
    fetch("again", adapt={"new_pieces": COUNT})
    for name in ("model.safetensors", "tokenizer.json", "sentencepiece.bpe.model", "manifest.json"):
        assert Path("again", name).read_bytes() == Path("made", name).read_bytes()
    lines = {code: Path(f"data/raw/{code}.txt") for code in toy.LANGUAGES}
    kept = build_vocabulary(
        lines, Path("made"), VocabularyConfig(keep="coverage", coverage=1.0, size=200, floor=0), Path("kept")
    )
    assert kept["teacher_pieces"] == 200 + 2 * COUNT
    assert {piece for piece, _ in read_tokenizer_files(Path("kept"), "vocabulary").spec["model"]["vocab"]} >= {
        load_tokenizer(Path("made")).id_to_token(number) for number in range(199, 205)
    }


def test_a_killed_adaptation_with_new_pieces_ends_as_an_uninterrupted_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.teacher import masked_lm as mlm

    whole, taken, original = fetch("whole", adapt={"new_pieces": COUNT}), [], mlm._take_step

    def killed(*given: Any) -> None:
        taken.append(1)
        if len(taken) == 25:
            raise KeyboardInterrupt
        original(*given)

    monkeypatch.setattr(mlm, "_take_step", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch("killed", adapt={"new_pieces": COUNT})
    shutil.rmtree("killed")
    assert fetch("killed", adapt={"new_pieces": COUNT}) == whole and len(taken) == 25 + 20  # 20 were kept


def test_new_rows_take_the_steps_of_a_higher_rate_and_no_other_row_does(root: Path) -> None:
    model = load_masked_lm(root / "given", None)
    twins, rates = [copy.deepcopy(model) for _ in range(3)], (0.01, 0.05, 0.01)
    optimizers = [adamw(each.named_parameters(), rate, 0.1) for each, rate in zip(twins, rates, strict=True)]
    tables = [each.get_input_embeddings().weight for each in twins]
    for step in range(3):
        # The same gradients for all: those of one model.
        given = torch.tensor([[0, 150, 20, 30 + step, 150, 2]])
        twins[0].zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(twins[0](given).logits[0], given[0]).backward()
        for each in twins[1:]:
            for one, other in zip(twins[0].parameters(), each.parameters(), strict=True):
                other.grad = None if one.grad is None else one.grad.clone()
        _take_step(optimizers[0], twins[0], None)
        _take_step(optimizers[1], twins[1], None)
        _take_step(optimizers[2], twins[2], FasterRows(slice(100, 160), 5.0))
    plain, fast, mixed = tables
    torch.testing.assert_close(mixed[100:160], fast[100:160], rtol=1e-4, atol=1e-6)
    assert torch.equal(mixed[:100], plain[:100]) and torch.equal(mixed[160:], plain[160:])
    assert not torch.allclose(fast[100:160], plain[100:160])


@pytest.mark.parametrize("rate", [1.0, 5.0])
def test_the_rate_of_new_pieces_changes_nothing_without_them(root: Path, rate: float) -> None:
    """new_pieces 0 is the teacher as it was before the setting, tokenizer and manifest included."""
    fetch("plain", adapt={"steps": 3}), fetch("other", adapt={"steps": 3, "new_pieces_rate": rate})
    for path in sorted(Path("plain").iterdir()):
        assert path.read_bytes() == Path("other", path.name).read_bytes(), path.name
    for name in ("tokenizer.json", "sentencepiece.bpe.model"):
        assert Path("plain", name).read_bytes() == Path("given", name).read_bytes()


def test_a_higher_rate_moves_new_rows_further(root: Path) -> None:
    rows = slice(199, 199 + 2 * COUNT)
    start, slow, fast = (
        fetch(name, adapt={"steps": 2, "new_pieces": COUNT, "new_pieces_rate": rate})
        and load_masked_lm(Path(name), None).get_input_embeddings().weight
        for name, rate in (("start", 1e-6), ("slow", 1.0), ("fast", 5.0))
    )
    assert (fast - start)[rows].norm() > 4 * (slow - start)[rows].norm() > 0


# Refused.


def test_too_little_text_for_so_many_pieces_is_refused_by_language(root: Path) -> None:
    with pytest.raises(
        UserError, match=r"data/raw/\w+\.txt: expected at least 5,000 words .* found \d+; lower teacher"
    ):
        fetch("out", adapt={"new_pieces": 5000})


def test_a_text_too_short_for_any_unigram_model_has_no_candidates(root: Path) -> None:
    tokenizer, scores = load_tokenizer(root / "given"), read_tokenizer_files(root / "given", "teacher").spec["model"]
    assert candidates(["a"], tokenizer, scores["vocab"], 1) == candidates([], tokenizer, scores["vocab"], 1) == []


def test_new_pieces_that_are_never_learned_are_refused() -> None:
    with pytest.raises(ValueError, match=r"adapt\.new_pieces is 9 with adapt\.steps 0: new pieces must be learned"):
        config(adapt={"steps": 0, "new_pieces": 9})
    assert isinstance(config(adapt={"new_pieces": 9}), TeacherConfig)


def test_a_tokenizer_with_pieces_behind_mask_is_refused(root: Path) -> None:
    Path("given/sentencepiece.bpe.model").unlink()

    def last(spec: dict[str, Any]) -> None:
        vocab = spec["model"]["vocab"]
        vocab[-1], vocab[-2] = vocab[-2], vocab[-1]
        spec["added_tokens"][-1]["id"] -= 1

    edit(root / "given/tokenizer.json", last)
    Path("given/tokenizer_config.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json: expected <mask> as the last piece, .* found 1 behind it"):
        add_pieces(read_tokenizer_files(root / "given", "teacher"), [("▁new", -9.0)], root / "given")


def test_pieces_are_put_in_where_mask_is_beyond_the_model(root: Path) -> None:
    def beyond(spec: dict[str, Any]) -> None:
        spec["model"]["vocab"].pop()

    edit(root / "given/tokenizer.json", beyond)
    files = read_tokenizer_files(root / "given", "teacher")
    assert add_pieces(files, [("▁new", -9.0), ("er", -8.0)], root / "given") == 199
    fast = load_tokenizer(root / "given")
    assert special_ids(fast).mask == 201 and fast.id_to_token(199) == "▁new" and fast.id_to_token(200) == "er"
    proto = ModelProto.FromString(Path("given/sentencepiece.bpe.model").read_bytes())
    assert [piece.piece for piece in proto.pieces[-2:]] == ["▁new", "er"]
    assert proto.trainer_spec.vocab_size == len(proto.pieces) == 200
