import pytest
from filelock import FileLock

from hfbertcls import OutputDirectoryError
from hfbertcls.repository.output_directory import OutputDirectory


def test_two_runs_exclude_each_other(tmp_path):
    message = "another run is writing to 'model'"
    first, second = OutputDirectory(tmp_path / "model"), OutputDirectory(tmp_path / "model")
    with first.claimed(), pytest.raises(OutputDirectoryError, match=message), second.claimed():
        pass


def test_a_stale_lock_file_does_not_block(tmp_path):
    (tmp_path / "model").mkdir()
    lock = FileLock(tmp_path / "model" / ".hfbertcls.lock")
    lock.acquire()
    lock.release()
    with OutputDirectory(tmp_path / "model").claimed():
        assert (tmp_path / "model").is_dir()


def test_a_run_that_writes_nothing_leaves_nothing(tmp_path):
    with OutputDirectory(tmp_path / "model").claimed():
        pass
    assert not (tmp_path / "model").exists()


def test_weights_move_last(tmp_path, monkeypatch):
    directory = OutputDirectory(tmp_path)
    directory.staging.mkdir()
    for name in ("model.safetensors", "README.md", "config.json", "zz.json"):
        (directory.staging / name).write_text(name)
    moved = []
    kind = type(tmp_path)
    replace = kind.replace
    monkeypatch.setattr(kind, "replace", lambda path, target: (moved.append(path.name), replace(path, target))[1])
    directory.publish()
    assert moved[-1] == "model.safetensors"
    assert sorted(moved) == ["README.md", "config.json", "model.safetensors", "zz.json"]
    assert not directory.staging.exists()


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(OutputDirectoryError, match="--output-dir model is a file. Name a directory"):
        OutputDirectory(tmp_path / "model").check(overwrite=True)
