"""A browser for the pages."""

from tests.browser import browser, open_page

__all__ = ["browser", "open_page"]
