"""Small votes for the tests of preference routers: made here, nothing is read."""

import numpy as np

from mar.controllers.gmt.records import Conversation, Exchange, Group

MODELS = ("m0", "m1", "m2")


def group(user, question, models=("m0", "m1"), ratings=((1.0, 0.0),), queries=None):
    """A group: ratings[turn] holds a rating per model."""
    asked = queries or tuple(f"{question}, turn {t}" for t in range(len(ratings)))
    return Group(
        tuple(
            Conversation(
                question_id=question,
                turn=len(ratings),
                judge=user,
                model=model,
                conversation=tuple(Exchange(query=q, rating=r[i]) for q, r in zip(asked, ratings, strict=True)),
            )
            for i, model in enumerate(models)
        )
    )


def opposite_users(users=12, each=30, seed=0, turns=1):
    """Half of the users prefer m0, half m2, nine times out of ten; everybody is asked about other questions."""
    rng = np.random.default_rng(seed)
    groups = []
    for u in range(users):
        taste = np.array([1.0, 0.0, -1.0]) * (1 if u % 2 else -1)
        for n in range(each):
            pair = rng.choice(3, 2, replace=False)
            rows = []
            for _ in range(turns):
                a = float((taste[pair[0]] > taste[pair[1]]) == (rng.random() < 0.9))
                rows.append((a, 1 - a))
            groups.append(group(f"u{u:02d}", f"q{u}-{n}", tuple(MODELS[i] for i in pair), tuple(rows)))
    return groups
