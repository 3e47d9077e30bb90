"""Tools that models may call: what a tool is, those that come with mar, the user's functions, and MCP servers.

Roles name tools, and a model that takes such a role is told of them. What it calls is checked, limited and recorded
(`mar.runtime.tool_use`); what comes back is a stranger's text, handed to the model and never interpreted.
"""

from mar.runtime.toolkit.functions import FunctionTool
from mar.runtime.toolkit.kit import TOOLS, Toolkit
from mar.runtime.toolkit.records import McpServer, Tool, ToolError, ToolLimits, ToolReport

__all__ = ["TOOLS", "FunctionTool", "McpServer", "Tool", "ToolError", "ToolLimits", "ToolReport", "Toolkit"]
