import subprocess
import sys

import pytest

from hfbertcls import TextClassificationTrainer
from hfbertcls.cli import main
from hfbertcls.errors import RegistryError
from hfbertcls.registry import CALLBACKS, TRAINERS, Registry, register


def test_our_own_names_lead_to_classes():
    from hfbertcls import MetricEarlyStoppingCallback, MetricLoggingCallback, TextClassificationTrainer

    assert CALLBACKS.get("early-stopping") is MetricEarlyStoppingCallback
    assert CALLBACKS.get("metric-logging") is MetricLoggingCallback
    assert TRAINERS.get("text-classification") is TextClassificationTrainer


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(RegistryError, match=r"'early-stoping' \(did you mean 'early-stopping'\?\).*metric-logging"):
        CALLBACKS.get("early-stoping")


def test_a_name_that_leads_nowhere_says_who_to_repair():
    registry = Registry("callback", "hfbertcls.callbacks")
    registry.add("broken", "no.such.module:Thing")
    with pytest.raises(RegistryError, match=r"'no.such.module:Thing', which cannot be imported.*Repair or uninstall"):
        registry.get("broken")


def test_register_makes_report_to_known_to_transformers(tmp_path):
    from transformers import TrainingArguments
    from transformers.integrations.integration_utils import get_reporting_integration_callbacks

    from hfbertcls import MetricLoggingCallback

    register()
    register()
    args = TrainingArguments(output_dir=str(tmp_path), report_to="hfbertcls", use_cpu=True)
    assert get_reporting_integration_callbacks(args.report_to) == [MetricLoggingCallback]


def test_another_package_adds_its_callback_by_entry_point(tmp_path):
    package = tmp_path / "example"
    (package / "greeting").mkdir(parents=True)
    (package / "greeting" / "__init__.py").write_text(
        "from transformers import TrainerCallback\n\n\nclass Greeting(TrainerCallback):\n    pass\n"
    )
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "greeting"\nversion = "1.0"\n'
        '[project.entry-points."hfbertcls.callbacks"]\ngreeting = "greeting:Greeting"\n'
        '[project.entry-points."hfbertcls.trainers"]\ngreeting = "greeting:Greeting"\n'
    )
    site = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
        str(package),
    ]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from hfbertcls import CALLBACKS, TRAINERS; "
        "print(CALLBACKS.names(), CALLBACKS.get('greeting').__name__, TRAINERS.get('greeting').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['early-stopping', 'greeting', 'metric-logging'] Greeting Greeting"


class ShoutingTrainer(TextClassificationTrainer):
    def train(self, *args, **kwargs):
        print("TRAINING!")
        return super().train(*args, **kwargs)


def test_a_registered_trainer_trains(tmp_path, tiny_model_dir, reviews_dir, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "a_package_of_mine", sys.modules[__name__])
    monkeypatch.setitem(TRAINERS._targets, "shouting", "a_package_of_mine:ShoutingTrainer")
    monkeypatch.setitem(TRAINERS._targets, "callback", "hfbertcls:MetricLoggingCallback")
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--max-steps", "2"]
    assert main([*words, "--output-dir", str(tmp_path / "a"), "--trainer", "shouting"]) == 0
    assert "TRAINING!" in capsys.readouterr().out
    assert "--trainer shouting" in (tmp_path / "a" / "README.md").read_text()
    assert main([*words, "--output-dir", str(tmp_path / "b"), "--trainer", "shoutin"]) == 2
    assert "no trainer is called 'shoutin' (did you mean 'shouting'?)" in capsys.readouterr().err
    assert main([*words, "--output-dir", str(tmp_path / "b"), "--trainer", "callback"]) == 2
    assert "--trainer callback is no subclass of hfbertcls.TextClassificationTrainer" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
