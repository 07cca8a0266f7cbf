"""A run removes the unchanged files of an earlier run, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from hfbertcls import OutputDirectoryError
from hfbertcls.cli import main
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.verify import verify_directory
from hfbertcls.training.checkpoint_files import remove_checkpoint, write_manifest


THEIRS = {
    "README.md": "# My project",
    "config.json": '{"mine": true}',
    "report.json": '{"schema_version": 7}',
    "model.safetensors": "mine",
    "metrics.jsonl": "mine",
    "training_args.json": "{}",
    "plots/mine.png": "mine",
    "predictions/test.parquet": "mine",
    "checkpoints/checkpoint-5/model.safetensors": "mine",
    "checkpoints/run.json": "{}",
    "seeds/seed-1/notes.txt": "mine",
    "learning-curve/notes.txt": "mine",
    "onnx/model.onnx": "mine",
    "export.json": "{}",
}


def write(folder: Path, files: dict) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def contents(folder: Path) -> dict:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture
def training(tiny_model_dir, reviews_dir):
    words = ["--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--max-steps", "2", "--eval-every", "no"]
    return lambda directory, *more: main(["train", *words, "--output-dir", str(directory), *more])


@pytest.mark.parametrize("name", [*THEIRS, "all of them"])
@pytest.mark.parametrize("more", [["--overwrite"], ["--overwrite", "--seeds", "2"], ["--resume"]], ids=" ".join)
def test_a_folder_of_somebody_else_is_rejected_and_left_as_it_is(training, tmp_path, name, more, capsys):
    write(tmp_path / "work", THEIRS if name == "all of them" else {name: THEIRS[name]})
    before = contents(tmp_path / "work")
    assert training(tmp_path / "work", *more) == 1
    assert "no run of hfbertcls wrote the directory 'work'" in capsys.readouterr().err
    assert contents(tmp_path / "work") == before


def other_verbs(model, data, folder):
    words = ["--dataset", str(data), "--output-dir", str(folder)]
    yield ["evaluate", str(model), *words]
    yield ["compare", str(model), str(model), *words]
    yield ["export", str(model), "--output-dir", str(folder)]
    yield ["export", str(model), "--output-dir", str(folder), "--overwrite"]
    yield ["space", str(model), "--dry-run", str(folder)]
    yield ["quickstart", "--output-dir", str(folder), "--overwrite"]


@pytest.mark.parametrize("verb", range(6))
def test_no_other_verb_touches_a_folder_of_somebody_else(finished_run, reviews_dir, tmp_path, verb, capsys):
    write(tmp_path / "work", THEIRS)
    before = contents(tmp_path / "work")
    words = list(other_verbs(finished_run, reviews_dir, tmp_path / "work"))[verb]
    assert main(words) == 1, words
    assert "work" in capsys.readouterr().err
    assert contents(tmp_path / "work") == before


ADDED = {
    "thesis.docx": "mine",
    "plots/mine.png": "mine",
    "predictions/mine.parquet": "mine",
    "onnx/mine.onnx": "mine",
    "checkpoints/notes.txt": "mine",
    "seeds/notes.txt": "mine",
    "vocab.txt": "mine",
}


def test_overwriting_removes_exactly_what_the_earlier_run_wrote(training, tmp_path):
    assert training(tmp_path / "m", "--eval-every", "1") == 0
    wrote = set(contents(tmp_path / "m"))
    assert "checkpoints/checkpoint-2/model.safetensors" in wrote
    write(tmp_path / "m", ADDED)
    (tmp_path / "m" / "checkpoints" / "checkpoint-2" / "mine.txt").write_text("mine")
    OutputDirectory(tmp_path / "m").clear()
    kept = {**ADDED, "checkpoints/checkpoint-2.kept/mine.txt": "mine"}
    assert {name: text.decode() for name, text in contents(tmp_path / "m").items()} == kept


def test_overwriting_gives_a_complete_model_beside_what_people_added(training, tmp_path, capsys):
    assert training(tmp_path / "m") == 0
    card = (tmp_path / "m" / "README.md").read_text()
    (tmp_path / "m" / "README.md").write_text(card + "\nMy own words.\n")
    (tmp_path / "m" / "plots" / "reliability.png").write_bytes(b"drawn by me")
    write(tmp_path / "m", ADDED)
    assert training(tmp_path / "m", "--overwrite", "--seed", "3") == 0
    assert "plots/reliability.png was changed since the run wrote it; it is kept as plots/reliability.png.kept" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "m" / "plots" / "reliability.png.kept").read_bytes() == b"drawn by me"
    assert "My own words." in (tmp_path / "m" / "README.md").read_text()
    for name, text in ADDED.items():
        assert (tmp_path / "m" / name).read_text() == text
    differences = verify_directory(tmp_path / "m").differences
    assert [line.split(":")[0] for line in differences] == ["vocab.txt"]  # (a file that tokenizers read)


def test_a_report_that_people_edited_is_kept(training, tmp_path, capsys):
    assert training(tmp_path / "m") == 0
    path = tmp_path / "m" / "report.json"
    edited = path.read_text().replace('"command"', '"command" ')
    path.write_text(edited)
    assert training(tmp_path / "m", "--overwrite") == 0
    assert (tmp_path / "m" / "report.json.kept").read_text() == edited
    assert verify_directory(tmp_path / "m").holds


@pytest.mark.parametrize("text", [b"<!-- hfbertcls:begin", b"---\na: [\n---\nMine", b"\xff\xfe\x00"])
def test_a_card_that_cannot_be_joined_is_kept_beside_the_new_one(training, tmp_path, text, capsys):
    assert training(tmp_path / "m") == 0
    (tmp_path / "m" / "README.md").write_bytes(text)
    assert training(tmp_path / "m", "--overwrite") == 0
    assert (tmp_path / "m" / "README.md.kept").read_bytes() == text
    assert verify_directory(tmp_path / "m").holds


def test_no_link_is_followed_when_files_are_removed(training, tmp_path):
    assert training(tmp_path / "m") == 0
    for name in ("plots", "predictions"):
        (tmp_path / "m" / name).rename(tmp_path / name)
        (tmp_path / "m" / name).symlink_to(tmp_path / name)
    (tmp_path / "config.json").write_bytes((tmp_path / "m" / "config.json").read_bytes())
    (tmp_path / "m" / "config.json").unlink()
    (tmp_path / "m" / "config.json").symlink_to(tmp_path / "config.json")
    before = [contents(tmp_path / name) for name in ("plots", "predictions")]
    assert training(tmp_path / "m", "--overwrite") == 0
    assert [contents(tmp_path / name) for name in ("plots", "predictions")] == before
    assert (tmp_path / "config.json").is_file()
    assert not (tmp_path / "m" / "config.json").is_symlink()
    assert not (tmp_path / "m" / "plots").is_symlink()
    assert verify_directory(tmp_path / "m").holds


def test_files_that_appear_during_a_run_are_kept(training, tmp_path, monkeypatch, capsys):
    from hfbertcls.workflows import train as run

    finish = run.finish

    def meanwhile(run_result, directory, *others):
        write(directory.path, {"config.json": "mine", "README.md": "My words.", "plots": "mine"})
        return finish(run_result, directory, *others)

    monkeypatch.setattr(run, "finish", meanwhile)
    assert training(tmp_path / "m") == 0
    assert (tmp_path / "m" / "config.json.kept").read_text() == "mine"
    assert (tmp_path / "m" / "plots.kept").read_text() == "mine"
    assert "My words." in (tmp_path / "m" / "README.md").read_text()
    assert "config.json was changed since the run wrote it; it is kept as config.json.kept" in capsys.readouterr().err
    assert verify_directory(tmp_path / "m").holds


@pytest.mark.parametrize("more", [[], ["--seeds", "2"]], ids=["one run", "seeds"])
def test_data_that_are_rejected_leave_the_earlier_model(training, tmp_path, capsys, more):
    assert training(tmp_path / "m") == 0
    before = contents(tmp_path / "m")
    write(tmp_path / "bad", {"too-few.csv": "text,label\na,x\nb,x\n"})
    leaked = "text,label\n" + "".join(f"{word} {number},{word}\n" for number in range(40) for word in ("good", "bad"))
    write(tmp_path / "leak", {"train.csv": leaked, "validation.csv": leaked, "test.csv": leaked})
    for bad, why in (("bad/too-few.csv", "label"), ("leak", "are in train too")):
        assert training(tmp_path / "m", "--overwrite", "--dataset", str(tmp_path / bad), *more) == 1
        assert why in capsys.readouterr().err
    assert contents(tmp_path / "m") == before


def test_a_checkpoint_that_no_run_of_ours_wrote_is_never_removed(tmp_path):
    write(tmp_path / "checkpoint-4", {"model.safetensors": "mine"})
    assert remove_checkpoint(tmp_path / "checkpoint-4") is False
    assert contents(tmp_path) == {"checkpoint-4/model.safetensors": b"mine"}


def test_a_checkpoint_is_removed_by_its_manifest(tmp_path):
    folder = tmp_path / "checkpoint-4"
    write(folder, {"model.safetensors": "ours", "inner/state.bin": "ours"})
    write_manifest(folder)
    assert json.loads((folder / "files.json").read_text()) == {"inner/state.bin": 4, "model.safetensors": 4}
    copied = tmp_path / "checkpoint-8"
    shutil.copytree(folder, copied)
    (copied / "model.safetensors").write_text("changed by me")
    assert remove_checkpoint(folder) is True
    assert remove_checkpoint(copied) is True
    assert contents(tmp_path) == {"checkpoint-8.kept/model.safetensors": b"changed by me"}


def test_an_export_of_ours_is_replaced_and_one_of_others_is_not(model_dir, tmp_path):
    pytest.importorskip("onnxscript")
    from hfbertcls import export_onnx

    export_onnx(str(model_dir), tmp_path / "onnx-model", int8=True)
    write(tmp_path / "onnx-model", {"notes.txt": "mine"})
    export_onnx(str(model_dir), tmp_path / "onnx-model", overwrite=True)
    assert not (tmp_path / "onnx-model" / "onnx" / "model_quantized.onnx").exists()
    assert (tmp_path / "onnx-model" / "notes.txt").read_text() == "mine"
    write(model_dir, {"onnx/model.onnx": "mine"})
    with pytest.raises(
        OutputDirectoryError, match=r"no export of hfbertcls wrote 'onnx/model\.onnx' of 'film-reviews'"
    ):
        export_onnx(str(model_dir), overwrite=True)
    assert (model_dir / "onnx" / "model.onnx").read_text() == "mine"
    with pytest.raises(OutputDirectoryError, match="'film-reviews' holds another model"):
        export_onnx(str(tmp_path / "onnx-model"), model_dir, overwrite=True)
