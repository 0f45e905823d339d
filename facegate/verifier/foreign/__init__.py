"""Networks of others: fetched, probed, imported."""
