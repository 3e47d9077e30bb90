import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.environment import cache_folder, days_kept
from mar.errors import ConfigError
from mar.pool import CachedModel, WatchedModel, pool_config, pool_from_env
from mar.pool.choose import configured_pool
from mar.pool.files import check_url, parse_source, read_pool_file
from mar.pool.listed import Listed, _card
from mar.pool.openai_client import OpenAIModel
from tests.served import served

ROOT = Path(__file__).parents[2]
VARIABLES = ("URL", "KEY", "MODEL_BASE_URLS", "MAR_CACHE", "OPENAI_API_KEY", "GEMINI_API_KEY", "OTHER_KEY")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Every test starts in an empty folder with nothing configured."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def urls(config):
    return {card.name: card.base_url for card in config.cards}


def keys(config):
    return {name: key.get_secret_value() for name, key in config.keys.items()}


POOL = {"models": [{"name": "a", "base_url": "http://pool:1/v1"}, {"name": "b"}]}


def test_nothing_configured_is_none():
    assert pool_from_env() is None


def test_url_and_key_alone_give_the_models_that_the_server_lists(empty_folder):
    with served(models=("own/model-7b", "gpt-4o-mini"), key="k") as server:
        write(empty_folder / ".env", f"URL={server.base_url}/\nKEY=k\n")
        config = pool_config()
        assert urls(config) == dict.fromkeys(("own/model-7b", "gpt-4o-mini"), server.base_url)
    assert [c.price_in for c in config.cards] == [None, 0.15]  # unknown but of a well-known model
    assert set(keys(config).values()) == {"k"}
    assert config.found == ("URL in .env line 1",)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"models": ()}, "lists no models; say in pool.toml which models there are, or give --pool"),
        ({"models": ("a",), "key": "other"}, r"refuses the KEY \(401\); set KEY beside URL"),
        ({"models": [f"m{i}" for i in range(25)]}, "lists 25 models, too many to take all; say in pool.toml"),
    ],
)
def test_a_server_that_lists_no_models_to_take_is_one_line_that_says_what_to_set(empty_folder, server, message):
    with served(**server) as running:
        write(empty_folder / ".env", f"URL={running.base_url}\nKEY=k\n")
        with pytest.raises(ConfigError, match=rf"^URL in \.env line 1: {running.base_url} {message}") as caught:
            pool_config()
    assert "\n" not in str(caught.value)


def test_of_a_long_list_the_models_with_a_known_price_are_taken(empty_folder):
    with served(models=[*(f"m{i}" for i in range(30)), "deepseek-chat"]) as server:
        write(empty_folder / ".env", f"URL={server.base_url}\n")
        assert [c.name for c in pool_config().cards] == ["deepseek-chat"]


def test_a_server_without_such_a_list_or_none_at_all_is_one_line(empty_folder):
    with served(models=("a",)) as server:
        write(empty_folder / ".env", f"URL={server.base_url}/elsewhere\n")
        with pytest.raises(ConfigError, match=r"lists no models \(404 for /models\); say in pool.toml"):
            pool_config()
        write(empty_folder / ".env", f"URL={server.base_url}\n")
    with pytest.raises(ConfigError, match=r"cannot be reached \(ConnectError\); start the server, or say in pool.toml"):
        pool_config()


def test_a_vllm_server_states_how_much_its_model_can_read():
    entry = Listed(id="own/model-7b", max_model_len=1500)
    assert (_card("own/model-7b", entry).context_tokens, _card("own/model-7b", entry).max_output_tokens) == (1500, 750)


def test_the_shells_variables_win_over_the_file(empty_folder, monkeypatch):
    with served(models=("a",)) as server:
        write(empty_folder / ".env", "URL=http://127.0.0.1:9/v1\n")
        monkeypatch.setenv("URL", server.base_url)
        config = pool_config()
        assert set(urls(config).values()) == {server.base_url}
    assert config.found == ("URL in the environment",)


