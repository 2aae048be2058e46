"""CoNLL files as they are in the wild: columns, comments, separators."""

from pathlib import Path

import pytest

from distil.core.errors import UserError
from distil.tasks.conll import read_conll
from distil.tasks.token_classification import label_test

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
WHERE = "params.yaml: tasks.mine"


def read(
    tmp_path: Path, content: str, token: str = "tokens", tag: str = "tags", name: str = "t.txt", labels: object = LABELS
) -> list[tuple[list[str], list[str]]]:
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert isinstance(labels, list)
    return read_conll(path, token, tag, label_test(labels), WHERE)


def test_a_tab_separates_where_a_line_has_one_and_a_space_where_it_has_none(tmp_path: Path) -> None:
    content = "New York\tB-LOC\n10 000\tO\n\nHuye B-LOC\nni   O\n\n y'u \t O \n"
    assert read(tmp_path, content) == [
        (["New York", "10 000"], ["B-LOC", "O"]), (["Huye", "ni"], ["B-LOC", "O"]), (["y'u"], ["O"]),
    ]  # fmt: skip


def test_a_no_break_space_is_part_of_a_token(tmp_path: Path) -> None:
    assert read(tmp_path, "10\u00a0000 O\n") == [(["10\u00a0000"], ["O"])]


@pytest.mark.parametrize("blank", ["", " ", "\t", "\u00a0", "\u3000 ", "\u200b", "\ufeff", "\r", "\u2028", "\f"])
def test_a_line_of_white_space_of_any_kind_ends_a_sentence(tmp_path: Path, blank: str) -> None:
    assert read(tmp_path, f"Huye B-LOC\n{blank}\nni O\n") == [(["Huye"], ["B-LOC"]), (["ni"], ["O"])]


# Comments.


@pytest.mark.parametrize("gap", ["\t", " "])
@pytest.mark.parametrize(
    "comment",
    ["# sent_id = kin-1", "# text = Amina yagiye O", "# newdoc id = x", "# id 77 domain=kin", "#comment", "# page 3",
     "#", "##", "# source: a page"],
)  # fmt: skip
def test_a_comment_is_no_token(tmp_path: Path, gap: str, comment: str) -> None:
    content = f"{comment}\nHuye{gap}B-LOC\nni{gap}O\n\n{comment}\n{comment}\nni{gap}O\n"
    assert read(tmp_path, content) == [(["Huye", "ni"], ["B-LOC", "O"]), (["ni"], ["O"])]


@pytest.mark.parametrize("gap", ["\t", " "])
@pytest.mark.parametrize("token", ["#", "##", "#kwibuka", "#a=b", "#1"])
def test_a_token_that_begins_with_a_hash_stays_a_token(tmp_path: Path, gap: str, token: str) -> None:
    content = f"{token}{gap}O\nHuye{gap}B-LOC\n\nni{gap}O\n{token}{gap}B-LOC\n"
    assert read(tmp_path, content) == [([token, "Huye"], ["O", "B-LOC"]), (["ni", token], ["O", "B-LOC"])]


def test_a_hash_with_a_label_that_is_not_listed_is_not_taken_for_a_comment(tmp_path: Path) -> None:
    assert read(tmp_path, "# B-MISC\nni O\n") == [(["#", "ni"], ["B-MISC", "O"])]
    assert read(tmp_path, "#kwibuka X\nni O\n") == [(["#kwibuka", "ni"], ["X", "O"])]


def test_comments_of_four_columns_and_hash_tokens_of_four_columns_differ_by_the_label(tmp_path: Path) -> None:
    # MultiCoNER has `# id 77 domain=kin` before each sentence of `token _ _ tag`.
    content = "# id 77 domain=kin\n# _ _ O\nHuye _ _ B-LOC\n\n# id 78 domain=kin\nni _ _ O\n"
    assert read(tmp_path, content) == [(["#", "Huye"], ["O", "B-LOC"]), (["ni"], ["O"])]


def test_a_comment_of_germeval_has_another_number_of_columns(tmp_path: Path) -> None:
    content = "#\thttp://example.org [2009-10-17]\n1\tAmina\tB-PER\tO\n2\tyagiye\tO\tO\n"
    assert read(tmp_path, content, "2", "3") == [(["Amina", "yagiye"], ["B-PER", "O"])]


# Columns.

INDEXED = "1\tAmina\tB-PER\tO\n2\tyagiye\tO\tO\n\n1\tHuye\tB-LOC\tO\n2\tni\tO\tB-PER\n3\theza\tO\tO\n"


