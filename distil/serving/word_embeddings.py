"""The word embeddings of an exported graph: by row in 8 or 4 bits, and of some pieces only.

The table is the largest tensor of a small student. The quantiser of ONNX Runtime gives all of it one scale; by row,
each piece has its own, so that 4 bits are enough. The graph unpacks the rows of a text after they are gathered, with
operators of plain ONNX that every runtime has. Legend: P pieces, H width.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from distil.serving.runtime import NGRAMS_KEY

EmbeddingForm = Literal["tensor8", "row8", "row4"]

CLIPS = np.linspace(0.5, 1, 26, dtype=np.float32)  # shares of a row's largest value that its 16 levels may span


class RowCodes(NamedTuple):
    """A table by row. row8: value = mean + code * scale, code from -127 to 127. row4: mean + (code - 7.5) * scale."""

    codes: np.ndarray  # row8: (P, H) int8; row4: (P, H/2) uint8, columns h in the low and H/2 + h in the high halves
    scales: np.ndarray  # (P, 1) float16
    mean: np.ndarray  # (H,) float32, of the columns


def quantise_rows(table: np.ndarray, form: EmbeddingForm) -> RowCodes:
    """Round a table around the mean of its columns.

    Some columns of trained embeddings are far from 0 in all rows. Without the mean they take most of the 16 levels: the
    error of 4 bits is 21 % of the length of the table then, 11 % with it (a student of 21,081 pieces, 256 wide).

    Args:
        table: (P, H) float32; H is even for row4.
        form: row8, or row4 with the scale of least squared error among `CLIPS`.
    """
    mean = table.mean(axis=0, dtype=np.float32)
    rest = table - mean
    largest = np.abs(rest).max(axis=1, keepdims=True)
    if form == "row8":
        scales = _storable(largest / 127)
        return RowCodes(np.round(rest / scales).clip(-127, 127).astype(np.int8), scales.astype(np.float16), mean)
    scales, least = _storable(largest / 7.5), np.full_like(largest, np.inf)
    for clip in CLIPS:
        tried = _storable(largest * clip / 7.5)
        error = ((rest - (_levels(rest, tried) - 7.5) * tried) ** 2).sum(axis=1, keepdims=True)
        scales, least = np.where(error < least, tried, scales), np.minimum(error, least)
    codes, half = _levels(rest, scales).astype(np.uint8), table.shape[1] // 2
    return RowCodes(codes[:, :half] | codes[:, half:] << 4, scales.astype(np.float16), mean)


def _storable(scales: np.ndarray) -> np.ndarray:
    """Scales as float16 holds them; of a row of zeros the least one above 0."""
    return np.maximum(scales.astype(np.float16), np.finfo(np.float16).smallest_subnormal).astype(np.float32)


def _levels(rest: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.floor(rest / scales + 8).clip(0, 15)


def store_by_row(model: onnx.ModelProto, table: np.ndarray, form: EmbeddingForm) -> None:
    """Replace the table of a quantised graph by one with a scale for each row.

    Args:
        model: from onnxruntime's quantiser; changed in place.
        table: (P, H) float32, the embeddings before quantisation.
        form: row8 or row4.
    """
    graph = model.graph
    gather = next(node for node in graph.node if node.op_type == "Gather" and node.input[1] == "input_ids")
    expand = next(node for node in graph.node if node.input and node.input[0] == gather.output[0])
    ids, result = gather.input[1], expand.output[0]
    unused = {gather.input[0], *expand.input[1:]}
    tensors: dict[str, np.ndarray] = quantise_rows(table, form)._asdict()
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", ["codes", ids], "code_rows", {}),
        ("Gather", ["scales", ids], "scale_rows", {}),
        ("Cast", ["scale_rows"], "factors", {"to": TensorProto.FLOAT}),
    ]
    if form == "row4":
        tensors |= {"low": np.array(15, np.uint8), "shift": np.array(4, np.uint8), "middle": np.array(7.5, np.float32)}
        steps += [("BitwiseAnd", ["code_rows", "low"], "first_half", {}),
                  ("BitShift", ["code_rows", "shift"], "second_half", {"direction": "RIGHT"}),
                  ("Concat", ["first_half", "second_half"], "levels", {"axis": -1}),
                  ("Cast", ["levels"], "numbers", {"to": TensorProto.FLOAT}),
                  ("Sub", ["numbers", "middle"], "values", {})]  # fmt: skip
    else:
        steps.append(("Cast", ["code_rows"], "values", {"to": TensorProto.FLOAT}))
    steps += [("Mul", ["values", "factors"], "rest", {}), ("Add", ["rest", "mean"], result, {})]
    named = {ids: ids, result: result}
    nodes = [
        helper.make_node(kind, [named.get(name, _name(name)) for name in inputs], [named.get(output, _name(output))],
                         name=named.get(output, _name(output)), **about)
        for kind, inputs, output, about in steps
    ]  # fmt: skip
    rest: list[onnx.NodeProto] = []
    for node in graph.node:
        rest += nodes if node is expand else [] if node is gather else [node]
    kept = [tensor for tensor in graph.initializer if tensor.name not in unused]
    kept += [numpy_helper.from_array(value, _name(name)) for name, value in tensors.items()]
    _set(graph.node, rest)
    _set(graph.initializer, kept)


def keep_rows(model: onnx.ModelProto, kept: np.ndarray) -> None:
    """Leave only some pieces in a graph whose one use of them is to gather by `input_ids`: no masked language model.

    N-grams are hashed from the ids of all pieces, so a graph with a table of them looks up the old id of each new one.

    Args:
        model: changed in place.
        kept: (K,) ascending ids, the special pieces' among them.
    """
    graph = model.graph
    gathers = [node for node in graph.node if node.op_type == "Gather" and node.input[1] == "input_ids"]
    names = {node.input[0] for node in gathers}
    for tensor in graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[kept], tensor.name))
    if NGRAMS_KEY not in {entry.key for entry in model.metadata_props}:
        return
    graph.initializer.append(numpy_helper.from_array(kept.astype(np.int32), _name("old_ids")))
    for node in graph.node:
        if node not in gathers:
            node.input[:] = [_name("given_ids") if name == "input_ids" else name for name in node.input]
    lookup = [helper.make_node("Gather", [_name("old_ids"), "input_ids"], [_name("given_ids_int32")], name="old_ids"),
              helper.make_node("Cast", [_name("given_ids_int32")], [_name("given_ids")], name="given_ids",
                               to=TensorProto.INT64)]  # fmt: skip
    _set(graph.node, [*lookup, *graph.node])


def _name(name: str) -> str:
    return f"word_embeddings.{name}"


def _set(field: Any, values: Iterable[Any]) -> None:
    """Replace the elements of a repeated field."""
    copies = list(values)
    del field[:]
    field.extend(copies)
