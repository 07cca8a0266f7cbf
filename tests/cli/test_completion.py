"""The script that completes commands and options, used by a real bash."""

import shutil
import subprocess

import pytest

from hfbertcls.cli import main


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["hfbertcls", "ver"], ["verify"]),
        (["hfbertcls", "train", "--learning-"], ["--learning-rate", "--learning-curve"]),
        (["hfbertcls", "completion", "z"], ["zsh"]),
    ],
)
def test_bash_completes(words, expected, tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    ask = (
        f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        f"_shtab_hfbertcls hfbertcls {words[-1]} {words[-2]}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(expected)


def test_zsh_has_a_script(capsys):
    assert main(["completion", "zsh"]) == 0
    assert "--learning-rate" in capsys.readouterr().out


def test_another_shell_is_refused(capsys):
    assert main(["completion", "ksh"]) == 2
    assert "bash" in capsys.readouterr().err