def test_endpoints_are_looked_up_in_the_documented_order(empty_folder):
    names = ["env", "test", "pool", "vllm", "url"]
    write(
        empty_folder / "pool.json",
        {
            "models": [{"name": n} for n in names[3:]]
            + [{"name": n, "base_url": f"http://pool-{n}/v1"} for n in names[:3]]
        },
    )
    write(
        empty_folder / "config_test.json", {"key": "tk", "model_base_urls": dict.fromkeys(names[:2], "http://test/v1")}
    )
    write(empty_folder / "logs/vllm/model_base_urls.json", dict.fromkeys(names[:4], "http://vllm/v1"))
    write(empty_folder / ".env", 'URL=http://url/v1\nKEY=k\nMODEL_BASE_URLS={"env": "http://env/v1"}\n')
    config = pool_config()
    assert urls(config) == {
        "env": "http://env/v1",
        "test": "http://test/v1",
        "pool": "http://pool-pool/v1",
        "vllm": "http://vllm/v1",
        "url": "http://url/v1",
    }
    # Each source's key goes to its own addresses: KEY belongs to the host of URL, which MODEL_BASE_URLS is not on.
    assert keys(config) == {"test": "tk", "url": "k"}


def test_without_a_pool_file_the_first_source_names_the_models(empty_folder):
    write(empty_folder / "logs/vllm/model_base_urls.json", {"v": "http://vllm/v1"})
    config = pool_config()
    assert (urls(config), config.cards[0].tags) == ({"v": "http://vllm/v1"}, ("vllm",))
    write(empty_folder / "config_test.json", {"model_base_urls": {"t": "http://test/v1"}})
    assert urls(pool_config()) == {"t": "http://test/v1"}


def test_model_base_urls_may_be_a_path_and_takes_key(empty_folder):
    write(empty_folder / "urls.json", {"a": "http://x/v1"})
    write(empty_folder / ".env", "MODEL_BASE_URLS=urls.json\nKEY=k\n")
    config = pool_config()
    assert (urls(config), keys(config)) == ({"a": "http://x/v1"}, {"a": "k"})


def test_profiles_of_served_models_become_cards(empty_folder):
    write(
        empty_folder / "config_test.json",
        {
            "global_settings": {"anything": {"goes": 1}},
            "models": [
                {
                    "Name": "Qwen/Q",
                    "Description": "small",
                    "MaxModelLen": 4096,
                    "MaxOutputTokens": 512,
                    "vllm_config": {"dtype": "auto"},
                }
            ],
            "model_base_urls": {"Qwen/Q": "http://127.0.0.1:8001/v1"},
        },
    )
    (card,) = pool_config().cards
    assert (card.description, card.context_tokens, card.max_output_tokens) == ("small", 4096, 512)
    assert (card.base_url, card.tags) == ("http://127.0.0.1:8001/v1", ("vllm",))


def test_a_model_that_a_pool_file_serves_has_its_servers_address_and_is_watched(empty_folder):
    serve = {"model": "org/a", "port": 8001}
    models = [{"name": "a", "vllm": serve}, {"name": "b", "vllm": serve | {"port": 2}, "base_url": "http://host:3/v1"}]
    path = write(empty_folder / "pool.json", {"models": models})
    config = pool_config(path)
    assert urls(config) == {"a": "http://127.0.0.1:8001/v1", "b": "http://host:3/v1"}
    assert [c.tags for c in config.cards] == [("vllm",), ("vllm",)]
    watched = pool_from_env(path, cache=False).model
    assert isinstance(watched, WatchedModel)
    assert set(watched.watcher.cards) == {"a", "b"}


def test_addresses_may_name_the_variable_of_their_key(empty_folder, monkeypatch):
    write(
        empty_folder / "logs/vllm/model_base_urls.json",
        {"key_env": "OTHER_KEY", "model_base_urls": {"a": "http://a/v1"}},
    )
    assert pool_config().missing_keys == {"a": "OTHER_KEY"}
    monkeypatch.setenv("OTHER_KEY", "k")
    assert keys(pool_config()) == {"a": "k"}


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "vllm").glob("*.toml")), ids=lambda p: p.stem)
def test_the_pool_files_that_come_with_mar_fit_their_devices(path):
    models = read_pool_file(path).models
    assert len({m.vllm.port for m in models}) == len(models)
    share = Counter()
    for model in models:
        for device in model.vllm.devices:
            share[device] += model.vllm.memory
    assert all(total <= 0.92 for total in share.values())  # the rest is the devices' own


