import math
from pathlib import Path

import pytest
import torch

import mar
from mar.controllers import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.masrouter import (
    Choices,
    Fixes,
    MasRouter,
    NetworkSettings,
    PlanOptions,
    differences,
    load_router,
    save_router,
)
from mar.controllers.masrouter.vae import TextVAE
from mar.errors import CheckpointError, ConfigError
from mar.pool.cards import ModelCard
from mar.runtime import MODES, Mode
from mar.runtime.prompts import PromptLibrary, Role
from mar.types import Query

PROMPTS = PromptLibrary.load()
ENCODER = HashEncoder()


def cards(*names):
    return tuple(ModelCard(name=n, description=f"model {n}", price_in=1.0, price_out=2.0) for n in names)


def space(*, names=("a", "b", "c"), modes=("IO", "Chain", "Debate"), max_agents=3, prompts=PROMPTS):
    return PlanSpace(cards=cards(*names), prompts=prompts, modes=modes, max_agents=max_agents)


def router(*, fixes=None, max_agents=3, price_conditioned=True, seed=0, options=None):
    settings = NetworkSettings(max_agents=max_agents, price_conditioned=price_conditioned, fixes=fixes or Fixes())
    return MasRouter(settings, ENCODER, cost_rate=20.0, seed=seed, options=options)


def queries(n):
    return [Query(text=f"question {i}", id=f"q/{i}") for i in range(n)]


def forward(r, s, n, *, noise=None, **more):
    candidates, _ = r.candidates(s)
    inputs = r.embed([q.text for q in queries(n)])
    encoded = r.network.encode(candidates, noise)
    return r.network(inputs, encoded, price=torch.full((n,), 1.3), noise=noise, **more)


def test_plans_are_made_of_what_the_space_holds():
    r, s = router(), space()
    r.sampler = torch.Generator().manual_seed(0)
    for planned in r.plan(queries(40), s):
        plan = planned.plan
        roles = {role.name for role in s.roles(plan.domain)}
        assert plan.mode.name in s.modes
        assert 1 <= len(plan.agents) <= 3
        assert all(a.role in roles and a.model in {"a", "b", "c"} for a in plan.agents)
        assert planned.log_prob is not None
        assert planned.log_prob <= 0


@pytest.mark.parametrize("fixes", [Fixes(), Fixes.none(), Fixes(llm_per_agent=False), Fixes(trained_history=False)])
def test_a_drawn_plan_evaluated_again_has_the_log_probability_it_was_drawn_with(fixes):
    r, s = router(fixes=fixes), space()
    domain = torch.zeros(64, dtype=torch.long)
    drawn = forward(r, s, 64, domain=domain, generator=torch.Generator().manual_seed(1), noise=torch.Generator())
    again = forward(r, s, 64, given=drawn.choices, noise=torch.Generator())
    assert torch.allclose(drawn.log_prob, again.log_prob, atol=1e-5)
    assert torch.equal(drawn.choices.roles, again.choices.roles)


def test_the_probabilities_of_all_plans_sum_to_one():
    # 2 modes x (1 agent: R roles x 2 LLMs; 2 agents: R^2 x 4) with R = 7 roles for code = 2 x (14 + 196) = 420 plans.
    r, s = router(max_agents=2), space(names=("a", "b"), modes=("IO", "Chain"), max_agents=2)
    code = 2  # DOMAINS = Math, Commonsense, Code
    n_roles = len(s.roles("Code"))
    rows = [
        (mode, count, roles, llms)
        for mode in range(2)
        for count in (1, 2)
        for roles in (
            [(i, 0) for i in range(n_roles)] if count == 1 else [(i, j) for i in range(n_roles) for j in range(n_roles)]
        )
        for llms in ([(0, 0), (1, 0)] if count == 1 else [(i, j) for i in range(2) for j in range(2)])
    ]
    given = Choices(
        domain=torch.full((len(rows),), code),
        mode=torch.tensor([m for m, *_ in rows]),
        count=torch.tensor([c for _, c, *_ in rows]),
        roles=torch.tensor([list(x) for _, _, x, _ in rows]),
        llms=torch.tensor([list(x) for *_, x in rows]),
    )
    candidates, _ = r.candidates(s)
    inputs = r.embed(["one question"]).expand(len(rows), -1)
    output = r.network(inputs, r.network.encode(candidates), price=torch.full((len(rows),), 1.0), given=given)
    assert len(rows) == 420
    assert output.log_prob.exp().sum().item() == pytest.approx(1.0, abs=1e-4)


