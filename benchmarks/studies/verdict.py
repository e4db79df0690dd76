"""What to print behind a figure for which something was asked."""


def verdict(figure: float, target: float | None, at_most: bool = False) -> str:
    """Whether the figure reaches the target; nothing without one."""
    if target is None:
        return ""
    reached = figure <= target if at_most else figure >= target
    bound = "at most " if at_most else ""
    return f", asked {bound}{target:g}: {'reached' if reached else 'NOT reached'}"
