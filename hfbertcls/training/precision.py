"""Number formats: those that the device computes fast, and those that it lacks."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from hfbertcls.errors import ConfigurationError, did_you_mean


FormatName = Literal["bf16", "fp16", "fp32"]
PrecisionName = Literal["auto", "bf16", "fp16", "fp32"]


@dataclass(frozen=True)
class Precision:
    """A number format for training, and the reason for it. Weights and metrics stay fp32 in any case."""

    name: FormatName
    use_cpu: bool
    reason: str


def choose_precision(requested: str, use_cpu: bool) -> Precision:
    """Choose the number format of the matrix products in training.

    bf16 where the GPU or the CPU computes it natively, fp16 on older NVIDIA GPUs, else fp32.

    Args:
        requested (`str`): `auto`, `bf16`, `fp16` or `fp32`.
        use_cpu (`bool`): do not use an accelerator even if there is one.

    Raises:
        ConfigurationError: for an unknown name, and for fp16 on a CPU.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    if requested not in get_args(PrecisionName):
        names = get_args(PrecisionName)
        raise ConfigurationError(
            f"--precision {requested} is an invalid value{did_you_mean(requested, names)}. Choose one of {', '.join(names)}"
        )
    if torch.cuda.is_available() and not use_cpu:
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        fitting = (
            Precision("bf16", False, "the GPU has it") if native else Precision("fp16", False, "the GPU has no bf16")
        )
    elif torch.backends.mps.is_available() and not use_cpu:
        fitting = Precision("fp32", False, "the safe choice on Apple GPUs")
    elif cpu_has_bf16():
        fitting = Precision("bf16", True, "the CPU has it")
    else:
        fitting = Precision("fp32", True, "the CPU has no bf16 units")
    if requested == "auto":
        return fitting
    if requested == "fp16" and fitting.use_cpu:
        raise ConfigurationError(
            "--precision fp16 does not work on a CPU: it has no fp16 units, and would be hundreds of times slower than "
            f"fp32. Leave the option out (that chooses {fitting.name} here), or run on a GPU"
        )
    return Precision(cast(FormatName, requested), fitting.use_cpu, "as requested")


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively (AVX-512 BF16 or AMX on x86)."""
    import torch  # noqa: PLC0415  (takes seconds)

    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
