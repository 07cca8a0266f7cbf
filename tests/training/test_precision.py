import pytest
import torch

from hfbertcls import ConfigurationError
from hfbertcls.training.precision import choose_precision


@pytest.fixture
def cpu_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")]
)
def test_a_cpu_gets_what_it_computes_natively(cpu_only, monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    chosen = choose_precision("auto", use_cpu=False)
    assert (chosen.name, chosen.use_cpu) == (expected, True)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_gets_bf16_where_it_has_it(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    chosen = choose_precision("auto", use_cpu=False)
    assert (chosen.name, chosen.use_cpu) == (expected, False)


def test_fp16_on_a_cpu_is_an_error(cpu_only):
    with pytest.raises(ConfigurationError, match="--precision fp16 does not work on a CPU.*Leave the option out"):
        choose_precision("fp16", use_cpu=False)


def test_an_unknown_precision_is_an_error_with_the_valid_ones(cpu_only):
    with pytest.raises(ConfigurationError, match=r"--precision bf61 .*did you mean 'bf16'.*fp32"):
        choose_precision("bf61", use_cpu=False)
