"""What people see on the terminal beside the texts: messages and progress, on standard error."""

from rich.console import Console


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a line as it is: what a document's name or an answer holds is no markup."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
