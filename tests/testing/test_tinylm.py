import json
import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mar.errors import ConfigError
from mar.learning.generated.blocks import read_blocks
from mar.testing.tinylm import (
    ASSISTANT,
    END,
    IGNORED,
    TINY_MODELS,
    _folder,
    _loss,
    answer,
    load_network,
    make_batch,
    measure,
    prompt_tokens,
    skills,
    tokenizer,
    train,
    write_checkpoint,
)
from mar.testing.tinypool import QUIZZERS, SPECIALISTS, WRITER, tiny_card, tiny_prompts
from mar.testing.tinyquiz import SUBJECTS, WRITTEN, draw_question, truth, writing_prompt, written
from mar.testing.tinyskills import SKILLS, MixedSkills, draw, split_of

NAMES = tuple(TINY_MODELS)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_weights_are_of_the_settings_in_the_code(name):
    card = json.loads((_folder() / f"{name}.json").read_text())
    assert card["settings"] == TINY_MODELS[name].digest


def test_the_packaged_weights_are_small():
    folder = _folder()
    assert sum((folder / f"{name}.safetensors").stat().st_size for name in NAMES) < 5_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_skills_are_those_of_the_stored_weights(name):
    # The stored shares are over 100 questions (20 that are written), these over the first of the same: four standard
    # errors apart at most.
    model = TINY_MODELS[name]
    count = 4 if model.writes else 10
    found = measure(model, load_network(name), questions=5 * count if model.writes else count)
    for skill, share in skills(name).items():
        assert abs(found[skill] - share) <= 4 * (max(0.05, share * (1 - share)) / count) ** 0.5


def test_the_specialists_can_do_what_the_others_cannot():
    for skill in SKILLS:
        able = {name for name in SPECIALISTS if skills(name)[skill] >= 0.9}
        unable = {name for name in SPECIALISTS if skills(name)[skill] <= 0.1}
        assert len(able) == 1
        assert len(unable) == 2


def test_quiz_models_know_one_of_the_subjects_that_are_written_about():
    for subject in WRITTEN:
        shares = sorted(skills(name)[subject] for name in QUIZZERS if name != WRITER)
        assert shares[0] <= 0.4
        assert shares[1] >= 0.9
        assert skills(WRITER)[subject] >= 0.5


def test_a_skill_survives_what_other_agents_said():
    network = load_network("tiny-adder")
    peers = "\n".join(["Lima", "zyx", "108", "Santiago", "qq 7"])
    assert [answer(network, "Decide.", f"{peers}\nWhat is {a}+{b}?") for a, b in ((20, 30), (41, 17))] == ["50", "58"]


def test_a_checkpoint_is_in_the_standard_format(tmp_path):
    folder = write_checkpoint("tiny-atlas", tmp_path / "atlas")
    model, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "system", "content": "Solve it."}, {"role": "user", "content": "Capital of Peru?"}]
    text = words.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert words(text)["input_ids"] == prompt_tokens("Solve it.", "Capital of Peru?")
    made = model.generate(torch.tensor([prompt_tokens("Solve it.", "Capital of Peru?")]), max_new_tokens=8)
    assert words.decode(made[0], skip_special_tokens=True).endswith("Lima")


def test_any_text_comes_back_from_its_tokens():
    text = "Ünïcode, 混ぜる, \n\t and <tags>"
    assert tokenizer().decode(tokenizer().encode(text).ids) == text


def test_only_the_answer_is_learned():
    batch = make_batch(TINY_MODELS["tiny-adder"], random.Random(0), 8)
    for tokens, labels in zip(batch.tokens.tolist(), batch.labels.tolist(), strict=True):
        begin = tokens.index(ASSISTANT) + 1
        assert labels[:begin] == [IGNORED] * begin
        learned = [label for label in labels if label != IGNORED]
        assert learned == tokens[begin : begin + len(learned)]
        assert learned[-1] == END


def test_training_learns_and_repeats_itself():
    small = replace(TINY_MODELS["tiny-atlas"], layers=1, hidden=64, heads=2, kv_heads=1, steps=12, batch=16)
    first, second = train(small), train(small)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    untrained = train(replace(small, steps=0))
    batch = make_batch(small, random.Random(1), 32)
    losses = [_loss(network, batch).item() for network in (untrained, first)]
    assert losses[1] < losses[0] - 0.5


def test_questions_of_the_splits_differ():
    rng = random.Random(0)
    drawn = {s: {draw("add", s, rng).question for _ in range(300)} for s in ("train", "validation", "test")}
    assert not drawn["train"] & drawn["test"]
    assert not drawn["validation"] & drawn["test"]
    assert {split_of(q) for q in drawn["test"]} == {"test"}


@pytest.mark.parametrize("skill", SKILLS)
def test_answers_are_right(skill):
    rng = random.Random(1)
    for _ in range(50):
        item = draw(skill, "test", rng)
        words = item.question.rstrip("?.").split()
        if skill == "add":
            assert int(item.answer) == sum(map(int, words[-1].split("+")))
        if skill in ("copy", "reverse"):
            assert item.answer == (words[1] if skill == "copy" else words[1][::-1])


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_quiz_question_has_one_right_option_and_is_written_in_the_form(subject):
    rng = random.Random(2)
    for _ in range(50):
        question = draw_question(subject, rng)
        assert truth(question.question) == question.options[question.answer_index]
        assert len(set(question.options)) == 4
        (said,), malformed = read_blocks(written(question))
        assert (said["QUESTION"], said[said["ANSWER"]], malformed) == (
            question.question,
            question.options[question.answer_index],
            0,
        )
    assert truth("Why?") is None
    assert subject in writing_prompt(subject, short=True)
    assert len(writing_prompt(subject, short=True)) < len(writing_prompt(subject)) / 2


def test_a_mixed_task_has_equal_shares_and_repeats_itself():
    task = MixedSkills(sizes={"train": 40, "validation": 8, "test": 16}, seed=3)
    assert [i.skill for i in task.items("test")].count("fact") == 4
    assert MixedSkills(sizes={"train": 40, "validation": 8, "test": 16}, seed=3).items("train") == task.items("train")


def test_controllers_read_the_measured_skills():
    assert "adds numbers (" in tiny_card("tiny-adder").description
    assert "capitals" not in tiny_card("tiny-adder").description


def test_prompts_are_short_enough_for_six_agents():
    roles = [r for domain in tiny_prompts().roles.values() for r in domain.values()]
    assert max(len(r.system) for r in roles) <= 40


def test_an_unknown_model_is_refused():
    with pytest.raises(ConfigError, match="no tiny model 'x'; there are tiny-adder"):
        write_checkpoint("x")
