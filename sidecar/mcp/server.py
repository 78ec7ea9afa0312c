"""The SDK's server, which tells in our words what is wrong with a tool's arguments."""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sidecar.validation import SHOWN_VALUE_CHARS, explain_all, explain_value


class Server(MCPServer[Any]):
    """A server without tools."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool, as the SDK does."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(f"Error executing tool {name}: {explain_all(error.__cause__, _explain)}") from error
            raise


def _explain(problem: ErrorDetails) -> str:
    return explain_value(problem, ".".join(map(str, problem["loc"]))[:SHOWN_VALUE_CHARS])