def test_the_number_of_agents_follows_one_plus_a_binomial():
    # With d = sigmoid(logit), P(count = 1) = (1 - d)^(max - 1); the head is forced to logit 0, d = 1/2: (1/2)^2 = 1/4.
    r, s = router(), space()
    torch.nn.init.zeros_(r.network.count_head.weight)
    torch.nn.init.zeros_(r.network.count_head.bias)
    for part in r.network.price:
        if isinstance(part, torch.nn.Linear):
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    n = 4000
    drawn = forward(r, s, n, generator=torch.Generator().manual_seed(0))
    share = (drawn.choices.count == 1).float().mean().item()
    assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / n))


def test_every_weight_is_trained_with_all_fixes_on():
    r, s = router(), space()
    drawn = forward(r, s, 32, generator=torch.Generator().manual_seed(0), noise=torch.Generator())
    candidates, _ = r.candidates(s)
    inputs, noise = r.embed([q.text for q in queries(32)]), torch.Generator()
    encoded = r.network.encode(candidates, noise)
    again = r.network(inputs, encoded, price=torch.full((32,), 1.3), given=drawn.choices, noise=noise)
    loss = again.log_prob.sum() + r.network.vae_loss(again, encoded, inputs) + again.entropy.sum()
    loss = loss + torch.nn.functional.cross_entropy(again.domain_logits, drawn.choices.domain)
    loss.backward()
    idle = [name for name, p in r.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_the_published_history_start_is_neither_trained_nor_saved():
    names = dict(router(fixes=Fixes.none()).network.named_parameters())
    assert "history_start" not in names
    assert "history_start" not in router(fixes=Fixes.none()).network.state_dict()
    assert "history_start" in dict(router().network.named_parameters())


def test_the_published_agent_count_has_no_log_probability_and_starts_at_three_of_six():
    r = router(fixes=Fixes.none(), max_agents=6)
    output = forward(r, space(max_agents=6), 50)
    assert set(output.choices.count.tolist()) == {3}  # sigmoid near 1/2, times 6


def test_the_entropy_is_that_of_the_distributions_drawn_from():
    # One mode, one LLM, one agent: only the role is uncertain; untrained, its entropy is close to log(7).
    r, s = router(max_agents=1), space(names=("a",), modes=("IO",), max_agents=1)
    output = forward(r, s, 8, domain=torch.full((8,), 2))
    assert 0 < output.entropy.max().item() <= math.log(len(s.roles("Code"))) + 1e-5


def test_learned_scales_can_become_confident_and_fixed_temperatures_cannot():
    def after_training_towards_one_plan(fixes):
        r, s = router(fixes=fixes, max_agents=1), space(max_agents=1)
        given = forward(r, s, 1, domain=torch.tensor([2])).choices
        optimizer = torch.optim.Adam(r.network.parameters(), lr=0.01)
        for _ in range(300):
            log_prob = forward(r, s, 1, given=given).log_prob.sum()
            optimizer.zero_grad()
            (-log_prob).backward()
            optimizer.step()
        return log_prob.exp().item()

    # Fixed: cosines in [-1, 1] over temperature 1 give one of 3 LLMs at most e / (e + 2/e) = .79 of probability.
    assert after_training_towards_one_plan(Fixes(learned_scale=False)) < 0.79
    assert after_training_towards_one_plan(Fixes()) > 0.95


def test_greedy_plans_are_the_same_twice_and_drawn_ones_follow_their_seed():
    r, s = router(), space()
    assert r.plan(queries(8), s) == r.plan(queries(8), s)
    r.sampler = torch.Generator().manual_seed(3)
    first = r.plan(queries(8), s)
    r.sampler = torch.Generator().manual_seed(3)
    assert r.plan(queries(8), s) == first


def test_without_the_fix_greedy_test_plans_are_drawn_and_equal_queries_draw_equal_ones():
    same = [Query(text="one question", id=f"q/{i}") for i in range(40)]  # a greedy controller has one plan for it
    greedy, drawing = router(), router(fixes=Fixes(greedy_test=False))
    assert len({p.plan for p in greedy.plan(same, space())}) == 1
    assert len({p.plan for p in drawing.plan(same, space())}) > 10
    assert drawing.plan(same, space()) == drawing.plan(same, space())


def test_plans_turn_back_into_the_choices_they_came_from():
    r, s = router(), space()
    drawn = forward(r, s, 20, generator=torch.Generator().manual_seed(0))
    _, names = r.candidates(s)
    back = r.choices_of([p.plan for p in r.to_plans(drawn, names)], names)
    for field in ("domain", "mode", "count", "roles", "llms"):
        assert torch.equal(getattr(back, field), getattr(drawn.choices, field)), field


def test_the_price_of_money_changes_the_plans_probabilities():
    r, s = router(), space()
    candidates, _ = r.candidates(s)
    inputs = r.embed(["a question"])
    cheap = r.network(inputs, r.network.encode(candidates), price=torch.tensor([0.0])).log_prob
    dear = r.network(inputs, r.network.encode(candidates), price=torch.tensor([4.0])).log_prob
    assert not torch.allclose(cheap, dear)


def test_a_fixed_domain_is_obeyed_and_otherwise_the_classifier_decides():
    s = space()
    fixed = router(options=PlanOptions(domain="Math")).plan(queries(6), s)
    assert {p.plan.domain for p in fixed} == {"Math"}
    decided = router().plan(queries(6), s)
    assert all(p.notes["domain"] == p.plan.domain for p in decided)


def test_the_published_controller_must_be_told_the_domain():
    with pytest.raises(ConfigError, match="--domain"):
        router(fixes=Fixes.none(), price_conditioned=False).plan(queries(1), space())


def test_a_checkpoint_comes_back_and_is_small(tmp_path):
    r, s = router(max_agents=6), space(max_agents=6)
    path = tmp_path / "c.safetensors"
    save_router(path, r, s, trained_on={"task": "test"}, simulated=True)
    loaded = load_router(path, ENCODER)
    assert path.stat().st_size < 3_000_000
    assert loaded.header.simulated
    assert loaded.router.cost_rate == 20.0
    assert loaded.router.plan(queries(10), s) == r.plan(queries(10), s)
    assert differences(loaded.header, s) == []


def test_a_checkpoint_plans_over_a_pool_with_an_llm_and_a_role_it_never_saw(tmp_path):
    path = tmp_path / "c.safetensors"
    save_router(path, router(), space(), trained_on={}, simulated=True)
    plain = {"aggregate": "plain", "output": "code", "post": "none", "revise": False}
    newcomer = Role(name="Newcomer", domain="Code", description="reads code aloud", system="Read.", **plain)
    wider = space(names=("a", "b", "c", "new-llm"), prompts=PROMPTS.with_role(newcomer))
    loaded = load_router(path, ENCODER, options=PlanOptions(domain="Code"))
    loaded.router.sampler = torch.Generator().manual_seed(0)
    plans = [p.plan for p in loaded.router.plan(queries(200), wider)]
    assert any(a.model == "new-llm" for p in plans for a in p.agents)
    assert any(a.role == "Newcomer" for p in plans for a in p.agents)
    said = differences(loaded.header, wider)
    assert "llm/new-llm is new: it was not there in training" in said
    assert "role/Code/Newcomer is new: it was not there in training" in said


def test_fewer_models_at_inference_are_never_planned_for():
    r = router()
    r.sampler = torch.Generator().manual_seed(0)
    plans = r.plan(queries(50), space(names=("b",)))
    assert {a.model for p in plans for a in p.plan.agents} == {"b"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no checkpoint of a MasRouter"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", "no checkpoint of a MasRouter"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_router(path, ENCODER)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_other_dimensions_or_another_encoder_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    save_router(path, router(), space(), trained_on={}, simulated=True)
    other = HashEncoder(width=8)
    with pytest.raises(CheckpointError, match="width 384; hash makes 8"):
        load_router(path, other)
    other.name = "another"
    with pytest.raises(CheckpointError, match="embeddings of hash; this encoder is another"):
        load_router(path, other)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_router(tmp_path / "missing", ENCODER)


def test_an_encoder_of_another_width_than_the_network_is_refused():
    with pytest.raises(ConfigError, match="width 8"):
        MasRouter(NetworkSettings(), HashEncoder(width=8), cost_rate=1.0)


def test_latents_are_sampled_as_the_prior_assumes_or_with_a_tenth_of_it():
    texts = torch.zeros(20_000, 4)
    spreads = {}
    for prior_sampling in (True, False):
        torch.manual_seed(0)
        vae = TextVAE(4, 3, prior_sampling=prior_sampling)
        latent = vae(texts, torch.Generator().manual_seed(0))
        deviation = (0.5 * latent.log_variance[0]).exp()
        spreads[prior_sampling] = ((latent.value - latent.mean).std(0) / deviation).mean().item()
    assert spreads[True] == pytest.approx(1.0, rel=0.02)
    assert spreads[False] == pytest.approx(0.1, rel=0.02)


def test_the_kl_term_vanishes_at_the_prior():
    from mar.controllers.masrouter.vae import PRIOR_DEVIATION, Latent

    zeros, variance = torch.zeros(2, 3), torch.full((2, 3), 2 * math.log(PRIOR_DEVIATION))
    latent = Latent(value=zeros, mean=zeros, log_variance=variance)
    assert latent.divergence().item() == pytest.approx(0.0)


def test_a_controller_that_learned_a_domain_and_a_mode_of_ones_own_says_which_is_missing(tmp_path, registries):
    mine = tmp_path / "mine"
    (mine / "roles/Law").mkdir(parents=True)
    (mine / "modes").mkdir()
    packaged = Path(mar.__file__).parent / "runtime/prompts/roles/Any/Assistant.toml"
    (mine / "roles/Law/Lawyer.toml").write_text(packaged.read_text())
    (mine / "modes/Ring.toml").write_text('description = "Round and round."')
    MODES.register("Ring", Mode(name="Ring", reads=lambda n, _: ((),) * n))
    own = PromptLibrary.load(mine)
    save_router(tmp_path / "r", router(), space(prompts=own, modes=("IO", "Ring")), trained_on={}, simulated=True)
    loaded = load_router(tmp_path / "r", ENCODER).router
    assert loaded.modes == ("IO", "Ring")
    assert len(loaded.plan(queries(4), space(prompts=own, modes=loaded.modes))) == 4
    with pytest.raises(ConfigError, match=r"learned to recognise the domain 'Law', of which there are no roles; give"):
        loaded.plan(queries(1), space(modes=loaded.modes))
    (mine / "modes/Ring.toml").unlink()
    with pytest.raises(ConfigError, match=r"no described mode is called 'Ring'; .* needs modes/Ring.toml"):
        loaded.plan(queries(1), space(prompts=PromptLibrary.load(mine), modes=loaded.modes))
