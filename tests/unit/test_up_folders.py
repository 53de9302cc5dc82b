"""Folders of runs: the newest stay, one in use stays however old it is, and a link names the latest."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cli.folders import KEPT_RUNS, LATEST, NoFolder, RunFolder


def name_of(number: int) -> str:
    return f"20260317-0830{number:02d}-{number}"


def names(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.iterdir() if path.is_dir() and not path.is_symlink())


def test_the_newest_folders_stay_and_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    for other in ("backtest", "stream", "up-and-away"):
        (tmp_path / other).mkdir()
    for number in range(8):
        with closing(RunFolder(name_of(number), tmp_path)) as folder:
            (folder.path / "sub").mkdir()
            (folder.path / "sub" / "log").write_text("much")
    kept = [f"up-{name_of(number)}" for number in range(8 - KEPT_RUNS, 8)]
    assert names(tmp_path) == sorted([*kept, "backtest", "stream", "up-and-away"])
    assert (tmp_path / LATEST).readlink() == Path(kept[-1])


def test_a_folder_in_use_stays_until_its_run_has_ended(tmp_path: Path) -> None:
    oldest = RunFolder(name_of(0), tmp_path)
    for number in range(1, 8):
        RunFolder(name_of(number), tmp_path).close()
    assert oldest.path.is_dir()
    oldest.close()
    RunFolder(name_of(8), tmp_path).close()
    assert not oldest.path.exists()
    assert len(names(tmp_path)) == KEPT_RUNS


def test_the_folder_of_a_run_before_there_were_locks_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / f"up-{name_of(0)}").mkdir(parents=True)
    for number in range(1, 1 + KEPT_RUNS):
        RunFolder(name_of(number), tmp_path).close()
    assert f"up-{name_of(0)}" not in names(tmp_path)


def test_where_none_can_be_made_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NoFolder, match="start it in a folder in which you may write"):
        RunFolder(name_of(0), tmp_path / "file")
