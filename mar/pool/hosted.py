"""Hosted models: where well-known vendors are reached, and cards of some small ones, for servers that list them."""

from __future__ import annotations

from collections.abc import Mapping

from mar.pool.cards import ModelCard

# OpenAI-compatible address of the vendor that a key variable belongs to. A card that names the variable and no
# base_url is asked there.
VENDOR_URLS: Mapping[str, str] = {
    "OPENAI_API_KEY": "https://api.openai.com/v1",
    "ANTHROPIC_API_KEY": "https://api.anthropic.com/v1",
    "GEMINI_API_KEY": "https://generativelanguage.googleapis.com/v1beta/openai",
    "DEEPSEEK_API_KEY": "https://api.deepseek.com/v1",
    "OPENROUTER_API_KEY": "https://openrouter.ai/api/v1",
}


def hosted_cards() -> tuple[ModelCard, ...]:
    """Small hosted models that many OpenAI-compatible gateways offer.

    Prices are their makers' list prices in USD per million tokens; what a gateway charges may differ, so a pool file
    with its own prices is the better choice for anything that is reported.
    """
    return (
        ModelCard(
            name="gpt-4o-mini",
            description="GPT-4o mini by OpenAI: a small, cheap general model, good at code, mathematics and tools.",
            price_in=0.15,
            price_out=0.60,
            context_tokens=128_000,
            max_output_tokens=4096,
        ),
        ModelCard(
            name="claude-3-5-haiku-20241022",
            description="Claude 3.5 Haiku by Anthropic: a fast model, strong at code and at following instructions.",
            price_in=0.80,
            price_out=4.00,
            context_tokens=200_000,
            max_output_tokens=4096,
        ),
        ModelCard(
            name="gemini-2.0-flash",
            description="Gemini 2.0 Flash by Google: a very fast, cheap general model with a long context.",
            price_in=0.10,
            price_out=0.40,
            context_tokens=1_000_000,
            max_output_tokens=4096,
        ),
        ModelCard(
            name="deepseek-chat",
            description="DeepSeek V3: a large open mixture-of-experts model, strong at mathematics and code.",
            price_in=0.27,
            price_out=1.10,
            context_tokens=64_000,
            max_output_tokens=4096,
        ),
    )
