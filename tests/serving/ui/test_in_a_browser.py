"""The page in a real browser: opened, read and used on a gateway that really answers."""

from __future__ import annotations

import re

import pytest

from mar.pool import scripted_pool
from mar.pool.choose import empty_pool

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    "[a link](javascript:document.title='owned') \x1b[31mred\x1b[0m \u202eback\u202c \U0001f600 \x07 é"
)
ONE_MEGABYTE = "<b>" + "x" * 2**20 + "</b>"


@pytest.fixture
def simulated(gateways):
    return gateways(empty_pool("simulated"))


def answers(sight):
    return [row.strip() for row in sight.tab.locator(".live .what > a").all_inner_texts()]


def test_a_request_appears_on_an_open_page_by_itself(simulated, look):
    sight = look(simulated)
    page = sight.open("/ui/live")
    assert page.get_by_text("No requests yet").is_visible()
    simulated.ask("What is 17*23?")
    page.get_by_role("link", name="What is 17*23?").wait_for()
    simulated.ask("Why is the sky blue?")
    page.get_by_role("link", name="Why is the sky blue?").wait_for()
    assert answers(sight) == ["Why is the sky blue?", "What is 17*23?"]
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Pause").get_attribute("aria-pressed") == "true"


def test_filters_are_an_address_that_can_be_kept(simulated, look):
    simulated.ask("What is 17*23?")
    simulated.ask("Why is the sky blue?", model="gpt-4o")
    sight = look(simulated)
    page = sight.open("/ui/live")
    page.get_by_label("model").select_option("gpt-4o")
    page.wait_for_url("**/ui/live?model=gpt-4o")
    assert answers(sight) == ["Why is the sky blue?"]
    page.get_by_role("link", name="All").click()
    page.get_by_label("text, or an episode's id").fill("17*")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/ui/live?text=17*")
    assert answers(sight) == ["What is 17*23?"]


def test_an_episode_shows_why_and_what_another_price_of_money_would_change(simulated, look):
    simulated.ask("What is 17*23?")
    sight = look(simulated)
    page = sight.open("/ui/live")
    page.get_by_role("link", name="What is 17*23?").click()
    page.wait_for_url("**/ui/episodes/ep_*")
    assert page.get_by_role("img", name="Conversation of this request").is_visible()
    assert page.locator(".waterfall tbody tr").count() == 2  # planning, and the only call
    taken = page.locator("tr.taken").first.inner_text()
    model = re.search(r"ask ([\w.-]+)", taken)[1]
    asked = page.locator(".waterfall tbody tr").nth(1).inner_text()
    assert model in asked
    page.get_by_label("price of money").fill("1000000")
    page.get_by_role("button", name="Plan anew").click()
    page.get_by_text("At 1e+06 utility per USD").wait_for()
    assert "in place of" in page.locator("#whatif").inner_text()  # money being that dear, a cheaper model
    page.get_by_role("button", name="A good answer").click()
    page.get_by_text("100.0").wait_for()
    page.locator(".graph a").first.click()
    assert page.locator("#said-1").is_visible()  # the text that the box leads to is unfolded


def test_a_key_is_made_shown_once_changed_and_revoked(gateways, look):
    gateway = gateways(scripted_pool(lambda request: "x"), roles=("admin",))
    sight = look(gateway)
    sight.log_in(gateway.secrets["admin"])
    page = sight.open("/ui/keys")
    page.get_by_role("link", name="Make a key").click()
    page.get_by_label("name: what the key is for").fill("the app")
    page.get_by_label("USD a day").fill("-1")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("alert").wait_for()
    assert "usd_day" in page.get_by_role("alert").inner_text()
    sight.complaints.clear()  # Chromium's, about the status 400
    assert page.get_by_label("name: what the key is for").input_value() == "the app"
    page.get_by_label("USD a day").fill("2.5")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    assert gateway.ask("hello", key=gateway.secrets["admin"])
    page.get_by_role("link", name="Done").click()
    assert secret not in page.content()
    page.get_by_role("link", name="Change the app").click()
    page.get_by_label("requests a minute").fill("7")
    page.get_by_role("button", name="Change").click()
    page.get_by_role("status").wait_for()
    row = page.locator("tr", has_text="the app")
    assert "of 2.500" in row.inner_text()
    page.get_by_role("link", name="Change the app").click()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("status").wait_for()
    assert "revoked" in page.locator("tr", has_text="the app").inner_text()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/ui/login")


@pytest.mark.parametrize("text", [HOSTILE, ONE_MEGABYTE], ids=["hostile", "a megabyte"])
def test_what_models_and_clients_write_is_text_in_every_view(gateways, look, text):
    gateway = gateways(scripted_pool(lambda request: text))
    id = gateway.ask("q: " + text, user=text[:100])
    sight = look(gateway)
    for path in ("/ui/live", f"/ui/episodes/{id}", f"/ui/live?text={id}", "/ui/keys"):
        page = sight.open(path)
        assert page.title().endswith("mar")
        assert page.locator("main script, main img, main b:has-text('xxx'), main a[href^='javascript']").count() == 0
        assert "\x1b" not in page.content()
        assert "\u202e" not in page.content()
        assert len(page.content()) < 300_000
        assert sight.wide == 0


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)])
def test_every_view_fits_a_desk_and_a_hand(simulated, look, width, dark):
    id = simulated.ask("Write a function that reverses a linked list, with tests.")
    sight = look(simulated, width=width, dark=dark)
    for path in ("/ui/live", f"/ui/episodes/{id}", "/ui/keys", "/ui/keys/new"):
        page = sight.open(path)
        assert sight.wide == 0
        assert page.locator("main h1").count() == 1
        assert (
            page.locator("input:not([type=hidden]):not([aria-label])").evaluate_all(
                "fields => fields.filter(field => !field.labels.length).length"
            )
            == 0
        )


def test_the_page_can_be_used_by_keyboard(simulated, look):
    simulated.ask("What is 17*23?")
    sight = look(simulated)
    page = sight.open("/ui/live")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("link", name="What is 17*23?").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/episodes/ep_*")


def test_the_store_is_named_nowhere_and_a_logged_out_browser_sees_nothing(gateways, look):
    gateway = gateways(scripted_pool(lambda request: "x"), roles=("use",))
    sight = look(gateway)
    page = sight.open("/ui/live")
    page.wait_for_url("**/ui/login")
    assert gateway.store not in page.content()
