"""The gateway: clients that speak the protocols of OpenAI or Anthropic get the learned runtime by another base URL."""

from mar.serving.settings import Settings, read_settings

__all__ = ["Settings", "read_settings"]
