"""Families: who is taken for whose relative."""

from mar.controllers.belief import families_of


def test_families_are_read_from_names_unless_they_are_stated():
    names = ("Meta-Llama-3-8B", "Llama-2-70b-hf", "Mixtral-8x7B", "mathstral-7B", "gemini-1.5-pro", "Qwen/Qwen3-8B")
    assert families_of(names) == ("llama", "llama", "mistral", "mistral", "gemma", "qwen")
    assert families_of(["OSS120", "GLM4-32"], {"OSS120": "gpt-oss"}) == ("gpt-oss", "glm")
