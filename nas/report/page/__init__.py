"""One study as one HTML file that opens anywhere: no network, light and dark, wide and narrow."""

from nas.report.page.page import write_front_page, write_page

__all__ = ["write_front_page", "write_page"]
