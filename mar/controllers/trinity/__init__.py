"""Turn by turn a small head picks a model and a role: thinker, worker or verifier (after TRINITY, arXiv 2512.04695).

`head` is what picks, `policy` plays an episode by it, `controller` makes policies; `mar.learning.trinity` evolves it.
"""

from mar.controllers.trinity.controller import Trinity
from mar.controllers.trinity.head import CONVERSATION, PARTS, Head, Part
from mar.controllers.trinity.policy import TURNS, TrinityPolicy

__all__ = ["CONVERSATION", "PARTS", "TURNS", "Head", "Part", "Trinity", "TrinityPolicy"]
