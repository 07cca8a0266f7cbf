"""What is printed as the next command can be pasted: it names the program as it was started, and runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hfbertcls.commands import command, pip_install, shown


BIN = Path(sys.executable).parent
PYTHON, SCRIPT = (shlex.quote(str(path)) for path in (sys.executable, BIN / "hfbertcls"))
SAY = "import sys; sys.argv[:1] = [sys.argv[1]]; from hfbertcls.commands import command; print(command('verify', 'my model'))"


def printed(started: str, path: str, cwd: Path) -> str:
    """The command that a program prints which was started as `started`."""
    words = [sys.executable, "-c", SAY, started]
    environment = os.environ | {"PATH": path}
    return subprocess.run(words, capture_output=True, text=True, check=True, cwd=cwd, env=environment).stdout.strip()


def test_the_program_is_named_as_it_was_started(tmp_path):
    script = BIN / "hfbertcls"
    (tmp_path / "an env").mkdir()
    (tmp_path / "an env" / "hfbertcls").symlink_to(script)
    assert printed(str(script), f"{BIN}:/usr/bin:/bin", tmp_path) == "hfbertcls verify 'my model'"
    assert printed(str(script), "/usr/bin:/bin", tmp_path) == f"{SCRIPT} verify 'my model'"
    assert printed("an env/hfbertcls", "/usr/bin:/bin", tmp_path) == "'an env/hfbertcls' verify 'my model'"
    assert printed(str(tmp_path / "an env" / "hfbertcls"), "/bin", tmp_path) == "'an env/hfbertcls' verify 'my model'"
    assert printed("/x/hfbertcls/__main__.py", "/bin", tmp_path) == f"{PYTHON} -m hfbertcls verify 'my model'"
    assert printed("a_script_of_mine.py", "/bin", tmp_path) == f"{SCRIPT} verify 'my model'"


def test_another_program_of_the_same_name_on_the_path_is_not_taken_for_ours(tmp_path):
    other = tmp_path / "hfbertcls"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    script = BIN / "hfbertcls"
    assert printed(str(script), f"{tmp_path}:{BIN}", tmp_path) == f"{SCRIPT} verify 'my model'"


def test_a_path_is_shown_as_one_would_type_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b") == "a/b"
    assert shown("/somewhere/else") == "/somewhere/else"
    assert pip_install("hfbertcls[demo]").endswith("-m pip install 'hfbertcls[demo]'")
    assert command("push", Path("o/mini"), "me/mini").endswith(" push o/mini me/mini")


@pytest.fixture
def paste(tmp_path, monkeypatch):
    """Runs a line in a shell that knows none of our programs by name, in a folder of the user's."""
    monkeypatch.chdir(tmp_path)
    path = ":".join(part for part in os.environ["PATH"].split(":") if not os.access(Path(part) / "hfbertcls", os.F_OK))

    def run(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, check=False, env=os.environ | {"PATH": path}
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout

    return run


def lines_with(verb: str, text: str) -> list[str]:
    """The printed commands of a verb, from where the program is named."""
    printed = re.compile(rf"hfbertcls'? {verb} ")
    found = [line.partition(": ")[2] or line for line in text.splitlines() if printed.search(line)]
    assert found, text
    return [line.strip() for line in found]


def test_what_train_and_push_print_runs(hub, paste, tiny_model_dir, reviews_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    train = f"{SCRIPT} train --model {tiny_model_dir} --dataset {reviews_dir} --max-steps 2 --output-dir 'o/my model'"
    text = paste(train)
    (Path.cwd() / "OTHER_TEXTS.csv").symlink_to(reviews_dir / "test.csv")
    assert "OTHER_TEXTS.csv stands for" in text
    assert "Accuracy" in paste(lines_with("evaluate", text)[0])
    pushed = paste(lines_with("push", text)[0].replace("USER/NAME", "alice/films"))
    paste(lines_with("verify", pushed)[0])
    (call,) = [line for line in pushed.splitlines() if line.startswith("Use it in Python: ")]
    assert "score" in paste(f"{PYTHON} -W ignore - <<'END'\n{call.removeprefix('Use it in Python: ')}\nEND")
    assert "The Space: " in paste(f"{lines_with('space', pushed)[0]} --no-wait")


def test_what_is_printed_after_a_push_to_a_branch_reads_that_branch(hub, paste, model_dir, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    from hfbertcls.cli import main

    assert main(["push", str(model_dir), "alice/films", "--hub-revision", "next"]) == 0
    text = capsys.readouterr().out
    assert "hfbertcls space" not in text  # (a Space reads the main branch)
    (call,) = [line for line in text.splitlines() if line.startswith("Use it in Python: ")]
    assert "score" in paste(f"{PYTHON} -W ignore - <<'END'\n{call.removeprefix('Use it in Python: ')}\nEND")
    assert ', revision="next", truncation=True)' in (model_dir / "README.md").read_text()
    assert main(["verify", str(model_dir)]) == 0
    assert main(["push", str(model_dir), "alice/films"]) == 0
    assert "revision=" not in (model_dir / "README.md").read_text()


def test_what_the_quickstart_prints_runs(paste, model_dir, tiny_model_dir, reviews_dir):
    from hfbertcls.cli.quickstart import next_steps

    text = next_steps(str(model_dir), tiny_model_dir)
    (Path.cwd() / "reviews.csv").symlink_to(reviews_dir / "train.csv")
    paste(lines_with("verify", text)[0])
    paste(f"{lines_with('train', text)[0]} --max-steps 2")
    for word in ("reviews.csv", "USER/NAME"):
        assert f"{word} stands for" in text


def test_what_the_doctor_prints_runs_with_the_options_that_it_was_given(paste, tiny_model_dir, reviews_dir):
    (Path.cwd() / "text").symlink_to(reviews_dir)
    doctor = f"{SCRIPT} doctor text --page=p.html --text-column text --labels negative positive --seed 3 --model {tiny_model_dir}"
    (train,) = lines_with("train", paste(doctor))
    assert f"train --model {tiny_model_dir} --dataset text --text-column text --labels negative positive" in train
    assert "--seed 3" in train
    assert "--page" not in train
    assert "Accuracy" in paste(f"{train} --max-steps 2")
