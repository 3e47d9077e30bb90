"""Roles and prompts: files beside this module, checked when they are loaded and rendered strictly.

    roles/<Domain>/<Name>.toml                        who speaks; Final: the deciders, Any: fit for every domain
    rounds/<name>.md                                  what an agent does with the messages of its round
    strategies/<Name>.toml                            how long to think
    outputs/{code,answer,text}.md                     how to write the reply
    user.md.j2, revise.md.j2, decide.md.j2            what is sent to the model beside the role's system prompt
    modes/<Name>.toml, domains/<Name>.toml            texts that controllers embed

A folder of one's own (`--prompts`) is laid out alike: what is in it stands beside this, or in its place.
All of them are jinja2 templates: `system` may use `name` and `domain` of its role, the `.j2` files the variables that
`mar.runtime.prompts.library` gives them, the others none.
"""

from mar.runtime.prompts.library import PromptLibrary
from mar.runtime.prompts.records import (
    DOMAIN_NAME,
    FINAL,
    UNCHECKED,
    AgentAsk,
    DecideAsk,
    DomainText,
    ModeText,
    Output,
    Peer,
    Role,
    Strategy,
)

__all__ = [
    "DOMAIN_NAME",
    "FINAL",
    "UNCHECKED",
    "AgentAsk",
    "DecideAsk",
    "DomainText",
    "ModeText",
    "Output",
    "Peer",
    "PromptLibrary",
    "Role",
    "Strategy",
]
