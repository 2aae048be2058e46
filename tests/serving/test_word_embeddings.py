"""Word embeddings by row: values worked by hand, the graph's rows are the table's, and no row is lost or moved."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from distil.serving.word_embeddings import keep_rows, quantise_rows, store_by_row


def unpacked(table: np.ndarray, form: str) -> np.ndarray:
    """What the codes mean, by the definition in `RowCodes`."""
    codes, scales, mean = quantise_rows(table, form)
    if form == "row4":
        codes = np.concatenate([codes & 15, codes >> 4], axis=1).astype(np.float32) - 7.5
    return mean + codes.astype(np.float32) * scales.astype(np.float32)


def test_codes_worked_by_hand() -> None:
    # Means of columns 0. Row 0: 127 steps of 1; row 1 is its negative.
    table = np.array([[127, -1, 2.4, 0], [-127, 1, -2.4, 0]], np.float32)
    codes, scales, mean = quantise_rows(table, "row8")
    assert codes.tolist() == [[127, -1, 2, 0], [-127, 1, -2, 0]] and scales.tolist() == [[1], [1]]
    assert mean.tolist() == [0, 0, 0, 0]
    # 16 levels, -7.5 to 7.5 in steps of 1: codes 15, 0, 8, 7 and, of the negative row, 0, 15, 7, 8. A byte has columns
    # 0 and 2 (15 + 16 * 8 = 143) or 1 and 3 (0 + 16 * 7 = 112).
    table = np.array([[7.5, -7.5, 0.5, -0.5], [-7.5, 7.5, -0.5, 0.5]], np.float32)
    codes, scales, mean = quantise_rows(table, "row4")
    assert codes.tolist() == [[143, 112], [0 + 16 * 7, 15 + 16 * 8]] and scales.tolist() == [[1], [1]]


def test_a_row_of_equal_values_a_shared_column_and_a_row_of_zeros_lose_nothing_that_matters() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 64)).astype(np.float32)
    table[:, 3] += 40  # without the mean it would take all levels
    table[5] = table.mean(axis=0)
    spread = np.sqrt(((table - table.mean(axis=0)) ** 2).mean())
    for form, most in (("row8", 0.01), ("row4", 0.12)):
        error = unpacked(table, form) - table
        assert np.sqrt((error**2).mean()) < most * spread
        assert np.abs(error[5]).max() < 1e-3
    assert np.isfinite(unpacked(np.zeros((3, 4), np.float32), "row4")).all()


def graph(table: np.ndarray) -> onnx.ModelProto:
    """A table as the quantiser of ONNX Runtime leaves it."""
    codes, scale, zero = (f"model.word_embeddings.weight_{part}" for part in ("quantized", "scale", "zero_point"))
    tensors = {codes: table.round().astype(np.int8), scale: np.float32(1), zero: np.int8(0)}
    nodes = [helper.make_node("Gather", [codes, "input_ids"], ["codes"]),
             helper.make_node("DequantizeLinear", ["codes", scale, zero], ["rows"])]  # fmt: skip
    body = helper.make_graph(
        nodes, "table", [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", "tokens", table.shape[1]])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in tensors.items()],
    )  # fmt: skip
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("form", ["row8", "row4"])
def test_the_graph_gives_the_rows_of_the_table_and_of_the_kept_pieces(form: str) -> None:
    table = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    model, ids = graph(table), np.array([[0, 49, 7], [7, 8, 3]])
    store_by_row(model, table, form)
    onnx.checker.check_model(model, full_check=True)
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(run.run(None, {"input_ids": ids})[0], unpacked(table, form)[ids], rtol=1e-6, atol=1e-7)
    kept = np.array([0, 3, 7, 8, 49])
    keep_rows(model, kept)
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    new = np.searchsorted(kept, ids)
    np.testing.assert_allclose(run.run(None, {"input_ids": new})[0], unpacked(table, form)[ids], rtol=1e-6, atol=1e-7)
    assert not [tensor.name for tensor in model.graph.initializer if 50 in tensor.dims]
