"""Controllers that are registered, or named by their place."""

import pytest

import mar
from mar.controllers.cards import Cards
from mar.controllers.registry import CONTROLLERS, named_controller
from mar.errors import CheckpointError, ConfigError

OWN = """
class Own:
    name = "own"
    def __init__(self, width=1):
        self.width = width
    def plan(self, queries, space):
        return []
class Half:
    name = "half"
"""


@pytest.fixture
def place(tmp_path, registries):
    (tmp_path / "own_controller.py").write_text(OWN)
    return f"{tmp_path}/own_controller.py"


def test_a_class_is_made_with_the_parameters_given(place):
    assert mar.load_controller(f"{place}:Own").width == 1
    assert mar.load_controller(f"{place}:Own(width=3)").width == 3


def test_a_registered_controller_has_a_name(place):
    CONTROLLERS.register("own", f"{place}:Own")
    assert mar.load_controller("own(width=2)").width == 2
    assert isinstance(mar.load_controller("cards"), Cards)


def test_other_names_are_left_to_the_packaged_checkpoints():
    assert named_controller("mbpp") is None
    with pytest.raises(CheckpointError, match="no controller 'nosuch'"):
        mar.load_controller("nosuch")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("Half", r"Half has no plan; expected a class or function that makes a controller \(name, plan\)$"),
        ("Own(height=2)", "unexpected keyword argument 'height'"),
        ("Missing", "has no 'Missing'"),
        ("Own(2)", "expected a name, or name"),
    ],
)
def test_what_is_no_controller_is_refused_in_one_line(place, wanted, message):
    with pytest.raises(ConfigError, match=message):
        mar.load_controller(f"{place}:{wanted}")
