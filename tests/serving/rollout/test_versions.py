"""What a version of a controller is called, and what may not be one."""

from importlib import resources
from pathlib import Path

import pytest

from mar.errors import ConfigError
from mar.serving.rollout.versions import Version, versions_of
from mar.serving.settings import Settings

PACKAGED = Path(str(resources.files("mar.controllers").joinpath("checkpoints", "gmt.safetensors")))


def test_a_version_is_called_by_its_bytes_and_price_wherever_its_file_lies(tmp_path):
    copy = tmp_path / "other.safetensors"
    copy.write_bytes(PACKAGED.read_bytes())
    first, second, priced = Version.of(str(PACKAGED)), Version.of(str(copy)), Version.of(str(copy), 5.0)
    assert first.id == second.id != priced.id
    assert (first.label, second.label) == ("gmt.safetensors", "other.safetensors")
    told = versions_of(Settings(router=str(copy)), "mar")
    assert told == {"mar": first.id}


def test_its_file_is_made_again_from_its_bytes(monkeypatch, tmp_path):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path))
    version = Version.of(str(PACKAGED))
    path = Path(version.settings.router)
    assert path.read_bytes() == PACKAGED.read_bytes()
    path.write_bytes(b"something else")
    assert Path(version.settings.router).read_bytes() == PACKAGED.read_bytes()


def test_weights_that_are_not_what_the_name_says_are_refused():
    with pytest.raises(ConfigError, match="not what its name says"):
        _ = Version(id="0" * 16, label="x", weights=b"abc").settings


@pytest.mark.parametrize(
    ("router", "said"),
    [
        ("os:system", "code is not taken from a store"),
        ("nobody", "expected a checkpoint file, or the name of a controller"),
    ],
)
def test_a_name_that_is_no_controller_or_would_import_code_is_refused(router, said):
    with pytest.raises(ConfigError, match=said):
        Version.of(router)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(ConfigError, match="no checkpoint"):
        Version.of(str(path))
