"""Made-up answers with known truth: what label-free learning is tested on."""

import numpy as np

from mar.controllers.cascal import ABSTAINED, Responses


def responses(choices, *, options=4, models=None, logprobs=None):
    """Responses from a table of choices."""
    table = np.array(choices, dtype=np.int8)
    names = models or tuple("abcdefghij"[: table.shape[1]])
    return Responses(
        questions=tuple(f"q{i}" for i in range(len(table))),
        models=tuple(names),
        options=np.full(len(table), options),
        choices=table,
        logprobs=None if logprobs is None else np.array(logprobs, dtype=float),
    )


def crowd(accuracies, families, *, questions=1500, copying=0.5, options=8, seed=0):
    """Answers of models that copy a common draw of their family, and the truth.

    Each family's draw is right with its members' mean accuracy; a member takes it over with probability `copying`.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, options, questions)

    def draw(accuracy):
        wrong = (truth + rng.integers(1, options, questions)) % options
        return np.where(rng.random(questions) < accuracy, truth, wrong)

    accuracies, families = np.asarray(accuracies), np.asarray(families)
    common = {f: draw(accuracies[families == f].mean()) for f in sorted(set(families))}
    columns = []
    for accuracy, family in zip(accuracies, families, strict=True):
        alone = (families == family).sum() == 1
        taken = np.zeros(questions, bool) if alone else rng.random(questions) < copying
        columns.append(np.where(taken, common[family], draw(accuracy)))
    return responses(np.column_stack(columns), options=options), truth


def silent(answers, share, *, seed=0):
    """The same with a share of abstentions."""
    rng = np.random.default_rng(seed)
    table = np.where(rng.random(answers.choices.shape) < share, ABSTAINED, answers.choices)
    return responses(table, options=int(answers.options[0]), models=answers.models)
