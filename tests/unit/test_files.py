"""Who may enter a folder that is made."""

from __future__ import annotations

import stat
from pathlib import Path

from hqgnet.files import make_folder
from tests.other_user import usual_umask


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_folder_is_its_owners_alone_and_others_are_the_umasks(tmp_path: Path) -> None:
    with usual_umask():
        make_folder(tmp_path / "usual")
        make_folder(tmp_path / "above/private", mode=0o700)
    assert permissions(tmp_path / "usual") == permissions(tmp_path / "above") == 0o755
    assert permissions(tmp_path / "above/private") == 0o700


def test_a_folder_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    make_folder(tmp_path, mode=0o700)
    assert permissions(tmp_path) == 0o750
