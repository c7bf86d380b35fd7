"""What the suites have in common: their interface, processes, statistics, bars, report, plots."""