def test_a_named_key_goes_to_its_model_alone_and_knows_its_vendor(empty_folder):
    text = '[[models]]\nname = "gemini"\nkey_env = "GEMINI_API_KEY"\nprice_in = 0.1\nprice_out = 0.4\n'
    text += '[[models]]\nname = "own"\nbase_url = "http://own/v1"\n'
    write(empty_folder / "pool.toml", text)
    write(empty_folder / ".env", "GEMINI_API_KEY=g\nURL=http://url/v1\nKEY=k\n")
    config = pool_config()
    assert urls(config)["gemini"].startswith("https://generativelanguage.googleapis.com/")
    assert keys(config) == {"gemini": "g"}


def test_answers_are_kept_where_that_is_asked_for_and_nowhere_else(empty_folder):
    write(empty_folder / "pool.json", {"models": [{"name": "a", "base_url": "http://pool:1/v1"}]})
    write(empty_folder / ".env", "MAR_CACHE=here\n")
    pool = pool_from_env(cache=True)
    assert isinstance(pool.model, CachedModel)
    assert str(pool.model.replies.path) == str(cache_folder() / "responses.sqlite") == "here/responses.sqlite"
    assert pool.kind == "live"
    assert isinstance(pool_from_env().model, OpenAIModel)
    assert isinstance(configured_pool("auto").model, OpenAIModel)
    assert isinstance(configured_pool("auto", cache=True).model, CachedModel)


def test_how_long_answers_are_kept_is_a_number_of_days(empty_folder, monkeypatch):
    write(empty_folder / ".env", "MAR_CACHE_DAYS=0.5\n")
    assert days_kept() == 0.5
    monkeypatch.setenv("MAR_CACHE_DAYS", "0")
    with pytest.raises(ConfigError, match="MAR_CACHE_DAYS in the environment: expected the number of days"):
        days_kept()


BAD_POOLS = [
    ("{", "malformed JSON"),
    ("[]", "no table of settings"),
    ("{}", "no table of settings"),
    ('{"models": []}', "models: "),
    ('{"models": [{"name": "a", "prise_in": 1}]}', r"models\[0\]\.prise_in: unknown field"),
    ('{"models": [{"name": "a"}], "extra": 1}', "extra: unknown field"),
    ('{"models": [{"name": "a", "price_in": -1, "price_out": 1}]}', r"models\[0\]\.price_in: .* 0"),
    ('{"models": [{"name": "a", "price_in": 1}]}', "price_in and price_out are given together"),
    ('{"models": [{"name": "a", "base_url": "ftp://x"}]}', r"models\[0\]\.base_url: no http\(s\) URL"),
    ('{"models": [{"name": "a", "concurrency": 0}]}', r"models\[0\]\.concurrency: "),
    ('{"models": [{"name": "a"}, {"name": "a"}]}', "named twice"),
    ('{"models": [{"name": "a"}]}', "has no address"),
    ('{"a": "nowhere"}', "address of a: no http"),
    ('{"a": 1}', "model_base_urls.a: "),
    ('{"model_base_urls": {}}', "model_base_urls: "),
    ('{"global_settings": {}, "models": [{"Name": "a", "Colour": 1}]}', r"models\[0\]\.Colour: unknown field"),
]


