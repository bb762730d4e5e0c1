"""Health of a corpus: near-duplicates, outliers, odd lengths and languages, boilerplate, and what is never found."""