def test_columns_are_chosen_by_number(tmp_path: Path) -> None:
    assert read(tmp_path, INDEXED, "2", "3") == [
        (["Amina", "yagiye"], ["B-PER", "O"]), (["Huye", "ni", "heza"], ["B-LOC", "O", "O"]),
    ]  # fmt: skip
    assert read(tmp_path, INDEXED, "2", "-1")[1] == (["Huye", "ni", "heza"], ["O", "B-PER", "O"])


def test_a_column_of_token_numbers_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError) as found:
        read(tmp_path, INDEXED)
    assert str(found.value) == (
        f"{tmp_path}/t.txt: expected tokens, found their numbers (1 2 ...) in 2 of 2 sentences; set {WHERE}."
        "text_column to the number of the column with the tokens"
    )


def test_numbers_that_go_up_are_refused_and_years_are_not(tmp_path: Path) -> None:
    for content in ("0 O\n1 O\n2 O\n", "1 O\n2 O\n\n3 O\n4 O\n5 O\n"):
        with pytest.raises(UserError, match="found their numbers"):
            read(tmp_path, content)
    content = "1 O\n2 O\n\nmu O\n2019 O\n\n2019 O\n2019 O\n\n5 O\n"
    assert [tokens for tokens, _ in read(tmp_path, content)] == [["1", "2"], ["mu", "2019"], ["2019", "2019"], ["5"]]


def test_several_columns_of_labels_without_a_choice_are_refused_by_number(tmp_path: Path) -> None:
    content = "Amina\tB-PER\tO\nyagiye\tO\tO\n"
    with pytest.raises(
        UserError, match=f"t.txt: columns 2 and 3 of 3 hold labels of the task; set {WHERE}.label_column"
    ):
        read(tmp_path, content)
    assert read(tmp_path, content, tag="2") == [(["Amina", "yagiye"], ["B-PER", "O"])]


def test_without_names_or_numbers_the_first_and_the_last_column_are_taken(tmp_path: Path) -> None:
    content = "-DOCSTART- -X- -X- O\n\nAmina NNP B-NP B-PER\nyagiye VBD B-VP O\n"
    assert read(tmp_path, content) == [(["Amina", "yagiye"], ["B-PER", "O"])]


def test_names_count_where_the_file_has_them(tmp_path: Path) -> None:
    content = "# global.columns = ID FORM NER\n# sent_id = 1\n1\tAmina\tB-PER\n2\tyagiye\tO\n"
    expected = [(["Amina", "yagiye"], ["B-PER", "O"])]
    assert read(tmp_path, content, "FORM", "NER") == expected == read(tmp_path, content, "2", "NER")
    header = "number\tword\tentity\n1\tAmina\tB-PER\n2\tyagiye\tO\n"
    assert read(tmp_path, header, "word", "entity") == expected
    with pytest.raises(UserError, match=r"expected a column tags, found the columns ID, FORM, NER; set .*label_column"):
        read(tmp_path, content, "FORM")


def test_conllu_has_its_own_names_and_its_ranges_and_empty_nodes_are_no_tokens(tmp_path: Path) -> None:
    rows = ["1-2\tdu\t_", "1\tde\tde\tADP", "2\tle\tle\tDET", "2.1\tx\tx\tNOUN", "3\tpain\tpain\tNOUN"]
    content = "# text = du pain\n" + "".join(row + "\t_" * (9 - row.count("\t")) + "\n" for row in rows)
    expected = [(["de", "le", "pain"], ["ADP", "DET", "NOUN"])]
    labels = ["ADP", "DET", "NOUN"]
    assert read(tmp_path, content, "FORM", "UPOS", "t.conllu", labels) == expected
    assert read(tmp_path, content, "2", "4", "t.txt", labels) == expected
    with pytest.raises(UserError, match="expected a column tokens, found the columns ID, FORM, LEMMA"):
        read(tmp_path, content, name="t.conllu", labels=labels)


def test_a_line_without_the_column_leaves_a_token_too_many(tmp_path: Path) -> None:
    assert read(tmp_path, "Huye B-LOC\nni\n\nNi O\n") == [(["Huye", "ni"], ["B-LOC"]), (["Ni"], ["O"])]
    assert read(tmp_path, "a x O\nb O\n", "1", "3") == [(["a", "b"], ["O"])]


def test_column_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="text_column: expected a column's number from 1, or -1 for the last one, found 0"
    ):
        read(tmp_path, "ni O\n", "0")
