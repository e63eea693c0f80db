"""What the lab's tests drew at random is told at the end, whether they passed or not."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in (each for each in reports if getattr(each, "when", "") == "call"):
            for name, value in report.user_properties:
                if name == "drawn":
                    terminalreporter.write_line(f"{report.nodeid}: {value}")
