"""`<s>`, `<mask>` and the like in a text are characters: in data/prepared, in fine-tuning and in serving."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from distil.finetuning.encoding import Encoder
from distil.modeling.tokenizer import load_tokenizer, read_as_text, special_ids
from distil.serving.predictor import Predictor
from distil.tokenization.prepare import prepare_language
from distil.tokenization.shards import TokenizedDataset
from tests.support import toy

PIECES = ["<s>", "</s>", "<pad>", "<mask>", "<unk>"]
# With letters of the toy vocabulary; the last one is full width, which the normaliser makes `<s>`.
TEXTS = [f"aeị {piece} ọ{piece}{piece}" for piece in PIECES] + ["aeị \uff1cs\uff1e ọ", "<s>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that can spell the special pieces."""
    folder = tmp_path_factory.mktemp("tokenizer")
    lines = [*toy.sentences(200, 0), *("<b> s/ m a s k > p a d u n k <" for _ in range(30))]
    toy.train_tokenizer(lines, 150, folder)
    return folder


def test_a_text_never_holds_a_special_piece(folder: Path) -> None:
    tokenizer, plain = load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = special_ids(tokenizer)
    for text in TEXTS:
        assert set(plain.encode(text, add_special_tokens=False).ids) & set(special)  # as transformers reads the file
        for found in (
            tokenizer.encode(text, add_special_tokens=False),
            tokenizer.encode_batch_fast([text], add_special_tokens=False)[0],
            tokenizer.encode_batch([text.split()], is_pretokenized=True, add_special_tokens=False)[0],  # type: ignore[arg-type]
        ):
            assert not set(found.ids) & set(special)
            spelled = "".join(map(tokenizer.id_to_token, found.ids)).replace("▁", " ")
            assert spelled.split() == text.translate({0xFF1C: "<", 0xFF1E: ">"}).split()
    ids = tokenizer.encode("<s>").ids
    assert (ids[0], ids[-1]) == (special.bos, special.eos) and special.bos not in ids[1:]


def test_other_text_has_the_ids_that_it_had(folder: Path) -> None:
    tokenizer, plain = read_as_text(folder / "tokenizer.json"), Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in [*toy.sentences(200, 3), "a < s > b", "<b>a</b>", "<<", "3<s", "", "  ", "<", "s>"]:
        assert tokenizer.encode(text).ids == plain.encode(text).ids
        words = text.split()
        found, expected = (each.encode(words, is_pretokenized=True) for each in (tokenizer, plain))
        assert (found.ids, found.word_ids) == (expected.ids, expected.word_ids)


def test_where_masks_are_filled_only_the_mask_is_special(folder: Path) -> None:
    tokenizer, plain = (read_as_text(folder / "tokenizer.json", mask) for mask in (True, False))
    special = special_ids(tokenizer)
    ids = tokenizer.encode("aeị <mask> <s> ọ<mask><pad>", add_special_tokens=False).ids
    assert ids.count(special.mask) == 2 and set(ids) & set(special) == {special.mask}
    assert tokenizer.encode("aeị ọ").ids == plain.encode("aeị ọ").ids
    assert tokenizer.get_vocab_size() == plain.get_vocab_size()


def test_prepared_sequences_hold_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "swa.txt").write_text("".join(f"{text}\n" for text in [*TEXTS, *toy.sentences(100, 4)] * 3))
    prepare_language("swa", tmp_path / "swa.txt", folder, toy.TOKENIZE, 1, tmp_path / "swa")
    special, prepared = special_ids(load_tokenizer(folder)), TokenizedDataset(tmp_path / "swa")
    for split in ("train", "heldout"):
        for entry in prepared.shards(split):
            shard = prepared.open(entry)
            for start, end in zip(shard.offsets[:-1], shard.offsets[1:], strict=True):
                inside = set(shard.ids[start + 1 : end - 1].tolist())
                assert not inside & {special.bos, special.eos, special.pad, special.mask}


def test_rows_that_are_fine_tuned_on_hold_none(folder: Path) -> None:
    encoder, special = Encoder(folder, 64, "teacher"), special_ids(load_tokenizer(folder))
    for ids in encoder._texts(TEXTS, [0] * len(TEXTS), 0).ids:
        assert (ids[0], ids[-1]) == (special.bos, special.eos) and not set(ids[1:-1]) & set(special)


def test_served_texts_hold_none_and_a_mask_only_where_it_is_filled(exports: Path) -> None:
    for name in ("words", "names", "masked_lm"):
        predictor = Predictor(exports / f"models/onnx/{name}/fp32", 1)
        special = predictor.special
        for text, ids in zip(TEXTS, predictor.encode(TEXTS), strict=True):
            masks = text.count("<mask>") if name == "masked_lm" else 0
            assert (ids[0], ids[-1]) == (special.bos, special.eos)
            inside = ids[1:-1]
            assert inside.count(special.mask) == masks
            assert not set(inside) & {special.bos, special.eos, special.pad}
