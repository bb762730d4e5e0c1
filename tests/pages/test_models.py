"""Chat models on the pages: picked above the input from what the server lists, tested and accounted for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from pages.parts.model_picker import describe_cap
from pages.parts.product import Product
from rag.chat.chat_records import Usage
from rag.chat.models_on_offer import read_offer
from rag.chat.spending import Cap, record
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.library import Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.test_chat_page import worker
from tests.standin_openai import Models, StandInOpenAI, Status

KEY = "sk-standin-0123456789abcdef"


@pytest.fixture
def provider(product: Product) -> Iterator[StandInOpenAI]:
    """The server that the settings of the product name, with two models beside the default."""
    with StandInOpenAI(models=Models(["stand-in", "large", "text-embedding-3"])) as running:
        product.settings = product.settings.model_copy(
            update={"openai_base_url": running.base_url, "openai_api_key": SecretStr(KEY), "chat_model": "stand-in"}
        )
        yield running


def press(app: AppTest, key: str) -> AppTest:
    return next(button for button in app.button if button.key == key).click().run()


def picker(app: AppTest) -> list[str]:
    return [option for box in app.selectbox if box.key == "chat_model" for option in box.options]


def test_without_a_chat_model_none_is_picked(open_page: OpenPage, library: Library) -> None:
    assert picker(open_page("chat", collection=library.collection)) == []


def test_a_page_never_waits_for_the_list(open_page: OpenPage, library: Library, provider: StandInOpenAI) -> None:
    provider.models = Models(["large"], delay_s=3)
    assert picker(open_page("chat", collection=library.collection)) == []
    assert not provider.requests or provider.requests[0].path == "/v1/models"


def test_the_picked_model_is_in_the_address_and_goes_with_the_question(
    open_page: OpenPage, library: Library, product: Product, provider: StandInOpenAI
) -> None:
    read_offer(product.settings)
    app = open_page("chat", collection=library.collection)
    assert picker(app) == ["stand-in (default)", "large"]
    next(box for box in app.selectbox if box.key == "chat_model").select("large").run()
    assert app.query_params["model"] in ("large", ["large"])
    with worker(library):
        app.chat_input(key="question").set_value("How long is the warranty?").run()
    wanted = library.value("select wanted_model from public.messages where role = 'assistant'")
    assert wanted == "large"


def test_only_named_models_are_taken_from_an_address(
    open_page: OpenPage, library: Library, product: Product, provider: StandInOpenAI
) -> None:
    product.settings = product.settings.model_copy(update={"chat_models": "large"})
    app = open_page("chat", collection=library.collection, model="huge")
    (box,) = (box for box in app.selectbox if box.key == "chat_model")
    assert (box.value, list(box.options)) == ("stand-in", ["stand-in (default)", "large"])


def test_a_connection_is_tested_in_words_and_the_key_is_never_shown(
    open_page: OpenPage, library: Library, provider: StandInOpenAI
) -> None:
    app = open_page("administration", view="Models")
    assert "with a key" in texts(app)
    app = press(app, "test_model")
    assert "stand-in answers: first word after" in app.success[0].value
    provider.chat += [Status(401, message=f"{KEY} is wrong")]
    app = press(app, "test_model")
    assert "did not accept the key" in app.error[0].value
    assert KEY not in texts(app)
    assert KEY not in str([element.proto for element in app.main])


def test_caps_and_what_was_used_are_shown(
    open_page: OpenPage, library: Library, product: Product, provider: StandInOpenAI, database: Database
) -> None:
    product.settings = product.settings.model_copy(
        update={"chat_tokens_per_day": 1000, "chat_prices": "*=1/2", "chat_cost_per_day_in_all": 2.5}
    )
    with database.as_worker() as conn:
        record(conn, product.settings, None, LOCAL_USER, "stand-in", Usage(900, 50, exact=False))
    app = open_page("administration", view="Models")
    said = texts(app)
    assert "1,000 tokens" in said
    assert "2.50 in money" in said
    assert "1 answer · 950 tokens · 100% of them estimated · 0.0010 in money" in said
    (table,) = app.dataframe
    assert table.value["Tokens read"].tolist() == [900]
    assert "950 of 1,000 tokens of the chat model used by you today" in texts(
        open_page("chat", collection=library.collection)
    )


def test_nothing_was_used_is_said(open_page: OpenPage, library: Library) -> None:
    said = texts(open_page("administration", view="Models"))
    assert "No chat model was asked." in said
    assert "none: answers are quotes" in said


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (100, ""),
        (850, "850 of 1,000 tokens of the chat model used by this conversation."),
        (1000, "The chat model is used up for this conversation (1,000 of 1,000 tokens)."),
    ],
)
def test_a_cap_is_mentioned_once_it_is_near(used: int, said: str) -> None:
    assert describe_cap(Cap("conversation", "tokens", used, 1000, "X")) == said