@pytest.mark.parametrize(("content", "message"), BAD_POOLS)
def test_a_bad_pool_file_is_one_line_that_names_file_and_field(empty_folder, content, message):
    write(empty_folder / "pool.json", content)
    with pytest.raises(ConfigError, match=message) as caught:
        pool_from_env()
    assert str(caught.value).startswith("pool.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("URL=https://h/v1\nthis is no assignment\n", r"\.env line 2: no assignment"),
        ("URL=nowhere\n", r"URL in \.env line 1: no http\(s\) URL"),
        ("URL=https://user:pass@h/v1\n", "carries a password"),
        ("KEY=k\n", r"KEY in \.env line 1: there is a key but no URL"),
        ("MODEL_BASE_URLS={bad\n", "malformed JSON"),
        ("MODEL_BASE_URLS=gone.json\n", r"gone\.json: no such pool file"),
        ("MODEL_BASE_URLS=sk-secret\n", "neither JSON nor the path"),
    ],
)
def test_a_bad_variable_is_one_line_that_says_where_it_stands(empty_folder, env, message):
    write(empty_folder / ".env", env)
    with pytest.raises(ConfigError, match=message) as caught:
        pool_from_env()
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_missing_files_that_were_asked_for_are_errors():
    with pytest.raises(ConfigError, match=r"gone\.toml: no such pool file"):
        pool_from_env("gone.toml")
    with pytest.raises(ConfigError, match=r"gone\.env: no such file"):
        pool_from_env(env_file="gone.env")


def test_a_named_key_that_is_unset_or_empty_is_an_error(empty_folder):
    write(empty_folder / "pool.json", {"models": [{"name": "a", "key_env": "OTHER_KEY", "base_url": "http://x/v1"}]})
    write(empty_folder / ".env", "OTHER_KEY=\n")
    with pytest.raises(ConfigError, match=r"pool\.json: model 'a' takes its key from OTHER_KEY, which is not set"):
        pool_from_env()


def test_malformed_toml_names_the_line(empty_folder):
    write(empty_folder / "pool.toml", "[[models]]\nname = \n")
    with pytest.raises(ConfigError, match=r"pool\.toml: malformed TOML: .*line 2"):
        pool_from_env()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(["models", "model_base_urls", "key", "global_settings", "base_url", "name", "Name"])


@pytest.mark.parametrize("data", [{"": ""}, {"": "http://localhost:1/v1"}, {"model_base_urls": {"": "http://h/v1"}}])
def test_a_model_without_a_name_is_refused_in_one_line(data):
    with pytest.raises(ConfigError, match=r"^f\.json: .*empty name"):
        parse_source(json.dumps(data), "f.json")


@settings(max_examples=40)
@given(st.dictionaries(field_names | st.text(max_size=5), json_values, max_size=4))
def test_any_json_is_read_or_refused_in_one_line(data):
    try:
        source = parse_source(json.dumps(data), "f.json")
    except ConfigError as error:
        message = str(error)
    else:
        message = "f.json"
        assert source.cards
    assert message.startswith("f.json")
    assert len(message.splitlines()) == 1


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_as_toml(text):
    try:
        parse_source(text, "f.toml", toml=True)
    except ConfigError as error:
        message = str(error)
    else:
        message = "f.toml"
    assert message.startswith("f.toml")


prices = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=40)
@given(prices, prices, prices)
def test_a_card_is_accepted_exactly_when_its_prices_make_sense(price_in, price_out, gpu):
    card = {"name": "a", "base_url": "http://x/v1", "price_in": price_in, "price_out": price_out}
    card["price_gpu_second"] = gpu
    known = [p for p in (price_in, price_out, gpu) if p is not None]
    sensible = all(0 <= p < float("inf") for p in known) and (price_in is None) == (price_out is None)
    sensible = sensible and (price_in is None or gpu is None)
    try:
        parse_source(json.dumps({"models": [card]}), "f.json")
        accepted = True
    except ConfigError:
        accepted = False
    assert accepted == sensible


@settings(max_examples=40)
@given(st.text(max_size=40))
def test_any_text_is_a_plain_url_or_refused_without_being_quoted(text):
    try:
        plain = check_url(text, "here")
    except ConfigError as error:
        assert str(error).startswith("here: ")  # noqa: PT017
    else:
        assert plain.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("given_", "plain"),
    [
        ("https://h/v1/", "https://h/v1"),
        ("http://127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_urls_come_out_in_their_plain_form(given_, plain):
    assert check_url(given_, "x") == plain
