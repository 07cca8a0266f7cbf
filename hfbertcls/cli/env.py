"""`hfbertcls env`: versions, devices, what is optional and missing."""

import argparse
import json
from typing import Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.commands import pip_install


_OPTIONAL = {
    "gradio": f"demos ({pip_install('hfbertcls[demo]')})",
    "onnxruntime": f"export ({pip_install('hfbertcls[onnx]')})",
    "tensorboard": "--report-to tensorboard",
    "trackio": "--report-to trackio",
    "wandb": "--report-to wandb",
    "mlflow": "--report-to mlflow",
}


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "env",
        help="versions and devices, for a bug report",
        description="Print versions, devices, and what is optional and missing.",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the environment."""
    refuse_unknown(options)

    from hfbertcls.environment import describe_environment, package_version
    from hfbertcls.training.precision import choose_precision

    facts: dict[str, Any] = describe_environment()
    precision = choose_precision("auto", use_cpu=False)
    facts["precision"] = f"{precision.name} ({precision.reason})"
    facts["optional"] = {name: package_version(name) for name in _OPTIONAL}
    if options.json:
        print(json.dumps(facts))
        return 0
    for name, value in facts.items():
        if name != "optional":
            print(f"{name:<18} {value if value is not None else 'not installed'}")
    for name, installed in facts["optional"].items():
        print(f"{name:<18} {installed or f'not installed; needed for {_OPTIONAL[name]}'}")
    return 0
