"""Did it work? Statistics, figures and the report of a run."""
