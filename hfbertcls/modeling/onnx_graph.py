"""A classifier as an ONNX graph: written by transformers' exporter, quantised and run by ONNX Runtime."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.commands import pip_install
from hfbertcls.errors import MissingAssetError, ModelError, shorten
from hfbertcls.modeling.engine import PaddedRows, batches_by_length
from hfbertcls.modeling.predictions import require_finite
from hfbertcls.progress import work


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hfbertcls.data.tokenization import TokenizedSplit


_LARGEST_FILE = 2**31 - 2**24
"""Bytes of weights that fit into one file: protobuf ends at 2 GiB, and the graph needs a little."""
_SAMPLE = ["one text", "and another one that is longer"]
TOKENS_PER_BATCH = 512
"""Small batches, as in serving. An 8-bit graph scales activations by the largest of the batch, so batching matters."""


def require_onnx() -> None:
    """Check that everything that an export needs is installed.

    Raises:
        MissingAssetError: naming what is missing, and the command that installs it.
    """
    try:
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as err:
        raise MissingAssetError(
            f"an export to ONNX needs {err.name}, which is not installed. Run: {pip_install('hfbertcls[onnx]')}"
        ) from err
    try:
        import transformers.exporters  # noqa: F401, PLC0415
    except ImportError as err:
        raise MissingAssetError(
            "an export to ONNX needs a transformers with exporters (tested with 5.23). Run: "
            f"{pip_install('-U', 'transformers')}"
        ) from err


@work("Exporting the graph")
def to_onnx(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> Any:
    """Turn a classifier into a graph for any number of texts of any length, with the logits of the model.

    Args:
        model: as it was loaded, on the CPU; not yet padding-free (`enable_padding_free`).
        tokenizer: its outputs are the inputs of the graph, int64 of shape `(texts, tokens)`.

    Returns:
        An `onnx_ir.Model` with the output `logits`, float32 of shape `(texts, labels)`.

    Raises:
        ModelError: if the exporter cannot do it, or the weights do not fit into one file.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers.exporters.configs import OnnxConfig  # noqa: PLC0415
    from transformers.exporters.exporter_onnx import OnnxExporter  # noqa: PLC0415

    size = sum(weight.nbytes for weight in model.parameters())
    if size > _LARGEST_FILE:
        raise ModelError(
            f"the weights of {type(model).__name__} take {size / 1e9:.1f} GB, and one ONNX file holds at most "
            f"{_LARGEST_FILE / 1e9:.1f} GB. Train a smaller encoder, or serve the PyTorch weights"
        )
    inputs = dict(tokenizer(_SAMPLE, padding=True, return_tensors="pt"))
    # The sizes have no names: a named size must hold for every number, and a model has a maximum length.
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    config = OnnxConfig(dynamic_shapes=dict.fromkeys(inputs, sizes))
    try:
        with _quietly():
            exporter = OnnxExporter()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
            return exporter.export(model, inputs, config).program
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as err:
        raise ModelError(
            f"{type(model).__name__} cannot be exported to ONNX ({type(err).__name__}: {shorten(str(err), 200)})"
        ) from err


@work("Quantising")
def to_int8(program: Any) -> Any:
    """The graph with 8-bit weights, one scale for each output; activations are rounded as they come.

    The second feed-forward matrix of each layer keeps its fp32 weights, because its inputs have outliers. On SST-2's
    validation split (MiniLM, 872 rows) this graph changed 10 predictions, in batches and one by one; with that matrix
    in 8 bits it changed 8 to 17, and with one scale for a whole matrix 46 to 50. The weights use 7 of the 8 bits:
    processors without 8-bit dot products (before AVX-512 VNNI) would overflow, and all 8 bits changed no fewer (13 to
    16).
    """
    from transformers.exporters.configs import ExportFormat  # noqa: PLC0415
    from transformers.exporters.quantizers.quantizer_onnxruntime import (  # noqa: PLC0415
        OnnxRuntimeDynamicConfig,
        OnnxRuntimeQuantizer,
    )

    kept = [
        node.name
        for node in program.graph
        if node.op_type == "MatMul"
        and (weights := node.inputs[1].const_value) is not None
        and len(weights.shape) == 2
        and weights.shape[0] > weights.shape[1]
    ]
    config = OnnxRuntimeDynamicConfig(per_channel=True, reduce_range=True, nodes_to_exclude=kept)
    with _quietly():
        return OnnxRuntimeQuantizer(config).quantize(program, {}, ExportFormat.ONNX)


def save_graph(program: Any, path: Path) -> None:
    """Write a graph and its weights into one file."""
    import onnx_ir  # noqa: PLC0415

    onnx_ir.save(program, str(path))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress that the exporters print, and their remarks on each other's versions."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class OnnxClassifier:
    """A graph of `save_graph`, run on the CPU by ONNX Runtime.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime  # noqa: PLC0415

        self._session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def score(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        tokenized: "TokenizedSplit",
        tokens_per_batch: int = TOKENS_PER_BATCH,
    ) -> npt.NDArray[np.float32]:
        """The logits of every row, as `engine.score` returns them: sorted by length, in the order of the rows."""
        rows = PaddedRows(tokenizer, tokenized)
        batches = list(batches_by_length(rows.lengths, tokens_per_batch))
        logits: list[npt.NDArray[np.float32]] = []
        for positions in batches:
            batch = rows.padded(positions)
            logits.append(self._session.run(["logits"], {name: batch[name] for name in self._inputs})[0])
        together = np.concatenate(logits)
        result = np.empty_like(together)
        result[np.concatenate(batches)] = together
        require_finite(result, "the inputs of the ONNX graph")
        return result
