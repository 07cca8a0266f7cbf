"""What runs on a GPU, and what happens when its memory is short, as far as a CPU can show it."""

import pytest
import torch

from hfbertcls.modeling import flops
from hfbertcls.modeling.loading import ModelSource, load_to_score
from hfbertcls.modeling.memory import is_out_of_memory


def test_a_model_to_score_with_is_on_the_device_of_the_process(finished_run, monkeypatch):
    source = ModelSource(str(finished_run))
    assert load_to_score(source).device.type == "cpu"
    monkeypatch.setattr("hfbertcls.modeling.loading.cuda_device", lambda: "meta")
    assert load_to_score(source).device.type == "meta"


@pytest.mark.parametrize(
    ("message", "is_memory"),
    [
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_messages_of_cuda_are_told_apart(message, is_memory):
    assert is_out_of_memory(RuntimeError(message)) is is_memory


def test_the_peak_is_measured_with_smaller_matrices_where_memory_is_short(monkeypatch):
    sizes = []

    def peak(size, device_type, dtype):
        sizes.append(size)
        if size > 512:
            raise MemoryError
        return 1e9

    monkeypatch.setattr(flops, "_peak_of", peak)
    assert flops.measured_peak.__wrapped__("cpu", torch.float32) == 1e9
    assert sizes == [1_024, 512]
    monkeypatch.setattr(flops, "_peak_of", lambda *_: (_ for _ in ()).throw(RuntimeError("another reason")))
    with pytest.raises(RuntimeError, match="another reason"):
        flops.measured_peak.__wrapped__("cpu", torch.float32)
