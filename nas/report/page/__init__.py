"""One study as one HTML file that opens anywhere: no network, light and dark, wide and narrow."""

from nas.report.page.page import write_page

__all__ = ["write_page"]
