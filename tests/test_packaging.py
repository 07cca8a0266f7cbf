"""The wheel: exactly these files, and it works where nothing else of the checkout is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hfbertcls.resources import resource_dir


ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob("*.whl"))


def expected_files() -> set[str]:
    """The package as git knows it, and the resource folders inside it."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = set()
    for name in listed.stdout.splitlines():
        if not (ROOT / name).exists():
            continue
        if name.startswith("hfbertcls/"):
            files.add(name)
        elif name.startswith(("model_card_templates/", "spaces/")):
            files.add(f"hfbertcls/{name}")
    return files


def test_the_wheel_has_exactly_the_files_of_the_package(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected_files()


def test_the_wheel_works_in_a_clean_environment(wheel, tmp_path):
    """The heavy dependencies are borrowed from this environment; the package itself comes from the wheel alone."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    site = subprocess.run(
        [str(python), "-c", "import site; print(site.getsitepackages()[0])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # `.pth` paths come after the environment's own, and its finders of editable packages are not followed.
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    here = Path(pytest.__file__).resolve().parent.parent
    for entry in here.iterdir():
        if "hfbertcls" not in entry.name and not entry.name.endswith(".pth"):
            (borrowed / entry.name).symlink_to(entry)
    (Path(site) / "borrowed.pth").write_text(str(borrowed))

    for script in ("hfbertcls", "hf-bertcls"):
        done = subprocess.run(
            [str(environment / "bin" / script), "--help"], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        assert "quickstart" in done.stdout
    report = ROOT / "tests" / "repository" / "report.json"
    code = (
        "import sys, hfbertcls; from pathlib import Path; from hfbertcls import Report; "
        "from hfbertcls.repository.card import render_model_card; "
        "assert 'site-packages' in hfbertcls.__file__, hfbertcls.__file__; "
        "print(render_model_card(Report.from_json(Path(sys.argv[1]).read_text())))"
    )
    done = subprocess.run(
        [str(python), "-c", code, str(report)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.startswith("---\n")
    assert "## Results" in done.stdout
    code = "from hfbertcls.hub.space.render import SpaceFacts, render_space; print(*sorted(render_space(SpaceFacts('m'))))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert {"app.py", "README.md", "requirements.txt"} < set(done.stdout.split())


def test_the_checkout_finds_its_templates():
    assert (resource_dir("model_card_templates") / "text-classification.md.jinja").is_file()
    assert (resource_dir("spaces") / "text-classification" / "app.py").is_file()


def test_a_missing_folder_says_reinstall():
    with pytest.raises(FileNotFoundError, match="'no_such_folder'.*reinstall hfbertcls"):
        resource_dir("no_such_folder")
